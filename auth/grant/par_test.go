package grant_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/browser"
	"github.com/mcptokens/mcptokens/auth/grant"
)

const asPush = asIssuer + "/par"

func pushes(s *auth.Server) { s.PushedAuthorizationRequestEndpoint = asPush }

// The pushed request has all that the browser would have carried, and the browser
// carries none of it.
//
//compat:asking pushed authorization requests (RFC 9126)
//compat:default pushed where that is required or offered
//compat:attack TestPushEndpointThatIsNotSafe
func TestPushedRequest(t *testing.T) {
	for name, secret := range map[string]string{"public client": "", "client with a secret": "its-secret"} {
		t.Run(name, func(t *testing.T) {
			n := network{
				asPush:  new(endpoint).then(answer{status: 201, body: `{"request_uri":"urn:example:1","expires_in":60}`}),
				asToken: says(bearer("access", "")),
			}
			a := answers("code", "the-code")
			cfg := codeConfig(n, a, func(s *auth.Server) {
				pushes(s)
				s.AuthorizationEndpoint = asAuthorize + "?tenant=a&scope=not+ours"
			})
			cfg.Scopes, cfg.Client.Secret = []string{"read"}, secret
			if _, err := start(t, cfg).Authorize(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := a.target.String(); got != asAuthorize+"?client_id=mcp-client&request_uri=urn%3Aexample%3A1&scope=not+ours&tenant=a" {
				t.Errorf("the browser visits %s", got)
			}
			r := wantRequests(t, asPush, n[asPush], 1)[0]
			for name, want := range map[string]string{
				"response_type": "code", "client_id": "mcp-client", "redirect_uri": a.RedirectURI(), "state": a.state,
				"code_challenge_method": "S256", "resource": mcpServer, "scope": "read", "tenant": "", "request_uri": "",
			} {
				if got := r.form.Get(name); got != want {
					t.Errorf("pushed %s %q, want %q", name, got, want)
				}
			}
			if challenge := r.form.Get("code_challenge"); len(challenge) != 43 || a.state == "" {
				t.Errorf("pushed code_challenge %q, state %q", challenge, a.state)
			}
			if basic := r.header.Get("Authorization") != ""; basic != (secret != "") {
				t.Errorf("the client proved itself: %t", basic)
			}
			if verifier := wantRequests(t, asToken, n[asToken], 1)[0].form.Get("code_verifier"); verifier == "" || r.form.Has("code_verifier") {
				t.Error("the verifier went where it does not belong")
			}
		})
	}
}

// Servers that neither require it nor offer it get no push.
func TestNothingPushed(t *testing.T) {
	n := network{asPush: says(`{}`), asToken: says(bearer("access", ""))}
	a := answers("code", "the-code")
	if _, err := start(t, codeConfig(n, a, nil)).Authorize(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantRequests(t, asPush, n[asPush], 0)
	if q := a.target.Query(); q.Get("code_challenge") == "" || q.Has("request_uri") {
		t.Errorf("the browser visits %s", a.target)
	}
}

func TestPushFailures(t *testing.T) {
	tests := []struct {
		name     string
		answer   answer
		required bool
		asked    bool   // the user is, all the same
		text     string // of the error
	}{
		{"refused", answer{status: 400, body: `{"error":"invalid_request","error_description":"redirect_uri is not yours"}`}, false, false,
			`auth: pushed authorization request to https://as.example: refused with invalid_request: the server says "redirect_uri is not yours"`},
		{"unknown client", answer{status: 401, body: `{"error":"invalid_client"}`}, false, false, "refused with invalid_client"},
		{"not there, offered", answer{status: 404}, false, true, ""},
		{"not there, required", answer{status: 404}, true, false, "HTTP 404"},
		{"no POST there, offered", answer{status: 405}, false, true, ""},
		{"no request_uri", answer{status: 201, body: `{"expires_in":60}`}, false, false, "has no request_uri that can be used"},
		{"an endless request_uri", answer{status: 201, body: `{"request_uri":"` + strings.Repeat("secret", 1000) + `"}`}, false, false, "has no request_uri that can be used"},
		{"two of them", answer{status: 201, body: `{"request_uri":"secret-a","request_uri":"secret-b"}`}, false, false, "request_uri"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n := network{asPush: new(endpoint).then(tt.answer), asToken: says(bearer("access", ""))}
			a := answers("code", "the-code")
			cfg := codeConfig(n, a, func(s *auth.Server) {
				pushes(s)
				s.RequirePushedAuthorizationRequests = tt.required
			})
			_, err := start(t, cfg).Authorize(t.Context())
			if (a.target != nil) != tt.asked || (err == nil) != tt.asked {
				t.Fatalf("error %v; the user was asked: %t", err, a.target != nil)
			}
			if err != nil {
				as[*auth.TokenError](t, err)
				if !strings.Contains(err.Error(), tt.text) {
					t.Errorf("error %q, want %q", err, tt.text)
				}
				wantNoSecret(t, err.Error())
			}
			wantRequests(t, asPush, n[asPush], 1)
		})
	}
}

func TestPushRequiredNowhere(t *testing.T) {
	n := network{asToken: says(bearer("access", ""))}
	a := answers("code", "the-code")
	_, err := start(t, codeConfig(n, a, func(s *auth.Server) { s.RequirePushedAuthorizationRequests = true })).Authorize(t.Context())
	if as[*auth.AuthorizationError](t, err); a.target != nil || !strings.Contains(err.Error(), "set Config.Server.PushedAuthorizationRequestEndpoint") {
		t.Errorf("error %v", err)
	}
}

// Where the endpoint's URL may not be requested the error says so, if it is needed.
func TestPushEndpointThatIsNotSafe(t *testing.T) {
	srv := authtest.NewServerConfig(t, authtest.Config{InMemory: true, RequirePAR: true, Metadata: func(doc map[string]any) {
		doc["pushed_authorization_request_endpoint"] = "http://as.example/par"
	}})
	res := srv.Protect(http.NotFoundHandler(), authtest.Protection{})
	m := start(t, auth.Config{Resource: res.URL, HTTPClient: srv.Client(), Grant: grant.AuthorizationCode{UserAgent: browser.Headless{Client: srv.Client()}}})
	_, err := m.Authorize(t.Context())
	if as[*auth.AuthorizationError](t, err); !strings.Contains(err.Error(), "pushed_authorization_request_endpoint") {
		t.Errorf("error %v", err)
	}
}

// The whole way at a server that looks at everything; each login pushes a request
// of its own.
func TestLoginWithPushedRequests(t *testing.T) {
	for name, kit := range map[string]authtest.Config{"required": {RequirePAR: true}, "offered": {PAR: true}} {
		t.Run(name, func(t *testing.T) {
			kit.InMemory = true
			srv := authtest.NewServerConfig(t, kit)
			res := srv.Protect(http.NotFoundHandler(), authtest.Protection{Scopes: []string{"read"}})
			m := start(t, auth.Config{Resource: res.URL, HTTPClient: srv.Client(), Grant: grant.AuthorizationCode{UserAgent: browser.Headless{Client: srv.Client()}}})
			for i := 1; i <= 2; i++ {
				if _, err := m.Authorize(t.Context()); err != nil {
					t.Fatal(err)
				}
				if c := srv.Counts(); c.PAR != i || c.Authorize != i {
					t.Errorf("%d pushes and %d authorization requests after %d logins", c.PAR, c.Authorize, i)
				}
				if err := m.Revoke(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// A client that the server forgot is noticed before a window opens.
func TestForgottenClientPushes(t *testing.T) {
	srv := authtest.NewServerConfig(t, authtest.Config{InMemory: true, RequirePAR: true})
	res := srv.Protect(http.NotFoundHandler(), authtest.Protection{})
	visits := 0
	agent := countingAgent{browser.Headless{Client: srv.Client()}, &visits}
	m := start(t, auth.Config{Resource: res.URL, HTTPClient: srv.Client(), Grant: grant.AuthorizationCode{UserAgent: agent}})
	if _, err := m.Authorize(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := m.Revoke(t.Context()); err != nil {
		t.Fatal(err)
	}
	srv.RemoveClient(srv.Registrations()[0].ClientID)
	for range 2 { // the first finds out, unless it goes on by itself
		if _, err := m.Authorize(t.Context()); err == nil {
			break
		} else if te := (*auth.TokenError)(nil); !errors.As(err, &te) || te.Code != "invalid_client" {
			t.Fatal(err)
		}
	}
	if _, err := m.Token(t.Context()); err != nil || visits != 2 || len(srv.Registrations()) != 2 {
		t.Errorf("%v after %d windows and %d registrations", err, visits, len(srv.Registrations()))
	}
}

// countingAgent counts the windows that open.
type countingAgent struct {
	auth.UserAgent
	visits *int
}

func (a countingAgent) Start(ctx context.Context, preferred []string) (auth.UserAgentSession, error) {
	s, err := a.UserAgent.Start(ctx, preferred)
	return countingSession{s, a.visits}, err
}

type countingSession struct {
	auth.UserAgentSession
	visits *int
}

func (s countingSession) Visit(ctx context.Context, target, state string) (url.Values, error) {
	*s.visits++
	return s.UserAgentSession.Visit(ctx, target, state)
}
