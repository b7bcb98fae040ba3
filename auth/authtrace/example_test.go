package authtrace_test

import (
	"context"
	"fmt"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/authtrace"
)

// refreshes is a tracer that prints how each refresh ended.
type refreshes struct{ authtrace.Nop }

func (refreshes) End(_ context.Context, e authtrace.End) {
	if e, ok := e.(authtrace.RefreshEnd); ok {
		fmt.Println("refresh:", e.Outcome, e.Grant, e.Err)
	}
}

// A tracer that hears of one thing needs one method.
func ExampleTracer() {
	srv, err := authtest.Start(authtest.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer srv.Close()
	srv.AddClient("my-client", "my-secret")

	const resource = "https://mcp.example.com/mcp"
	m, err := auth.NewManager(auth.Config{
		Resource: resource,
		Server:   &auth.Server{Issuer: srv.Issuer, TokenEndpoint: srv.Endpoint(authtest.TokenEndpoint)},
		Client:   auth.Client{ID: "my-client", Secret: "my-secret"},
		Tracer:   refreshes{},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer m.Close()
	old := srv.IssueToken(nil, resource)
	token := &auth.Token{AccessToken: old.AccessToken, RefreshToken: old.RefreshToken, Expiry: time.Now().Add(time.Hour)}
	if err := m.SetToken(context.Background(), token); err != nil {
		fmt.Println(err)
		return
	}
	if _, err := m.Refresh(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output: refresh: refreshed refresh_token <nil>
}
