package auth_test

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/browser"
	"github.com/mcptokens/mcptokens/auth/grant"
)

// stale is a manager that starts with a registration from an earlier run and no
// token, and the person who logs in. The earlier client is the first that the
// server registered.
func (k *kit) stale(p *person, edit func(*auth.Config)) *auth.Manager {
	k.t.Helper()
	cfg := k.bothering(p)
	cfg.Store = new(auth.MemoryStore)
	if edit != nil {
		edit(&cfg)
	}
	first := cfg
	first.Grant = k.login()
	first.Resource = k.srv.Protect(mcpServer, authtest.Protection{}).URL // so that it stays logged in there
	if _, err := k.manager(first).Authorize(k.t.Context()); err != nil {
		k.t.Fatal(err)
	}
	return k.manager(cfg)
}

// wantClients fails the test unless these many clients were registered, and
// these many windows opened.
func (k *kit) wantClients(p *person, clients, windows int) {
	k.t.Helper()
	if n := k.srv.Counts().Register; n != clients || p.browsers() != windows {
		k.t.Fatalf("%d registrations, %d windows, want %d and %d", n, p.browsers(), clients, windows)
	}
}

// A login with a registration from an earlier run that ends in a refusal of the
// client goes on with a new one, whichever way the server says it.
//
//compat:client a registered client that the server has forgotten
//compat:default registered again, in the same login
//compat:attack TestRegisteringAgainInVain
func TestForgottenClientHeals(t *testing.T) {
	twice := func(f authtest.Fault) []authtest.Fault { return []authtest.Fault{f, f} }
	for name, tt := range map[string]struct {
		at      authtest.Endpoint
		faults  []authtest.Fault
		clients int // registered in the end
		windows int
	}{
		// The look before the window is the first request at the authorization endpoint.
		"redirect with invalid_client":      {authtest.AuthorizeEndpoint, []authtest.Fault{{}, authtest.OAuthError("invalid_client", 0)}, 2, 2},
		"redirect with unauthorized_client": {authtest.AuthorizeEndpoint, []authtest.Fault{{}, authtest.OAuthError("unauthorized_client", 0)}, 2, 2},
		"redirect with invalid_request":     {authtest.AuthorizeEndpoint, []authtest.Fault{{}, authtest.OAuthError("invalid_request", 0)}, 2, 2},
		"token endpoint, invalid_client":    {authtest.TokenEndpoint, twice(authtest.OAuthError("invalid_client", 401)), 2, 2},
		"token endpoint, unauthorized":      {authtest.TokenEndpoint, twice(authtest.OAuthError("unauthorized_client", 400)), 2, 2},
		"token endpoint, invalid_request":   {authtest.TokenEndpoint, []authtest.Fault{authtest.OAuthError("invalid_request", 400)}, 2, 2},
		"seen before a window opens":        {authtest.AuthorizeEndpoint, twice(authtest.Status(400)), 2, 1},

		// What is no refusal of the client.
		"once is not believed":      {authtest.TokenEndpoint, []authtest.Fault{authtest.OAuthError("invalid_client", 401)}, 1, 1},
		"looked at, once is not":    {authtest.AuthorizeEndpoint, []authtest.Fault{authtest.Status(400)}, 1, 1},
		"trouble while looking":     {authtest.AuthorizeEndpoint, twice(authtest.Status(503))[:1], 1, 1},
		"looked at, and throttled":  {authtest.AuthorizeEndpoint, []authtest.Fault{authtest.Status(429)}, 1, 1},
		"token endpoint is on fire": {authtest.TokenEndpoint, []authtest.Fault{authtest.Status(500)}, 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, authtest.Config{}, authtest.Protection{})
				p := k.asked(0)
				m := k.stale(p, nil)
				k.srv.Inject(tt.at, tt.faults...)
				tok, err := m.Resolve(t.Context(), nil, k.unauthorized())
				if err != nil || k.call(tok) != 200 {
					t.Fatalf("Resolve = %v, %v", tok, err)
				}
				k.wantClients(p, tt.clients, tt.windows)
				reg := k.srv.Registrations()
				if id := m.Info().ClientID; id != reg[len(reg)-1].ClientID || p.visit(p.browsers()-1).Get("client_id") != id {
					t.Errorf("logged in as %s, want the newest of %v", id, reg)
				}
			})
		})
	}
}

// These say nothing about the client: it stays, and the login fails.
func TestLoginFailsAndClientStays(t *testing.T) {
	for _, code := range []string{"access_denied", "invalid_scope", "server_error", "invalid_target", "login_required"} {
		t.Run(code, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, authtest.Config{}, authtest.Protection{})
				p := k.asked(0)
				m := k.stale(p, nil)
				k.srv.InjectAlways(authtest.AuthorizeEndpoint, authtest.OAuthError(code, 0))
				_, err := m.Resolve(t.Context(), nil, k.unauthorized())
				if ae := asError[*auth.AuthorizationError](t, err); ae.Code != code {
					t.Errorf("error %v", err)
				}
				windows := 1
				if code == "invalid_scope" {
					windows = 0 // the look has shown it
				}
				k.wantClients(p, 1, windows)
			})
		})
	}
}

// A server that refuses every client does not get one with every login.
func TestRegisteringAgainInVain(t *testing.T) {
	for _, code := range []string{"invalid_client", "unauthorized_client", "invalid_request"} {
		t.Run(code, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, authtest.Config{}, authtest.Protection{})
				p := k.asked(0)
				m := k.stale(p, nil)
				k.srv.InjectAlways(authtest.TokenEndpoint, authtest.OAuthError(code, 400))
				for range 4 {
					_, err := m.Authorize(t.Context())
					if te := asError[*auth.TokenError](t, err); te.Code != code {
						t.Errorf("error %v", err)
					}
					time.Sleep(10 * time.Minute)
				}
				if n := k.srv.Counts().Register; n != 2 {
					t.Errorf("%d registrations, want 2", n)
				}
			})
		})
	}
}

// missing is a person whose window shows something that leads nowhere.
type missing struct{ auth.UserAgent }

func (a missing) Start(ctx context.Context, preferred []string) (auth.UserAgentSession, error) {
	s, err := a.UserAgent.Start(ctx, preferred)
	return missingSession{s}, err
}

type missingSession struct{ auth.UserAgentSession }

func (missingSession) Visit(context.Context, string, string) (url.Values, error) {
	return nil, browser.ErrTimeout
}

// A login that ended nowhere drops the registration, unless a refresh token shows
// that the server knows it. Nobody is there, so that it does not go on.
func TestLoginThatEndsNowhere(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		p := k.asked(0)
		agent := &person{UserAgent: missing{p}}
		m := k.stale(agent, nil)
		_, err := m.Authorize(t.Context())
		if asError[*auth.AuthorizationError](t, err); !strings.Contains(err.Error(), "no answer") {
			t.Errorf("error %v", err)
		}
		k.wantClients(agent, 1, 1)
		agent.UserAgent = p // who is back
		time.Sleep(time.Hour)
		if tok, err := m.Authorize(t.Context()); err != nil || k.call(tok) != 200 {
			t.Fatalf("Authorize = %v, %v", tok, err)
		}
		k.wantClients(agent, 2, 2)
	})

	t.Run("for more scopes", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			k := newKit(t, authtest.Config{}, authtest.Protection{})
			p := k.asked(0)
			agent := &person{UserAgent: p}
			m := k.manager(k.bothering(agent))
			if _, err := m.Authorize(t.Context()); err != nil {
				t.Fatal(err)
			}
			agent.UserAgent = missing{p}
			if _, err := m.UpgradeScopes(t.Context(), "write"); err == nil {
				t.Error("no error")
			}
			if i := m.Info(); !i.HasRefreshToken || i.ClientID == "" {
				t.Errorf("the refresh token that was not refused is gone: %+v", i)
			}
			if _, err := m.Refresh(t.Context()); err != nil || k.srv.Counts().Register != 1 {
				t.Errorf("Refresh: %v after %d registrations", err, k.srv.Counts().Register)
			}
		})
	})
}

// What servers show to a client that they do not know, and what others show to
// one that they do: the first never gets a window.
func TestForgottenClientIsSeenBefore(t *testing.T) {
	redirect := func(to string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusFound) }
	}
	says := func(status int, contentType, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", contentType)
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	betterAuth := func(w http.ResponseWriter, r *http.Request) {
		const to = "/error?error=invalid_client&error_description=client_id"
		if strings.Contains(r.Header.Get("Accept"), "application/json") { // it takes the request for a script's
			says(200, "application/json", `{"redirect":true,"url":"`+to+`"}`)(w, r)
			return
		}
		redirect(to)(w, r)
	}
	for name, tt := range map[string]struct {
		answer http.HandlerFunc
		seen   bool
	}{
		"fastmcp":                {says(400, "application/json", `{"error":"invalid_client","error_description":"Invalid client_id"}`), true},
		"better-auth":            {betterAuth, true},
		"Cloudflare":             {says(400, "text/html", `<!doctype html><title>Bad Request</title>`), true},
		"Hydra":                  {redirect("/oauth2/fallbacks/error?error=invalid_client"), true},
		"in a fragment":          {redirect("/error#error=unauthorized_client"), true},
		"401":                    {says(401, "application/json", `{"error":"invalid_client"}`), true},
		"404 that names it":      {says(404, "application/json", `{"error":"client_not_found"}`), true},
		"invalid_request":        {says(400, "application/json", `{"error":"invalid_request"}`), true},
		"page that says nothing": {says(200, "text/html", `<title>Sign in</title>`), false},
		"login":                  {redirect("/login?return_to=/authorize"), false},
		"wall":                   {says(403, "text/html", `<title>Just a moment...</title>`), false},
		"gone":                   {says(404, "text/plain", "not found"), false},
		"throttled":              {says(429, "text/plain", "slow down"), false},
		"wants a login":          {redirect("/error?error=login_required"), false},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, authtest.Config{UnknownClient: tt.answer}, authtest.Protection{})
				p := k.asked(0)
				m := k.stale(p, nil)
				k.srv.RemoveClient(k.srv.Registrations()[0].ClientID)
				tok, err := m.Authorize(t.Context())
				if !tt.seen {
					if err == nil {
						t.Fatal("a login with a client that is unknown")
					}
					if p.browsers() != 1 || p.visit(0).Get("client_id") != k.srv.Registrations()[0].ClientID {
						t.Errorf("%d windows", p.browsers())
					}
					return
				}
				if err != nil || k.call(tok) != 200 {
					t.Fatalf("Authorize = %v, %v", tok, err)
				}
				k.wantClients(p, 2, 1)
			})
		})
	}
}

// A client that logged in a moment ago is not looked at; one whose refresh token
// was refused is, and so is one that has been logged out for long.
func TestLookedAtOnlyInDoubt(t *testing.T) {
	for name, tt := range map[string]struct {
		before func(k *kit, m *auth.Manager)
		looks  int
	}{
		"just used":       {func(k *kit, m *auth.Manager) {}, 0},
		"refresh refused": {func(k *kit, m *auth.Manager) { k.srv.RevokeAll(); _, _ = m.Refresh(k.t.Context()) }, 1},
		"long ago":        {func(k *kit, m *auth.Manager) { time.Sleep(2 * time.Hour) }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, authtest.Config{NoRefreshToken: name != "refresh refused"}, authtest.Protection{})
				p := k.asked(0)
				m := k.manager(k.bothering(p))
				tok, err := k.send(m, nil)
				if err != nil {
					t.Fatal(err)
				}
				tt.before(k, m)
				k.srv.RevokeAll()
				if _, err := k.send(m, tok); err != nil {
					t.Fatal(err)
				}
				if n := k.srv.Counts().Authorize - p.browsers(); n != tt.looks {
					t.Errorf("%d looks, want %d", n, tt.looks)
				}
				k.wantClients(p, 1, 2)
			})
		})
	}
}

// The look is no login: its code and its state are not those of the window.
func TestLookIsItsOwnRequest(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		p := k.asked(0)
		var looks []url.Values
		_, client := k.wired(func(r *http.Request) (*http.Response, error) {
			if strings.HasPrefix(r.URL.String(), k.srv.Endpoint(authtest.AuthorizeEndpoint)) {
				looks = append(looks, r.URL.Query())
			}
			return nil, nil
		})
		m := k.stale(p, func(c *auth.Config) { c.HTTPClient = client })
		if _, err := m.Authorize(t.Context()); err != nil || len(looks) != 1 {
			t.Fatalf("%v after %d looks", err, len(looks))
		}
		look, visit := looks[0], p.visit(0)
		for _, name := range []string{"state", "code_challenge"} {
			if look.Get(name) == "" || look.Get(name) == visit.Get(name) {
				t.Errorf("%s is %q in both", name, look.Get(name))
			}
		}
		for _, name := range []string{"client_id", "redirect_uri", "resource", "scope"} {
			if look.Get(name) != visit.Get(name) {
				t.Errorf("%s is %q, in the window %q", name, look.Get(name), visit.Get(name))
			}
		}
	})
}

// At a refresh: unauthorized_client for c1, one more registration, one login.
func TestUnauthorizedClientAtARefresh(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		p := k.asked(0)
		m := k.manager(k.bothering(p))
		tok, err := k.send(m, nil)
		if err != nil {
			t.Fatal(err)
		}
		refused := authtest.OAuthError("unauthorized_client", 400)
		k.srv.Inject(authtest.RefreshRequests, refused, refused)
		k.srv.RevokeAll()
		if _, err := k.send(m, tok); err != nil || k.call(mustToken(t, m)) != 200 {
			t.Fatal(err)
		}
		k.wantClients(p, 2, 2)
		k.wantRefreshes(2)
	})

	// A refusal of something else keeps the client.
	for _, code := range []string{"invalid_dpop_proof", "invalid_request", "unsupported_grant_type"} {
		t.Run(code, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, authtest.Config{}, authtest.Protection{})
				cfg := k.discovered()
				cfg.Store = new(auth.MemoryStore)
				m := k.manager(cfg)
				if _, err := k.send(m, nil); err != nil {
					t.Fatal(err)
				}
				k.srv.InjectFor(authtest.RefreshRequests, time.Minute, authtest.OAuthError(code, 400))
				if _, err := m.Refresh(t.Context()); err == nil {
					t.Fatal("no error")
				}
				if rec, err := cfg.Store.Load(t.Context(), auth.Key{Issuer: k.srv.Issuer}); err != nil || rec.Registration == nil || !m.Info().HasRefreshToken {
					t.Errorf("stored %v, %v; info %+v", rec, err, m.Info())
				}
			})
		})
	}
}

// Three logins on three ports, and one registration: the server registered the
// loopback address without a port. Another path is another address.
//
//compat:client a registration without the port of a loopback redirect URI
//compat:default any port; another host or path is registered again
//compat:attack same
func TestPortlessRedirectURI(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{PortlessRedirectURIs: true}, authtest.Protection{})
		store := new(auth.MemoryStore)
		for i, uri := range []string{"http://127.0.0.1:4001/callback", "http://127.0.0.1:4002/callback", "http://127.0.0.1:4003/callback", "http://127.0.0.1:4003/other", "http://localhost:4003/other"} {
			cfg := k.discovered()
			cfg.Store, cfg.Resource = store, k.srv.Protect(mcpServer, authtest.Protection{}).URL
			cfg.Grant = grant.AuthorizationCode{UserAgent: browser.Headless{Client: k.srv.Client(), RedirectURI: uri}}
			if _, err := k.manager(cfg).Authorize(t.Context()); err != nil {
				t.Fatal(err)
			}
			if n := k.srv.Counts().Register; n != max(1, i-1) {
				t.Errorf("%d registrations after %s", n, uri)
			}
		}
	})
}

// Revoke drops the registration; other processes forget the token.
func TestRevokeDropsTheRegistration(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		cfg := k.discovered()
		cfg.Store = new(auth.MemoryStore)
		m, other := k.manager(cfg), k.manager(cfg)
		if _, err := m.Authorize(t.Context()); err != nil {
			t.Fatal(err)
		}
		mustToken(t, other)
		if err := m.Revoke(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := cfg.Store.Load(t.Context(), auth.Key{Issuer: k.srv.Issuer}); err != auth.ErrNotFound {
			t.Errorf("the registration is still stored: %v", err)
		}
		time.Sleep(2 * time.Hour)
		if _, err := other.Token(t.Context()); err != auth.ErrNoToken {
			t.Errorf("another process: Token = %v, want ErrNoToken", err)
		}
		if _, err := m.Authorize(t.Context()); err != nil {
			t.Fatal(err)
		}
		ids := []string{}
		for _, r := range k.srv.Registrations() {
			ids = append(ids, r.ClientID)
		}
		if len(ids) != 2 || slices.Index(ids, m.Info().ClientID) != 1 {
			t.Errorf("registered %v, in use %s", ids, m.Info().ClientID)
		}
	})
}
