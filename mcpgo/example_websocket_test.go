package mcpgo_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"sync"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"
	"github.com/mark3labs/mcp-go/client"
	mcptransport "github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/browser"
	"github.com/mcptokens/mcptokens/auth/grant"
	"github.com/mcptokens/mcptokens/mcpgo"
)

// webSocket is a transport of one's own: MCP messages on a WebSocket. For
// tokens it does two things: it connects with the one that Wrap has, and it
// returns a refusal as a Challenger. Wrap does the rest.
type webSocket struct {
	url  string
	http *http.Client

	conn   *websocket.Conn
	done   chan struct{} // closed when nothing more is read
	notify func(mcp.JSONRPCNotification)

	mu      sync.Mutex
	waiting map[string]chan *mcptransport.JSONRPCResponse
}

type webSocketRefusal struct{ challenge auth.Challenge }

func (r *webSocketRefusal) Error() string                 { return "WebSocket refused" }
func (r *webSocketRefusal) AuthChallenge() auth.Challenge { return r.challenge }

func (s *webSocket) Start(ctx context.Context) error {
	header := make(http.Header)
	if token := mcpgo.TokenFromContext(ctx); token != nil {
		header.Set("Authorization", token.Authorization())
	}
	conn, resp, err := websocket.Dial(ctx, s.url, &websocket.DialOptions{HTTPClient: s.http, HTTPHeader: header})
	if err != nil {
		if resp != nil {
			if challenge, ok := auth.ResponseChallenge(resp.StatusCode, resp.Header); ok {
				return &webSocketRefusal{challenge}
			}
		}
		return err
	}
	s.conn, s.done, s.waiting = conn, make(chan struct{}), make(map[string]chan *mcptransport.JSONRPCResponse)
	go s.read()
	return nil
}

func (s *webSocket) read() {
	defer close(s.done)
	for {
		var message json.RawMessage
		if err := wsjson.Read(context.Background(), s.conn, &message); err != nil {
			return
		}
		var notification mcp.JSONRPCNotification
		if err := json.Unmarshal(message, &notification); err == nil && notification.Method != "" {
			if s.notify != nil {
				s.notify(notification)
			}
			continue
		}
		var response mcptransport.JSONRPCResponse
		if err := json.Unmarshal(message, &response); err == nil {
			s.mu.Lock()
			if answer := s.waiting[response.ID.String()]; answer != nil {
				answer <- &response
			}
			s.mu.Unlock()
		}
	}
}

func (s *webSocket) SendRequest(ctx context.Context, request mcptransport.JSONRPCRequest) (*mcptransport.JSONRPCResponse, error) {
	answer := make(chan *mcptransport.JSONRPCResponse, 1)
	s.mu.Lock()
	s.waiting[request.ID.String()] = answer
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.waiting, request.ID.String())
		s.mu.Unlock()
	}()
	if err := wsjson.Write(ctx, s.conn, request); err != nil {
		return nil, err
	}
	select {
	case response := <-answer:
		return response, nil
	case <-s.done:
		return nil, mcptransport.ErrTransportClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s *webSocket) SendNotification(ctx context.Context, n mcp.JSONRPCNotification) error {
	return wsjson.Write(ctx, s.conn, n)
}

func (s *webSocket) SetNotificationHandler(handler func(mcp.JSONRPCNotification)) { s.notify = handler }
func (s *webSocket) GetSessionId() string                                         { return "" }

func (s *webSocket) Close() error {
	if s.conn == nil {
		return nil
	}
	err := s.conn.Close(websocket.StatusNormalClosure, "")
	<-s.done
	return err
}

// A transport of one's own gets the token's whole life from Wrap: the server
// wants a token to connect, and another scope for one of its tools.
func ExampleWrap_webSocket() {
	as, err := authtest.Start(authtest.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer as.Close()
	endpoint := protectWebSocket(as)

	manager, err := auth.NewManager(auth.Config{
		Resource: endpoint.URL,
		Grant:    grant.AuthorizationCode{UserAgent: browser.Headless{}},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer manager.Close()
	socket := &webSocket{url: endpoint.URL, http: http.DefaultClient}
	c := client.NewClient(mcpgo.Wrap(socket, manager, mcpgo.WithPlacement(mcpgo.InMeta("authorization"))))
	defer c.Close()

	ctx := context.Background()
	if err := c.Start(ctx); err != nil {
		log.Fatal(err)
	}
	if _, err := c.Initialize(ctx, mcp.InitializeRequest{}); err != nil {
		log.Fatal(err)
	}
	for _, tool := range []string{"read", "write"} {
		var request mcp.CallToolRequest
		request.Params.Name = tool
		if _, err := c.CallTool(ctx, request); err != nil {
			log.Fatal(err)
		}
		fmt.Println(tool, "works with the scopes", manager.Info().Scopes)
	}
	// Output:
	// read works with the scopes [mcp:read]
	// write works with the scopes [mcp:read mcp:write]
}
