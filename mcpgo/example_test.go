package mcpgo_test

import (
	"context"
	"fmt"
	"log"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/browser"
	"github.com/mcptokens/mcptokens/auth/grant"
	"github.com/mcptokens/mcptokens/mcpgo"
)

// One option is all that an mcp-go client needs.
func ExampleWithAuth() {
	// A protected server to talk to; yours has a URL.
	as, err := authtest.Start(authtest.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer as.Close()
	mcpServer := server.NewMCPServer("example", "1")
	mcpServer.AddTool(mcp.NewTool("greet"), func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return mcp.NewToolResultText("hello"), nil
	})
	protected := as.Protect(server.NewStreamableHTTPServer(mcpServer), authtest.Protection{})

	manager, err := auth.NewManager(auth.Config{
		Resource: protected.URL,
		Grant:    grant.AuthorizationCode{UserAgent: browser.Headless{}}, // for people: browser.Loopback{}, the default
	})
	if err != nil {
		log.Fatal(err)
	}
	defer manager.Close()
	c, err := client.NewStreamableHttpClient(protected.URL, mcpgo.WithAuth(manager))
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	ctx := context.Background()
	if err := c.Start(ctx); err != nil {
		log.Fatal(err)
	}
	if _, err := c.Initialize(ctx, mcp.InitializeRequest{}); err != nil {
		log.Fatal(err)
	}
	var request mcp.CallToolRequest
	request.Params.Name = "greet"
	result, err := c.CallTool(ctx, request)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(result.Content[0].(mcp.TextContent).Text)
	// Output: hello
}

// The transport of older servers, HTTP with SSE, has an option of its own.
func ExampleWithSSEAuth() {
	manager, err := auth.NewManager(auth.Config{
		Resource: "https://mcp.example.com/sse",
		Grant:    grant.AuthorizationCode{},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer manager.Close()
	c, err := client.NewSSEMCPClient("https://mcp.example.com/sse", mcpgo.WithSSEAuth(manager))
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
}
