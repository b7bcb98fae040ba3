package mcpgo

import (
	"context"
	"errors"
	"net/http"

	"github.com/mark3labs/mcp-go/client"
	mcptransport "github.com/mark3labs/mcp-go/client/transport"

	"github.com/mcptokens/mcptokens/auth"
)

// Keeper is a [auth.Source] that a token can be given to: *[auth.Manager], or
// *[auth.PoolSource] for one of many users.
type Keeper interface {
	auth.Source
	// SetRecord puts a token in use that was obtained elsewhere, and stores it.
	SetRecord(ctx context.Context, r *auth.Record) error
}

var (
	_ Keeper = (*auth.Manager)(nil)
	_ Keeper = (*auth.PoolSource)(nil)
)

// WithOAuth replaces mcp-go's WithHTTPOAuth in a program that goes on
// logging its user in with mcp-go's OAuth handler: the flow that
// client.IsOAuthAuthorizationRequiredError begins stays as it is, and m does
// all that comes after the login. It refreshes as the client, and at the
// issuer, that the handler logged in with, also when the handler registered it
// on demand; it keeps the token, shares it with other processes and traces it.
//
// Leave [auth.Config].Grant nil, cfg.TokenStore is not used, and what is said of
// mcp-go's options at [WithAuth] holds here too. Where m would return
// *[auth.ReauthorizationRequiredError] because its token is gone, the client's
// methods return an error that is that one and mcp-go's
// OAuthAuthorizationRequiredError at once; where scopes are missing, it is the
// former alone: its Scopes are what a login has to ask for, while the handler's
// are fixed.
func WithOAuth(m Keeper, cfg mcptransport.OAuthConfig, opts ...Option) mcptransport.StreamableHTTPCOption {
	return func(t *mcptransport.StreamableHTTP) {
		store := &tokenStore{manager: m, scopes: cfg.Scopes, redirectURI: cfg.RedirectURI}
		own := cfg
		own.TokenStore = store
		mcptransport.WithHTTPOAuth(own)(t)
		store.handler = t.GetOAuthHandler()
		mcptransport.WithHTTPBasicClient(store.client(opts))(t)
	}
}

// WithSSEOAuth is [WithOAuth] for the HTTP+SSE transport of MCP 2024-11-05; it
// replaces mcp-go's WithOAuth.
func WithSSEOAuth(m Keeper, cfg mcptransport.OAuthConfig, opts ...Option) mcptransport.ClientOption {
	return func(t *mcptransport.SSE) {
		store := &tokenStore{manager: m, scopes: cfg.Scopes, redirectURI: cfg.RedirectURI}
		own := cfg
		own.TokenStore = store
		mcptransport.WithOAuth(own)(t)
		store.handler = t.GetOAuthHandler()
		client.WithHTTPClient(store.client(opts))(t)
	}
}

// client answers challenges below mcp-go, whose handler would ask for a login.
func (s *tokenStore) client(opts []Option) *http.Client {
	c := httpClient(s.manager, opts)
	c.Transport = &loginOnly{next: c.Transport, store: s}
	return c
}

// loginOnly lets mcp-go's callers recognise the errors that a login fixes.
type loginOnly struct {
	next  http.RoundTripper
	store *tokenStore
}

// RoundTrip implements [http.RoundTripper].
func (t *loginOnly) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.next.RoundTrip(r)
	var required *auth.ReauthorizationRequiredError
	if !errors.As(err, &required) {
		return resp, err
	}
	// When scopes are missing the token in use stays, and the handler's next login
	// would bring the same scopes.
	if _, gone := t.store.manager.Token(r.Context()); !needsLogin(gone) {
		return resp, err
	}
	return resp, &loginRequired{
		required: required,
		login:    &mcptransport.OAuthAuthorizationRequiredError{Handler: t.store.handler},
	}
}

// loginRequired is one fact in the terms of both libraries.
type loginRequired struct {
	required *auth.ReauthorizationRequiredError
	login    *mcptransport.OAuthAuthorizationRequiredError
}

func (e *loginRequired) Error() string { return e.required.Error() }

func (e *loginRequired) Unwrap() []error { return []error{e.required, e.login} }
