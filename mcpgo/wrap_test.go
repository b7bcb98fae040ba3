package mcpgo_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mark3labs/mcp-go/client"
	mcptransport "github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/mcpgo"
)

// fakeInner is a transport that answers with what it is told to.
type fakeInner struct {
	customTransport
	sent   []mcptransport.JSONRPCRequest
	notes  []mcp.JSONRPCNotification
	tokens []*auth.Token // of the contexts
	starts int
	answer func(n int, r mcptransport.JSONRPCRequest) (*mcptransport.JSONRPCResponse, error)
	refuse func(n int) error // of Start and notifications
}

func (f *fakeInner) SendRequest(ctx context.Context, r mcptransport.JSONRPCRequest) (*mcptransport.JSONRPCResponse, error) {
	f.sent = append(f.sent, r)
	f.tokens = append(f.tokens, mcpgo.TokenFromContext(ctx))
	response, err := f.answer(len(f.sent), r)
	if response != nil {
		response.ID = r.ID
	}
	return response, err
}

func (f *fakeInner) SendNotification(ctx context.Context, n mcp.JSONRPCNotification) error {
	f.notes = append(f.notes, n)
	f.tokens = append(f.tokens, mcpgo.TokenFromContext(ctx))
	if f.refuse == nil {
		return nil
	}
	return f.refuse(len(f.notes))
}

func (f *fakeInner) Start(ctx context.Context) error {
	f.starts++
	f.tokens = append(f.tokens, mcpgo.TokenFromContext(ctx))
	if f.refuse == nil {
		return nil
	}
	return f.refuse(f.starts)
}

// fakeSource has a new token for every challenge.
type fakeSource struct {
	n          int
	tokenErr   error
	resolveErr error
	challenges []auth.Challenge
	rejected   []*auth.Token
}

func (f *fakeSource) Token(context.Context) (*auth.Token, error) {
	if f.tokenErr != nil {
		return nil, f.tokenErr
	}
	return f.token(), nil
}

func (f *fakeSource) token() *auth.Token { return &auth.Token{AccessToken: fmt.Sprint("token", f.n)} }

func (f *fakeSource) Resolve(_ context.Context, rejected *auth.Token, c auth.Challenge) (*auth.Token, error) {
	f.challenges, f.rejected = append(f.challenges, c), append(f.rejected, rejected)
	if f.resolveErr != nil {
		return nil, f.resolveErr
	}
	f.n++
	return f.token(), nil
}

func toolCall(id int64) mcptransport.JSONRPCRequest {
	return mcptransport.JSONRPCRequest{
		JSONRPC: "2.0", ID: mcp.NewRequestId(id), Method: "tools/call",
		Params: mcp.CallToolParams{Name: "greet"}, Header: http.Header{"Mcp-Name": {"greet"}},
	}
}

func result(text string) *mcptransport.JSONRPCResponse {
	return &mcptransport.JSONRPCResponse{Result: json.RawMessage(text)}
}

func rpcError(data any) *mcptransport.JSONRPCResponse {
	return mcptransport.NewJSONRPCErrorResponse(mcp.RequestId{}, -32001, "unauthorized", data)
}

const needsWrite = `Bearer error="insufficient_scope", scope="mcp:write", resource_metadata="https://example.com/prm"`

func TestWrapRecognisesChallenges(t *testing.T) {
	scoped := auth.Challenge{
		Status: 403, Scheme: "Bearer", Error: "insufficient_scope", Scopes: []string{"mcp:write"},
		ResourceMetadata: "https://example.com/prm", Operation: "tools/call greet",
		Params: map[string]string{"error": "insufficient_scope", "scope": "mcp:write", "resource_metadata": "https://example.com/prm"},
	}
	plain := auth.Challenge{Status: 401, Scheme: "Bearer", Operation: "tools/call greet"}
	for _, tt := range []struct {
		name     string
		response *mcptransport.JSONRPCResponse
		err      error
		want     auth.Challenge
		sameID   bool
	}{
		{name: "tool result, string", response: result(`{"isError":true,"_meta":{"mcp/www_authenticate":` + quote(needsWrite) + `}}`), want: scoped},
		{name: "tool result, list", response: result(`{"isError":true,"_meta":{"mcp/www_authenticate":["Basic realm=\"x\"",` + quote(needsWrite) + `]}}`), want: scoped},
		{name: "tool result, no isError", response: result(`{"content":[],"_meta":{"mcp/www_authenticate":"Bearer"}}`), want: plain},
		{name: "tool result, slash escaped", response: result(`{"_meta":{"mcp\/www_authenticate":"Bearer"}}`), want: plain},
		{name: "tool result, in single quotes", response: result(`{"_meta":{"mcp/www_authenticate":"'Bearer'"}}`), want: plain},
		{name: "error data", response: rpcError(map[string]any{"WWW-Authenticate": needsWrite}), want: scoped},
		{name: "error data, other spelling", response: rpcError(map[string]any{"www_authenticate": []any{needsWrite}}), want: scoped},
		{name: "error data, headers", response: rpcError(map[string]any{"headers": map[string]any{"www-authenticate": needsWrite}}), want: scoped},
		{name: "error data, _meta", response: rpcError(map[string]any{"_meta": map[string]any{"mcp/www_authenticate": needsWrite}}), want: scoped},
		{name: "error data, a struct", response: rpcError(struct {
			Challenge string `json:"wwwAuthenticate"`
		}{needsWrite}), want: scoped},
		{name: "error of mcp-go", err: fmt.Errorf("failed: %w", &mcptransport.AuthorizationRequiredError{ResourceMetadataURL: "https://example.com/prm"}),
			want: auth.Challenge{Status: 401, ResourceMetadata: "https://example.com/prm", Operation: "tools/call greet"}, sameID: true},
		{name: "error of a custom transport", err: fmt.Errorf("failed: %w", &customRefusal{auth.Challenge{Status: 401, Scheme: "Bearer"}}), want: plain, sameID: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inner := &fakeInner{answer: func(n int, _ mcptransport.JSONRPCRequest) (*mcptransport.JSONRPCResponse, error) {
				if n == 1 {
					return tt.response, tt.err
				}
				return result(`{"content":[]}`), nil
			}}
			src := &fakeSource{}
			request := toolCall(7)
			header := request.Header.Clone()
			response, err := mcpgo.Wrap(inner, src).SendRequest(t.Context(), request)
			if err != nil {
				t.Fatal(err)
			}
			if len(src.challenges) != 1 || !reflect.DeepEqual(src.challenges[0], tt.want) {
				t.Errorf("resolved %+v, want %+v", src.challenges, tt.want)
			}
			if got := src.rejected[0]; got == nil || got.AccessToken != "token0" {
				t.Errorf("rejected %v, want the token that was sent", got)
			}
			if response.ID.Value() != int64(7) {
				t.Errorf("the response has ID %v, want the caller's", response.ID.Value())
			}
			if !maps.EqualFunc(request.Header, header, slices.Equal) {
				t.Errorf("the caller's header was changed: %v", request.Header)
			}
			if len(inner.sent) != 2 {
				t.Fatalf("sent %d times, want 2", len(inner.sent))
			}
			for i, sent := range inner.sent {
				want := fmt.Sprint("Bearer token", i)
				if got := sent.Header.Get("Authorization"); got != want || sent.Header.Get("Mcp-Name") != "greet" {
					t.Errorf("sent with %v, want %s", sent.Header, want)
				}
				if got := inner.tokens[i]; got == nil || got.Authorization() != want {
					t.Errorf("TokenFromContext = %v, want %s", got, want)
				}
			}
			if same := inner.sent[0].ID.String() == inner.sent[1].ID.String(); same != tt.sameID {
				t.Errorf("IDs %v and %v: an ID that was answered must not be used again, another needs no change", inner.sent[0].ID, inner.sent[1].ID)
			}
		})
	}
}

func quote(s string) string {
	encoded, _ := json.Marshal(s)
	return string(encoded)
}

// What is not a challenge for OAuth tokens is the caller's.
func TestWrapLeavesTheRestAlone(t *testing.T) {
	failed := errors.New("network down")
	for _, tt := range []struct {
		name     string
		method   string
		response *mcptransport.JSONRPCResponse
		err      error
	}{
		{"a result", "tools/call", result(`{"content":[{"type":"text","text":"see www_authenticate"}]}`), nil},
		{"another scheme", "tools/call", result(`{"_meta":{"mcp/www_authenticate":"Basic realm=\"x\""}}`), nil},
		{"no string", "tools/call", result(`{"_meta":{"mcp/www_authenticate":7}}`), nil},
		{"an empty list", "tools/call", result(`{"_meta":{"mcp/www_authenticate":[]}}`), nil},
		{"not JSON", "tools/call", result(`{"_meta":{"mcp/www_authenticate"`), nil},
		{"a result that is no tool's", "resources/read", result(`{"_meta":{"mcp/www_authenticate":"Bearer"}}`), nil},
		{"an error without data", "tools/call", rpcError(nil), nil},
		{"an error with other data", "tools/call", rpcError(map[string]any{"reason": "Bearer"}), nil},
		{"an error with text as data", "tools/call", rpcError("Bearer"), nil},
		{"a failure", "tools/call", nil, failed},
		{"mcp-go's own OAuth", "tools/call", nil, &mcptransport.OAuthAuthorizationRequiredError{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inner := &fakeInner{answer: func(int, mcptransport.JSONRPCRequest) (*mcptransport.JSONRPCResponse, error) {
				return tt.response, tt.err
			}}
			src := &fakeSource{}
			request := toolCall(1)
			request.Method = tt.method
			response, err := mcpgo.Wrap(inner, src).SendRequest(t.Context(), request)
			if response != tt.response || err != tt.err || len(src.challenges) != 0 || len(inner.sent) != 1 {
				t.Errorf("got %v, %v after %d challenges and %d sends; want what inner returned", response, err, len(src.challenges), len(inner.sent))
			}
		})
	}
}

func TestWrapGivesUp(t *testing.T) {
	always := &fakeInner{answer: func(int, mcptransport.JSONRPCRequest) (*mcptransport.JSONRPCResponse, error) {
		return rpcError(map[string]any{"WWW-Authenticate": "Bearer"}), nil
	}}
	response, err := mcpgo.Wrap(always, &fakeSource{}).SendRequest(t.Context(), toolCall(3))
	if err != nil || response.Error == nil || response.ID.Value() != int64(3) || len(always.sent) != 11 {
		t.Errorf("%+v, %v after %d sends; want the last refusal, under the caller's ID, after 11", response, err, len(always.sent))
	}
	ids := map[string]bool{}
	for _, sent := range always.sent {
		ids[sent.ID.String()] = true
	}
	if len(ids) != 11 {
		t.Errorf("%d request IDs for 11 requests that were answered", len(ids))
	}

	refused := &auth.InsufficientScopeError{}
	if _, err := mcpgo.Wrap(always, &fakeSource{resolveErr: refused}).SendRequest(t.Context(), toolCall(4)); err != error(refused) {
		t.Errorf("error %v, want the source's", err)
	}
	tokenErr := &auth.TokenError{Code: "invalid_client"}
	before := len(always.sent)
	if _, err := mcpgo.Wrap(always, &fakeSource{tokenErr: tokenErr}).SendRequest(t.Context(), toolCall(5)); err != error(tokenErr) || len(always.sent) != before {
		t.Errorf("error %v, want the source's, and nothing sent", err)
	}
	if err := mcpgo.Wrap(always, &fakeSource{tokenErr: tokenErr}).SendNotification(t.Context(), mcp.JSONRPCNotification{}); err != error(tokenErr) {
		t.Errorf("notification: error %v, want the source's", err)
	}
}

// Without a token the request goes out as it is: the challenge says where to
// get one.
func TestWrapSendsWithoutToken(t *testing.T) {
	inner := &fakeInner{answer: func(n int, _ mcptransport.JSONRPCRequest) (*mcptransport.JSONRPCResponse, error) {
		if n == 1 {
			return nil, &mcptransport.AuthorizationRequiredError{}
		}
		return result(`{}`), nil
	}}
	src := &fakeSource{tokenErr: auth.ErrNoToken}
	w := mcpgo.Wrap(inner, src)
	if _, err := w.SendRequest(t.Context(), toolCall(1)); err != nil {
		t.Fatal(err)
	}
	if got := inner.sent[0].Header.Get("Authorization"); got != "" || inner.tokens[0] != nil || src.rejected[0] != nil {
		t.Errorf("sent with %q, rejected %v; want no token", got, src.rejected[0])
	}
	if got := inner.sent[1].Header.Get("Authorization"); got != "Bearer token1" {
		t.Errorf("sent again with %q", got)
	}
	if err := w.SendNotification(t.Context(), mcp.JSONRPCNotification{}); err != nil {
		t.Error(err)
	}
}

func TestWrapStart(t *testing.T) {
	refuseOnce := func(n int) error {
		if n == 1 {
			return fmt.Errorf("dial: %w", &customRefusal{auth.Challenge{Status: 401}})
		}
		return nil
	}
	inner := &fakeInner{refuse: refuseOnce}
	src := &fakeSource{}
	if err := mcpgo.Wrap(inner, src).Start(t.Context()); err != nil || inner.starts != 2 || src.challenges[0].Operation != "start" {
		t.Fatalf("Start = %v after %d starts, challenges %+v", err, inner.starts, src.challenges)
	}
	if got := inner.tokens[1].AccessToken; got != "token1" {
		t.Errorf("started again with %s", got)
	}

	// A missing token is no reason not to start.
	inner = &fakeInner{}
	if err := mcpgo.Wrap(inner, &fakeSource{tokenErr: errors.New("down")}).Start(t.Context()); err != nil || inner.tokens[0] != nil {
		t.Errorf("Start = %v with %v", err, inner.tokens[0])
	}
	inner = &fakeInner{refuse: refuseOnce}
	refused := &auth.AuthorizationError{}
	if err := mcpgo.Wrap(inner, &fakeSource{resolveErr: refused}).Start(t.Context()); err != error(refused) {
		t.Errorf("Start = %v, want the source's error", err)
	}
}

func TestWrapNotifications(t *testing.T) {
	inner := &fakeInner{refuse: func(n int) error {
		if n == 1 {
			return &mcptransport.AuthorizationRequiredError{}
		}
		return nil
	}}
	src := &fakeSource{}
	var n mcp.JSONRPCNotification
	n.Method = "notifications/progress"
	n.Params.AdditionalFields = map[string]any{"progress": 1}
	if err := mcpgo.Wrap(inner, src, mcpgo.WithPlacement(mcpgo.InMeta("authorization"))).SendNotification(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	for i, sent := range inner.notes {
		if got, want := sent.Params.Meta["authorization"], fmt.Sprint("Bearer token", i); got != want || fmt.Sprint(sent.Params.AdditionalFields["progress"]) != "1" {
			t.Errorf("sent %+v, want %s", sent.Params, want)
		}
	}
	if len(inner.notes) != 2 || src.challenges[0].Operation != "notifications/progress" || n.Params.Meta != nil {
		t.Errorf("%d sent, %+v, the caller's is %+v", len(inner.notes), src.challenges, n.Params)
	}
}

// A cancellation names the ID that the server knows.
func TestWrapTranslatesCancellation(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	inner := &fakeInner{answer: func(n int, _ mcptransport.JSONRPCRequest) (*mcptransport.JSONRPCResponse, error) {
		if n%2 == 1 {
			return result(`{"_meta":{"mcp/www_authenticate":"Bearer"}}`), nil
		}
		cancel()
		return nil, ctx.Err()
	}}
	w := mcpgo.Wrap(inner, &fakeSource{})
	if _, err := w.SendRequest(ctx, toolCall(9)); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	var n mcp.JSONRPCNotification
	n.Method = "notifications/cancelled"
	n.Params.AdditionalFields = map[string]any{"requestId": mcp.NewRequestId(int64(9)), "reason": "enough"}
	for range 2 {
		if err := w.SendNotification(t.Context(), n); err != nil {
			t.Fatal(err)
		}
	}
	first, second := inner.notes[0].Params.AdditionalFields, inner.notes[1].Params.AdditionalFields
	if first["requestId"] != inner.sent[1].ID || first["reason"] != "enough" || second["requestId"] != mcp.NewRequestId(int64(9)) {
		t.Errorf("canceled %v, then %v; want %v, then what the caller said", first, second, inner.sent[1].ID)
	}
	if n.Params.AdditionalFields["requestId"] != mcp.NewRequestId(int64(9)) {
		t.Error("the caller's notification was changed")
	}
}

func TestInMeta(t *testing.T) {
	for _, tt := range []struct {
		name   string
		params any
		want   string
		err    string
	}{
		{"none", nil, `{"_meta":{"auth":"Bearer a"}}`, ""},
		{"null", json.RawMessage("null"), `{"_meta":{"auth":"Bearer a"}}`, ""},
		{"object", map[string]any{"x": 1}, `{"_meta":{"auth":"Bearer a"},"x":1}`, ""},
		{"meta", map[string]any{"_meta": map[string]any{"progressToken": 5}}, `{"_meta":{"auth":"Bearer a","progressToken":5}}`, ""},
		{"meta null", map[string]any{"_meta": nil}, `{"_meta":{"auth":"Bearer a"}}`, ""},
		{"list", []int{1}, "", "no JSON object"},
		{"meta list", map[string]any{"_meta": []int{1}}, "", "_meta is no JSON object"},
		{"not JSON", make(chan int), "", "params"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			request := mcptransport.JSONRPCRequest{Params: tt.params}
			err := mcpgo.InMeta("auth")(t.Context(), &auth.Token{AccessToken: "a"}, &request)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("error %v, want one about %q", err, tt.err)
				}
				return
			}
			if got, _ := json.Marshal(request.Params); err != nil || string(got) != tt.want {
				t.Errorf("%s, %v; want %s", got, err, tt.want)
			}
		})
	}
	err := mcpgo.InMeta("auth")(t.Context(), &auth.Token{AccessToken: "a", TokenType: "DPoP"}, &mcptransport.JSONRPCRequest{})
	if err == nil || !strings.Contains(err.Error(), "DPoP") {
		t.Errorf("a DPoP token: %v", err)
	}
	inner := &fakeInner{}
	w := mcpgo.Wrap(inner, &fakeSource{}, mcpgo.WithPlacement(func(context.Context, *auth.Token, *mcptransport.JSONRPCRequest) error { return errors.New("no place") }))
	if _, err := w.SendRequest(t.Context(), toolCall(1)); err == nil || err.Error() != "no place" {
		t.Errorf("SendRequest = %v, want the placement's error", err)
	}
	if err := w.SendNotification(t.Context(), mcp.JSONRPCNotification{}); err == nil || err.Error() != "no place" || len(inner.notes)+len(inner.sent) != 0 {
		t.Errorf("SendNotification = %v, want the placement's error", err)
	}
}

// Over HTTP both kinds of challenge are met once each: a 401 below, a tool
// result that names scopes by Wrap. WithAuth alone leaves results alone.
func TestWrapOverWithAuth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		as := authtest.NewServerConfig(t, authtest.Config{InMemory: true})
		p := storyProtection
		p.InBand = true
		w := world{as: as, mcp: as.Protect(server.NewStreamableHTTPServer(newMCPServer()), p)}
		m := w.manager(t, w.headless())
		inner, err := mcptransport.NewStreamableHTTP(w.mcp.URL, mcpgo.WithAuth(m, mcpgo.WithBaseClient(as.Client())))
		if err != nil {
			t.Fatal(err)
		}
		alone := w.client(t, m)
		if err := initialize(t.Context(), alone); err != nil {
			t.Fatal(err)
		}
		var request mcp.CallToolRequest
		request.Params.Name = "write"
		if result, err := alone.CallTool(t.Context(), request); err != nil || !result.IsError || as.Counts().Authorize != 1 {
			t.Errorf("WithAuth alone: %+v, %v after %d logins; want the result as it came", result, err, as.Counts().Authorize)
		}
		if got := w.mcp.Counts(); got.Unauthorized != 1 {
			t.Errorf("%d 401s, want the first", got.Unauthorized)
		}

		c := client.NewClient(mcpgo.Wrap(inner, m))
		defer c.Close()
		if err := initialize(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		before := w.mcp.Counts()
		if result, err := c.CallTool(t.Context(), request); err != nil || result.IsError {
			t.Errorf("with Wrap: %+v, %v", result, err)
		}
		after := w.mcp.Counts()
		if after.Requests-before.Requests != 2 || after.Forbidden-before.Forbidden != 1 || as.Counts().Authorize != 2 {
			t.Errorf("%d requests, %d refused, %d logins; want one refusal, one login, one resend",
				after.Requests-before.Requests, after.Forbidden-before.Forbidden, as.Counts().Authorize)
		}
	})
}

// Without WithAuth below, Wrap alone does what the transport lets it see of
// HTTP: 401s, of Start, requests and notifications.
func TestWrapAloneOverHTTP(t *testing.T) {
	for _, kind := range []struct {
		name    string
		protect func(*authtest.Server) *authtest.Resource
		inner   func(*testing.T, *authtest.Server, *authtest.Resource) mcptransport.Interface
	}{
		{"Streamable HTTP", protectHTTP, func(t *testing.T, as *authtest.Server, res *authtest.Resource) mcptransport.Interface {
			inner, err := mcptransport.NewStreamableHTTP(res.URL, mcptransport.WithHTTPBasicClient(as.Client()), mcptransport.WithHTTPHeaderFunc(mcpgo.HeaderFromContext))
			if err != nil {
				t.Fatal(err)
			}
			return inner
		}},
		{"SSE", protectSSE, func(t *testing.T, as *authtest.Server, res *authtest.Resource) mcptransport.Interface {
			inner, err := mcptransport.NewSSE(strings.TrimSuffix(res.URL, "/")+"/sse", mcptransport.WithHTTPClient(as.Client()), mcptransport.WithHeaderFunc(mcpgo.HeaderFromContext))
			if err != nil {
				t.Fatal(err)
			}
			return inner
		}},
	} {
		t.Run(kind.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				as := authtest.NewServerConfig(t, authtest.Config{InMemory: true})
				w := world{as: as, mcp: kind.protect(as)}
				m := w.manager(t, w.headless())
				c := client.NewClient(mcpgo.Wrap(kind.inner(t, as, w.mcp), m), client.WithProtocolVersion("2025-11-25"))
				defer c.Close()
				if err := c.Start(t.Context()); err != nil {
					t.Fatal(err)
				}
				if _, err := c.Initialize(t.Context(), mcp.InitializeRequest{}); err != nil {
					t.Fatal(err)
				}
				if token, err := m.Token(t.Context()); err != nil {
					t.Fatal(err)
				} else {
					as.RevokeAccess(token.AccessToken)
				}
				if err := call(t.Context(), c, "read"); err != nil {
					t.Fatal(err)
				}
				for i, seen := range w.mcp.Seen() {
					if i > 0 && seen.Token == "" {
						t.Errorf("request %d, a %s, went out without the token", i, seen.Method)
					}
				}
				if got := as.Counts().Authorize; got != 1 {
					t.Errorf("%d logins, want 1", got)
				}
			})
		})
	}
}

// A server that rejects everything: what WithAuth below has given up on, Wrap
// does not begin again.
func TestWrapDoesNotResolveTwice(t *testing.T) {
	as := authtest.NewServerConfig(t, authtest.Config{InMemory: true})
	var requests int
	rejecting := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		requests++
		w.Header().Set("WWW-Authenticate", "Bearer")
		w.WriteHeader(http.StatusUnauthorized)
	})
	res := as.Protect(rejecting, authtest.Protection{})
	src := &fakeSource{}
	resource := as.IssueToken(nil, res.URL)
	always := staticSource{fakeSource: src, token: &auth.Token{AccessToken: resource.AccessToken}, resource: res.URL}
	inner, err := mcptransport.NewStreamableHTTP(res.URL, mcpgo.WithAuth(always, mcpgo.WithBaseClient(as.Client())))
	if err != nil {
		t.Fatal(err)
	}
	refused := func(tr mcptransport.Interface) (int, int) {
		requests, src.challenges = 0, nil
		_, err := tr.SendRequest(t.Context(), toolCall(1))
		if !errors.As(err, new(*mcptransport.AuthorizationRequiredError)) {
			t.Fatalf("SendRequest = %v, want mcp-go's error for a 401", err)
		}
		return requests, len(src.challenges)
	}
	aloneRequests, aloneResolved := refused(inner)
	if requests, resolved := refused(mcpgo.Wrap(inner, always)); requests != aloneRequests || resolved != aloneResolved {
		t.Errorf("%d requests and %d challenges resolved, want %d and %d as by WithAuth alone", requests, resolved, aloneRequests, aloneResolved)
	}
}

type staticSource struct {
	*fakeSource
	token    *auth.Token
	resource string
}

func (s staticSource) Token(context.Context) (*auth.Token, error) { return s.token, nil }
func (s staticSource) Resource() string                           { return s.resource }
func (s staticSource) Resolve(_ context.Context, _ *auth.Token, c auth.Challenge) (*auth.Token, error) {
	s.challenges = append(s.challenges, c)
	return s.token, nil
}

// Close ends the calls that wait for a token, and those that come later.
func TestWrapClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := &fakeInner{}
		w := mcpgo.Wrap(inner, blockingSource{})
		errs := make(chan error, 2)
		go func() {
			_, err := w.SendRequest(t.Context(), toolCall(1))
			errs <- err
		}()
		go func() { errs <- w.SendNotification(t.Context(), mcp.JSONRPCNotification{}) }()
		synctest.Wait()
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := <-errs; !errors.Is(err, mcptransport.ErrTransportClosed) {
				t.Errorf("a waiting call ended with %v", err)
			}
		}
		if _, err := w.SendRequest(t.Context(), toolCall(2)); !errors.Is(err, mcptransport.ErrTransportClosed) {
			t.Errorf("a call after Close: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := mcpgo.Wrap(inner, blockingSource{}).SendRequest(ctx, toolCall(3)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a caller's own deadline: %v", err)
		}
	})
}

type blockingSource struct{ auth.Source }

func (blockingSource) Token(ctx context.Context) (*auth.Token, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}
