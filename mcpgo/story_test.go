package mcpgo_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/mark3labs/mcp-go/client"
	mcptransport "github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/mcpgo"
)

// The story of a token is the same over every kind of transport and in both
// protocol eras: what the caller of the client sees, and what it costs at the
// authorization server.
var story = []struct {
	chapter string
	happens func(*teller)
	outcome string // of the call: the tool's text, or the error's type

	// so far; a login whose client or scopes are in doubt is two requests
	logins, refreshes int
}{
	{"first token", func(s *teller) { s.call("read") }, "read", 1, 0},
	{"expiry", func(s *teller) { time.Sleep(61 * time.Minute); s.call("read") }, "read", 1, 1},
	{"401", func(s *teller) { s.as.RevokeAccess(s.token()); s.call("read") }, "read", 1, 2},
	{"step-up", func(s *teller) { s.call("write") }, "write", 2, 3},
	{"step-up is remembered", func(s *teller) { s.call("write") }, "write", 2, 3},
	{"refusal", func(s *teller) { s.call("admin") }, "*auth.InsufficientScopeError", 4, 3},
	{"refusal is remembered", func(s *teller) { s.call("admin") }, "*auth.InsufficientScopeError", 4, 3},
	{"other tools go on", func(s *teller) { s.call("write") }, "write", 4, 3},
	{"transient failure", func(s *teller) {
		time.Sleep(61 * time.Minute)
		s.as.Inject(authtest.TokenEndpoint, authtest.RetryAfter(http.StatusServiceUnavailable, 2*time.Second))
		s.call("read")
	}, "read", 4, 5},
	{"permanent failure", func(s *teller) {
		s.as.RevokeAll()
		s.as.InjectAlways(authtest.AuthorizeEndpoint, authtest.OAuthError("access_denied", http.StatusBadRequest))
		s.call("read")
	}, "*auth.AuthorizationError access_denied", 6, 6},
	{"a new login", func(s *teller) {
		s.as.ClearFaults(authtest.AuthorizeEndpoint)
		time.Sleep(time.Hour)
		s.call("read")
	}, "read", 8, 6},
	{"close while refreshing", func(s *teller) {
		s.as.InjectAlways(authtest.TokenEndpoint, authtest.Delay(8*time.Second))
		time.Sleep(61 * time.Minute)
		called := make(chan struct{})
		go func() {
			defer close(called)
			s.call("read")
		}()
		synctest.Wait()
		asked := time.Now()
		go s.client.Close()
		<-called
		if waited := time.Since(asked); waited > 0 {
			s.t.Errorf("the call returned %v after Close", waited)
		}
		time.Sleep(10 * time.Second) // the refresh is the manager's: it is finished
	}, "transport closed", 8, 7},
}

// teller is one transport on which the story happens.
type teller struct {
	t       *testing.T
	as      *authtest.Server
	manager *auth.Manager
	client  *client.Client
	outcome string
}

// call calls a tool and keeps what came of it.
func (s *teller) call(tool string) {
	var request mcp.CallToolRequest
	request.Params.Name = tool
	result, err := s.client.CallTool(s.t.Context(), request)
	s.outcome = describe(result, err)
}

func describe(result *mcp.CallToolResult, err error) string {
	var (
		insufficient *auth.InsufficientScopeError
		refused      *auth.AuthorizationError
	)
	switch {
	case errors.As(err, &insufficient):
		return "*auth.InsufficientScopeError"
	case errors.As(err, &refused):
		return "*auth.AuthorizationError " + refused.Code
	case errors.Is(err, mcptransport.ErrTransportClosed):
		return "transport closed"
	case err != nil:
		return "error: " + err.Error()
	case result.IsError:
		return "tool error"
	}
	return result.Content[0].(mcp.TextContent).Text
}

// token returns the access token in use.
func (s *teller) token() string {
	token, err := s.manager.Token(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return token.AccessToken
}

func (s *teller) refreshes() (n int) {
	for _, r := range s.as.TokenRequests() {
		if r.Form.Get("grant_type") == "refresh_token" {
			n++
		}
	}
	return n
}

var storyProtection = authtest.Protection{
	Scopes:     []string{"mcp:read"},
	ToolScopes: map[string][]string{"write": {"mcp:write"}, "admin": {"mcp:admin"}},
}

// kinds are the kinds of transport. connect returns the transport to be wrapped
// or, where what is below takes part, wrapped already.
var kinds = []struct {
	name    string
	protect func(*authtest.Server) *authtest.Resource
	connect func(*teller, *authtest.Resource) mcptransport.Interface
	legacy  bool // it exists in the older era only
}{
	{"Streamable HTTP", protectHTTP, func(s *teller, res *authtest.Resource) mcptransport.Interface {
		inner, err := mcptransport.NewStreamableHTTP(res.URL, mcpgo.WithAuth(s.manager, mcpgo.WithBaseClient(s.as.Client())))
		if err != nil {
			s.t.Fatal(err)
		}
		return mcpgo.Wrap(inner, s.manager)
	}, false},
	{"SSE", protectSSE, func(s *teller, res *authtest.Resource) mcptransport.Interface {
		inner, err := mcptransport.NewSSE(strings.TrimSuffix(res.URL, "/")+"/sse", mcpgo.WithSSEAuth(s.manager, mcpgo.WithBaseClient(s.as.Client())))
		if err != nil {
			s.t.Fatal(err)
		}
		return mcpgo.Wrap(inner, s.manager)
	}, true},
	{"stdio", protectCheck, func(s *teller, res *authtest.Resource) mcptransport.Interface {
		toServer, fromClient := io.Pipe()
		toClient, fromServer := io.Pipe()
		done := make(chan struct{})
		go func() {
			defer close(done)
			servePipes(newStoryServer(s.as, res), toServer, fromServer)
		}()
		s.t.Cleanup(func() {
			_, _ = fromClient.Close(), fromServer.Close()
			<-done
		})
		inner := mcptransport.NewIO(toClient, fromClient, io.NopCloser(strings.NewReader("")))
		return mcpgo.Wrap(inner, s.manager, mcpgo.WithPlacement(mcpgo.InMeta("authorization")))
	}, false},
	{"in process", protectCheck, func(s *teller, res *authtest.Resource) mcptransport.Interface {
		inner := mcptransport.NewInProcessTransport(newStoryServer(s.as, res))
		return mcpgo.Wrap(inner, s.manager, mcpgo.WithPlacement(mcpgo.InMeta("authorization")))
	}, false},
	{"custom", protectCheck, func(s *teller, res *authtest.Resource) mcptransport.Interface {
		return mcpgo.Wrap(&customTransport{as: s.as, check: res, server: newMCPServer()}, s.manager)
	}, false},
	{"custom, WebSocket", protectWebSocket, func(s *teller, res *authtest.Resource) mcptransport.Interface {
		inner := &webSocket{url: res.URL, http: s.as.Client()}
		return mcpgo.Wrap(inner, s.manager, mcpgo.WithPlacement(mcpgo.InMeta("authorization")))
	}, false},
}

func protectHTTP(as *authtest.Server) *authtest.Resource {
	return as.Protect(server.NewStreamableHTTPServer(newMCPServer()), storyProtection)
}

func protectSSE(as *authtest.Server) *authtest.Resource {
	p := storyProtection
	p.Path = "/"
	return as.Protect(server.NewSSEServer(newMCPServer()), p)
}

// protectWebSocket serves MCP on WebSockets. A token is needed to connect, and
// again with every tool's call, since it may have expired or be too narrow.
func protectWebSocket(as *authtest.Server) *authtest.Resource {
	var res *authtest.Resource
	res = as.Protect(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") == "" {
			return // check asks whether a token will do
		}
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		ctx := r.Context()
		stream := websocket.NetConn(ctx, conn, websocket.MessageText)
		servePipes(newStoryServer(as, res), stream, stream)
		_ = conn.CloseNow()
	}), storyProtection)
	return res
}

// protectCheck is for servers without HTTP: they ask it whether a token will do.
func protectCheck(as *authtest.Server) *authtest.Resource {
	return as.Protect(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), storyProtection)
}

// check asks what the resource says of a tool's call with an Authorization value.
func check(ctx context.Context, as *authtest.Server, res *authtest.Resource, tool, authorization string) (status int, challenge http.Header, err error) {
	body := fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":%q}}`, tool)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, res.URL, strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	resp, err := as.Client().Do(req)
	if err != nil {
		return 0, nil, err
	}
	return resp.StatusCode, resp.Header, resp.Body.Close()
}

// newStoryServer is a server whose tools want a token in _meta and name their
// challenge in the result.
func newStoryServer(as *authtest.Server, res *authtest.Resource) *server.MCPServer {
	return newMCPServer(server.WithToolHandlerMiddleware(func(next server.ToolHandlerFunc) server.ToolHandlerFunc {
		return func(ctx context.Context, request mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			var authorization string
			if request.Params.Meta != nil {
				authorization, _ = request.Params.Meta.AdditionalFields["authorization"].(string)
			}
			status, header, err := check(ctx, as, res, request.Params.Name, authorization)
			if err != nil || status == http.StatusOK {
				return next(ctx, request)
			}
			refused := mcp.NewToolResultError(http.StatusText(status))
			refused.Meta = &mcp.Meta{AdditionalFields: map[string]any{"mcp/www_authenticate": header.Values("WWW-Authenticate")}}
			return refused, nil
		}
	}))
}

// servePipes serves MCP on pipes as a stdio server does. That of mcp-go has a
// global channel, with which a bubble's clock stands still.
func servePipes(s *server.MCPServer, in io.Reader, out io.Writer) {
	var (
		calls   sync.WaitGroup
		writing sync.Mutex
	)
	defer calls.Wait()
	for lines := bufio.NewScanner(in); lines.Scan(); {
		message := bytes.Clone(lines.Bytes())
		calls.Go(func() {
			answer := s.HandleMessage(context.Background(), message)
			if answer == nil {
				return
			}
			encoded, err := json.Marshal(answer)
			if err != nil {
				return
			}
			writing.Lock()
			defer writing.Unlock()
			_, _ = out.Write(append(encoded, '\n'))
		})
	}
}

// customTransport reaches a server in this process, with the protection in
// between. It has no optional interfaces and reports challenges by its errors.
type customTransport struct {
	as     *authtest.Server
	check  *authtest.Resource
	server *server.MCPServer
}

type customRefusal struct{ challenge auth.Challenge }

func (e *customRefusal) Error() string                 { return "refused" }
func (e *customRefusal) AuthChallenge() auth.Challenge { return e.challenge }

func (c *customTransport) SendRequest(ctx context.Context, request mcptransport.JSONRPCRequest) (*mcptransport.JSONRPCResponse, error) {
	encoded, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	var params struct{ Params struct{ Name string } }
	_ = json.Unmarshal(encoded, &params)
	status, header, err := check(ctx, c.as, c.check, params.Params.Name, request.Header.Get("Authorization"))
	if err != nil {
		return nil, err
	}
	if challenge, ok := auth.ResponseChallenge(status, header); ok {
		return nil, fmt.Errorf("custom: %w", &customRefusal{challenge})
	}
	answer, err := json.Marshal(c.server.HandleMessage(ctx, encoded))
	if err != nil {
		return nil, err
	}
	response := new(mcptransport.JSONRPCResponse)
	return response, json.Unmarshal(answer, response)
}

func (c *customTransport) SendNotification(context.Context, mcp.JSONRPCNotification) error {
	return nil
}
func (c *customTransport) SetNotificationHandler(func(mcp.JSONRPCNotification)) {}
func (c *customTransport) Start(context.Context) error                          { return nil }
func (c *customTransport) Close() error                                         { return nil }
func (c *customTransport) GetSessionId() string                                 { return "" }

func TestStory(t *testing.T) {
	for _, kind := range kinds {
		for _, era := range []string{"2025-11-25", "2026-07-28"} {
			t.Run(kind.name+" "+era, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					tellStory(t, kind.protect, kind.connect, era, kind.legacy)
				})
			})
		}
	}
}

func tellStory(t *testing.T, protect func(*authtest.Server) *authtest.Resource, connect func(*teller, *authtest.Resource) mcptransport.Interface, era string, legacy bool) {
	as := authtest.NewServerConfig(t, authtest.Config{InMemory: true, ScopesSupported: []string{"mcp:read", "mcp:write"}})
	w := world{as: as, mcp: protect(as)}
	m, err := auth.NewManager(auth.Config{Resource: w.mcp.URL, Grant: w.headless(), HTTPClient: as.Client(), NoIdleRefresh: true})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	s := &teller{t: t, as: as, manager: m}
	s.client = client.NewClient(connect(s, w.mcp), client.WithProtocolVersion(era))
	defer s.client.Close()
	if err := s.client.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.client.Initialize(t.Context(), mcp.InitializeRequest{}); err != nil {
		t.Fatal(err)
	}
	if got := s.client.ProtocolVersion(); got != era && !legacy {
		t.Fatalf("protocol %s, want %s", got, era)
	}
	for _, chapter := range story {
		chapter.happens(s)
		if s.outcome != chapter.outcome {
			t.Fatalf("%s: %q, want %q", chapter.chapter, s.outcome, chapter.outcome)
		}
		if logins, refreshes := as.Counts().Authorize, s.refreshes(); logins != chapter.logins || refreshes != chapter.refreshes {
			t.Errorf("%s: %d logins and %d refreshes so far, want %d and %d", chapter.chapter, logins, refreshes, chapter.logins, chapter.refreshes)
		}
	}
	if got := as.Counts().ReusedRefreshTokens; got != 0 {
		t.Errorf("%d refresh tokens were used twice", got)
	}
	if token, err := m.Token(t.Context()); err != nil || !token.Expiry.After(time.Now()) {
		t.Errorf("after the client is closed the manager has %v, %v", token, err)
	}
}
