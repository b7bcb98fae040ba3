package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/browser"
	"github.com/mcptokens/mcptokens/auth/grant"
	"github.com/mcptokens/mcptokens/mcpgo"
)

// demo is the world of the demonstration: both servers, and one client.
type demo struct {
	as      *authtest.Server
	mcp     *authtest.Resource
	manager *auth.Manager
	client  *client.Client
}

// demonstrate runs every step and prints it with the time since the start.
func demonstrate(ctx context.Context, o options, stdout io.Writer, logger *slog.Logger) error {
	start := time.Now()
	as, err := authtest.Start(authtest.Config{})
	if err != nil {
		return err
	}
	defer as.Close()
	protected := as.Protect(newMCPServer(), authtest.Protection{
		Scopes:     []string{"notes:read"},
		ToolScopes: map[string][]string{"write_note": {"notes:write"}},
	})

	spans := tracetest.NewInMemoryExporter()
	telemetry, err := startTelemetry(ctx, o.otlp, sdktrace.WithSyncer(spans))
	if err != nil {
		return err
	}
	manager, err := auth.NewManager(auth.Config{
		Resource: protected.URL,
		// The kit's server approves without a page, so no browser is needed.
		// A real program leaves UserAgent empty and gets the user's browser.
		Grant:  grant.AuthorizationCode{UserAgent: browser.Headless{}},
		Tracer: telemetry.tracer(),
		Logger: logger,
	})
	if err != nil {
		return err
	}
	defer manager.Close()
	plain, err := client.NewStreamableHttpClient(protected.URL, mcpgo.WithAuth(manager)) // the one option
	if err != nil {
		return err
	}
	defer plain.Close()
	c := client.NewClient(plain.GetTransport(), client.WithTracer(telemetry.mcpTracer())) // spans for the requests themselves

	d := &demo{as: as, mcp: protected, manager: manager, client: c}
	fmt.Fprintf(stdout, "authorization server %s, MCP server %s\n\n", as.URL, protected.URL)
	var stepUp tracetest.SpanStubs
	for _, step := range []struct {
		name string
		do   func(context.Context) (string, error)
	}{
		{"login", d.login},
		{"tool call", d.toolCall},
		{"early refresh", d.earlyRefresh},
		{"rotation", d.rotation},
		{"step-up", d.stepUp},
		{"100 calls", d.herd},
	} {
		before := len(spans.GetSpans())
		said, err := step.do(ctx)
		if step.name == "step-up" {
			stepUp = spans.GetSpans()[before:]
		}
		mark := "ok  "
		if err != nil {
			mark, said = "FAIL", err.Error()
		}
		fmt.Fprintf(stdout, "%6.3fs  %s  %-13s  %s\n", time.Since(start).Seconds(), mark, step.name, said)
		if err != nil {
			return fmt.Errorf("step %q did not happen as it should", step.name)
		}
	}
	fmt.Fprintln(stdout, "\nThe same as OpenTelemetry spans:")
	if err := printTree(stdout, spans.GetSpans()); err != nil {
		return err
	}
	if o.svg != "" {
		if err := drawFile(o.svg, stepUp); err != nil {
			return err
		}
	}
	return telemetry.shutdown(ctx)
}

// newMCPServer is an ordinary mcp-go server that knows nothing of tokens.
func newMCPServer() http.Handler {
	s := server.NewMCPServer("notes", "1", server.WithToolCapabilities(false))
	for name, answer := range map[string]string{"greet": "hello", "write_note": "written"} {
		s.AddTool(mcp.NewTool(name), func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			return mcp.NewToolResultText(answer), nil
		})
	}
	return server.NewStreamableHTTPServer(s)
}

// login: the first request is refused with 401; discovery, registration and
// the authorization code grant follow, and the request is sent again.
func (d *demo) login(ctx context.Context) (string, error) {
	if err := initialize(ctx, d.client); err != nil {
		return "", err
	}
	info, counts := d.manager.Info(), d.as.Counts()
	if counts.Authorize != 1 || counts.Register != 1 || info.State != auth.StateFresh {
		return "", fmt.Errorf("%d logins, %d registrations, token %s", counts.Authorize, counts.Register, info.State)
	}
	return fmt.Sprintf("401, discovered %s, registered as %s, granted %v", info.Issuer, info.ClientID, info.Scopes), nil
}

func (d *demo) toolCall(ctx context.Context) (string, error) {
	text, err := callTool(ctx, d.client, "greet", nil)
	return fmt.Sprintf("greet says %q", text), err
}

// earlyRefresh: the token has five seconds to live and the authorization
// server answers 503 twice. Calls go on with the old token meanwhile.
func (d *demo) earlyRefresh(ctx context.Context) (string, error) {
	before, err := d.manager.Token(ctx)
	if err != nil {
		return "", err
	}
	events, unsubscribe := d.manager.Subscribe()
	defer unsubscribe()
	d.as.Inject(authtest.TokenEndpoint, authtest.Status(503), authtest.Status(503))
	aging := *before
	aging.Expiry = time.Now().Add(5 * time.Second)
	began, requests := time.Now(), d.as.Counts().Refreshes
	if err := d.manager.SetToken(ctx, &aging); err != nil { // its refresh may begin at once
		return "", err
	}
	served := 0
	for {
		tok, err := d.manager.Token(ctx)
		if err != nil {
			return "", err
		}
		if tok.AccessToken != before.AccessToken {
			break
		}
		if _, err := callTool(ctx, d.client, "greet", nil); err != nil {
			return "", err
		}
		served++
		select {
		case <-time.After(100 * time.Millisecond):
		case e := <-events:
			if e.Type == auth.EventRefreshFailed {
				return "", e.Err
			}
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
	if n := d.as.Counts().Refreshes - requests; n != 3 {
		return "", fmt.Errorf("%d token requests, want 3", n)
	}
	if served == 0 {
		return "", errors.New("no call was served while the refresh ran")
	}
	return fmt.Sprintf("503 twice, then a token, after %.1fs; %d calls served by the old one meanwhile", time.Since(began).Seconds(), served), nil
}

// rotation: the refresh brought a new refresh token, and the old one was used
// once.
func (d *demo) rotation(context.Context) (string, error) {
	c := d.as.Counts()
	if c.RotationsIssued != 1 || c.ReusedRefreshTokens != 0 {
		return "", fmt.Errorf("%d rotations, %d reused", c.RotationsIssued, c.ReusedRefreshTokens)
	}
	return "the refresh token was replaced by a new one; none was used twice", nil
}

// stepUp: a tool needs another scope. This server does not widen scopes by
// refresh, so that is tried once, remembered, and followed by a login.
func (d *demo) stepUp(ctx context.Context) (string, error) {
	d.as.Inject(authtest.MetadataEndpoint, authtest.Delay(20*time.Millisecond))
	d.as.Inject(authtest.ResourceMetadataEndpoint, authtest.Delay(20*time.Millisecond))
	d.as.Inject(authtest.TokenEndpoint, authtest.Delay(60*time.Millisecond), authtest.Delay(60*time.Millisecond))
	d.as.Inject(authtest.AuthorizeEndpoint, authtest.Delay(250*time.Millisecond)) // the user reads the page
	text, err := callTool(ctx, d.client, "write_note", nil)
	if err != nil {
		return "", err
	}
	info := d.manager.Info()
	if d.mcp.Counts().Forbidden != 1 || d.as.Counts().Authorize != 2 || !slices.Contains(info.Scopes, "notes:write") {
		return "", fmt.Errorf("%d times 403, %d logins, scopes %v", d.mcp.Counts().Forbidden, d.as.Counts().Authorize, info.Scopes)
	}
	return fmt.Sprintf("403 insufficient_scope; authorized for %v; sent again: %q", info.Scopes, text), nil
}

// herd: the laptop wakes up, the token is dead, and a hundred calls come at
// once.
func (d *demo) herd(ctx context.Context) (string, error) {
	tok, err := d.manager.Token(ctx)
	if err != nil {
		return "", err
	}
	dead := *tok
	dead.Expiry = time.Now().Add(-time.Minute)
	if err := d.manager.SetToken(ctx, &dead); err != nil {
		return "", err
	}
	before := d.as.Counts().Token
	var calls sync.WaitGroup
	failed := make(chan error, 100)
	for range 100 {
		calls.Go(func() {
			if _, err := callTool(ctx, d.client, "greet", nil); err != nil {
				failed <- err
			}
		})
	}
	calls.Wait()
	close(failed)
	if err := <-failed; err != nil {
		return "", err
	}
	if n := d.as.Counts().Token - before; n != 1 {
		return "", fmt.Errorf("%d token requests, want 1", n)
	}
	return "all answered; exactly one token request", nil
}
