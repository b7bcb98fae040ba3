//go:build realservers

package mcpgo_test

import (
	"net/http/httputil"
	"net/url"
	"testing"
	"time"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/mcp"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/browser"
	"github.com/mcptokens/mcptokens/auth/grant"
	"github.com/mcptokens/mcptokens/internal/realservers"
	"github.com/mcptokens/mcptokens/mcpgo"
)

// The TypeScript SDK's server for HTTP with SSE, behind the kit's protection: a
// stream that stays open while the tokens change under it.
func TestRealSSE(t *testing.T) {
	const tool = "start-notification-stream"
	target, err := url.Parse(realservers.StartSDKServer(t, "simpleSseServer.js"))
	if err != nil {
		t.Fatal(err)
	}
	as := authtest.NewServerConfig(t, authtest.Config{AccessTokenTTL: 2 * time.Second})
	protected := as.Protect(&httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target) },
		FlushInterval: -1,
	}, authtest.Protection{Path: "/", Scopes: []string{"mcp:read"}, ToolScopes: map[string][]string{tool: {"mcp:notify"}}})
	m := newManager(t, auth.Config{Resource: protected.URL, Grant: grant.AuthorizationCode{UserAgent: browser.Headless{}}})
	events, unsubscribe := m.Subscribe()
	defer unsubscribe()

	c, err := client.NewSSEMCPClient(protected.URL+"/mcp", mcpgo.WithSSEAuth(m, mcpgo.WithBaseClient(as.Client())))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	notified := make(chan mcp.JSONRPCNotification, 16)
	c.OnNotification(func(n mcp.JSONRPCNotification) { notified <- n })
	if err := c.Start(t.Context()); err != nil { // the GET is challenged: the user logs in
		t.Fatal(err)
	}
	if n := as.Counts().Authorize; n != 1 {
		t.Errorf("%d logins for the stream, want 1", n)
	}
	if err := initialize(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	list := func() {
		t.Helper()
		tools, err := c.ListTools(t.Context(), mcp.ListToolsRequest{})
		if err != nil || len(tools.Tools) != 1 || tools.Tools[0].Name != tool {
			t.Fatalf("%+v, %v", tools, err)
		}
	}
	list()

	// The token that the stream was opened with expires; the POSTs go on with
	// its successors.
	for last := m.Info().Expiry; time.Now().Before(last); {
		if e := <-events; e.Type != auth.EventTokenUpdated {
			t.Fatalf("event %+v", e)
		}
	}
	list()
	if n := as.Counts(); n.Refreshes == 0 || n.Authorize != 1 {
		t.Errorf("%+v, want refreshes and no login", n)
	}

	// A POST is challenged for more scopes, and its answer comes by the stream.
	var request mcp.CallToolRequest
	request.Params.Name = tool
	request.Params.Arguments = map[string]any{"interval": 1, "count": 2}
	result, err := c.CallTool(t.Context(), request)
	if err != nil || result.IsError {
		t.Fatalf("%+v, %v", result, err)
	}
	if len(notified) != 3 { // one when it starts; all come before the answer
		t.Errorf("%d notifications, want 3", len(notified))
	}
	if n := as.Counts().Authorize; n != 2 {
		t.Errorf("%d logins, want one for the stream and one for the scope", n)
	}

	// A POST is rejected out of the blue.
	tok, err := m.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	as.RevokeAccess(tok.AccessToken)
	list()

	streams := 0
	for _, seen := range protected.Seen() {
		if seen.Method == "GET" && seen.Verdict == authtest.Accepted {
			streams++
		}
	}
	if streams != 1 {
		t.Errorf("%d streams, want the first to last", streams)
	}
	if n := as.Counts(); n.Authorize != 2 || n.ReusedRefreshTokens != 0 {
		t.Errorf("%+v", n)
	}
}
