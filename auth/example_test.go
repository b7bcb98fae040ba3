package auth_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/browser"
	"github.com/mcptokens/mcptokens/auth/grant"
)

// world is an authorization server and an MCP server for the examples.
func world() (*authtest.Server, *authtest.Resource) {
	srv, err := authtest.Start(authtest.Config{})
	if err != nil {
		panic(err)
	}
	return srv, srv.Protect(http.NotFoundHandler(), authtest.Protection{Scopes: []string{"mcp:read"}})
}

// A manager for a server of which only the URL is known: the rest is found,
// the client registers itself, and the user logs in when a token is needed.
// Leave UserAgent out to open the user's browser.
func ExampleNewManager() {
	srv, mcp := world()
	defer srv.Close()

	manager, err := auth.NewManager(auth.Config{
		Resource: mcp.URL,
		Grant:    grant.AuthorizationCode{UserAgent: browser.Headless{}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer manager.Close()

	token, err := manager.Authorize(context.Background()) // or let the server's first challenge do it
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(token.Scopes, manager.Info().State)
	// Output: [mcp:read] fresh
}

// The two calls that a custom transport needs.
func ExampleSource() {
	srv, mcp := world()
	defer srv.Close()
	manager, err := auth.NewManager(auth.Config{
		Resource: mcp.URL,
		Grant:    grant.AuthorizationCode{UserAgent: browser.Headless{}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer manager.Close()
	var source auth.Source = manager

	ctx := context.Background()
	token, err := source.Token(ctx)
	fmt.Println(errors.Is(err, auth.ErrNoToken)) // send the request without one

	resp, err := http.Post(mcp.URL, "application/json", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	resp.Body.Close()
	fmt.Println(resp.Status)

	if challenge, ok := auth.ResponseChallenge(resp.StatusCode, resp.Header); ok {
		token, err = source.Resolve(ctx, token, challenge)
		if err != nil { // says why there is no point in sending it again
			fmt.Println(err)
			return
		}
		fmt.Println(token.Scopes) // send it again with token.Authorization()
	}
	// Output:
	// true
	// 401 Unauthorized
	// [mcp:read]
}

// Code that knows golang.org/x/oauth2 gets its tokens from the manager.
func ExampleManager_TokenSource() {
	srv, mcp := world()
	defer srv.Close()
	manager, err := auth.NewManager(auth.Config{
		Resource: mcp.URL,
		Grant:    grant.AuthorizationCode{UserAgent: browser.Headless{}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer manager.Close()
	if _, err := manager.Authorize(context.Background()); err != nil {
		fmt.Println(err)
		return
	}

	token, err := manager.TokenSource(context.Background()).Token()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(token.Type(), token.Valid(), token.RefreshToken == "")
	// Output: Bearer true true
}

// A token that was obtained elsewhere, kept fresh from now on.
func ExampleManager_SetToken() {
	srv, mcp := world()
	defer srv.Close()
	srv.AddClient("my-client", "")
	issued := srv.IssueToken([]string{"mcp:read"}, mcp.URL)

	manager, err := auth.NewManager(auth.Config{
		Resource: mcp.URL,
		Server:   &auth.Server{Issuer: srv.Issuer},
		Client:   auth.Client{ID: "my-client"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer manager.Close()
	ctx := context.Background()
	if err := manager.SetToken(ctx, &auth.Token{RefreshToken: issued.RefreshToken}); err != nil {
		fmt.Println(err)
		return
	}
	token, err := manager.Token(ctx) // there is only a refresh token: it is used now
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(token.TokenType, srv.Counts().Refreshes)
	// Output: Bearer 1
}

// Without a grant that could ask the user, the error says what to ask for.
func ExampleManager_UpgradeScopes() {
	srv, mcp := world()
	defer srv.Close()
	srv.AddClient("my-client", "")
	issued := srv.IssueToken([]string{"mcp:read"}, mcp.URL)

	manager, err := auth.NewManager(auth.Config{
		Resource: mcp.URL,
		Server:   &auth.Server{Issuer: srv.Issuer},
		Client:   auth.Client{ID: "my-client"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer manager.Close()
	ctx := context.Background()
	if err := manager.SetToken(ctx, &auth.Token{
		AccessToken: issued.AccessToken, RefreshToken: issued.RefreshToken, Expiry: issued.Expiry, Scopes: issued.Scopes,
	}); err != nil {
		fmt.Println(err)
		return
	}
	_, err = manager.UpgradeScopes(ctx, "mcp:write")
	var required *auth.ReauthorizationRequiredError
	if errors.As(err, &required) {
		fmt.Println("a new login has to ask for", required.Scopes)
	}
	// Output: a new login has to ask for [mcp:read mcp:write]
}

// Events say what happened to the token without holding it.
func ExampleManager_Subscribe() {
	srv, mcp := world()
	defer srv.Close()
	manager, err := auth.NewManager(auth.Config{
		Resource: mcp.URL,
		Grant:    grant.AuthorizationCode{UserAgent: browser.Headless{}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	events, stop := manager.Subscribe()
	defer stop()
	ctx := context.Background()
	if _, err := manager.Authorize(ctx); err != nil {
		fmt.Println(err)
	}
	if err := manager.Revoke(ctx); err != nil {
		fmt.Println(err)
	}
	if err := manager.Close(); err != nil { // which closes events too
		fmt.Println(err)
	}
	for e := range events {
		fmt.Println(e.Type, e.Scopes)
	}
	// Output:
	// token_updated [mcp:read]
	// forgotten []
}

// Several challenges may stand in one header.
func ExampleParseChallenges() {
	for _, c := range auth.ParseChallenges([]string{`Basic realm="old", Bearer error="insufficient_scope", scope="mcp:read mcp:write"`}) {
		fmt.Println(c.Scheme, c.InsufficientScope(), c.Scopes)
	}
	// Output:
	// Basic false []
	// Bearer true [mcp:read mcp:write]
}
