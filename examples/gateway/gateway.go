package main

import (
	"context"
	"net/http"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/weblogin"
	"github.com/mcptokens/mcptokens/mcpgo"
)

// gateway is one replica: an MCP server for signed-in users, in front of other MCP
// servers that each of them logs in to. It keeps nothing but the store.
type gateway struct {
	pool   *auth.Pool
	logins *weblogin.Logins
	elicit *mcpgo.ElicitLogin
}

// newGateway is all that a gateway has to do with OAuth.
func newGateway(routes *http.ServeMux, cfg weblogin.Config, upstreams []string) (g *gateway, err error) {
	g = new(gateway)
	if g.logins, err = weblogin.New(cfg); err != nil {
		return nil, err
	}
	users := &auth.Config{Grant: g.logins} // one for all of them
	g.pool, err = auth.NewPool(auth.PoolConfig{
		Store: cfg.Store, Resources: upstreams, Config: func(_, _ string) (*auth.Config, error) { return users, nil },
	})
	if err != nil {
		return nil, err
	}
	g.elicit = &mcpgo.ElicitLogin{Pool: g.pool, Subject: userOf}
	s := server.NewMCPServer("gateway", "1", server.WithToolHandlerMiddleware(g.elicit.Tools), server.WithElicitation())
	s.AddTool(mcp.NewTool("call", mcp.WithString("server"), mcp.WithString("tool")), func(ctx context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return g.call(ctx, userOf(ctx), r.GetString("server", ""), r.GetString("tool", ""))
	})
	routes.Handle("/mcp", server.NewStreamableHTTPServer(s, server.WithStateLess(true), server.WithHTTPContextFunc(withUser)))
	routes.Handle("/oauth/", g.logins.Handler(g.pool))
	return g, nil
}

// call calls a tool of another MCP server for a user. The pool refuses servers that
// are not in its list, and calls without a user.
func (g *gateway) call(ctx context.Context, user, upstream, tool string) (*mcp.CallToolResult, error) {
	c, err := client.NewStreamableHttpClient(upstream, mcpgo.WithAuth(&weblogin.Patient{Source: g.pool.Source(user, upstream)}))
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if _, err := c.Initialize(ctx, hello); err != nil {
		return nil, err
	}
	return c.CallTool(ctx, mcp.CallToolRequest{Params: mcp.CallToolParams{Name: tool}})
}
