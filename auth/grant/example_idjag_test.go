package grant_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/grant"
)

// An employee's login at the enterprise's identity provider opens every MCP
// server that the enterprise allows.
func ExampleIDJAG() {
	// What the application keeps of the login.
	idToken := func(context.Context) (string, error) { return "", grant.ErrLoginRequired }

	enterprise := &grant.IDJAG{
		IDPIssuer:    "https://acme.idp.example",
		IDPClient:    auth.Client{ID: "app-at-idp", Secret: "…"},
		SubjectToken: idToken,
	}
	m, err := auth.NewManager(auth.Config{
		Resource: "https://mcp.example.com/mcp",
		Server:   &auth.Server{Issuer: "https://as.example.com", TokenEndpoint: "https://as.example.com/token"},
		Client:   auth.Client{ID: "app-at-mcp", Secret: "…"},
		Grant:    enterprise,
	})
	if err != nil {
		panic(err)
	}
	defer m.Close()

	_, err = m.Authorize(context.Background())
	var refused *grant.IDPError
	switch {
	case errors.Is(err, grant.ErrLoginRequired):
		fmt.Println("log in at the identity provider, then try again")
	case errors.As(err, &refused):
		fmt.Println("the enterprise does not allow it:", err)
	case err != nil:
		fmt.Println("the MCP server's authorization server does not allow it:", err)
	}
	// Output: log in at the identity provider, then try again
}
