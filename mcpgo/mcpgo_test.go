package mcpgo_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/browser"
	"github.com/mcptokens/mcptokens/auth/grant"
	"github.com/mcptokens/mcptokens/mcpgo"
)

// world is an authorization server and a protected mcp-go server, in memory.
type world struct {
	as  *authtest.Server
	mcp *authtest.Resource
}

func newMCPServer(opts ...server.ServerOption) *server.MCPServer {
	s := server.NewMCPServer("test", "1", append(opts, server.WithToolCapabilities(false))...)
	for _, name := range []string{"read", "write", "admin"} {
		s.AddTool(mcp.NewTool(name), func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			return mcp.NewToolResultText(name), nil
		})
	}
	return s
}

func newWorld(t *testing.T, cfg authtest.Config) world {
	t.Helper()
	cfg.InMemory = true
	as := authtest.NewServerConfig(t, cfg)
	return world{as: as, mcp: as.Protect(server.NewStreamableHTTPServer(newMCPServer()), authtest.Protection{
		Scopes:     []string{"mcp:read"},
		ToolScopes: map[string][]string{"write": {"mcp:write"}},
	})}
}

func (w world) headless() auth.Grant {
	return grant.AuthorizationCode{UserAgent: browser.Headless{Client: w.as.Client()}}
}

func (w world) manager(t *testing.T, g auth.Grant) *auth.Manager {
	t.Helper()
	m, err := auth.NewManager(auth.Config{Resource: w.mcp.URL, Grant: g, HTTPClient: w.as.Client()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return m
}

// client returns an mcp-go client that is started but not initialized.
func (w world) client(t *testing.T, src auth.Source) *client.Client {
	t.Helper()
	c, err := client.NewStreamableHttpClient(w.mcp.URL, mcpgo.WithAuth(src, mcpgo.WithBaseClient(w.as.Client())))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return c
}

func initialize(ctx context.Context, c *client.Client) error {
	var request mcp.InitializeRequest
	request.Params.ProtocolVersion = mcp.LATEST_PROTOCOL_VERSION
	request.Params.ClientInfo = mcp.Implementation{Name: "test", Version: "1"}
	_, err := c.Initialize(ctx, request)
	return err
}

func call(ctx context.Context, c *client.Client, tool string) error {
	var request mcp.CallToolRequest
	request.Params.Name = tool
	_, err := c.CallTool(ctx, request)
	return err
}

func TestWithAuth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, authtest.Config{})
		m := w.manager(t, w.headless())
		c := w.client(t, m)
		if err := initialize(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		for _, tool := range []string{"read", "write", "read"} {
			if err := call(t.Context(), c, tool); err != nil {
				t.Fatalf("%s: %v", tool, err)
			}
		}
		if got := w.as.Counts().Authorize; got != 2 {
			t.Errorf("%d logins, want one for the session and one for the step-up", got)
		}
		time.Sleep(24 * time.Hour) // the idle manager refreshes by itself
		var calls sync.WaitGroup
		for range 50 {
			calls.Go(func() {
				if err := call(t.Context(), c, "write"); err != nil {
					t.Error(err)
				}
			})
		}
		calls.Wait()
		if counts := w.as.Counts(); counts.Authorize != 2 || counts.ReusedRefreshTokens != 0 {
			t.Errorf("a day later: %d logins, %d reused refresh tokens", counts.Authorize, counts.ReusedRefreshTokens)
		}
		for _, seen := range w.mcp.Seen() {
			if seen.Token != "" && seen.Verdict != authtest.Accepted && seen.Verdict != authtest.InsufficientScope {
				t.Errorf("the server saw a token that was %v", seen.Verdict)
			}
		}
	})
}

func TestWithSSEAuth(t *testing.T) {
	as := authtest.NewServer(t)
	sse := server.NewSSEServer(newMCPServer())
	protected := as.Protect(sse, authtest.Protection{Path: "/", Scopes: []string{"mcp:read"}})
	m, err := auth.NewManager(auth.Config{
		Resource:   protected.URL,
		Grant:      grant.AuthorizationCode{UserAgent: browser.Headless{}},
		HTTPClient: as.Client(),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	base, err := url.Parse(protected.URL)
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.NewSSEMCPClient(base.JoinPath("sse").String(), mcpgo.WithSSEAuth(m, mcpgo.WithBaseClient(as.Client())))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := initialize(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if err := call(t.Context(), c, "read"); err != nil {
		t.Fatal(err)
	}
	if got := as.Counts().Authorize; got != 1 {
		t.Errorf("%d logins, want 1", got)
	}
}

// The errors that a caller acts on come out of the client's methods as types.
func TestErrorsSurface(t *testing.T) {
	t.Run("no token and no grant", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, authtest.Config{})
			err := initialize(t.Context(), w.client(t, w.manager(t, nil)))
			var required *auth.ReauthorizationRequiredError
			if !errors.As(err, &required) || !errors.Is(err, auth.ErrNoToken) {
				t.Fatalf("Initialize = %v, want *ReauthorizationRequiredError with ErrNoToken", err)
			}
			if len(required.Scopes) != 1 || required.Scopes[0] != "mcp:read" {
				t.Errorf("Scopes = %v, want the challenge's", required.Scopes)
			}
		})
	})
	t.Run("scopes that are never granted", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, authtest.Config{ScopesSupported: []string{"mcp:read"}})
			c := w.client(t, w.manager(t, w.headless()))
			if err := initialize(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			err := call(t.Context(), c, "write")
			var insufficient *auth.InsufficientScopeError
			if !errors.As(err, &insufficient) {
				t.Fatalf("CallTool = %v, want *InsufficientScopeError", err)
			}
			logins := w.as.Counts().Authorize
			if err := call(t.Context(), c, "write"); !errors.As(err, &insufficient) || w.as.Counts().Authorize != logins {
				t.Errorf("the second call = %v after %d more logins, want the same error at once", err, w.as.Counts().Authorize-logins)
			}
			if err := call(t.Context(), c, "read"); err != nil {
				t.Errorf("other tools go on: %v", err)
			}
		})
	})
	t.Run("token endpoint out of order", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, authtest.Config{})
			c := w.client(t, w.manager(t, w.headless()))
			if err := initialize(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			w.as.InjectAlways(authtest.TokenEndpoint, authtest.Status(500))
			time.Sleep(2 * time.Hour)
			err := call(t.Context(), c, "read")
			var failed *auth.TokenError
			if !errors.As(err, &failed) || !failed.Retryable() || failed.StatusCode != 500 {
				t.Fatalf("CallTool = %v, want a retryable *TokenError with status 500", err)
			}
			w.as.ClearFaults(authtest.TokenEndpoint)
			time.Sleep(time.Hour)
			if err := call(t.Context(), c, "read"); err != nil {
				t.Errorf("after its recovery: %v", err)
			}
			if got := w.as.Counts().Authorize; got != 1 {
				t.Errorf("%d logins, want 1: transient failure is never \"log in again\"", got)
			}
		})
	})
}

// slowUser takes their time with a login that would succeed.
type slowUser struct {
	auth.UserAgent
	takes time.Duration
}

func (u slowUser) Start(ctx context.Context, preferred []string) (auth.UserAgentSession, error) {
	s, err := u.UserAgent.Start(ctx, preferred)
	return slowSession{s, u}, err
}

type slowSession struct {
	auth.UserAgentSession
	user slowUser
}

func (s slowSession) Visit(ctx context.Context, target, state string) (url.Values, error) {
	select {
	case <-time.After(s.user.takes):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return s.UserAgentSession.Visit(ctx, target, state)
}

// mcp-go gives its discovery probe 5 s and then tries the older handshake. The
// login that the probe started must survive that, and be the only one.
func TestLoginOutlivesTheDiscoveryProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, authtest.Config{})
		user := slowUser{UserAgent: browser.Headless{Client: w.as.Client()}, takes: time.Minute}
		c := w.client(t, w.manager(t, grant.AuthorizationCode{UserAgent: user}))
		start := time.Now()
		if err := initialize(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took < time.Minute || took > time.Minute+5*time.Second {
			t.Errorf("Initialize took %v, want as long as the user did", took)
		}
		if got := w.as.Counts().Authorize; got != 1 {
			t.Errorf("%d logins, want 1", got)
		}
		if err := call(t.Context(), c, "read"); err != nil {
			t.Error(err)
		}
	})
}

// A refused login is not asked for again by the handshake's second try.
func TestRefusedLoginIsAskedForOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, authtest.Config{})
		w.as.InjectAlways(authtest.AuthorizeEndpoint, authtest.OAuthError("access_denied", 400))
		c := w.client(t, w.manager(t, w.headless()))
		err := initialize(t.Context(), c)
		var refused *auth.AuthorizationError
		if !errors.As(err, &refused) || refused.Code != "access_denied" {
			t.Fatalf("Initialize = %v, want *AuthorizationError with access_denied", err)
		}
		if got := w.as.Counts().Authorize; got != 1 {
			t.Errorf("%d authorization requests, want 1", got)
		}
	})
}

// A user's own client is kept and not changed.
func TestWithBaseClient(t *testing.T) {
	w := newWorld(t, authtest.Config{})
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	var requests countingTransport
	requests.base = w.as.Transport()
	base := &http.Client{Transport: &requests, Jar: jar, Timeout: time.Minute}
	before := *base
	m := w.manager(t, w.headless())
	c, err := client.NewStreamableHttpClient(w.mcp.URL, mcpgo.WithAuth(m, mcpgo.WithBaseClient(base)))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := initialize(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if requests.count() == 0 {
		t.Error("no request went through the base client's transport")
	}
	if base.Transport != before.Transport || base.Timeout != before.Timeout || base.Jar != before.Jar {
		t.Error("the base client was changed")
	}
}

type countingTransport struct {
	base http.RoundTripper
	mu   sync.Mutex
	n    int
}

func (c *countingTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	c.mu.Lock()
	c.n++
	c.mu.Unlock()
	return c.base.RoundTrip(r)
}

func (c *countingTransport) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}
