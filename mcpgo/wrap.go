package mcpgo

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"

	mcptransport "github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/internal/layer"
)

// maxResends bounds how often one request is sent again. The manager's own
// limits are reached before; this one is for other sources.
const maxResends = 10

// WrapOption changes what [Wrap] does.
type WrapOption func(*wrapped)

// WithPlacement says where the token goes. Default: [InHeader].
func WithPlacement(p Placement) WrapOption { return func(w *wrapped) { w.place = p } }

// Wrap decorates any mcp-go transport, a custom one too: requests carry src's
// token, and the server's challenges are resolved and the request sent again.
//
//	c := client.NewClient(mcpgo.Wrap(inner, manager))
//
// Challenges are recognised in
//
//   - an error of inner that is a [Challenger] or mcp-go's
//     *transport.AuthorizationRequiredError, from Start, a request or a
//     notification;
//   - a JSON-RPC error whose data has a WWW-Authenticate value;
//   - the result of a tools/call with _meta["mcp/www_authenticate"]: one
//     WWW-Authenticate value or a list of them. The tool is called once more,
//     so a server must not name a challenge in the result of work that it did.
//
// The token is placed on requests by [WithPlacement]; inner also finds it by
// [TokenFromContext], in Start and for notifications too, which have no header
// of their own.
//
// Over HTTP give inner [WithAuth] as well: mcp-go drops the header of a 403, so
// that only the layer below can see that scopes are missing. Challenges of HTTP
// are resolved there then, in-band ones here, each once.
//
// A request that was answered is sent again under a new JSON-RPC ID, since MCP
// forbids to use one twice in a session (2025-11-25, basic, "Requests"; a
// cancellation is translated); the response carries the ID that the caller
// knows. What cannot be resolved is returned as the typed errors of
// [auth.Source], as with [WithAuth]. A refusal that is no challenge is passed
// on as it came. Close ends calls that wait for a token with
// transport.ErrTransportClosed.
//
// The result has exactly those optional interfaces of mcp-go that inner has:
// BidirectionalInterface, HTTPConnection, SetConnectionLostHandler,
// RequiresLegacyProtocol and Stderr.
func Wrap(inner mcptransport.Interface, src auth.Source, opts ...WrapOption) mcptransport.Interface {
	w := &wrapped{Interface: inner, src: sourceOf(src, "Wrap"), place: InHeader()}
	for _, opt := range opts {
		opt(w)
	}
	return optionalsOf(inner).with(w)
}

// wrapped is the decorator without the optional interfaces.
type wrapped struct {
	mcptransport.Interface // the inner one
	src                    auth.Source
	place                  Placement

	mu      sync.Mutex
	closed  bool
	waiting map[*context.CancelCauseFunc]struct{} // calls that wait for a token
	renamed map[string]mcp.RequestId              // the IDs in use of requests that were sent again, by the caller's
	resends uint64
}

// Start implements [mcptransport.Interface]. A missing token is no reason not
// to start: many transports need none for that, and of those that do
// the server's challenge leads to the error that says why.
func (w *wrapped) Start(ctx context.Context) error {
	token, _ := w.token(ctx)
	for resends := 0; ; resends++ {
		sent, below := layer.Watch(contextWithToken(ctx, token))
		err := w.Interface.Start(sent)
		c, ok := errorChallenge(err)
		w.accepted(token, c, ok, err)
		if !ok || below.Resolved() || resends == maxResends {
			return err
		}
		c.Operation = "start"
		if token, err = w.resolve(ctx, token, c); err != nil {
			return err
		}
	}
}

// SendRequest implements [mcptransport.Interface].
func (w *wrapped) SendRequest(ctx context.Context, request mcptransport.JSONRPCRequest) (*mcptransport.JSONRPCResponse, error) {
	token, err := w.token(ctx)
	if err != nil {
		return nil, err
	}
	id := request.ID
	defer func() { w.forgetID(ctx, id) }()
	for resends := 0; ; resends++ {
		sent := request
		if err := w.put(ctx, token, &sent); err != nil {
			return nil, err
		}
		sentCtx, below := layer.Watch(contextWithToken(ctx, token))
		response, err := w.Interface.SendRequest(sentCtx, sent)
		c, answered, ok := challengeOf(request.Method, response, err)
		w.accepted(token, c, ok, err)
		if !ok || below.Resolved() || resends == maxResends {
			if response != nil && answered {
				response.ID = id
			}
			return response, err
		}
		c.Operation = operation(request)
		if token, err = w.resolve(ctx, token, c); err != nil {
			return nil, err
		}
		if answered {
			request.ID = w.rename(id)
		}
	}
}

// SendNotification implements [mcptransport.Interface].
func (w *wrapped) SendNotification(ctx context.Context, n mcp.JSONRPCNotification) error {
	token, err := w.token(ctx)
	if err != nil {
		return err
	}
	n = w.translate(n)
	for resends := 0; ; resends++ {
		sent, err := w.putNotification(ctx, token, n)
		if err != nil {
			return err
		}
		sentCtx, below := layer.Watch(contextWithToken(ctx, token))
		err = w.Interface.SendNotification(sentCtx, sent)
		c, ok := errorChallenge(err)
		w.accepted(token, c, ok, err)
		if !ok || below.Resolved() || resends == maxResends {
			return err
		}
		c.Operation = n.Method
		if token, err = w.resolve(ctx, token, c); err != nil {
			return err
		}
	}
}

// accepted tells the source that the server accepted token: there was an answer,
// and no challenge about the token in it.
func (w *wrapped) accepted(token *auth.Token, c auth.Challenge, challenged bool, err error) {
	if learns, ok := w.src.(auth.Accepter); ok && token != nil && (err == nil && !challenged || challenged && c.InsufficientScope()) {
		learns.Accepted(token)
	}
}

// Close implements [mcptransport.Interface].
func (w *wrapped) Close() error {
	w.mu.Lock()
	w.closed = true
	for cancel := range w.waiting {
		(*cancel)(mcptransport.ErrTransportClosed)
	}
	w.mu.Unlock()
	return w.Interface.Close()
}

// token returns the token to send; nil to send without one and be challenged.
func (w *wrapped) token(ctx context.Context) (*auth.Token, error) {
	return w.ask(ctx, func(ctx context.Context) (*auth.Token, error) {
		token, err := w.src.Token(ctx)
		if errors.Is(err, auth.ErrNoToken) && !errors.As(err, new(*auth.ReauthorizationRequiredError)) {
			return nil, nil
		}
		return token, err
	})
}

func (w *wrapped) resolve(ctx context.Context, rejected *auth.Token, c auth.Challenge) (*auth.Token, error) {
	return w.ask(ctx, func(ctx context.Context) (*auth.Token, error) { return w.src.Resolve(ctx, rejected, c) })
}

// ask calls the source with a context that Close ends.
func (w *wrapped) ask(ctx context.Context, f func(context.Context) (*auth.Token, error)) (*auth.Token, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return nil, mcptransport.ErrTransportClosed
	}
	if w.waiting == nil {
		w.waiting = make(map[*context.CancelCauseFunc]struct{})
	}
	w.waiting[&cancel] = struct{}{}
	w.mu.Unlock()
	token, err := f(ctx)
	w.mu.Lock()
	delete(w.waiting, &cancel)
	w.mu.Unlock()
	if err != nil && context.Cause(ctx) == mcptransport.ErrTransportClosed {
		return nil, fmt.Errorf("mcpgo: closed while waiting for a token: %w", mcptransport.ErrTransportClosed)
	}
	return token, err
}

// maxRenamed bounds what is kept of requests whose cancellation never came.
const maxRenamed = 256

// rename returns a new ID for the request that the caller knows as id.
func (w *wrapped) rename(id mcp.RequestId) mcp.RequestId {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.resends++
	next := mcp.NewRequestId(fmt.Sprintf("%v-resent-%s", id.Value(), strconv.FormatUint(w.resends, 10)))
	if w.renamed == nil {
		w.renamed = make(map[string]mcp.RequestId)
	}
	for old := range w.renamed {
		if len(w.renamed) < maxRenamed {
			break
		}
		delete(w.renamed, old)
	}
	w.renamed[id.String()] = next
	return next
}

// forgetID forgets the new ID of a request that is over, unless its
// cancellation, which mcp-go sends after the request's context has ended, is
// still to come.
func (w *wrapped) forgetID(ctx context.Context, id mcp.RequestId) {
	if ctx.Err() != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.renamed, id.String())
}

// translate puts the ID that the server knows into a cancellation.
func (w *wrapped) translate(n mcp.JSONRPCNotification) mcp.JSONRPCNotification {
	if n.Method != string(mcp.MethodNotificationCancelled) {
		return n
	}
	id, ok := n.Params.AdditionalFields["requestId"].(mcp.RequestId)
	if !ok {
		return n
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	next, ok := w.renamed[id.String()]
	if !ok {
		return n
	}
	delete(w.renamed, id.String())
	fields := make(map[string]any, len(n.Params.AdditionalFields))
	for name, value := range n.Params.AdditionalFields {
		fields[name] = value
	}
	fields["requestId"] = next
	n.Params.AdditionalFields = fields
	return n
}
