package grant_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/discovery"
	"github.com/mcptokens/mcptokens/auth/grant"
)

const asAuthorize = asIssuer + "/authorize"

// agent is a user agent that comes back with whatever the test says.
type agent struct {
	answer   func(request url.Values) url.Values
	startErr error
	visitErr error

	preferred []string
	target    *url.URL
	state     string
	finished  []error
}

func (a *agent) Start(_ context.Context, preferred []string) (auth.UserAgentSession, error) {
	a.preferred = preferred
	if a.startErr != nil {
		return nil, a.startErr
	}
	return a, nil
}

func (a *agent) RedirectURI() string { return "http://127.0.0.1:4711/callback" }

func (a *agent) Visit(_ context.Context, target, state string) (url.Values, error) {
	u, err := url.Parse(target)
	if err != nil {
		return nil, err
	}
	a.target, a.state = u, state
	if a.visitErr != nil {
		return nil, a.visitErr
	}
	return a.answer(u.Query()), nil
}

func (a *agent) Finish(err error) { a.finished = append(a.finished, err) }

// answers is a user agent whose redirect carries these parameters, names and
// values in turn; an empty value leaves the name out.
func answers(kv ...string) *agent {
	return &agent{answer: func(url.Values) url.Values {
		v := make(url.Values)
		for i := 0; i < len(kv); i += 2 {
			v.Add(kv[i], kv[i+1])
		}
		return v
	}}
}

// codeConfig is a configuration for a login through a.
func codeConfig(n network, a auth.UserAgent, edit func(*auth.Server)) auth.Config {
	cfg := config(n, grant.AuthorizationCode{UserAgent: a})
	cfg.Server.AuthorizationEndpoint = asAuthorize
	if edit != nil {
		edit(cfg.Server)
	}
	return cfg
}

func TestAuthorizationCodeType(t *testing.T) {
	var g grant.AuthorizationCode
	if g.Type() != "authorization_code" || !g.Interactive() {
		t.Errorf("%q, interactive %v", g.Type(), g.Interactive())
	}
}

// The two requests of the grant, parameter by parameter.
func TestAuthorizationCodeRequests(t *testing.T) {
	n := network{asToken: says(bearer("a1", `,"refresh_token":"r1","expires_in":3600`))}
	a := answers("code", "the-code", "iss", asIssuer)
	cfg := codeConfig(n, a, func(s *auth.Server) {
		s.AuthorizationEndpoint = asAuthorize + "?tenant=a%20b&scope=not+ours"
		s.ScopesSupported = []string{"offline_access"}
	})
	cfg.Scopes = []string{"read", "write"}
	m := start(t, cfg)
	tok, err := m.Authorize(t.Context())
	if err != nil || tok.AccessToken != "a1" || tok.RefreshToken != "r1" || !slices.Equal(tok.Scopes, []string{"read", "write", "offline_access"}) {
		t.Fatalf("Authorize = %v, %v", tok, err)
	}

	form := wantRequests(t, "token endpoint", n[asToken], 1)[0].form
	verifier := form.Get("code_verifier")
	wantForm(t, form,
		"grant_type", "authorization_code", "code", "the-code", "redirect_uri", a.RedirectURI(),
		"code_verifier", verifier, "client_id", "mcp-client", "resource", mcpServer)
	if len(verifier) < 43 {
		t.Errorf("code_verifier of %d characters, want 43 at least (RFC 7636 section 4.1)", len(verifier))
	}
	sum := sha256.Sum256([]byte(verifier))
	wantForm(t, a.target.Query(),
		"tenant", "a b", "response_type", "code", "client_id", "mcp-client", "redirect_uri", a.RedirectURI(),
		"state", a.state, "code_challenge", base64.RawURLEncoding.EncodeToString(sum[:]), "code_challenge_method", "S256",
		"resource", mcpServer, "scope", "read write offline_access", "prompt", "consent")
	if len(a.state) < 22 { // 128 bits
		t.Errorf("state %q is too short to be a secret", a.state)
	}
	if !slices.Equal(a.finished, []error{nil}) {
		t.Errorf("the user was told %v, want success once", a.finished)
	}
}

// State and verifier are new each time.
func TestAuthorizationCodeSecretsAreFresh(t *testing.T) {
	n := network{asToken: says(bearer("a1", ""))}
	seen := make(map[string]bool)
	for range 3 {
		a := answers("code", "c")
		if _, err := start(t, codeConfig(n, a, nil)).Authorize(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{a.state, a.target.Query().Get("code_challenge")} {
			if seen[secret] {
				t.Errorf("%q was used before", secret)
			}
			seen[secret] = true
		}
		if a.target.Query().Has("scope") || a.target.Query().Has("prompt") {
			t.Errorf("scope %q and prompt %q were sent; none was asked for", a.target.Query()["scope"], a.target.Query()["prompt"])
		}
	}
}

// RFC 9207 section 2.4 as MCP 2026-07-28 has it. The check comes first, so
// that not even an error of a stranger's is believed.
func TestIssuerParameter(t *testing.T) {
	tests := []struct {
		name      string
		supported bool
		answer    []string
		ok        bool
	}{
		{"supported, right", true, []string{"code", "c", "iss", asIssuer}, true},
		{"supported, missing", true, []string{"code", "c"}, false},
		{"supported, empty", true, []string{"code", "c", "iss", ""}, false},
		{"supported, another", true, []string{"code", "c", "iss", "https://evil.example"}, false},
		{"supported, slash at the end", true, []string{"code", "c", "iss", asIssuer + "/"}, false},
		{"supported, capitals", true, []string{"code", "c", "iss", strings.ToUpper(asIssuer)}, false},
		{"supported, port spelt out", true, []string{"code", "c", "iss", asIssuer + ":443"}, false},
		{"supported, twice", true, []string{"code", "c", "iss", asIssuer, "iss", asIssuer}, false},
		{"supported, missing in an error", true, []string{"error", "access_denied"}, false},
		{"not supported, missing", false, []string{"code", "c"}, true},
		{"not supported, right", false, []string{"code", "c", "iss", asIssuer}, true},
		{"not supported, another", false, []string{"code", "c", "iss", "https://evil.example"}, false},
		{"not supported, empty", false, []string{"code", "c", "iss", ""}, false},
		{"not supported, another in an error", false, []string{"error", "access_denied", "iss", "https://evil.example"}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n := network{asToken: says(bearer("a1", ""))}
			a := answers(tt.answer...)
			m := start(t, codeConfig(n, a, func(s *auth.Server) { s.AuthorizationResponseIssParameterSupported = tt.supported }))
			_, err := m.Authorize(t.Context())
			if tt.ok {
				if err != nil {
					t.Errorf("Authorize: %v", err)
				}
				return
			}
			ae := as[*auth.AuthorizationError](t, err)
			if !errors.Is(err, auth.ErrIssuerParameter) || ae.Code != "" || ae.Issuer != asIssuer {
				t.Errorf("error %+v, want ErrIssuerParameter and nothing of the response", ae)
			}
			wantRequests(t, "token endpoint", n[asToken], 0)
			if len(a.finished) != 1 || !errors.Is(a.finished[0], auth.ErrIssuerParameter) {
				t.Errorf("the user was told %v", a.finished)
			}
		})
	}
}

// What else the server can answer.
func TestAuthorizationResponse(t *testing.T) {
	tests := []struct {
		name   string
		answer []string
		code   string
		err    error
	}{
		{"denied", []string{"error", "access_denied", "error_description", "not today", "code", "c"}, "access_denied", nil},
		{"invalid scope", []string{"error", "invalid_scope"}, "invalid_scope", nil},
		{"code that is none", []string{"error", "Secret-Token-1"}, "unknown_error", nil},
		{"empty error", []string{"error", "", "code", "c"}, "unknown_error", nil},
		{"no code", []string{"state", "s"}, "", auth.ErrMissingCode},
		{"empty code", []string{"code", ""}, "", auth.ErrMissingCode},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n := network{asToken: says(bearer("a1", ""))}
			_, err := start(t, codeConfig(n, answers(tt.answer...), nil)).Authorize(t.Context())
			ae := as[*auth.AuthorizationError](t, err)
			if ae.Code != tt.code || tt.err != nil && !errors.Is(err, tt.err) {
				t.Errorf("error %+v, want code %q, %v", ae, tt.code, tt.err)
			}
			wantNoSecret(t, strings.ToLower(err.Error()))
			wantRequests(t, "token endpoint", n[asToken], 0)
		})
	}
}

// Without PKCE, and without a safe place to send the user to, nobody is sent
// anywhere.
func TestServerIsUnfit(t *testing.T) {
	tests := []struct {
		name string
		edit func(*auth.Server)
		err  error
		text string
	}{
		{"no PKCE", func(s *auth.Server) { s.CodeChallengeMethodsSupported = []string{} }, auth.ErrNoPKCE, "does not support PKCE"},
		{"plain PKCE", func(s *auth.Server) { s.CodeChallengeMethodsSupported = []string{"plain"} }, auth.ErrNoPKCE, "does not support PKCE"},
		{"no authorization endpoint", func(s *auth.Server) { s.AuthorizationEndpoint = "" }, discovery.ErrMalformed, "has no authorization_endpoint: set Config.Server.AuthorizationEndpoint"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := answers("code", "c")
			_, err := start(t, codeConfig(network{}, a, tt.edit)).Authorize(t.Context())
			if as[*auth.AuthorizationError](t, err); !errors.Is(err, tt.err) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("error %q, want %q", err, tt.text)
			}
			if a.target != nil || len(a.finished) != 0 {
				t.Errorf("the user agent was started")
			}
		})
	}
}

// What a user agent fails with is in the error; a session that was started is
// finished, once.
func TestUserAgentFails(t *testing.T) {
	boom := errors.New("no display")
	for name, tt := range map[string]struct {
		agent    *agent
		finished int
	}{
		"start": {&agent{startErr: boom}, 0},
		"visit": {&agent{visitErr: boom}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := start(t, codeConfig(network{}, tt.agent, nil)).Authorize(t.Context())
			if ae := as[*auth.AuthorizationError](t, err); ae.Issuer != asIssuer || !errors.Is(err, boom) || !strings.Contains(ae.Error(), "no display") {
				t.Errorf("error %+v", ae)
			}
			if len(tt.agent.finished) != tt.finished || tt.finished == 1 && !errors.Is(tt.agent.finished[0], boom) {
				t.Errorf("the user was told %v", tt.agent.finished)
			}
		})
	}
}

// The user learns the outcome only when the code has been exchanged.
func TestUserIsToldTheTruth(t *testing.T) {
	n := network{asToken: says().then(refuses("invalid_grant"))}
	a := answers("code", "c")
	_, err := start(t, codeConfig(n, a, nil)).Authorize(t.Context())
	te := as[*auth.TokenError](t, err)
	var shown *auth.TokenError
	if te.Code != "invalid_grant" || len(a.finished) != 1 || !errors.As(a.finished[0], &shown) || shown.Code != te.Code {
		t.Errorf("%v; the user was told %v", err, a.finished)
	}

	// A registration that failed is no reason to open a browser.
	cfg := codeConfig(network{}, a, nil)
	cfg.Client = auth.Client{}
	a.target, a.finished = nil, nil
	_, err = start(t, cfg).Authorize(t.Context())
	if ce := as[*auth.ConfigError](t, err); ce.Field != "Config.Client.ID" || a.target != nil || len(a.finished) != 1 || a.finished[0] == nil {
		t.Errorf("%v; the user was told %v", err, a.finished)
	}
}
