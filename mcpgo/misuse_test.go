package mcpgo_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/mark3labs/mcp-go/client"
	mcptransport "github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/browser"
	"github.com/mcptokens/mcptokens/auth/grant"
	"github.com/mcptokens/mcptokens/mcpgo"
	"github.com/mcptokens/mcptokens/transport"
)

// A program that does not check the error of NewManager has a nil manager. The
// first use says so.
func TestNilManager(t *testing.T) {
	const address = "http://127.0.0.1:1/mcp"
	connected := func(c *client.Client, err error) error {
		if err != nil {
			return err
		}
		defer func() { _ = c.Close() }()
		if err := c.Start(t.Context()); err != nil {
			return err
		}
		_, err = c.Initialize(t.Context(), mcp.InitializeRequest{})
		return err
	}
	var manager *auth.Manager
	for name, use := range map[string]func() error{
		"WithAuth":    func() error { return connected(client.NewStreamableHttpClient(address, mcpgo.WithAuth(manager))) },
		"WithSSEAuth": func() error { return connected(client.NewSSEMCPClient(address, mcpgo.WithSSEAuth(manager))) },
		"Wrap": func() error {
			inner, err := mcptransport.NewStreamableHTTP(address)
			return connected(client.NewClient(mcpgo.Wrap(inner, manager)), err)
		},
		"NewStdio": func() error {
			return connected(client.NewClient(mcpgo.NewStdio(manager, "true", nil, mcpgo.WithTokenVariable("TOKEN"))), nil)
		},
		"CommandFunc": func() error {
			_, err := mcpgo.CommandFunc(manager, mcpgo.WithTokenVariable("TOKEN"))(t.Context(), "true", nil, nil)
			return err
		},
		"no source at all": func() error { return connected(client.NewStreamableHttpClient(address, mcpgo.WithAuth(nil))) },
		"RoundTripper": func() error {
			_, err := (&http.Client{Transport: &transport.RoundTripper{Source: manager}}).Get(address)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			if err := use(); err == nil || !strings.Contains(err.Error(), "nil *auth.Manager; check the error of auth.NewManager") {
				t.Errorf("error: %v", err)
			}
		})
	}
}

// A Manager that NewManager did not make knows nothing, and says that.
func TestZeroManager(t *testing.T) {
	for name, use := range map[string]func(context.Context, *auth.Manager) error{
		"Token":         func(ctx context.Context, m *auth.Manager) error { _, err := m.Token(ctx); return err },
		"Authorize":     func(ctx context.Context, m *auth.Manager) error { _, err := m.Authorize(ctx); return err },
		"Refresh":       func(ctx context.Context, m *auth.Manager) error { _, err := m.Refresh(ctx); return err },
		"Load":          func(ctx context.Context, m *auth.Manager) error { return m.Load(ctx) },
		"Revoke":        func(ctx context.Context, m *auth.Manager) error { return m.Revoke(ctx) },
		"Close":         func(_ context.Context, m *auth.Manager) error { return m.Close() },
		"Close of none": func(context.Context, *auth.Manager) error { return (*auth.Manager)(nil).Close() },
		"RoundTripper": func(ctx context.Context, m *auth.Manager) error {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:1/mcp", nil)
			if err != nil {
				return err
			}
			_, err = (&transport.RoundTripper{Source: m}).RoundTrip(req)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			var config *auth.ConfigError
			if err := use(t.Context(), new(auth.Manager)); !errors.As(err, &config) || !strings.Contains(err.Error(), "was not made by NewManager") {
				t.Errorf("error: %v", err)
			}
		})
	}
}

// A manager for another server than the client's: its token goes nowhere else, and
// the error names both.
func TestManagerOfAnotherServer(t *testing.T) {
	srv := authtest.NewServer(t)
	protected := func() string {
		return srv.Protect(server.NewStreamableHTTPServer(server.NewMCPServer("notes", "1")), authtest.Protection{}).URL
	}
	mine, other := protected(), protected()
	manager, err := auth.NewManager(auth.Config{Resource: mine, Grant: grant.AuthorizationCode{UserAgent: browser.Headless{}}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = manager.Close() }()
	c, err := client.NewStreamableHttpClient(other, mcpgo.WithAuth(manager))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err = c.Initialize(t.Context(), mcp.InitializeRequest{})
	var origin *transport.OriginError
	if !errors.As(err, &origin) || !strings.Contains(err.Error(), mine) || !strings.Contains(err.Error(), other) {
		t.Errorf("error: %v", err)
	}
}
