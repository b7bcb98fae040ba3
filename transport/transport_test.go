package transport_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/transport"
)

// net/http's contract: RoundTrip does not modify the request, and what it
// sends is the base's to modify.
func TestRequestIsNotModified(t *testing.T) {
	srv := accepting("new", 401, "Bearer")
	inner := srv.answer
	srv.answer = func(r *http.Request) (*http.Response, error) {
		r.Header.Set("X-Base", "was here")
		r.Header.Add("X-Caller", "and here")
		r.Host = "elsewhere"
		return inner(r)
	}
	req, _ := post(t, mcpURL, "ping")
	req.Header.Set("X-Caller", "value")
	req.Header.Set("Authorization", "Bearer of the caller")
	header, url, body := req.Header.Clone(), *req.URL, req.Body

	if status, text := send(t, &transport.RoundTripper{Source: having("old", "new"), Base: srv}, req); status != 200 || text != "hello" {
		t.Fatalf("answer %d %q", status, text)
	}
	if !reflect.DeepEqual(req.Header, header) || *req.URL != url || req.Body != body || req.Host != "mcp.example.com" {
		t.Errorf("request is now %v %v %v, was %v", req.Header, req.URL, req.Host, header)
	}
	if len(srv.got) != 2 {
		t.Fatalf("%d requests, want 2", len(srv.got))
	}
	for i, want := range []string{"Bearer old", "Bearer new"} {
		if got := srv.got[i]; got.authorization != want || got.body != "ping" || got.header.Get("X-Caller") != "value" {
			t.Errorf("request %d: %+v, want Authorization %q", i, got, want)
		}
	}
}

// A request made by hand may have no header map at all.
func TestNoHeaders(t *testing.T) {
	srv := accepting("old", 401, "Bearer")
	req, _ := post(t, mcpURL, "ping")
	req.Header = nil
	if status, _ := send(t, &transport.RoundTripper{Source: having("old", "new"), Base: srv}, req); status != 200 || req.Header != nil {
		t.Errorf("status %d, the request has the header %v", status, req.Header)
	}
}

// Without a token the request goes out without Authorization, whatever the
// caller put there, and the challenge is what leads to a token.
func TestNoTokenYet(t *testing.T) {
	src := having("", "new")
	src.token = func(context.Context) (*auth.Token, error) { return nil, auth.ErrNoToken }
	srv := accepting("new", 401, "")
	req, _ := post(t, mcpURL, "ping")
	req.Header.Set("Authorization", "Bearer of the caller")
	if status, _ := send(t, &transport.RoundTripper{Source: src, Base: srv}, req); status != 200 {
		t.Errorf("status %d", status)
	}
	if len(srv.got) != 2 || srv.got[0].authorization != "" || srv.got[1].authorization != "Bearer new" {
		t.Errorf("sent %+v, want one without and one with the new token", srv.got)
	}
	if _, sent := srv.got[0].header["Authorization"]; sent {
		t.Error("an empty Authorization header was sent")
	}
	if src.rejected[0] != nil {
		t.Error("Resolve was told of a rejected token; none was sent")
	}
}

// A demand for authorization is an error even though it is ErrNoToken too: to
// send the request would only hide it behind a 401.
func TestAuthorizationRequired(t *testing.T) {
	src := having("", "")
	want := &auth.ReauthorizationRequiredError{Resource: mcpURL, Err: auth.ErrNoToken}
	src.token = func(context.Context) (*auth.Token, error) { return nil, want }
	srv := accepting("", 401, "")
	req, body := post(t, mcpURL, "ping")
	resp, err := (&transport.RoundTripper{Source: src, Base: srv}).RoundTrip(req)
	if resp != nil || !errors.Is(err, want) || len(srv.got) != 0 || !body.isClosed() {
		t.Errorf("got %v, %v after %d requests, body closed: %v", resp, err, len(srv.got), body.isClosed())
	}
}

// What is a challenge is resolved, all else is the answer.
func TestChallenges(t *testing.T) {
	const meta = `Bearer resource_metadata="https://mcp.example.com/m", error="invalid_token"`
	tests := []struct {
		name      string
		status    int
		challenge string
		resolved  bool
	}{
		{"401 without header", 401, "", true},
		{"401 with metadata", 401, meta, true},
		{"401 of another scheme", 401, `Basic realm="x"`, true},
		{"403 insufficient_scope", 403, `Bearer error="insufficient_scope", scope="a b"`, true},
		{"403 without header", 403, "", false},
		{"403 with an invalid token", 403, meta, true},
		{"400 with an invalid token", 400, meta, true},
		{"403 with scopes and no error", 403, `Bearer scope="a b"`, true},
		{"403 of another kind", 403, `Bearer error="access_denied", scope="a b"`, false},
		{"400 of another kind", 400, `Bearer error="invalid_request", scope="a b"`, false},
		{"400 with scopes and no error", 400, `Bearer scope="a b"`, false},
		{"404 with a challenge", 404, meta, false},
		{"500", 500, "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			src, srv := having("old", "new"), accepting("new", tt.status, tt.challenge)
			req, _ := post(t, mcpURL+"?query=not+told", "ping")
			status, body := send(t, &transport.RoundTripper{Source: src, Base: srv}, req)
			if !tt.resolved {
				if status != tt.status || body != "refused" || len(srv.got) != 1 || len(src.challenges) != 0 {
					t.Errorf("got %d %q after %d requests and %d challenges, want the response untouched", status, body, len(srv.got), len(src.challenges))
				}
				return
			}
			if status != 200 || len(srv.got) != 2 || len(src.challenges) != 1 {
				t.Fatalf("got %d after %d requests and %d challenges, want 200 after 2 and 1", status, len(srv.got), len(src.challenges))
			}
			want, _ := auth.ResponseChallenge(tt.status, http.Header{"Www-Authenticate": {tt.challenge}})
			want.Method, want.Operation = "POST", "POST /mcp"
			if got := src.challenges[0]; !reflect.DeepEqual(got, want) {
				t.Errorf("challenge %+v, want %+v", got, want)
			}
			if got := src.rejected[0].AccessToken; got != "old" {
				t.Errorf("rejected token %q, want the one that was sent", got)
			}
		})
	}
}

// Whatever the source says, one request is sent a bounded number of times, and
// what the server said last is the answer.
func TestResendsAreBounded(t *testing.T) {
	src, srv := having("a", "b"), accepting("none", 401, "Bearer")
	req, _ := post(t, mcpURL, "ping")
	status, body := send(t, &transport.RoundTripper{Source: src, Base: srv}, req)
	if status != 401 || body != "refused" || len(srv.got) != 11 {
		t.Errorf("got %d %q after %d requests, want the 401 after 11", status, body, len(srv.got))
	}
}

// The request's body is closed on every way out, a response that nobody sees
// is drained and closed, and one that the caller gets is not.
func TestBodiesAreClosed(t *testing.T) {
	boom := errors.New("boom")
	noToken := having("", "")
	noToken.token = func(context.Context) (*auth.Token, error) { return nil, boom }
	broken := &server{answer: func(*http.Request) (*http.Response, error) { return nil, boom }}
	second := accepting("", 401, "")
	first := second.answer
	second.answer = func(r *http.Request) (*http.Response, error) {
		if r.Header.Get("Authorization") == "Bearer old" {
			return first(r)
		}
		return nil, boom
	}
	tests := []struct {
		name    string
		rt      *transport.RoundTripper
		srv     *server
		url     string
		getBody func() (io.ReadCloser, error)
		err     bool
		status  int
		wantErr string
	}{
		{name: "no source", rt: &transport.RoundTripper{}, err: true, wantErr: "RoundTripper.Source is nil"},
		{name: "bad resource", rt: &transport.RoundTripper{Source: having("a", "b"), Resource: "/mcp"}, err: true, wantErr: "RoundTripper.Resource"},
		{name: "unparsable resource", rt: &transport.RoundTripper{Source: having("a", "b"), Resource: "https://h:x/"}, err: true, wantErr: "RoundTripper.Resource"},
		{name: "no token", rt: &transport.RoundTripper{Source: noToken}, err: true, wantErr: "boom"},
		{name: "base fails", rt: &transport.RoundTripper{Source: having("a", "b")}, srv: broken, err: true, wantErr: "boom"},
		{name: "base fails at another origin", rt: &transport.RoundTripper{Source: having("a", "b"), Resource: mcpURL}, srv: broken, url: "https://other.example.com/", err: true, wantErr: "boom"},
		{name: "resolving fails", rt: &transport.RoundTripper{Source: failing(boom)}, srv: accepting("", 401, ""), err: true, wantErr: "boom"},
		{name: "body cannot be made again", rt: &transport.RoundTripper{Source: having("a", "b")}, srv: accepting("", 401, ""),
			getBody: func() (io.ReadCloser, error) { return nil, boom }, err: true, wantErr: "boom"},
		{name: "second request fails", rt: &transport.RoundTripper{Source: having("old", "new")}, srv: second, err: true, wantErr: "boom"},
		{name: "success", rt: &transport.RoundTripper{Source: having("a", "b")}, srv: accepting("a", 401, ""), status: 200},
		{name: "success at the second try", rt: &transport.RoundTripper{Source: having("a", "b")}, srv: accepting("b", 401, ""), status: 200},
		{name: "refused", rt: &transport.RoundTripper{Source: having("a", "b")}, srv: accepting("b", 403, ""), status: 403},
		{name: "too large to send again", rt: &transport.RoundTripper{Source: having("a", "b"), BodyLimit: 2}, srv: accepting("b", 401, ""), status: 401},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			srv := tt.srv
			if srv == nil {
				srv = accepting("", 500, "")
			}
			tt.rt.Base = srv
			url := tt.url
			if url == "" {
				url = mcpURL
			}
			req, body := post(t, url, "ping")
			req.GetBody = tt.getBody
			resp, err := tt.rt.RoundTrip(req)
			switch {
			case tt.err && (err == nil || resp != nil || !strings.Contains(err.Error(), tt.wantErr)):
				t.Errorf("got %v, %v, want an error with %q", resp, err, tt.wantErr)
			case !tt.err && (err != nil || resp.StatusCode != tt.status):
				t.Errorf("got %v, %v, want %d", resp, err, tt.status)
			}
			if !body.isClosed() {
				t.Error("the request's body is open")
			}
			for i, got := range srv.resp {
				b := got.Body.(*stream)
				if mine := resp != nil && i == len(srv.resp)-1; mine == b.isClosed() || mine == b.drained() {
					t.Errorf("response %d: closed %v, drained %v, handed out %v", i, b.isClosed(), b.drained(), mine)
				}
			}
		})
	}
}

// An endless response does not hold up the resend.
func TestDiscardIsBounded(t *testing.T) {
	srv := accepting("new", 401, "Bearer")
	inner := srv.answer
	endless := &stream{Reader: zeros{}}
	srv.answer = func(r *http.Request) (*http.Response, error) {
		resp, err := inner(r)
		if resp.StatusCode == 401 {
			resp.Body = endless
		}
		return resp, err
	}
	req, _ := post(t, mcpURL, "ping")
	if status, _ := send(t, &transport.RoundTripper{Source: having("old", "new"), Base: srv}, req); status != 200 || !endless.isClosed() {
		t.Errorf("status %d, discarded response closed: %v", status, endless.isClosed())
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// The caller's context reaches the source and the base, and ends the wait for
// a token.
func TestContext(t *testing.T) {
	type key struct{}
	ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "mine"))
	src := having("old", "")
	src.resolve = func(got context.Context, _ *auth.Token, _ auth.Challenge) (*auth.Token, error) {
		if got.Value(key{}) != "mine" {
			t.Error("Resolve got another context")
		}
		cancel()
		<-got.Done()
		return nil, got.Err()
	}
	srv := accepting("none", 401, "")
	inner := srv.answer
	srv.answer = func(r *http.Request) (*http.Response, error) {
		if r.Context().Value(key{}) != "mine" {
			t.Error("the base got another context")
		}
		return inner(r)
	}
	req, body := post(t, mcpURL, "ping")
	resp, err := (&transport.RoundTripper{Source: src, Base: srv}).RoundTrip(req.WithContext(ctx))
	if resp != nil || !errors.Is(err, context.Canceled) || !body.isClosed() {
		t.Errorf("got %v, %v, body closed %v; want context.Canceled", resp, err, body.isClosed())
	}
}

// Base may be left out.
func TestDefaultBase(t *testing.T) {
	var got string
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header.Get("Authorization") }))
	defer srv.Close()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	status, _ := send(t, &transport.RoundTripper{Source: having("a", "b")}, req)
	if status != 200 || got != "Bearer a" {
		t.Errorf("status %d, Authorization %q", status, got)
	}
}

// A request without a body, and one with http.NoBody, need nothing to be sent
// again.
func TestNoBody(t *testing.T) {
	for name, body := range map[string]io.Reader{"nil": nil, "NoBody": http.NoBody, "made by net/http": bytes.NewReader([]byte("ping"))} {
		t.Run(name, func(t *testing.T) {
			srv := accepting("new", 401, "")
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, mcpURL, body)
			if err != nil {
				t.Fatal(err)
			}
			// Nothing may be kept: GetBody makes it again.
			if status, _ := send(t, &transport.RoundTripper{Source: having("old", "new"), Base: srv, BodyLimit: -1}, req); status != 200 {
				t.Fatalf("status %d", status)
			}
			if len(srv.got) != 2 || srv.got[0].body != srv.got[1].body {
				t.Errorf("sent %+v, want the same body twice", srv.got)
			}
		})
	}
}
