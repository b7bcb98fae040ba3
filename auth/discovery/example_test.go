package discovery_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/mcptokens/mcptokens/auth/discovery"
)

// From the URL of an MCP server to the endpoints of its authorization server.
func Example() {
	mux := http.NewServeMux()
	site := httptest.NewServer(mux) // the MCP server and its authorization server
	defer site.Close()
	mux.HandleFunc("/.well-known/oauth-protected-resource/mcp", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"resource": "%s/mcp", "authorization_servers": ["%[1]s"], "scopes_supported": ["tools"]}`, site.URL)
	})
	mux.HandleFunc("/.well-known/oauth-authorization-server", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"issuer": %q, "token_endpoint": "%[1]s/token", "code_challenge_methods_supported": ["S256"]}`, site.URL)
	})

	ctx := context.Background()
	var c discovery.Client
	resource, err := c.ProtectedResource(ctx, site.URL+"/mcp", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	server, err := c.AuthorizationServer(ctx, resource.AuthorizationServers[0])
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(resource.ScopesSupported, server.SupportsPKCE(), server.TokenEndpoint == site.URL+"/token")
	// Output: [tools] true true
}

// A server from before protected resource metadata (MCP 2025-03-26).
func ExampleClient_Legacy() {
	site := httptest.NewServer(http.NotFoundHandler())
	defer site.Close()

	ctx := context.Background()
	var c discovery.Client
	_, err := c.ProtectedResource(ctx, site.URL+"/mcp", "")
	if errors.Is(err, discovery.ErrNotFound) {
		server, err := c.Legacy(ctx, site.URL+"/mcp")
		fmt.Println(server.TokenEndpoint == site.URL+"/token", err)
	}
	// Output: true <nil>
}

func ExampleResourceURL() {
	resource, err := discovery.ResourceURL("HTTPS://MCP.Example.com:443/mcp?session=1")
	fmt.Println(resource, err)
	// Output: https://mcp.example.com/mcp <nil>
}

func ExampleMatchResource() {
	fmt.Println(discovery.MatchResource("https://mcp.example.com", "https://mcp.example.com/mcp"))
	fmt.Println(discovery.MatchResource("https://mcp.example.com/other", "https://mcp.example.com/mcp"))
	// Output:
	// true
	// false
}
