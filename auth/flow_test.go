package auth_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

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

func TestFlowTokenExchange(t *testing.T) {
	tests := []struct {
		name, more string
		tokenType  string
		life       time.Duration
		scopes     string
	}{
		{"bare", ``, "", 0, "read"},
		{"whole", `,"token_type":"N_A","expires_in":300,"scope":"a b"`, "N_A", 5 * time.Minute, "a b"},
		{"lenient", `,"token_type":"bearer","expires_in":"300","scope":""`, "bearer", 5 * time.Minute, "read"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &flowServer{bodies: map[string]string{"/exchange": `{"access_token":"the-secret","issued_token_type":"urn:example:type"` + tt.more + `}`}}
				flow(t, s, func(ctx context.Context, f *auth.Flow) error {
					form := url.Values{"scope": {"read"}, "audience": {"https://other.example"}}
					got, err := f.TokenExchange(ctx, &auth.Server{TokenEndpoint: "https://idp.example/exchange"}, &auth.Client{ID: "at-idp"}, form)
					if err != nil {
						return err
					}
					if got.Token != "the-secret" || got.IssuedTokenType != "urn:example:type" || got.TokenType != tt.tokenType || strings.Join(got.Scopes, " ") != tt.scopes {
						t.Errorf("got %q %q %q %q", got.Token, got.IssuedTokenType, got.TokenType, got.Scopes)
					}
					if tt.life == 0 && !got.Expiry.IsZero() || tt.life != 0 && time.Until(got.Expiry) != tt.life {
						t.Errorf("expiry %v", got.Expiry)
					}
					if form.Has("grant_type") {
						t.Error("the caller's form was changed")
					}
					wantRedacted(t, "auth.ExchangedToken{urn:example:type}", got, *got)
					return nil
				})
				want := url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "scope": {"read"}, "audience": {"https://other.example"}, "client_id": {"at-idp"}}
				if len(s.forms) != 1 || s.forms[0].Encode() != want.Encode() {
					t.Errorf("forms %v, want %v: no resource of ours is added", s.forms, want)
				}
			})
		})
	}
}

func TestFlowAuthorizeDevice(t *testing.T) {
	s := &flowServer{bodies: map[string]string{"/device": `{"device_code":"the-secret","user_code":"USER-secret","verification_uri":"https://as.example/","interval":1}`}}
	flow(t, s, func(ctx context.Context, f *auth.Flow) error {
		got, err := f.AuthorizeDevice(ctx, &auth.Client{ID: clientID})
		if err != nil {
			return err
		}
		if got.DeviceCode != "the-secret" || got.UserCode != "USER-secret" || got.VerificationURI != "https://as.example/" || got.Interval != time.Second || !got.Expiry.IsZero() {
			t.Error("the answer was misread")
		}
		wantRedacted(t, "auth.DeviceAuthorization{}", got, *got)
		return nil
	})
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

// wantRedacted fails the test unless each of values prints as text, whatever the
// verb or log handler.
func wantRedacted(t *testing.T, text string, values ...any) {
	t.Helper()
	for _, v := range values {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			if got := fmt.Sprintf(verb, v); got != text {
				t.Errorf("%s of %T prints %q, want %q", verb, v, got, text)
			}
		}
		var logged bytes.Buffer
		slog.New(slog.NewJSONHandler(&logged, nil)).Info("", "v", v)
		if !strings.Contains(logged.String(), text) || strings.Contains(logged.String(), "secret") {
			t.Errorf("%T is logged as %s", v, logged.String())
		}
	}
}

// Answers that are not what was asked for, and how often each is asked for again:
// a server that did something gets one more request, a page none at once.
func TestFlowMalformedAnswers(t *testing.T) {
	exchange := func(ctx context.Context, f *auth.Flow) error {
		_, err := f.TokenExchange(ctx, f.Server, &auth.Client{ID: clientID}, nil)
		return err
	}
	device := func(ctx context.Context, f *auth.Flow) error {
		_, err := f.AuthorizeDevice(ctx, &auth.Client{ID: clientID})
		return err
	}
	tests := []struct {
		name, path, body string
		ask              func(ctx context.Context, f *auth.Flow) error
		text             string
	}{
		{"exchange, broken", "/token", `{"access_token":"secret`, exchange, "no token response"},
		{"exchange, no token", "/token", `{"issued_token_type":"secret"}`, exchange, "no access_token"},
		{"exchange, no type", "/token", `{"access_token":"secret"}`, exchange, "no issued_token_type"},
		{"exchange, a page", "/token", `<html>secret`, exchange, "not JSON"},
		{"device, broken", "/device", `{"device_code":"secret`, device, "lacks device_code"},
		{"device, no code", "/device", `{"user_code":"secret"}`, device, "lacks device_code"},
		{"device, a page", "/device", `<html>secret`, device, "not JSON"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				flow(t, &flowServer{bodies: map[string]string{tt.path: tt.body}}, func(ctx context.Context, f *auth.Flow) error {
					err := tt.ask(ctx, f)
					if e := asError[*auth.TokenError](t, err); !strings.Contains(e.Error(), tt.text) || strings.Contains(e.Error(), "secret") || !e.Retryable() {
						t.Errorf("error %v, want %q", err, tt.text)
					}
					return nil
				})
			})
		})
	}
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
