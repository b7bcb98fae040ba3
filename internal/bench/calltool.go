package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/mark3labs/mcp-go/client"
	mcptransport "github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"github.com/mcptokens/mcptokens/mcpgo"
)

// callTool compares calls of a tool over a socket at one mcp-go server, which
// wants the right Authorization header from each of its clients.
func callTool() ([]variant, func()) {
	s := server.NewMCPServer("bench", "1", server.WithToolCapabilities(false))
	s.AddTool(mcp.NewTool("echo"), func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return mcp.NewToolResultText("hello"), nil
	})
	mux := server.NewStreamableHTTPServer(s)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+accessToken {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	m, end := freshManager(web.URL)
	store := mcptransport.NewMemoryTokenStore()
	check(store.SaveToken(context.Background(), &mcptransport.Token{AccessToken: accessToken, TokenType: "Bearer", ExpiresAt: time.Now().Add(24 * time.Hour)}))
	variants := []variant{}
	ends := []func(){end, web.Close}
	for _, way := range []struct {
		name   string
		option mcptransport.StreamableHTTPCOption
	}{
		{"floor: static header", mcptransport.WithHTTPHeaders(map[string]string{"Authorization": "Bearer " + accessToken})},
		{"mcpgo.WithAuth", mcpgo.WithAuth(m)},
		{"mcp-go: WithHTTPOAuth", mcptransport.WithHTTPOAuth(mcptransport.OAuthConfig{ClientID: "bench", TokenStore: store})},
	} {
		c := must(client.NewStreamableHttpClient(web.URL, way.option))
		ctx := context.Background()
		check(c.Start(ctx))
		var hello mcp.InitializeRequest
		hello.Params.ProtocolVersion = mcp.LATEST_PROTOCOL_VERSION
		hello.Params.ClientInfo = mcp.Implementation{Name: "bench", Version: "1"}
		_ = must(c.Initialize(ctx, hello))
		var call mcp.CallToolRequest
		call.Params.Name = "echo"
		variants = append(variants, variant{way.name, func(n int) {
			for range n {
				_ = must(c.CallTool(ctx, call))
			}
		}})
		ends = append(ends, func() { check(c.Close()) })
	}
	return variants, func() {
		for i := range ends {
			ends[len(ends)-1-i]()
		}
	}
}
