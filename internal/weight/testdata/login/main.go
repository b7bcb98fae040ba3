// A program with the option, a store, and a login through the browser.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/mcp"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/grant"
	"github.com/mcptokens/mcptokens/auth/store/filestore"
	"github.com/mcptokens/mcptokens/mcpgo"
)

func main() {
	store, err := filestore.OpenFor("weight")
	if err != nil {
		panic(err)
	}
	manager, err := auth.NewManager(auth.Config{Resource: os.Args[1], Store: store, Grant: grant.AuthorizationCode{}})
	if err != nil {
		panic(err)
	}
	defer manager.Close()
	c, err := client.NewStreamableHttpClient(os.Args[1], mcpgo.WithAuth(manager))
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	if err := c.Start(ctx); err != nil {
		panic(err)
	}
	if _, err := c.Initialize(ctx, mcp.InitializeRequest{}); err != nil {
		panic(err)
	}
	fmt.Println(c.CallTool(ctx, mcp.CallToolRequest{}))
}
