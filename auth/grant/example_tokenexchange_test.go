package grant_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/grant"
	"github.com/mcptokens/mcptokens/transport"
)

// A gateway calls an MCP server for the user who called the gateway: with a token
// that it gets in exchange for the user's, and that can do less. The servers here
// are the test kit's.
func ExampleTokenExchange() {
	srv, err := authtest.Start(authtest.Config{})
	if err != nil {
		panic(err)
	}
	defer srv.Close()
	srv.AddClient("gateway", "its-secret")
	upstream := srv.Protect(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {}), authtest.Protection{Scopes: []string{"read"}})

	pool, err := auth.NewPool(auth.PoolConfig{Config: sameForAll(auth.Config{
		Server: &auth.Server{Issuer: srv.Issuer},
		Client: auth.Client{ID: "gateway", Secret: "its-secret", Issuer: srv.Issuer},
		Grant:  grant.TokenExchange{Issuer: srv.Issuer, MaxScopes: []string{"read"}},
	})})
	if err != nil {
		panic(err)
	}
	defer pool.Close()

	// call sends a request for a user, whom the gateway has authenticated, with
	// the token that the user's own request came with.
	call := func(ctx context.Context, user, token string) (*http.Response, error) {
		req, err := http.NewRequestWithContext(grant.WithSubjectToken(ctx, token), http.MethodGet, upstream.URL, nil)
		if err != nil {
			return nil, err
		}
		client := http.Client{Transport: &transport.RoundTripper{Source: pool.Source(user, upstream.URL)}}
		return client.Do(req)
	}

	alice := srv.IssueTokenFor("alice", []string{"read", "write"}, "https://gateway.example").AccessToken
	resp, err := call(context.Background(), "alice", alice)
	if err != nil {
		panic(err)
	}
	resp.Body.Close()
	fmt.Println("alice:", resp.StatusCode)

	_, err = call(context.Background(), "bob", "a-revoked-token")
	var refused *grant.SubjectTokenError
	fmt.Println("bob has to come with another token:", errors.As(err, &refused))
	// Output:
	// alice: 200
	// bob has to come with another token: true
}

// sameForAll gives one configuration to all managers of a pool, so that they share
// what they discover.
func sameForAll(cfg auth.Config) func(subject, resource string) (*auth.Config, error) {
	return func(string, string) (*auth.Config, error) { return &cfg, nil }
}

// An agent acts for a user: the token names both, and the MCP server sees who does
// what for whom.
func ExampleTokenExchange_delegation() {
	agentToken := func(context.Context) (string, error) { return "the-token-of-the-agent", nil }

	m, err := auth.NewManager(auth.Config{
		Resource: "https://mcp.example.com/mcp",
		Server:   &auth.Server{Issuer: "https://as.example.com", TokenEndpoint: "https://as.example.com/token"},
		Client:   auth.Client{ID: "agent-runner", Secret: "…", Issuer: "https://as.example.com"},
		Grant: grant.TokenExchange{
			Issuer:     "https://as.example.com",
			ActorToken: agentToken, ActorTokenType: grant.SubjectJWT,
			MaxScopes: []string{"tickets:read"},
		},
		NoIdleRefresh: true, // the user's token comes with calls
	})
	if err != nil {
		panic(err)
	}
	defer m.Close()

	_, err = m.Authorize(context.Background()) // and not with WithSubjectToken
	fmt.Println(errors.Is(err, grant.ErrNoSubjectToken))
	// Output: true
}

// A web API behind Microsoft Entra ID calls an MCP server for its user.
func ExampleOnBehalfOf() {
	const issuer = "https://login.microsoftonline.com/TENANT/v2.0"
	pool, err := auth.NewPool(auth.PoolConfig{Config: sameForAll(auth.Config{
		Server: &auth.Server{Issuer: issuer, TokenEndpoint: "https://login.microsoftonline.com/TENANT/oauth2/v2.0/token"},
		Client: auth.Client{ID: "CLIENT-ID", Secret: "…", Issuer: issuer},
		Scopes: []string{"api://the-mcp-server/.default"},
		Grant:  grant.OnBehalfOf{Issuer: issuer},
	})})
	if err != nil {
		panic(err)
	}
	defer pool.Close()

	mux := http.NewServeMux()
	mux.HandleFunc("/tickets", func(w http.ResponseWriter, r *http.Request) {
		user, token := authenticated(r)
		req, err := http.NewRequestWithContext(grant.WithSubjectToken(r.Context(), token), http.MethodPost, "https://mcp.example.com/mcp", nil)
		if err != nil {
			panic(err)
		}
		client := http.Client{Transport: &transport.RoundTripper{Source: pool.Source(user, "https://mcp.example.com/mcp")}}
		resp, err := client.Do(req)
		var refused *grant.SubjectTokenError
		switch {
		case errors.As(err, &refused):
			http.Error(w, "log in again", http.StatusUnauthorized)
		case err != nil:
			http.Error(w, "the MCP server cannot be reached", http.StatusBadGateway)
		default:
			resp.Body.Close()
		}
	})
}

// authenticated is the API's own: who sent a request, and with which token.
func authenticated(*http.Request) (user, token string) { return "alice", "the-token-of-the-request" }
