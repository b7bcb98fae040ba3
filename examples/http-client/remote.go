package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/mcp"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/browser"
	"github.com/mcptokens/mcptokens/auth/grant"
	"github.com/mcptokens/mcptokens/internal/storeflag"
	"github.com/mcptokens/mcptokens/mcpgo"
)

// useServer logs in to a real server and lists its tools or calls one.
func useServer(ctx context.Context, o options, stdout, stderr io.Writer, logger *slog.Logger) error {
	var agent auth.UserAgent = browser.Loopback{Prompt: func(url string) {
		fmt.Fprintf(stderr, "Log in with your browser. If it does not open, go to:\n\n  %s\n\n", url)
	}}
	if o.headless {
		agent = browser.Headless{}
	}
	store, err := storeflag.Open(o.store, "mcptokens-http-client")
	if err != nil {
		return err
	}
	telemetry, err := startTelemetry(ctx, o.otlp)
	if err != nil {
		return err
	}
	manager, err := auth.NewManager(auth.Config{
		Resource: o.url,
		Store:    store,
		Client:   auth.Client{ID: o.clientID, Secret: o.clientSecret, Issuer: o.issuer},
		Grant:    grant.AuthorizationCode{UserAgent: agent},
		Scopes:   strings.Fields(o.scopes),
		Logger:   logger,
		Tracer:   telemetry.tracer(),
	})
	if err != nil {
		return err
	}
	defer manager.Close()
	defer func() {
		if err := telemetry.shutdown(context.WithoutCancel(ctx)); err != nil {
			fmt.Fprintln(stderr, "http-client:", err)
		}
	}()

	plain, err := client.NewStreamableHttpClient(o.url, mcpgo.WithAuth(manager))
	if err != nil {
		return err
	}
	defer plain.Close()
	c := client.NewClient(plain.GetTransport(), client.WithTracer(telemetry.mcpTracer()))
	if err := connect(ctx, c, manager); err != nil {
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

// connect starts the session. Authorizing first, if the server wants it, keeps
// a login that takes its time apart from mcp-go's 5 s discovery probe.
func connect(ctx context.Context, c *client.Client, manager *auth.Manager) error {
	if _, err := manager.Authorize(ctx); err != nil {
		return err
	}
	return initialize(ctx, c)
}

func initialize(ctx context.Context, c *client.Client) error {
	if err := c.Start(ctx); err != nil {
		return err
	}
	var request mcp.InitializeRequest
	request.Params.ProtocolVersion = mcp.LATEST_PROTOCOL_VERSION
	request.Params.ClientInfo = mcp.Implementation{Name: "mcptokens http-client", Version: "1"}
	_, err := c.Initialize(ctx, request)
	return err
}

func listTools(ctx context.Context, c *client.Client, stdout io.Writer) error {
	tools, err := c.ListTools(ctx, mcp.ListToolsRequest{})
	if err != nil {
		return explain(err)
	}
	for _, t := range tools.Tools {
		fmt.Fprintf(stdout, "%-28s %s\n", t.Name, firstLine(t.Description))
	}
	return nil
}

func callTool(ctx context.Context, c *client.Client, name string, arguments map[string]any) (string, error) {
	var request mcp.CallToolRequest
	request.Params.Name = name
	request.Params.Arguments = arguments
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
		insufficient *auth.InsufficientScopeError
		refused      *auth.AuthorizationError
		token        *auth.TokenError
	)
	switch {
	case errors.As(err, &insufficient):
		return fmt.Errorf("this account may not do that: %w", err)
	case errors.As(err, &refused) && refused.Code == "access_denied":
		return fmt.Errorf("the login was refused: %w", err)
	case errors.As(err, &token) && token.Retryable():
		return fmt.Errorf("the authorization server has trouble, try again later: %w", err)
	}
	return err
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}
