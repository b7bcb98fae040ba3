package auth_test

import (
	"errors"
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/discovery"
	"github.com/mcptokens/mcptokens/auth/grant"
)

// What goes wrong at the token endpoint during the exchange is retried, as
// far as a code that works once allows, and never costs a second login.
func TestCodeExchangeFaults(t *testing.T) {
	tests := []struct {
		fault    authtest.Fault
		requests int
		code     string // of the error; "ok": a token
	}{
		{authtest.Status(500), 2, "ok"},
		{authtest.HTMLStatus(502), 2, "ok"},
		{authtest.RetryAfter(503, 2*time.Second), 2, "ok"},
		{authtest.RetryAfterDate(429, 2*time.Second), 2, "ok"},
		{authtest.ResetBefore(), 2, "ok"},
		{authtest.Delay(time.Second), 1, "ok"},
		{authtest.WrongContentType(), 1, "ok"},
		{authtest.HTML(), 2, "ok"},
		{authtest.OAuthError("server_error", 500), 2, "ok"},
		{authtest.OAuthError("temporarily_unavailable", 400), 2, "ok"},
		{authtest.OAuthError("invalid_grant", 400), 1, "invalid_grant"},
		{authtest.OAuthError("invalid_client", 401), 2, "ok"}, // once is not believed
		{authtest.OAuthError("unauthorized_client", 400), 2, "ok"},
		{authtest.Redirect("http://127.0.0.1:1/"), 1, ""},
		// The code was spent and the answer is lost: one more request says so.
		{authtest.ResetAfter(), 2, "invalid_grant"},
		{authtest.Truncated(), 2, "invalid_grant"},
	}
	for _, tt := range tests {
		t.Run(tt.fault.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, authtest.Config{}, authtest.Protection{})
				p := k.asked(0)
				m := k.manager(k.bothering(p))
				k.srv.Inject(authtest.TokenEndpoint, tt.fault)
				for range 2 { // the second caller gets the same, and no other browser
					tok, err := m.Resolve(t.Context(), nil, k.unauthorized())
					if tt.code == "ok" {
						if err != nil || k.call(tok) != 200 {
							t.Fatalf("Resolve = %v, %v", tok, err)
						}
					} else if te := asError[*auth.TokenError](t, err); te.Code != tt.code || te.GrantType != "authorization_code" {
						t.Fatalf("error %v, want code %q", err, tt.code)
					}
				}
				if c := k.srv.Counts(); c.Token != tt.requests || p.browsers() != 1 {
					t.Errorf("%d token requests, %d browsers, want %d and 1", c.Token, p.browsers(), tt.requests)
				}
			})
		})
	}
}

// Authorize uses what there is before it bothers anybody.
func TestAuthorizePrefers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		p := k.asked(0)
		cfg := k.config()
		cfg.Grant, cfg.NoIdleRefresh = grant.AuthorizationCode{UserAgent: p}, true
		m, _ := k.started(cfg)
		tok := mustToken(t, m)
		if got, err := m.Authorize(t.Context()); err != nil || got != tok {
			t.Errorf("Authorize = %v, %v, want the token in use", got, err)
		}
		time.Sleep(2 * time.Hour)
		if got, err := m.Authorize(t.Context()); err != nil || got.AccessToken == tok.AccessToken || p.browsers() != 0 {
			t.Errorf("Authorize = %v, %v with %d browsers, want a refreshed token", got, err, p.browsers())
		}
		k.wantRefreshes(1)
		k.srv.RevokeAll()
		time.Sleep(2 * time.Hour)
		if got, err := m.Authorize(t.Context()); err != nil || k.call(got) != 200 || p.browsers() != 1 {
			t.Errorf("Authorize = %v, %v with %d browsers, want a login", got, err, p.browsers())
		}
	})

	t.Run("no grant", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			k := newKit(t, authtest.Config{}, authtest.Protection{})
			m := k.manager(k.config())
			_, err := m.Authorize(t.Context())
			if ce := asError[*auth.ConfigError](t, err); ce.Field != "Config.Grant" {
				t.Errorf("error names %s", ce.Field)
			}
		})
	})

	t.Run("transient failure", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			k := newKit(t, authtest.Config{}, authtest.Protection{})
			p := k.asked(0)
			cfg := k.config()
			cfg.Grant, cfg.NoIdleRefresh = grant.AuthorizationCode{UserAgent: p}, true
			m, _ := k.started(cfg)
			time.Sleep(2 * time.Hour)
			k.srv.InjectAlways(authtest.TokenEndpoint, authtest.Status(502))
			_, err := m.Authorize(t.Context())
			if te := asError[*auth.TokenError](t, err); te.StatusCode != 502 || p.browsers() != 0 {
				t.Errorf("%v with %d browsers, want the failure and none", err, p.browsers())
			}
		})
	})
}

// The specification's scope selection, as the authorization request shows it.
func TestScopeSelection(t *testing.T) {
	tests := []struct {
		name       string
		supported  []string // the resource's scopes_supported
		as         []string // the authorization server's
		configured []string
		challenge  []string
		want       string
	}{
		{"nothing is known", nil, nil, nil, nil, ""},
		{"the challenge's", []string{"x", "y"}, nil, nil, []string{"a", "b"}, "a b"},
		{"the resource's", []string{"x", "y"}, nil, nil, nil, "x y"},
		{"the configured", []string{"x", "y"}, nil, []string{"c"}, nil, "c"},
		{"the configured and the challenge's", []string{"x"}, nil, []string{"c", "a"}, []string{"a", "b"}, "c a b"},
		{"offline_access where there is such a scope", nil, []string{"a", "offline_access"}, nil, []string{"a"}, "a offline_access"},
		{"not twice", nil, []string{"a", "offline_access"}, nil, []string{"offline_access", "a"}, "offline_access a"},
		{"not alone", nil, []string{"a", "offline_access"}, nil, nil, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, authtest.Config{ScopesSupported: tt.as}, authtest.Protection{Metadata: func(doc map[string]any) {
					if tt.supported != nil {
						doc["scopes_supported"] = tt.supported
					}
				}})
				p := k.asked(0)
				cfg := k.bothering(p)
				cfg.Scopes = tt.configured
				if _, err := k.manager(cfg).Resolve(t.Context(), nil, k.unauthorized(tt.challenge...)); err != nil {
					t.Fatal(err)
				}
				if got := p.visit(0); got.Get("scope") != tt.want || got.Has("scope") != (tt.want != "") {
					t.Errorf("scope %q, want %q", got["scope"], tt.want)
				}
			})
		})
	}
}

// Nothing that was granted or asked for is lost in the next login.
func TestScopesAreKept(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{ScopesSupported: []string{"a", "b", "c"}}, authtest.Protection{})
		p := k.asked(0)
		m := k.manager(k.bothering(p))
		works := func(tok *auth.Token) bool { return k.call(tok) == 200 }
		tok, err := k.insist(m, nil, k.unauthorized("a", "unknown"), works)
		if err != nil {
			t.Fatal(err)
		}
		k.srv.RevokeAll()
		if _, err := k.insist(m, tok, k.unauthorized("b"), works); err != nil {
			t.Fatal(err)
		}
		if got := p.visit(1).Get("scope"); got != "a unknown b" {
			t.Errorf("the second login asks for %q, want what was granted, what was asked for and what is needed", got)
		}
	})
}

// A failure on the way to the login is retried if it may pass, told by type
// if not, and opens no browser.
func TestDiscoveryFailureBeforeLogin(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		p := k.asked(0)
		m := k.manager(k.bothering(p))
		k.srv.Inject(authtest.MetadataEndpoint, authtest.Status(503), authtest.Status(503))
		if _, err := m.Resolve(t.Context(), nil, k.unauthorized()); err != nil || p.browsers() != 1 {
			t.Errorf("%v with %d browsers, want a token: the failure passed", err, p.browsers())
		}
	})

	t.Run("for good", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			k := newKit(t, authtest.Config{Metadata: func(doc map[string]any) { doc["issuer"] = "https://evil.example.com" }}, authtest.Protection{})
			p := k.asked(0)
			m := k.manager(k.bothering(p))
			_, err := m.Resolve(t.Context(), nil, k.unauthorized())
			if asError[*discovery.Error](t, err); !errors.Is(err, discovery.ErrIssuerMismatch) || p.browsers() != 0 {
				t.Errorf("%v with %d browsers, want the mismatch and none", err, p.browsers())
			}
			n := k.srv.Counts().Metadata
			if _, again := m.Resolve(t.Context(), nil, k.unauthorized()); !errors.Is(again, err) || k.srv.Counts().Metadata != n {
				t.Errorf("at once: %v with %d more requests, want the same error", again, k.srv.Counts().Metadata-n)
			}
		})
	})
}
