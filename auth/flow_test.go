package auth_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/discovery"
)

// flowGrant is a grant of somebody's own.
type flowGrant func(ctx context.Context, f *auth.Flow) (*auth.Token, error)

func (flowGrant) Type() string      { return "urn:example:own" }
func (flowGrant) Interactive() bool { return true }
func (g flowGrant) Authorize(ctx context.Context, f *auth.Flow) (*auth.Token, error) {
	return g(ctx, f)
}

// flowServer answers requests with bodies by path, and keeps the forms.
type flowServer struct {
	bodies map[string]string
	forms  []url.Values
}

func (s *flowServer) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		body, _ := io.ReadAll(req.Body)
		form, _ := url.ParseQuery(string(body))
		s.forms = append(s.forms, form)
	}
	body, status := s.bodies[req.URL.Path], http.StatusOK
	if body == "" {
		status = http.StatusNotFound
	}
	return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body)), Request: req}, nil
}

// flow runs use in the middle of an authorization.
func flow(t *testing.T, s *flowServer, use func(ctx context.Context, f *auth.Flow) error) {
	t.Helper()
	m, err := auth.NewManager(auth.Config{
		Resource: "https://mcp.example/mcp",
		Server: &auth.Server{
			Issuer: "https://as.example", TokenEndpoint: "https://as.example/token",
			DeviceAuthorizationEndpoint: "https://as.example/device",
		},
		Client:     auth.Client{ID: clientID},
		Scopes:     []string{"read", "write"},
		HTTPClient: &http.Client{Transport: s},
		Grant: flowGrant(func(ctx context.Context, f *auth.Flow) (*auth.Token, error) {
			if err := use(ctx, f); err != nil {
				return nil, err
			}
			return &auth.Token{AccessToken: "access"}, nil
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if _, err := m.Authorize(t.Context()); err != nil {
		t.Errorf("Authorize: %v", err)
	}
}

// What is sent and returned, by default and to another server.
func TestFlowPost(t *testing.T) {
	s := &flowServer{bodies: map[string]string{"/device": `{"device_code":"d"}`, "/token": `{"own":1}`, "/exchange": ` {"error":"","x":[]}`}}
	form := url.Values{"grant_type": {"urn:example:type"}, "scope": {"read"}}
	tests := []struct {
		name, path string
		post       auth.Post
		form       url.Values
	}{
		{"another endpoint", "/device", auth.Post{Endpoint: "https://as.example/device"}, url.Values{"client_id": {clientID}}},
		{"the token endpoint", "/token", auth.Post{Form: form}, url.Values{"grant_type": {"urn:example:type"}, "scope": {"read"}, "client_id": {clientID}}},
		{"another server", "/exchange", auth.Post{Server: &auth.Server{TokenEndpoint: "https://idp.example/exchange"}, Client: &auth.Client{ID: "at-idp"}, Form: form},
			url.Values{"grant_type": {"urn:example:type"}, "scope": {"read"}, "client_id": {"at-idp"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s.forms = nil
			flow(t, s, func(ctx context.Context, f *auth.Flow) error {
				if tt.post.Client == nil {
					tt.post.Client = &auth.Client{ID: clientID}
				}
				got, err := f.Post(ctx, tt.post)
				if string(got) != s.bodies[tt.path] {
					t.Errorf("body %q, want %q", got, s.bodies[tt.path])
				}
				return err
			})
			if len(s.forms) != 1 || s.forms[0].Encode() != tt.form.Encode() {
				t.Errorf("forms %v, want %v and nothing else", s.forms, tt.form)
			}
			if len(form) != 2 {
				t.Errorf("the caller's form was changed to %v", form)
			}
		})
	}
}

// What errors of a request are called, what they say, and how often it is sent.
func TestFlowPostErrors(t *testing.T) {
	own := auth.Post{Form: url.Values{"grant_type": {"urn:example:type"}}}
	tests := []struct {
		name, body string
		post       auth.Post
		text       string
		code       string
		retryable  bool
		requests   int // 0: many
	}{
		{"a page", `<html>secret`, own, "token request (type) to https://as.example: HTTP 200: a page instead of JSON", "", true, 0},
		{"a page, once", `<html>secret`, auth.Post{Once: true, Form: own.Form}, "a page instead of JSON", "", true, 1},
		{"refused with 200", `{"error":"invalid_target","error_description":"no such audience"}`, own, "refused with invalid_target: the server says \"no such audience\"", "invalid_target", false, 1},
		{"busy with 200", `{"error":"temporarily_unavailable"}`, own, "temporarily_unavailable", "temporarily_unavailable", true, 0},
		{"nothing there", ``, own, "HTTP 404", "", false, 1},
		{"a name of its own", ``, auth.Post{Name: "own request", Form: own.Form}, "own request to", "", false, 1},
		{"no grant type", ``, auth.Post{}, "token request (own) to", "", false, 1},
		{"no issuer", ``, auth.Post{Server: &auth.Server{TokenEndpoint: "https://idp.example/token?key=secret"}}, "to https://idp.example/token: HTTP 404", "", false, 1},
		{"an endpoint that is none", ``, auth.Post{Endpoint: "http://as.example/secret"}, "https", "", false, -1},
		{"no endpoint", ``, auth.Post{Server: &auth.Server{Issuer: "https://idp.example"}}, "has no endpoint for this request", "", false, -1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &flowServer{bodies: map[string]string{"/token": tt.body}}
				flow(t, s, func(ctx context.Context, f *auth.Flow) error {
					tt.post.Client = &auth.Client{ID: clientID}
					body, err := f.Post(ctx, tt.post)
					e := asError[*auth.TokenError](t, err)
					if body != nil || !strings.Contains(e.Error(), tt.text) || strings.Contains(e.Error(), "secret") || e.Code != tt.code || e.Retryable() != tt.retryable {
						t.Errorf("body %q, error %v, retryable %v; want %q", body, err, e.Retryable(), tt.text)
					}
					return nil
				})
				if n := len(s.forms); tt.requests == 0 && n < 3 || tt.requests != 0 && n != max(tt.requests, 0) {
					t.Errorf("%d requests, want %d (0: many)", n, tt.requests)
				}
			})
		})
	}
}

func TestFlowDiscover(t *testing.T) {
	s := &flowServer{bodies: map[string]string{"/.well-known/openid-configuration/idp": `{"issuer":"https://idp.example/idp","token_endpoint":"https://idp.example/token"}`}}
	flow(t, s, func(ctx context.Context, f *auth.Flow) error {
		srv, err := f.Discover(ctx, "https://idp.example/idp")
		if err != nil {
			return err
		}
		if srv.TokenEndpoint != "https://idp.example/token" {
			t.Errorf("token endpoint %q", srv.TokenEndpoint)
		}
		if _, err := f.Discover(ctx, "https://idp.example/other"); !errors.Is(err, discovery.ErrNotFound) {
			t.Errorf("error %v", err)
		}
		return nil
	})
}

// What a token response without scope granted is what the request asked for.
func TestFlowExchangeScopes(t *testing.T) {
	s := &flowServer{bodies: map[string]string{"/token": `{"access_token":"a","token_type":"Bearer"}`}}
	flow(t, s, func(ctx context.Context, f *auth.Flow) error {
		for scope, want := range map[string]string{"": "read write", "read": "read"} {
			form := url.Values{"grant_type": {"urn:example:own"}}
			if scope != "" {
				form.Set("scope", scope)
			}
			tok, err := f.Exchange(ctx, &auth.Client{ID: clientID}, form)
			if err != nil {
				return err
			}
			if got := strings.Join(tok.Scopes, " "); got != want {
				t.Errorf("asked for %q: granted %q, want %q", scope, got, want)
			}
		}
		return nil
	})
}

func TestFlowExchangeOnce(t *testing.T) {
	s := &flowServer{bodies: map[string]string{"/token": `<html>`}}
	flow(t, s, func(ctx context.Context, f *auth.Flow) error {
		_, err := f.ExchangeOnce(ctx, &auth.Client{ID: clientID}, url.Values{"grant_type": {"urn:example:own"}})
		if e := asError[*auth.TokenError](t, err); !e.Retryable() || len(s.forms) != 1 {
			t.Errorf("error %v after %d requests, want a transient one after 1", err, len(s.forms))
		}
		s.bodies["/token"] = `{"access_token":"a","token_type":"Bearer"}`
		tok, err := f.ExchangeOnce(ctx, &auth.Client{ID: clientID}, url.Values{"grant_type": {"urn:example:own"}})
		if err == nil && (tok.AccessToken != "a" || s.forms[1].Get("resource") != f.Resource) {
			t.Errorf("token %v for %v", tok, s.forms[1])
		}
		return err
	})
}

func TestFlowRedactsItself(t *testing.T) {
	flow(t, &flowServer{}, func(_ context.Context, f *auth.Flow) error {
		want := "auth.Flow{https://as.example for https://mcp.example/mcp}"
		if got := fmt.Sprintf("%v %+v %#v", f, f, *f); got != want+" "+want+" "+want {
			t.Errorf("printed as %q", got)
		}
		return nil
	})
}

// A request of a grant's own must not carry its body to another place.
func TestFlowHTTPClientFollowsNoRedirect(t *testing.T) {
	flow(t, &flowServer{}, func(_ context.Context, f *auth.Flow) error {
		req, err := http.NewRequest(http.MethodPost, "https://as.example/own", nil)
		if err != nil {
			return err
		}
		if err := f.HTTPClient().CheckRedirect(req, []*http.Request{req}); !errors.Is(err, http.ErrUseLastResponse) {
			t.Errorf("CheckRedirect: %v", err)
		}
		return nil
	})
}
