package mcpgo_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"strings"

	"github.com/mark3labs/mcp-go/client"
	mcptransport "github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/browser"
	"github.com/mcptokens/mcptokens/auth/external"
	"github.com/mcptokens/mcptokens/auth/grant"
	"github.com/mcptokens/mcptokens/mcpgo"
	"github.com/mcptokens/mcptokens/transport"
)

// MIGRATION.md quotes these examples. Around what it quotes stand a server to
// talk to and a user who approves at once.

// startProtected starts a protected MCP server with a pre-registered public
// client, "my-client", and a confidential one, "my-robot".
func startProtected() (as *authtest.Server, resource *authtest.Resource) {
	as, err := authtest.Start(authtest.Config{})
	if err != nil {
		log.Fatal(err)
	}
	as.AddClient("my-client", "", callback)
	as.AddClient("my-robot", "its secret")
	return as, as.Protect(server.NewStreamableHTTPServer(newMCPServer()), authtest.Protection{Scopes: []string{"mcp:read"}})
}

// loginWith is what a program that logs its user in does with mcp-go's handler:
// it shows the authorization URL and waits for the redirect.
func loginWith(as *authtest.Server) func(context.Context, *mcptransport.OAuthHandler) error {
	return func(ctx context.Context, handler *mcptransport.OAuthHandler) error {
		return world{as: as}.login(ctx, &mcptransport.OAuthAuthorizationRequiredError{Handler: handler})
	}
}

// readIt calls a tool of the protected server.
func readIt(ctx context.Context, c *client.Client) {
	if err := call(ctx, c, "read"); err != nil {
		log.Fatal(err)
	}
	fmt.Println("read it")
}

// mcp-go's own OAuth, as it is before.
func Example_oauthBefore() {
	as, protected := startProtected()
	defer as.Close()
	url, ctx, login := protected.URL, context.Background(), loginWith(as)
	store := client.NewMemoryTokenStore()

	c, err := client.NewOAuthStreamableHttpClient(url, client.OAuthConfig{
		RedirectURI: callback,
		Scopes:      []string{"mcp:read"},
		PKCEEnabled: true,
		TokenStore:  store,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	_, err = c.Initialize(ctx, mcp.InitializeRequest{})
	if client.IsOAuthAuthorizationRequiredError(err) {
		// Registers, opens a browser, listens for the redirect, and ends in
		// handler.ProcessAuthorizationResponse.
		if err := login(ctx, client.GetOAuthHandler(err)); err != nil {
			log.Fatal(err)
		}
		_, err = c.Initialize(ctx, mcp.InitializeRequest{})
	}
	if err != nil {
		log.Fatal(err)
	}

	readIt(ctx, c)
	// Output: read it
}

// The manager logs in: the program's own login code is not needed any more.
func Example_oauthReplaced() {
	as, protected := startProtected()
	defer as.Close()
	url, ctx := protected.URL, context.Background()
	login := grant.AuthorizationCode{UserAgent: browser.Headless{}}

	manager, err := auth.NewManager(auth.Config{
		Resource: url,
		Scopes:   []string{"mcp:read"},
		Grant:    login, // grant.AuthorizationCode{} opens the user's browser
	})
	if err != nil {
		log.Fatal(err)
	}
	defer manager.Close()
	c, err := client.NewStreamableHttpClient(url, mcpgo.WithAuth(manager))
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Initialize(ctx, mcp.InitializeRequest{}); err != nil {
		log.Fatal(err)
	}

	readIt(ctx, c)
	// Output: read it
}

// The program goes on logging in with mcp-go's handler, the manager does what
// comes after.
func ExampleWithOAuth() {
	as, protected := startProtected()
	defer as.Close()
	url, ctx, login := protected.URL, context.Background(), loginWith(as)

	manager, err := auth.NewManager(auth.Config{Resource: url})
	if err != nil {
		log.Fatal(err)
	}
	defer manager.Close()
	c, err := client.NewStreamableHttpClient(url, mcpgo.WithOAuth(manager, client.OAuthConfig{
		RedirectURI: callback,
		Scopes:      []string{"mcp:read"},
		PKCEEnabled: true,
	}))
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	_, err = c.Initialize(ctx, mcp.InitializeRequest{})
	if client.IsOAuthAuthorizationRequiredError(err) {
		if err := login(ctx, client.GetOAuthHandler(err)); err != nil {
			log.Fatal(err)
		}
		_, err = c.Initialize(ctx, mcp.InitializeRequest{})
	}
	if err != nil {
		log.Fatal(err)
	}

	readIt(ctx, c)
	fmt.Println("refreshes as the client that mcp-go registered:", manager.Info().ClientID == as.Registrations()[0].ClientID)
	// Output:
	// read it
	// refreshes as the client that mcp-go registered: true
}

// The same for HTTP with SSE.
func ExampleWithSSEOAuth() {
	manager, err := auth.NewManager(auth.Config{Resource: "https://mcp.example.com/sse"})
	if err != nil {
		log.Fatal(err)
	}
	defer manager.Close()
	c, err := client.NewSSEMCPClient("https://mcp.example.com/sse", mcpgo.WithSSEOAuth(manager, client.OAuthConfig{
		RedirectURI: "http://127.0.0.1:33418/callback",
		PKCEEnabled: true,
	}))
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
}

// Nothing but the token store is changed. Manager and handler are told the same
// client.
func ExampleTokenStore() {
	as, protected := startProtected()
	defer as.Close()
	url, ctx, login := protected.URL, context.Background(), loginWith(as)

	manager, err := auth.NewManager(auth.Config{
		Resource: url,
		Client:   auth.Client{ID: "my-client"},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer manager.Close()
	c, err := client.NewOAuthStreamableHttpClient(url, client.OAuthConfig{
		ClientID:    "my-client",
		RedirectURI: callback,
		Scopes:      []string{"mcp:read"},
		PKCEEnabled: true,
		TokenStore:  mcpgo.TokenStore(manager),
	})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	_, err = c.Initialize(ctx, mcp.InitializeRequest{})
	if client.IsOAuthAuthorizationRequiredError(err) {
		if err := login(ctx, client.GetOAuthHandler(err)); err != nil {
			log.Fatal(err)
		}
		_, err = c.Initialize(ctx, mcp.InitializeRequest{})
	}
	if err != nil {
		log.Fatal(err)
	}
	readIt(ctx, c)
	// Output: read it
}

// Users who are logged in stay so.
func ExampleFromTokenStore() {
	as, protected := startProtected()
	defer as.Close()
	url, ctx := protected.URL, context.Background()
	had := as.IssueToken([]string{"mcp:read"}, url)
	old := client.NewMemoryTokenStore()
	if err := old.SaveToken(ctx, &client.Token{AccessToken: had.AccessToken, RefreshToken: had.RefreshToken, ExpiresAt: had.Expiry}); err != nil {
		log.Fatal(err)
	}
	manager, err := auth.NewManager(auth.Config{Resource: url, Client: auth.Client{ID: "my-client"}})
	if err != nil {
		log.Fatal(err)
	}
	defer manager.Close()

	record, err := mcpgo.FromTokenStore(ctx, old)
	if err == nil {
		_, err = manager.Import(ctx, record)
	}
	if err != nil && !errors.Is(err, auth.ErrNoToken) {
		log.Fatal(err)
	}

	token, err := manager.Token(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(token.AccessToken == had.AccessToken)
	// Output: true
}

// golang.org/x/oauth2 alone, as it is before.
func Example_oauth2Before() {
	as, protected := startProtected()
	defer as.Close()
	ctx := context.Background()
	tokenURL := as.Endpoint(authtest.TokenEndpoint)
	request := func() *http.Request { return hello(protected.URL) }

	config := clientcredentials.Config{
		ClientID: "my-robot", ClientSecret: "its secret", TokenURL: tokenURL,
		Scopes:         []string{"mcp:read"},
		EndpointParams: url.Values{"resource": {protected.URL}},
	}
	httpClient := oauth2.NewClient(ctx, config.TokenSource(ctx))

	fmt.Println(status(httpClient, request()))
	// Output: 200 OK
}

// The same source below this module's RoundTripper.
func Example_oauth2Source() {
	as, protected := startProtected()
	defer as.Close()
	ctx := context.Background()
	config := clientcredentials.Config{
		ClientID: "my-robot", ClientSecret: "its secret", TokenURL: as.Endpoint(authtest.TokenEndpoint),
		Scopes: []string{"mcp:read"}, EndpointParams: url.Values{"resource": {protected.URL}},
	}

	source := external.FromTokenSource(config.TokenSource(ctx), protected.URL)
	defer source.Close()
	httpClient := &http.Client{Transport: &transport.RoundTripper{Source: source}}

	fmt.Println(status(httpClient, hello(protected.URL)))
	// Output: 200 OK
}

// A manager in the source's place: also discovery, step-up and stores.
func Example_oauth2Replaced() {
	as, protected := startProtected()
	defer as.Close()

	manager, err := auth.NewManager(auth.Config{
		Resource: protected.URL,
		Client:   auth.Client{ID: "my-robot", Secret: "its secret", Issuer: as.Issuer},
		Grant:    grant.ClientCredentials{},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer manager.Close()
	httpClient := &http.Client{Transport: &transport.RoundTripper{Source: manager}}

	fmt.Println(status(httpClient, hello(protected.URL)))
	// Output: 200 OK
}

// Code that takes an oauth2.TokenSource gets the manager's tokens.
func Example_oauth2TokenSource() {
	as, protected := startProtected()
	defer as.Close()
	ctx := context.Background()
	manager, err := auth.NewManager(auth.Config{
		Resource: protected.URL,
		Client:   auth.Client{ID: "my-robot", Secret: "its secret", Issuer: as.Issuer},
		Grant:    grant.ClientCredentials{},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer manager.Close()

	if _, err := manager.Authorize(ctx); err != nil {
		log.Fatal(err)
	}
	httpClient := &http.Client{Transport: &oauth2.Transport{Source: manager.TokenSource(ctx)}}

	fmt.Println(status(httpClient, hello(protected.URL)))
	// Output: 200 OK
}

// hello is the first request to an MCP server.
func hello(url string) *http.Request {
	body := `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"example","version":"1"}}}`
	req, err := http.NewRequest(http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		log.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	return req
}

// status sends a request and says how it was answered.
func status(c *http.Client, req *http.Request) string {
	resp, err := c.Do(req)
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.Status
}
