// Command client is the MCP client that the official conformance suite drives.
// It is an ordinary programme on mcp-go with this library: per scenario it
// chooses the configuration that an application's operator would choose (which
// grant, which credentials), and nothing else. There is no scenario-specific
// protocol behaviour.
//
// The suite starts it with the MCP server's URL as the last argument, the
// scenario's name in MCP_CONFORMANCE_SCENARIO and its credentials as JSON in
// MCP_CONFORMANCE_CONTEXT.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"time"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/mcp"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/mcpgo"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "client:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New("usage: client URL; the suite passes the server's URL")
	}
	ctx, cancel := context.WithTimeout(ctx, 25*time.Second)
	defer cancel()
	url := args[len(args)-1]
	cfg, err := configure(os.Getenv("MCP_CONFORMANCE_SCENARIO"), os.Getenv("MCP_CONFORMANCE_CONTEXT"))
	if err != nil {
		return err
	}
	cfg.Resource = url
	cfg.Logger = slog.New(slog.NewTextHandler(os.Stderr, nil))
	manager, err := auth.NewManager(cfg)
	if err != nil {
		return err
	}
	defer manager.Close()
	c, err := client.NewStreamableHttpClient(url, mcpgo.WithAuth(manager))
	if err != nil {
		return err
	}
	defer c.Close()
	return use(ctx, c, os.Getenv("MCP_CONFORMANCE_PROTOCOL_VERSION"))
}

// use does what any MCP client does: connect, look at the tools, call them.
func use(ctx context.Context, c *client.Client, version string) error {
	if err := c.Start(ctx); err != nil {
		return err
	}
	var hello mcp.InitializeRequest
	hello.Params.ClientInfo = mcp.Implementation{Name: "mcptokens-conformance", Version: "1"}
	hello.Params.ProtocolVersion = version
	if version == "" {
		hello.Params.ProtocolVersion = mcp.LATEST_PROTOCOL_VERSION
	}
	if _, err := c.Initialize(ctx, hello); err != nil {
		return fmt.Errorf("initialize: %w", err)
	}
	tools, err := c.ListTools(ctx, mcp.ListToolsRequest{})
	if err != nil {
		return fmt.Errorf("list tools: %w", err)
	}
	for _, tool := range tools.Tools {
		var call mcp.CallToolRequest
		call.Params.Name = tool.Name
		call.Params.Arguments = map[string]any{}
		if _, err := c.CallTool(ctx, call); err != nil {
			return fmt.Errorf("call %s: %w", tool.Name, err)
		}
	}
	return nil
}
