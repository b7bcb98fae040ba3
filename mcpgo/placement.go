package mcpgo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	mcptransport "github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"

	"github.com/mcptokens/mcptokens/auth"
)

// Placement puts a token (never nil) where the server will look for it, just
// before a request goes out, once for each time that it is sent. It may replace
// the request's fields but must not change what they point to: the caller
// still has it. A notification is shown to it as a request without an ID; of
// what it does to that, a change of Params counts, while the Header goes nowhere
// ([TokenFromContext] does). An error of it is returned to the caller.
type Placement func(ctx context.Context, token *auth.Token, request *mcptransport.JSONRPCRequest) error

// InHeader places the token in the request's Authorization header (RFC 6750
// section 2.1), which HTTP transports send. Transports without headers ignore
// it; custom ones find it in JSONRPCRequest.Header.
func InHeader() Placement {
	return func(_ context.Context, token *auth.Token, request *mcptransport.JSONRPCRequest) error {
		header := request.Header.Clone()
		if header == nil {
			header = make(http.Header, 1)
		}
		header.Set("Authorization", token.Authorization())
		request.Header = header
		return nil
	}
}

// InMeta places the token in the _meta of the request's and the notification's
// params under key, as the value that an Authorization header would have
// ("Bearer …"). For servers that are reached without HTTP and read it there.
// Params that are no JSON object cannot carry it: an error. So is a DPoP-bound
// token (RFC 9449), which is of no use without a proof.
func InMeta(key string) Placement {
	return func(_ context.Context, token *auth.Token, request *mcptransport.JSONRPCRequest) error {
		if strings.EqualFold(token.TokenType, "DPoP") {
			return errors.New("mcpgo: a DPoP token cannot be placed in _meta, where there is no proof beside it; leave auth.Config.DPoP empty for this server")
		}
		params, err := withMeta(request.Params, key, token.Authorization())
		if err != nil {
			return err
		}
		request.Params = params
		return nil
	}
}

// withMeta returns params with one more member in _meta.
func withMeta(params any, key, value string) (map[string]json.RawMessage, error) {
	fields, meta := map[string]json.RawMessage{}, map[string]json.RawMessage{}
	if params != nil {
		encoded, err := json.Marshal(params)
		if err != nil {
			return nil, fmt.Errorf("mcpgo: params: %w", err)
		}
		if err := json.Unmarshal(encoded, &fields); err != nil {
			return nil, errors.New("mcpgo: params are no JSON object, so that _meta cannot carry the token; use another Placement")
		}
		if fields == nil { // null
			fields = map[string]json.RawMessage{}
		}
	}
	if old, ok := fields["_meta"]; ok {
		if err := json.Unmarshal(old, &meta); err != nil {
			return nil, errors.New("mcpgo: params._meta is no JSON object, so that it cannot carry the token")
		}
		if meta == nil {
			meta = map[string]json.RawMessage{}
		}
	}
	var err error
	if meta[key], err = json.Marshal(value); err != nil {
		return nil, fmt.Errorf("mcpgo: %w", err)
	}
	if fields["_meta"], err = json.Marshal(meta); err != nil {
		return nil, fmt.Errorf("mcpgo: %w", err)
	}
	return fields, nil
}

// put places the token on a request, if there is one.
func (w *wrapped) put(ctx context.Context, token *auth.Token, request *mcptransport.JSONRPCRequest) error {
	if token == nil {
		return nil
	}
	return w.place(ctx, token, request)
}

// putNotification is put for a notification.
func (w *wrapped) putNotification(ctx context.Context, token *auth.Token, n mcp.JSONRPCNotification) (mcp.JSONRPCNotification, error) {
	if token == nil {
		return n, nil
	}
	request := mcptransport.JSONRPCRequest{JSONRPC: n.JSONRPC, Method: n.Method, Params: n.Params}
	if err := w.place(ctx, token, &request); err != nil {
		return n, err
	}
	if params, ok := request.Params.(map[string]json.RawMessage); ok {
		encoded, err := json.Marshal(params)
		if err == nil {
			n.Params = mcp.NotificationParams{}
			err = json.Unmarshal(encoded, &n.Params)
		}
		if err != nil {
			return n, fmt.Errorf("mcpgo: params of the notification: %w", err)
		}
	}
	return n, nil
}

type tokenKey struct{}

func contextWithToken(ctx context.Context, token *auth.Token) context.Context {
	if token == nil {
		return ctx
	}
	return context.WithValue(ctx, tokenKey{}, token)
}

// TokenFromContext returns the token that [Wrap] sends with: for the inner
// transport, in its Start, SendRequest and SendNotification. Nil: there is none
// yet.
func TokenFromContext(ctx context.Context) *auth.Token {
	token, _ := ctx.Value(tokenKey{}).(*auth.Token)
	return token
}

// HeaderFromContext returns the Authorization header of [TokenFromContext]. It
// is for mcp-go's transport.WithHTTPHeaderFunc and transport.WithHeaderFunc, so
// that a wrapped HTTP transport without [WithAuth] sends the token with
// notifications and its own GET requests too.
func HeaderFromContext(ctx context.Context) map[string]string {
	token := TokenFromContext(ctx)
	if token == nil {
		return nil
	}
	return map[string]string{"Authorization": token.Authorization()}
}
