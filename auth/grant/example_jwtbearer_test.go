package grant_test

import (
	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/grant"
)

// A pod in Kubernetes presents the token of its service account, which the
// kubelet replaces in the file before it expires.
func ExampleJWTBearer() {
	m, err := auth.NewManager(auth.Config{
		Resource: "https://mcp.example.com/mcp",
		Client:   auth.Client{ID: "reporting-job"},
		Grant:    grant.JWTBearer{File: "/var/run/secrets/tokens/mcp"},
	})
	if err != nil {
		panic(err)
	}
	defer m.Close()
}
