package transport_test

import (
	"fmt"
	"io"
	"net/http"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/grant"
	"github.com/mcptokens/mcptokens/transport"
)

// Any HTTP client gets tokens by its transport. Here the server answers the
// first request with a challenge, which names the authorization server; the
// caller sees nothing of that.
func ExampleRoundTripper() {
	srv, err := authtest.Start(authtest.Config{}) // stands for real servers
	if err != nil {
		fmt.Println(err)
		return
	}
	defer srv.Close()
	srv.AddClient("my-service", "my-secret")
	mcp := srv.Protect(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "hello")
	}), authtest.Protection{Scopes: []string{"mcp:read"}})

	manager, err := auth.NewManager(auth.Config{
		Resource: mcp.URL,
		Client:   auth.Client{ID: "my-service", Secret: "my-secret", Issuer: srv.Issuer},
		Grant:    grant.ClientCredentials{},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer manager.Close()

	client := &http.Client{Transport: &transport.RoundTripper{Source: manager}}
	for range 2 {
		resp, err := client.Get(mcp.URL)
		if err != nil {
			fmt.Println(err)
			return
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		fmt.Printf("%s: %s\n", resp.Status, body)
	}
	fmt.Printf("%d challenge, %d token request\n", mcp.Counts().Unauthorized, srv.Counts().Token)
	// Output:
	// 200 OK: hello
	// 200 OK: hello
	// 1 challenge, 1 token request
}
