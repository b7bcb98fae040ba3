package mcpgo

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	mcptransport "github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"

	"github.com/mcptokens/mcptokens/internal/errtext"
)

// session is what a client and a server agreed on, as far as another process of
// the server has to know. Since protocol version 2026-07-28 that is nothing:
// every request says it all, and server/discover is repeated only to see that
// the process answers.
type session struct {
	opening       string          // initialize or server/discover, whichever was answered last
	params        json.RawMessage // the client's own
	version       string          // what initialize agreed on
	initialized   bool            // the client has sent notifications/initialized
	level         json.RawMessage // params of the last logging/setLevel
	subscriptions map[string]json.RawMessage
}

// isOpening reports whether method is part of a handshake.
func isOpening(method string) bool {
	return method == string(mcp.MethodInitialize) || method == string(mcp.MethodServerDiscover)
}

// observe notes what a request that the server accepted changed.
func (s *session) observe(request mcptransport.JSONRPCRequest, response *mcptransport.JSONRPCResponse) {
	if response == nil || response.Error != nil {
		return
	}
	switch mcp.MCPMethod(request.Method) {
	case mcp.MethodInitialize, mcp.MethodServerDiscover:
		var result struct {
			ProtocolVersion string `json:"protocolVersion"`
		}
		_ = json.Unmarshal(response.Result, &result)
		*s = session{opening: request.Method, params: encode(request.Params), version: result.ProtocolVersion}
	case mcp.MethodSetLogLevel:
		s.level = encode(request.Params)
	case mcp.MethodResourcesSubscribe:
		params := encode(request.Params)
		if s.subscriptions == nil {
			s.subscriptions = make(map[string]json.RawMessage)
		}
		s.subscriptions[resourceURI(params)] = params
	case mcp.MethodResourcesUnsubscribe:
		delete(s.subscriptions, resourceURI(encode(request.Params)))
	}
}

func (s *session) clone() session {
	c := *s
	c.subscriptions = maps.Clone(s.subscriptions)
	return c
}

// replay brings a new process to where the old one was.
func (s *session) replay(ctx context.Context, to mcptransport.Interface) error {
	if s.opening == "" {
		return nil // the client has its handshake still before it
	}
	ids := 0
	send := func(method string, params json.RawMessage) (*mcptransport.JSONRPCResponse, error) {
		ids++
		request := mcptransport.JSONRPCRequest{
			JSONRPC: mcp.JSONRPC_VERSION, Method: method,
			// Not a number: clients count, and theirs must not be met.
			ID: mcp.NewRequestId(fmt.Sprintf("mcptokens-restart-%d", ids)),
		}
		if params != nil {
			request.Params = params
		}
		return to.SendRequest(ctx, request)
	}
	response, err := send(s.opening, s.params)
	if err != nil {
		return err
	}
	if response.Error != nil {
		return errtext.Errorf(errHandshake, "%s was answered with error %d", s.opening, response.Error.Code)
	}
	var result struct {
		ProtocolVersion string `json:"protocolVersion"`
	}
	if err := json.Unmarshal(response.Result, &result); err != nil || result.ProtocolVersion != s.version {
		return errtext.Errorf(errHandshake, "it does not speak the protocol version that was agreed on")
	}
	if s.initialized {
		if err := to.SendNotification(ctx, mcp.JSONRPCNotification{
			JSONRPC:      mcp.JSONRPC_VERSION,
			Notification: mcp.Notification{Method: string(mcp.MethodNotificationInitialized)},
		}); err != nil {
			return err
		}
	}
	// What the server refuses now, a resource that is gone for instance, is not
	// worth the connection.
	if s.level != nil {
		if _, err := send(string(mcp.MethodSetLogLevel), s.level); err != nil {
			return err
		}
	}
	for _, uri := range slices.Sorted(maps.Keys(s.subscriptions)) {
		if _, err := send(string(mcp.MethodResourcesSubscribe), s.subscriptions[uri]); err != nil {
			return err
		}
	}
	return nil
}

var errHandshake = errtext.New("the new process did not accept the handshake")

// encode keeps params as they are now; the caller may change them.
func encode(params any) json.RawMessage {
	if params == nil {
		return nil
	}
	encoded, err := json.Marshal(params)
	if err != nil {
		return nil // it was sent, so this cannot be
	}
	return encoded
}

func resourceURI(params json.RawMessage) string {
	var p struct {
		URI string `json:"uri"`
	}
	_ = json.Unmarshal(params, &p)
	return p.URI
}
