package mcpgo_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/weblogin"
	"github.com/mcptokens/mcptokens/mcpgo"
)

// gateway is an MCP server whose tool calls another MCP server for alice, who is
// signed in at her browser.
type gateway struct {
	world
	t    *testing.T
	pool *auth.Pool
	mcp  *server.MCPServer
	web  *httptest.Server

	routes [2]http.Handler // of the logins, by replica
	at     int             // the one that browsers reach
}

func newGateway(t *testing.T, wait time.Duration) *gateway {
	w := newWorld(t, authtest.Config{})
	g := &gateway{world: w, t: t}
	mux := http.NewServeMux()
	g.web = httptest.NewServer(mux)
	t.Cleanup(g.web.Close)
	store := new(auth.MemoryStore)
	for i := range g.routes {
		logins, err := weblogin.New(weblogin.Config{
			BaseURL: g.web.URL + "/oauth", Store: store, Subject: func(*http.Request) (string, error) { return "alice", nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		cfg := &auth.Config{Grant: logins, HTTPClient: w.as.Client()}
		pool, err := auth.NewPool(auth.PoolConfig{Store: store, Config: func(_, _ string) (*auth.Config, error) { return cfg, nil }})
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			g.pool = pool
		}
		g.routes[i] = logins.Handler(pool)
		t.Cleanup(func() { _, _ = pool.Close(), logins.Close() })
	}
	mux.HandleFunc("/oauth/", func(rw http.ResponseWriter, r *http.Request) { g.routes[g.at].ServeHTTP(rw, r) })
	elicit := &mcpgo.ElicitLogin{Pool: g.pool, Subject: func(context.Context) string { return "alice" }, Wait: wait}
	g.mcp = server.NewMCPServer("gateway", "1", server.WithToolHandlerMiddleware(elicit.Tools), server.WithElicitation())
	g.mcp.AddTool(mcp.NewTool("upstream"), func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		c := w.client(t, &weblogin.Patient{Source: g.pool.Source("alice", w.mcp.URL)})
		if err := initialize(ctx, c); err != nil {
			return nil, fmt.Errorf("upstream: %w", err)
		}
		return c.CallTool(ctx, mcp.CallToolRequest{Params: mcp.CallToolParams{Name: "read"}})
	})
	t.Cleanup(func() { _ = elicit.Close() })
	return g
}

// visit is alice's browser, which follows a link to its end.
func (g *gateway) visit(link string) string {
	jar, err := cookiejar.New(nil)
	if err != nil {
		g.t.Error(err)
		return ""
	}
	b := &http.Client{Jar: jar, Transport: routed{g.as.Client().Transport, g.web.Listener.Addr().String()}}
	resp, err := b.Get(link)
	if err != nil {
		g.t.Error(err)
		return ""
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	return string(body)
}

// routed sends what is for one host through sockets.
type routed struct {
	rest http.RoundTripper
	host string
}

func (r routed) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Host == r.host {
		return http.DefaultTransport.RoundTrip(req)
	}
	return r.rest.RoundTrip(req)
}

// person answers elicitations.
type person func(mcp.ElicitationParams) mcp.ElicitationResponseAction

func (p person) Elicit(_ context.Context, r mcp.ElicitationRequest) (*mcp.ElicitationResult, error) {
	return &mcp.ElicitationResult{ElicitationResponse: mcp.ElicitationResponse{Action: p(r.Params)}}, nil
}

// connect connects a client that can show URLs if p is not nil.
func (g *gateway) connect(version string, p person) *client.Client {
	g.t.Helper()
	opts := []client.ClientOption{client.WithProtocolVersion(version)}
	if p != nil {
		opts = append(opts, client.WithElicitationHandler(p), client.WithClientCapabilities(mcp.ClientCapabilities{
			Elicitation: &mcp.ElicitationCapability{URL: &struct{}{}},
		}))
	}
	c, err := client.NewInProcessClientWithOptions(g.mcp, opts...)
	if err != nil {
		g.t.Fatal(err)
	}
	if err := c.Start(g.t.Context()); err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { _ = c.Close() })
	var request mcp.InitializeRequest
	request.Params.ProtocolVersion = version
	if _, err := c.Initialize(g.t.Context(), request); err != nil {
		g.t.Fatal(err)
	}
	return c
}

func callUpstream(t *testing.T, c *client.Client) (string, error) {
	t.Helper()
	result, err := c.CallTool(t.Context(), mcp.CallToolRequest{Params: mcp.CallToolParams{Name: "upstream"}})
	if err != nil {
		return "", err
	}
	var text strings.Builder
	for _, content := range result.Content {
		if one, ok := content.(mcp.TextContent); ok {
			text.WriteString(one.Text)
		}
	}
	return text.String(), nil
}

// A client of protocol 2026-07-28 is asked for input, and its second call waits for
// the login, which it sees through.
func TestElicitLogin(t *testing.T) {
	g := newGateway(t, time.Minute)
	shown := 0
	var visits sync.WaitGroup // the browser shows a last page when the call has its answer already
	defer visits.Wait()
	c := g.connect(mcp.LATEST_PROTOCOL_VERSION, func(p mcp.ElicitationParams) mcp.ElicitationResponseAction {
		shown++
		if p.Mode != mcp.ElicitationModeURL || !strings.HasPrefix(p.URL, g.web.URL+"/oauth/start?login=") {
			t.Errorf("elicited %+v", p)
		}
		visits.Go(func() { g.visit(p.URL) })
		return mcp.ElicitationResponseActionAccept
	})
	if text, err := callUpstream(t, c); err != nil || text != "read" || shown != 1 {
		t.Errorf("got %q, %v, shown %d times", text, err, shown)
	}
}

// A user who does not agree is not asked again by the same call.
func TestElicitLoginDeclined(t *testing.T) {
	g := newGateway(t, time.Minute)
	c := g.connect(mcp.LATEST_PROTOCOL_VERSION, func(mcp.ElicitationParams) mcp.ElicitationResponseAction {
		return mcp.ElicitationResponseActionDecline
	})
	if text, err := callUpstream(t, c); err != nil || !strings.Contains(text, "did not agree") {
		t.Errorf("got %q, %v", text, err)
	}
}

// An older client gets an error that it knows, and hears when the login has ended, on
// whichever replica.
func TestElicitLoginOlder(t *testing.T) {
	for name, at := range map[string]int{"on this replica": 0, "on another replica": 1} {
		t.Run(name, func(t *testing.T) { elicitOlder(t, at) })
	}
}

func elicitOlder(t *testing.T, at int) {
	g := newGateway(t, 0)
	g.at = at
	c := g.connect(mcp.LATEST_LEGACY_PROTOCOL_VERSION, func(mcp.ElicitationParams) mcp.ElicitationResponseAction {
		return mcp.ElicitationResponseActionAccept
	})
	completed := make(chan any, 1)
	c.OnNotification(func(n mcp.JSONRPCNotification) {
		if n.Method == string(mcp.MethodNotificationElicitationComplete) {
			completed <- n.Params.AdditionalFields["elicitationId"]
		}
	})
	_, err := callUpstream(t, c)
	var required mcp.URLElicitationRequiredError
	if !errors.As(err, &required) || len(required.Elicitations) != 1 {
		t.Fatalf("got %v", err)
	}
	one := required.Elicitations[0]
	g.visit(one.URL)
	if id := <-completed; id != one.ElicitationID {
		t.Errorf("completed %v, want %s", id, one.ElicitationID)
	}
	if text, err := callUpstream(t, c); err != nil || text != "read" {
		t.Errorf("got %q, %v", text, err)
	}
}

// A client that knows nothing of that gets the link in the text.
func TestElicitLoginAsText(t *testing.T) {
	for _, version := range []string{mcp.LATEST_PROTOCOL_VERSION, mcp.LATEST_LEGACY_PROTOCOL_VERSION} {
		g := newGateway(t, 0)
		c := g.connect(version, nil)
		text, err := callUpstream(t, c)
		_, link, found := strings.Cut(text, "Open ")
		link, _, _ = strings.Cut(link, " ")
		if err != nil || !found {
			t.Fatalf("%s: got %q, %v", version, text, err)
		}
		g.visit(link)
		if text, err := callUpstream(t, c); err != nil || text != "read" {
			t.Errorf("%s: got %q, %v", version, text, err)
		}
	}
}
