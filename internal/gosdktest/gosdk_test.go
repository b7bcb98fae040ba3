package gosdktest

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/browser"
	"github.com/mcptokens/mcptokens/auth/grant"
	"github.com/mcptokens/mcptokens/transport"
)

// newServer is the SDK's own server with two tools.
func newServer() http.Handler {
	s := mcp.NewServer(&mcp.Implementation{Name: "test", Version: "1"}, nil)
	for _, name := range []string{"read", "write"} {
		mcp.AddTool(s, &mcp.Tool{Name: name}, func(context.Context, *mcp.CallToolRequest, struct{}) (*mcp.CallToolResult, any, error) {
			return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: name}}}, nil, nil
		})
	}
	return mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return s }, nil)
}

// world is an authorization server and the SDK's server behind it, in memory.
type world struct {
	as  *authtest.Server
	mcp *authtest.Resource
}

func newWorld(t *testing.T, cfg authtest.Config) world {
	t.Helper()
	cfg.InMemory = true
	as := authtest.NewServerConfig(t, cfg)
	return world{as: as, mcp: as.Protect(newServer(), authtest.Protection{
		Scopes:     []string{"mcp:read"},
		ToolScopes: map[string][]string{"write": {"mcp:write"}},
	})}
}

func (w world) manager(t *testing.T) *auth.Manager {
	t.Helper()
	m, err := auth.NewManager(auth.Config{
		Resource:   w.mcp.URL,
		Grant:      grant.AuthorizationCode{UserAgent: browser.Headless{Client: w.as.Client()}},
		HTTPClient: w.as.Client(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return m
}

func (w world) connect(t *testing.T, m *auth.Manager) *mcp.ClientSession {
	t.Helper()
	client := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, nil)
	session, err := client.Connect(t.Context(), &mcp.StreamableClientTransport{
		Endpoint:   w.mcp.URL,
		HTTPClient: &http.Client{Transport: &transport.RoundTripper{Source: m, Base: w.as.Transport()}},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = session.Close() })
	return session
}

func call(ctx context.Context, s *mcp.ClientSession, tool string) error {
	result, err := s.CallTool(ctx, &mcp.CallToolParams{Name: tool})
	if err != nil {
		return err
	}
	if text, ok := result.Content[0].(*mcp.TextContent); !ok || text.Text != tool {
		return errors.New("the tool answered something else")
	}
	return nil
}

// One session through a whole life of tokens: login, expiry, rejection, step-up.
func TestGoSDKClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, authtest.Config{})
		m := w.manager(t)
		session := w.connect(t, m)
		must := func(tool string) {
			t.Helper()
			if err := call(t.Context(), session, tool); err != nil {
				t.Fatalf("%s: %v", tool, err)
			}
		}
		must("read")
		if n := w.as.Counts(); n.Authorize != 1 || n.Register != 1 {
			t.Errorf("%+v, want one registration and one login", n)
		}

		time.Sleep(24 * time.Hour) // many lifetimes
		must("read")
		if n := w.as.Counts(); n.Refreshes == 0 || n.Authorize != 1 {
			t.Errorf("%+v, want refreshes and no login", n)
		}

		tok, err := m.Token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		before := w.as.Counts().Refreshes
		w.as.RevokeAccess(tok.AccessToken)
		var calls sync.WaitGroup
		for range 20 {
			calls.Go(func() {
				if err := call(t.Context(), session, "read"); err != nil {
					t.Error(err)
				}
			})
		}
		calls.Wait()
		if n := w.as.Counts(); n.Refreshes != before+1 || n.Authorize != 1 {
			t.Errorf("%+v, want one refresh for all of them", n)
		}

		must("write")
		must("read")
		if n := w.as.Counts(); n.Authorize != 2 || n.ReusedRefreshTokens != 0 {
			t.Errorf("%+v, want one more login, for the scope", n)
		}
		for _, seen := range w.mcp.Seen() {
			if seen.Verdict == authtest.Expired || seen.Verdict == authtest.Unknown {
				t.Errorf("the server saw a token that was %s", seen.Verdict)
			}
		}
	})
}

// What cannot be resolved comes out of the SDK's methods as a type, and the
// session goes on.
func TestGoSDKErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, authtest.Config{ScopesSupported: []string{"mcp:read"}})
		session := w.connect(t, w.manager(t))
		err := call(t.Context(), session, "write")
		var insufficient *auth.InsufficientScopeError
		if !errors.As(err, &insufficient) {
			t.Fatalf("CallTool = %v, want *InsufficientScopeError", err)
		}
		w.as.InjectAlways(authtest.TokenEndpoint, authtest.Status(503))
		time.Sleep(2 * time.Hour)
		var failed *auth.TokenError
		if err := call(t.Context(), session, "read"); !errors.As(err, &failed) || !failed.Retryable() {
			t.Fatalf("CallTool = %v, want a retryable *TokenError", err)
		}
		w.as.ClearFaults(authtest.TokenEndpoint)
		time.Sleep(time.Hour)
		if err := call(t.Context(), session, "read"); err != nil {
			t.Errorf("after its recovery: %v", err)
		}
	})
}
