package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/mcp"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/browser"
	"github.com/mcptokens/mcptokens/auth/grant"
	"github.com/mcptokens/mcptokens/internal/storeflag"
	"github.com/mcptokens/mcptokens/mcpgo"
)

// useServer starts a real stdio server and lists its tools or calls one.
func useServer(ctx context.Context, o options, stdout, stderr io.Writer, logger *slog.Logger) error {
	store, err := storeflag.Open(o.store, "mcptokens-stdio-client")
	if err != nil {
		return err
	}
	manager, err := newManager(o, store, stderr, logger)
	if err != nil {
		return err
	}
	defer manager.Close()
	if o.tokenFrom != "" {
		token := os.Getenv(o.tokenFrom)
		if token == "" {
			return fmt.Errorf("the environment variable %s, which -token-from names, is not set", o.tokenFrom)
		}
		if err := manager.SetToken(ctx, &auth.Token{AccessToken: token}); err != nil {
			return err
		}
	}

	opts := []mcpgo.CommandOption{mcpgo.WithCommandLogger(logger)}
	if o.tokenVariable != "" {
		opts = append(opts, mcpgo.WithTokenVariable(o.tokenVariable))
	}
	if o.file != "" {
		opts = append(opts, mcpgo.WithTokenFile(o.file, nil))
	}
	if o.restart {
		opts = append(opts, mcpgo.WithRestart())
	}
	if o.verbose {
		opts = append(opts, mcpgo.WithCommandSetup(func(cmd *exec.Cmd) { cmd.Stderr = stderr }))
	}
	c := client.NewClient(mcpgo.Wrap(mcpgo.NewStdio(manager, o.command[0], o.command[1:], opts...), manager))
	defer c.Close()
	if err := initialize(ctx, c); err != nil {
		return explain(err)
	}
	if o.tool == "" {
		return listTools(ctx, c, stdout)
	}
	text, err := callTool(ctx, c, o.tool, o.arguments)
	if err != nil {
		return explain(err)
	}
	fmt.Fprintln(stdout, text)
	return nil
}

// newManager returns a manager that logs in to the API, or one that has to be
// given its token.
func newManager(o options, store auth.Store, stderr io.Writer, logger *slog.Logger) (*auth.Manager, error) {
	cfg := auth.Config{
		Resource: o.resource,
		Store:    store,
		Client:   auth.Client{ID: o.clientID, Secret: o.clientSecret, Issuer: o.issuer},
		Scopes:   strings.Fields(o.scopes),
		Logger:   logger,
	}
	switch {
	case o.tokenFrom != "":
		cfg.Resource, cfg.Store = "http://localhost/", nil // nobody is asked for another token
	case o.headless:
		cfg.Grant = grant.AuthorizationCode{UserAgent: browser.Headless{}}
	default:
		cfg.Grant = grant.AuthorizationCode{UserAgent: browser.Loopback{Prompt: func(url string) {
			fmt.Fprintf(stderr, "Log in with your browser. If it does not open, go to:\n\n  %s\n\n", url)
		}}}
	}
	return auth.NewManager(cfg)
}

func initialize(ctx context.Context, c *client.Client) error {
	if err := c.Start(ctx); err != nil {
		return err
	}
	var request mcp.InitializeRequest
	request.Params.ProtocolVersion = mcp.LATEST_PROTOCOL_VERSION
	request.Params.ClientInfo = mcp.Implementation{Name: "mcptokens stdio-client", Version: "1"}
	_, err := c.Initialize(ctx, request)
	return err
}

func listTools(ctx context.Context, c *client.Client, stdout io.Writer) error {
	tools, err := c.ListTools(ctx, mcp.ListToolsRequest{})
	if err != nil {
		return explain(err)
	}
	for _, t := range tools.Tools {
		line, _, _ := strings.Cut(t.Description, "\n")
		fmt.Fprintf(stdout, "%-28s %s\n", t.Name, line)
	}
	return nil
}

func callTool(ctx context.Context, c *client.Client, name string, arguments map[string]any) (string, error) {
	var request mcp.CallToolRequest
	request.Params.Name = name
	if arguments != nil { // else mcp-go would send null
		request.Params.Arguments = arguments
	}
	result, err := c.CallTool(ctx, request)
	if err != nil {
		return "", err
	}
	var text []string
	for _, content := range result.Content {
		if t, ok := content.(mcp.TextContent); ok {
			text = append(text, t.Text)
		}
	}
	if result.IsError {
		return "", fmt.Errorf("tool %s failed: %s", name, strings.Join(text, "\n"))
	}
	return strings.Join(text, "\n"), nil
}

// explain shows how an application tells the kinds of failure apart: by type,
// through whatever mcp-go put around them.
func explain(err error) error {
	var (
		bound        *mcpgo.TokenTypeError
		restart      *mcpgo.RestartError
		insufficient *auth.InsufficientScopeError
	)
	switch {
	case errors.As(err, &bound):
		return fmt.Errorf("this authorization server binds its tokens to us: %w", err)
	case errors.As(err, &restart):
		return fmt.Errorf("the server does not start with the new token: %w", err)
	case errors.As(err, &insufficient):
		return fmt.Errorf("this account may not do that: %w", err)
	}
	return err
}
