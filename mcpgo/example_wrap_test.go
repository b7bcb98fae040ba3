package mcpgo_test

import (
	"context"
	"fmt"
	"log"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/browser"
	"github.com/mcptokens/mcptokens/auth/grant"
	"github.com/mcptokens/mcptokens/mcpgo"
)

// Over HTTP, WithAuth answers what the protection in front of the server says,
// and Wrap around it what the server says in a tool's result.
func ExampleWrap() {
	as, err := authtest.Start(authtest.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer as.Close()
	mcpServer := server.NewMCPServer("example", "1")
	mcpServer.AddTool(mcp.NewTool("publish"), func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return mcp.NewToolResultText("published"), nil
	})
	protected := as.Protect(server.NewStreamableHTTPServer(mcpServer), authtest.Protection{
		ToolScopes: map[string][]string{"publish": {"posts:write"}},
		InBand:     true,
	})

	manager, err := auth.NewManager(auth.Config{
		Resource: protected.URL,
		Grant:    grant.AuthorizationCode{UserAgent: browser.Headless{}},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer manager.Close()
	inner, err := transport.NewStreamableHTTP(protected.URL, mcpgo.WithAuth(manager))
	if err != nil {
		log.Fatal(err)
	}
	c := client.NewClient(mcpgo.Wrap(inner, manager))
	defer c.Close()

	ctx := context.Background()
	if err := c.Start(ctx); err != nil {
		log.Fatal(err)
	}
	if _, err := c.Initialize(ctx, mcp.InitializeRequest{}); err != nil {
		log.Fatal(err)
	}
	var request mcp.CallToolRequest
	request.Params.Name = "publish"
	result, err := c.CallTool(ctx, request)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(result.Content[0].(mcp.TextContent).Text, "with the scopes", manager.Info().Scopes)
	// Output: published with the scopes [posts:write]
}
