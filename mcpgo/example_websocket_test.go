package mcpgo_test

import (
	"context"
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

// webSocket is a transport of your own: MCP requests on a WebSocket, without
// the server's notifications. For tokens it does two things: it connects with
// the one that Wrap has, and it returns a refusal as a Challenger. Wrap does
// the rest.
type webSocket struct {
	url     string
	http    *http.Client
	conn    *websocket.Conn
	waiting sync.Map      // of response channels, by request ID
	done    chan struct{} // closed when nothing more is read
}

type webSocketRefusal struct{ auth.Challenge }

func (r webSocketRefusal) Error() string                 { return "WebSocket refused" }
func (r webSocketRefusal) AuthChallenge() auth.Challenge { return r.Challenge }

func (s *webSocket) Start(ctx context.Context) error {
	options := &websocket.DialOptions{HTTPClient: s.http, HTTPHeader: make(http.Header)}
	if token := mcpgo.TokenFromContext(ctx); token != nil {
		options.HTTPHeader.Set("Authorization", token.Authorization())
	}
	conn, resp, err := websocket.Dial(ctx, s.url, options)
	if err != nil && resp != nil {
		if challenge, ok := auth.ResponseChallenge(resp.StatusCode, resp.Header); ok {
			return webSocketRefusal{challenge}
		}
	}
	if err != nil {
		return err
	}
	s.conn, s.done = conn, make(chan struct{})
	go s.read()
	return nil
}

func (s *webSocket) read() {
	defer close(s.done)
	for {
		response := new(mcptransport.JSONRPCResponse)
		if err := wsjson.Read(context.Background(), s.conn, response); err != nil {
			return
		}
		if answer, ok := s.waiting.LoadAndDelete(response.ID.String()); ok {
			answer.(chan *mcptransport.JSONRPCResponse) <- response
		}
	}
}

func (s *webSocket) SendRequest(ctx context.Context, request mcptransport.JSONRPCRequest) (*mcptransport.JSONRPCResponse, error) {
	answer := make(chan *mcptransport.JSONRPCResponse, 1)
	s.waiting.Store(request.ID.String(), answer)
	defer s.waiting.Delete(request.ID.String())
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

func (s *webSocket) Close() error {
	if s.conn == nil {
		return nil
	}
	err := s.conn.Close(websocket.StatusNormalClosure, "")
	<-s.done
	return err
}

func (s *webSocket) SetNotificationHandler(func(mcp.JSONRPCNotification)) {}
func (s *webSocket) GetSessionId() string                                 { return "" }

// A transport of your own gets the token's whole life from Wrap: the server
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
