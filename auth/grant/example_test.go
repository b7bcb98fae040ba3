package grant_test

import (
	"context"
	"fmt"
	"net/http"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/browser"
	"github.com/mcptokens/mcptokens/auth/grant"
)

// A service with a secret of its own. The server here is the test kit's.
func ExampleClientCredentials() {
	srv, err := authtest.Start(authtest.Config{})
	if err != nil {
		panic(err)
	}
	defer srv.Close()
	srv.AddClient("nightly-report", "its-secret")
	res := srv.Protect(http.NotFoundHandler(), authtest.Protection{})

	m, err := auth.NewManager(auth.Config{
		Resource: res.URL,
		Client:   auth.Client{ID: "nightly-report", Secret: "its-secret", Issuer: srv.Issuer},
		Scopes:   []string{"reports:read"},
		Grant:    grant.ClientCredentials{},
	})
	if err != nil {
		panic(err)
	}
	defer m.Close()
	tok, err := m.Authorize(context.Background())
	if err != nil {
		panic(err)
	}
	fmt.Println(tok.TokenType, tok.Scopes)
	// Output: Bearer [reports:read]
}

// A program that a person uses. Leave UserAgent out to open the user's browser;
// here nobody has to be asked.
func ExampleAuthorizationCode() {
	srv, err := authtest.Start(authtest.Config{})
	if err != nil {
		panic(err)
	}
	defer srv.Close()
	res := srv.Protect(http.NotFoundHandler(), authtest.Protection{Scopes: []string{"mcp:read"}})

	m, err := auth.NewManager(auth.Config{
		Resource: res.URL,
		Grant:    grant.AuthorizationCode{UserAgent: browser.Headless{}},
	})
	if err != nil {
		panic(err)
	}
	defer m.Close()
	tok, err := m.Authorize(context.Background())
	if err != nil {
		panic(err)
	}
	fmt.Println(tok.TokenType, tok.Scopes)
	// Output: Bearer [mcp:read]
}
