package auth_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/grant"
)

// offline_access is asked for where the server lists it, unless the program
// declines it: then nobody gets it into a request.
//
//compat:asking `offline_access`
//compat:default asked for where it is listed
//compat:setting Config.ScopeRules.NoOfflineAccess
//compat:attack same
func TestOfflineAccessIsDeclined(t *testing.T) {
	for name, declined := range map[string]bool{"asked for": false, "declined": true} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				var f forms
				k := newKit(t, authtest.Config{
					ScopesSupported: []string{"read", "write", "offline_access"}, RefreshWidens: true,
					Refuse: f.refuse("", func(url.Values) bool { return false }),
				}, authtest.Protection{Scopes: []string{"read", "offline_access"}})
				cfg := k.discovered()
				cfg.ScopeRules.NoOfflineAccess = declined
				m := k.manager(cfg)
				tok, err := m.Authorize(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if _, err = m.Resolve(t.Context(), tok, insufficient("write", "offline_access")); err != nil {
					t.Fatal(err)
				}
				for _, r := range []string{"authorize", "token refresh_token"} {
					asked := strings.Fields(strings.Join(f.get(r, "scope"), " "))
					if len(asked) == 0 || slices.Contains(asked, "offline_access") == declined {
						t.Errorf("%s: scope %q", r, asked)
					}
				}
			})
		})
	}
	_, err := auth.NewManager(auth.Config{Resource: "https://mcp.example", Scopes: []string{"offline_access"}, ScopeRules: auth.ScopeRules{NoOfflineAccess: true}})
	if e := asError[*auth.ConfigError](t, err); e.Field != "Config.Scopes" {
		t.Error(err)
	}
}

// A server lists offline_access and does not give it to this client, as Keycloak
// and Authelia do where it is not assigned (evoila/meho#912, anthropics/claude-code#41610).
//
//compat:asking `offline_access` that is listed and refused
//compat:default the login goes on without, unless the program named it
//compat:setting Config.ScopeRules.NoOfflineAccess
//compat:attack same
func TestOfflineAccessIsRefused(t *testing.T) {
	const named = "invalid_scope: The OAuth 2.0 Client is not allowed to request scope 'offline_access'."
	has := func(form url.Values, scope string) bool {
		return slices.Contains(strings.Fields(form.Get("scope")), scope)
	}
	for name, tt := range map[string]struct {
		refuse func(form url.Values) string
		edit   func(*auth.Config)
		fault  authtest.Fault
		par    bool
		lists  []string // the MCP server
		asked  []string // in each window of two logins; the second is not made if the first fails
		ok     bool
	}{
		"named": {asked: []string{"read offline_access", "read", "read"}, ok: true},
		"not a word": {refuse: func(url.Values) string { return "" }, fault: authtest.OAuthError("invalid_scope", 0),
			asked: []string{"read offline_access", "read", "read"}, ok: true},
		"pushed":                   {par: true, asked: []string{"", ""}, ok: true}, // refused before there is a window
		"the resource lists it":    {lists: []string{"read", "offline_access"}, asked: []string{"read offline_access", "read", "read"}, ok: true},
		"another scope is refused": {refuse: func(url.Values) string { return "invalid_scope: unknown scope read" }, asked: []string{"read offline_access", "read offline_access"}},
		"refused without, too": {refuse: func(url.Values) string { return "invalid_scope: none of: read offline_access" },
			asked: []string{"read offline_access", "read", "read offline_access", "read"}},
		"the program named it": {edit: func(c *auth.Config) { c.Scopes = []string{"offline_access"} }, lists: []string{"read"},
			asked: []string{"offline_access", "offline_access"}},
		"the program declines it": {edit: func(c *auth.Config) { c.ScopeRules.NoOfflineAccess = true }, asked: []string{"read", "read"}, ok: true},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				if tt.refuse == nil {
					tt.refuse = func(f url.Values) string {
						if has(f, "offline_access") {
							return named
						}
						return ""
					}
				}
				if tt.lists == nil {
					tt.lists = []string{"read"}
				}
				k := newKit(t, authtest.Config{
					ScopesSupported: []string{"read", "offline_access"}, RequirePAR: tt.par,
					Refuse: func(_ authtest.Endpoint, form url.Values) string {
						if form.Get("grant_type") != "" {
							return ""
						}
						return tt.refuse(form)
					},
				}, authtest.Protection{Scopes: []string{"read"}, Metadata: func(doc map[string]any) { doc["scopes_supported"] = tt.lists }})
				p := k.asked(0)
				cfg := k.bothering(p)
				cfg.Client = auth.Client{ID: "by-hand"}
				k.srv.AddClient("by-hand", "", callback)
				if tt.edit != nil {
					tt.edit(&cfg)
				}
				m := k.manager(cfg)
				k.srv.Inject(authtest.AuthorizeEndpoint, tt.fault)
				_, err := m.Authorize(t.Context())
				if (err == nil) != tt.ok || err != nil && asError[*auth.AuthorizationError](t, err).Code != "invalid_scope" {
					t.Fatal(err)
				}
				if err == nil {
					err = k.relogin(m)
				} else {
					_, err = m.Authorize(t.Context())
				}
				if (err == nil) != tt.ok {
					t.Fatal(err)
				}
				var asked []string
				for i := range p.browsers() {
					asked = append(asked, p.visit(i).Get("scope"))
				}
				if !slices.Equal(asked, tt.asked) {
					t.Errorf("asked for %q, want %q", asked, tt.asked)
				}
			})
		})
	}

	// What was granted before is not given up for a scope that is refused.
	t.Run("step-up", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			k := newKit(t, authtest.Config{ScopesSupported: []string{"read", "offline_access"}, Refuse: func(_ authtest.Endpoint, form url.Values) string {
				if has(form, "admin") {
					return "invalid_scope"
				}
				return ""
			}}, authtest.Protection{Scopes: []string{"read"}})
			p := k.asked(0)
			m := k.manager(k.bothering(p))
			if _, err := m.Authorize(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, err := m.UpgradeScopes(t.Context(), "admin"); err == nil || p.browsers() != 2 {
				t.Errorf("%v after %d windows", err, p.browsers())
			}
			k.srv.RevokeAll()
			if _, err := m.Authorize(t.Context()); err != nil {
				t.Errorf("%v after %d windows", err, p.browsers())
			}
			if last := p.visit(p.browsers() - 1); !has(last, "offline_access") {
				t.Errorf("asked for %q", last.Get("scope"))
			}
		})
	})

	// What comes through one user's browser, who can write it, changes nothing for others.
	t.Run("by another user", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			k := newKit(t, authtest.Config{ScopesSupported: []string{"read", "offline_access"}}, authtest.Protection{Scopes: []string{"read"}})
			cfg := k.bothering(k.asked(0))
			cfg.Store = new(auth.MemoryStore)
			p := k.pool(auth.PoolConfig{Config: always(cfg)})
			asked := func(user string) (scopes string) {
				err := p.Source(user, k.res.URL).Use(func(m *auth.Manager) error {
					visit, kept, err := m.BeginLogin(t.Context(), callback, "the-state")
					if err != nil {
						return err
					}
					u, err := url.Parse(visit)
					if err != nil {
						return err
					}
					scopes = u.Query().Get("scope")
					_, _ = m.FinishLogin(t.Context(), kept, url.Values{"state": {"the-state"}, "iss": {k.srv.Issuer}, "error": {"invalid_scope"}})
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
				return scopes
			}
			for _, user := range []string{"mallory", "alice"} {
				if got := asked(user); got != "read offline_access" {
					t.Errorf("%s: asked for %q", user, got)
				}
			}
			if got := asked("mallory"); got != "read" {
				t.Errorf("asked for %q", got)
			}
		})
	})

	// A web application's next login goes without.
	t.Run("in two steps", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			k := newKit(t, authtest.Config{ScopesSupported: []string{"read", "offline_access"}}, authtest.Protection{Scopes: []string{"read"}})
			m := k.manager(k.bothering(k.asked(0)))
			var asked []string
			for range 2 {
				visit, kept, err := m.BeginLogin(t.Context(), callback, "the-state")
				if err != nil {
					t.Fatal(err)
				}
				u, err := url.Parse(visit)
				if err != nil {
					t.Fatal(err)
				}
				asked = append(asked, u.Query().Get("scope"))
				_, err = m.FinishLogin(t.Context(), kept, url.Values{"state": {"the-state"}, "iss": {k.srv.Issuer}, "error": {"invalid_scope"}, "error_description": {"not offline_access"}})
				if err == nil {
					t.Fatal("it ended well")
				}
			}
			if want := []string{"read offline_access", "read"}; !slices.Equal(asked, want) {
				t.Errorf("asked for %q, want %q", asked, want)
			}
		})
	})
}

// The program narrows and maps what the MCP server names, in challenges and in
// its metadata.
//
//compat:asking scopes that the authorization server calls otherwise, or that are too many
//compat:default as the MCP server names them, 64 KiB at most
//compat:setting Config.ScopeRules.Choose
//compat:attack TestBoundedScopes
func TestChooseScopes(t *testing.T) {
	choose := func(named []string) (out []string) {
		for _, s := range named {
			if s != "admin" {
				out = append(out, "api://app/"+s, "not a scope")
			}
		}
		return out
	}
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{RefreshWidens: true}, authtest.Protection{Scopes: []string{"read", "admin"}})
		p := k.asked(0)
		cfg := k.bothering(p)
		cfg.ScopeRules.Choose = choose
		m := k.manager(cfg)
		tok, err := m.Resolve(t.Context(), nil, auth.Challenge{Status: 401})
		if err != nil || p.visit(0).Get("scope") != "api://app/read" || !slices.Equal(tok.Scopes, []string{"api://app/read"}) {
			t.Fatalf("login for the resource's scopes: %q, %v", p.visit(0).Get("scope"), err)
		}
		m.Accepted(tok)
		up, err := m.Resolve(t.Context(), tok, insufficient("write", "admin"))
		if err != nil || !slices.Equal(up.Scopes, []string{"api://app/read", "api://app/write"}) {
			t.Fatalf("step-up: %v, %v", up, err)
		}
		// What is declined is not asked for, and nothing else in its place.
		before := k.srv.Counts()
		for _, c := range []auth.Challenge{insufficient("admin"), insufficient("read", "admin")} {
			_, err = m.Resolve(t.Context(), up, c)
			e := asError[*auth.InsufficientScopeError](t, err)
			if !slices.Equal(e.Required, c.Scopes) || !strings.Contains(e.Error(), "Config.ScopeRules") {
				t.Errorf("error %v", err)
			}
		}
		if after := k.srv.Counts(); after.Token != before.Token || after.Authorize != before.Authorize {
			t.Errorf("%d token requests and %d logins for what is declined", after.Token-before.Token, after.Authorize-before.Authorize)
		}
		// What the program itself asks for is not mapped.
		if tok, err := m.UpgradeScopes(t.Context(), "admin"); err != nil || !slices.Contains(tok.Scopes, "admin") {
			t.Errorf("UpgradeScopes = %v, %v", tok, err)
		}
	})
}

// Who names the issuer has named no scopes: those of the resource are asked for, if
// nothing else says what to ask for and the resource says it in a few seconds.
func TestNamedIssuerLeavesScopes(t *testing.T) {
	for name, tt := range map[string]struct {
		change    func(k *kit, c *auth.Config)
		challenge auth.Challenge
		scope     string
		asked     int // how often the resource's metadata were asked for
	}{
		"listed":     {scope: "read write", asked: 1},
		"challenged": {challenge: auth.Challenge{Scopes: []string{"read"}}, scope: "read"},
		"configured": {change: func(_ *kit, c *auth.Config) { c.Scopes = []string{"write"} }, scope: "write"},
		"chosen": {change: func(_ *kit, c *auth.Config) {
			c.ScopeRules.Choose = func([]string) []string { return []string{"read"} }
		}, scope: "read", asked: 1},
		"no metadata": {change: func(k *kit, _ *auth.Config) {
			k.srv.InjectAlways(authtest.ResourceMetadataEndpoint, authtest.Status(404))
		}, asked: 2},
		"out of order": {change: func(k *kit, _ *auth.Config) {
			k.srv.InjectAlways(authtest.ResourceMetadataEndpoint, authtest.Status(500))
		}, asked: 2},
		"never answers": {change: func(k *kit, _ *auth.Config) {
			k.srv.InjectAlways(authtest.ResourceMetadataEndpoint, authtest.Delay(time.Hour))
		}, asked: 1},
		"endpoints too": {change: func(k *kit, c *auth.Config) {
			c.Server.AuthorizationEndpoint, c.Server.TokenEndpoint = k.srv.Endpoint(authtest.AuthorizeEndpoint), k.srv.Endpoint(authtest.TokenEndpoint)
			c.Server.RegistrationEndpoint, c.Server.CodeChallengeMethodsSupported = k.srv.Endpoint(authtest.RegistrationEndpoint), []string{"S256"}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, authtest.Config{}, authtest.Protection{Scopes: []string{"read", "write"}})
				p := k.asked(0)
				cfg := k.bothering(p)
				cfg.Server = &auth.Server{Issuer: k.srv.Issuer}
				if tt.change != nil {
					tt.change(k, &cfg)
				}
				began := time.Now()
				tt.challenge.Status = 401
				if _, err := k.manager(cfg).Resolve(t.Context(), nil, tt.challenge); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(began); took > 6*time.Second {
					t.Errorf("it took %v", took)
				}
				if got := p.visit(0).Get("scope"); got != tt.scope {
					t.Errorf("asked for %q, want %q", got, tt.scope)
				}
				if n := k.srv.Counts().ResourceMetadata; n != tt.asked {
					t.Errorf("%d requests for the resource's metadata, want %d", n, tt.asked)
				}
			})
		})
	}
}

// What else the resource's metadata say then leads nowhere.
func TestNamedIssuerStands(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		evil := authtest.NewServerConfig(t, authtest.Config{InMemory: true})
		p := k.asked(0)
		cfg := k.bothering(p)
		cfg.Server = &auth.Server{Issuer: k.srv.Issuer}
		for name, resource := range map[string]string{"its own": k.res.URL, "another": evil.URL + "/mcp"} {
			k.srv.InjectAlways(authtest.ResourceMetadataEndpoint, authtest.Answer(200, "application/json", fmt.Sprintf(
				`{"resource":%q,"authorization_servers":[%q],"scopes_supported":["read","no\\scope"]}`, resource, evil.Issuer)))
			cfg.Store = new(auth.MemoryStore)
			if _, err := k.manager(cfg).Authorize(t.Context()); err != nil {
				t.Fatal(err)
			}
			want := map[string]string{"its own": "read"}[name] // a document of another says nothing
			if v := p.visit(p.browsers() - 1); v.Get("scope") != want || v.Get("resource") != k.res.URL {
				t.Errorf("%s: asked for %q at %q, want %q", name, v.Get("scope"), v.Get("resource"), want)
			}
		}
		if c := evil.Counts(); c.Metadata+c.Register+c.Authorize+c.Token != 0 {
			t.Errorf("another server was asked: %+v", c)
		}
	})
}

// lacksScope is a refresh that names no scopes.
func lacksScope(form url.Values) bool {
	return form.Get("grant_type") == "refresh_token" && !form.Has("scope")
}

// A server that wants the scopes named in a refresh is found out, once for all
// who go there.
//
//compat:asking a refresh has to name the scopes (Entra ID)
//compat:default found out by the first refusal, and stored
//compat:attack TestRefreshIsNotRepeated
func TestRefreshNeedsScope(t *testing.T) {
	for name, cfg := range map[string]authtest.Config{
		"refuses: invalid_request": {Refuse: new(forms).refuse("invalid_request", lacksScope)},
		"refuses: invalid_scope":   {Refuse: new(forms).refuse("invalid_scope", lacksScope)},
		"answers with less":        {RefreshWithoutScope: []string{"a"}},
		"no rotation":              {RefreshWithoutScope: []string{"a"}, NoRotation: true},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, cfg, authtest.Protection{})
				conf := k.discovered()
				conf.Scopes = []string{"a", "b"}
				m := k.manager(conf)
				if _, err := m.Authorize(t.Context()); err != nil {
					t.Fatal(err)
				}
				for i, want := range []int{2, 3, 4} {
					tok, err := m.Refresh(t.Context())
					if err != nil || !slices.Equal(tok.Scopes, []string{"a", "b"}) || k.call(tok) != 200 {
						t.Fatalf("refresh %d: %v, %v", i, tok, err)
					}
					k.wantRefreshes(want)
				}
				for i, r := range k.srv.TokenRequests()[1:] {
					if want := []string{"", "a b"}[min(i, 1)]; r.Form.Get("scope") != want {
						t.Errorf("refresh %d asks for %q, want %q", i, r.Form.Get("scope"), want)
					}
				}
				if n := k.srv.Counts().ReusedRefreshTokens; n != 0 {
					t.Errorf("%d refresh tokens were used twice", n)
				}
			})
		})
	}
}

// It is stored, so that a program that starts again has no request refused; also where
// the program itself says where the server is, and a record has no endpoints.
func TestRefreshNeedsScopeAfterRestart(t *testing.T) {
	for name, config := range map[string]func(*kit) auth.Config{
		"found": (*kit).discovered,
		"named": func(k *kit) auth.Config {
			cfg := k.discovered()
			cfg.Server = &auth.Server{
				Issuer: k.srv.Issuer, AuthorizationEndpoint: k.srv.Endpoint(authtest.AuthorizeEndpoint),
				TokenEndpoint: k.srv.Endpoint(authtest.TokenEndpoint), RegistrationEndpoint: k.srv.Endpoint(authtest.RegistrationEndpoint),
			}
			return cfg
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, authtest.Config{Refuse: new(forms).refuse("invalid_request", lacksScope)}, authtest.Protection{})
				cfg := config(k)
				cfg.Scopes, cfg.Store, cfg.NoIdleRefresh = []string{"a", "b"}, new(auth.MemoryStore), true
				refresh := func(m *auth.Manager, requests int) {
					t.Helper()
					before := k.srv.Counts().Token
					if tok, err := m.Refresh(t.Context()); err != nil || k.call(tok) != 200 {
						t.Fatalf("Refresh = %v, %v", tok, err)
					}
					if n := k.srv.Counts().Token - before; n != requests {
						t.Errorf("%d requests, want %d", n, requests)
					}
				}
				m := k.manager(cfg)
				if _, err := m.Authorize(t.Context()); err != nil {
					t.Fatal(err)
				}
				if err := m.Close(); err != nil {
					t.Fatal(err)
				}
				// The first to find it out has the server's endpoints from the store.
				for i, requests := range []int{2, 1, 1} {
					m := k.manager(cfg)
					refresh(m, requests)
					if i == 1 {
						refresh(m, requests) // and what is stored stays
					}
					if err := m.Close(); err != nil {
						t.Fatal(err)
					}
				}
				// Who logs in where it is known has no request refused either.
				m = k.manager(cfg)
				refresh(m, 1)
				if _, err := m.Authorize(t.Context()); err != nil {
					t.Fatal(err)
				}
				if err := m.Close(); err != nil {
					t.Fatal(err)
				}
				refresh(k.manager(cfg), 1)
			})
		})
	}
}

// A server that wanted the scopes once, and refuses them now, is asked without
// them before a person is, and from then on at once.
func TestRememberedScopesAreRefused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var withdrawn atomic.Bool
		k := newKit(t, authtest.Config{
			RefreshWithoutScope: []string{"a"},
			Refuse: new(forms).refuse("invalid_scope", func(form url.Values) bool {
				return withdrawn.Load() && form.Get("grant_type") == "refresh_token" && form.Has("scope")
			}),
		}, authtest.Protection{})
		cfg := k.discovered()
		cfg.Scopes = []string{"a", "b"}
		m := k.manager(cfg)
		if _, err := m.Authorize(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := m.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		withdrawn.Store(true)
		before := k.srv.Counts()
		tok, err := m.Refresh(t.Context())
		if err != nil || k.call(tok) != 200 {
			t.Fatalf("refresh: %v, %v", tok, err)
		}
		if after := k.srv.Counts(); after.Refreshes-before.Refreshes != 2 || after.Authorize != before.Authorize {
			t.Errorf("%d refreshes and %d logins, want 2 and none", after.Refreshes-before.Refreshes, after.Authorize-before.Authorize)
		}
		before = k.srv.Counts()
		if _, err := m.Refresh(t.Context()); err != nil || k.srv.Counts().Token != before.Token+1 {
			t.Errorf("refresh after that: %v, %d requests", err, k.srv.Counts().Token-before.Token)
		}
	})
}

// A refresh that granted fewer scopes is followed by a request that names them.
// When that fails there is a token all the same, and the server's Retry-After
// holds for the next refresh.
func TestRequestForLostScopesFails(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{RefreshWithoutScope: []string{"a"}, AccessTokenTTL: 2 * time.Minute}, authtest.Protection{})
		cfg := k.discovered()
		cfg.Scopes = []string{"a", "b"}
		m := k.manager(cfg)
		if _, err := m.Authorize(t.Context()); err != nil {
			t.Fatal(err)
		}
		const wait = 4 * time.Minute
		k.srv.Inject(authtest.TokenEndpoint, authtest.Delay(0), authtest.RetryAfter(http.StatusServiceUnavailable, wait))
		began := time.Now()
		tok, err := m.Refresh(t.Context())
		if err != nil || k.call(tok) != 200 {
			t.Fatalf("refresh: %v, %v", tok, err)
		}
		k.wantRefreshes(2)
		if at := m.Info().RetryAt; at.Sub(began) < wait {
			t.Errorf("the next refresh is due after %v, the server said %v", at.Sub(began), wait)
		}
		time.Sleep(wait - time.Minute)
		if _, err := m.Token(t.Context()); err == nil {
			t.Error("an expired token is handed out")
		}
		k.wantRefreshes(2)
		time.Sleep(2 * time.Minute)
		if tok, err := m.Token(t.Context()); err != nil || k.call(tok) != 200 {
			t.Errorf("when the wait is over: %v, %v", tok, err)
		}
	})
}

// When it is refused for good, the token is used to its end, and nobody sends the
// refresh token again.
func TestRequestForLostScopesIsRefused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{RefreshWithoutScope: []string{"a"}, NoRotation: true, AccessTokenTTL: 2 * time.Minute}, authtest.Protection{})
		cfg := k.onDemand()
		cfg.Scopes = []string{"a", "b"}
		m, _ := k.started(cfg, "a", "b")
		events, stop := m.Subscribe()
		defer stop()
		k.srv.Inject(authtest.TokenEndpoint, authtest.Delay(0), authtest.OAuthError("invalid_grant", http.StatusBadRequest))
		tok, err := m.Refresh(t.Context())
		if err != nil || k.call(tok) != 200 {
			t.Fatalf("refresh: %v, %v", tok, err)
		}
		k.wantRefreshes(2)
		synctest.Wait()
		said := false
		for len(events) > 0 {
			said = said || (<-events).Type == auth.EventReauthorizationRequired
		}
		if i := m.Info(); i.HasRefreshToken || !said {
			t.Errorf("refresh token kept: %v, event: %v", i.HasRefreshToken, said)
		}
		if tok, err := m.Token(t.Context()); err != nil || k.call(tok) != 200 {
			t.Errorf("the token afterwards: %v, %v", tok, err)
		}
		_, err = m.Refresh(t.Context())
		re := asError[*auth.ReauthorizationRequiredError](t, err)
		if te := asError[*auth.TokenError](t, re.Err); te.Code != "invalid_grant" {
			t.Errorf("cause %v", te)
		}
		k.wantRefreshes(2)
	})
}

// What is no lack of scopes is not repeated: a refused refresh token, a request
// that is wrong otherwise more than once, and less that stays less.
func TestRefreshIsNotRepeated(t *testing.T) {
	refreshing := func(form url.Values) bool { return form.Get("grant_type") == "refresh_token" }
	for name, tc := range map[string]struct {
		cfg       authtest.Config
		refreshes int
		ok        bool
		then      int // after a second refresh; 0: is not looked at
	}{
		"refresh token refused": {authtest.Config{Refuse: new(forms).refuse("invalid_grant", refreshing)}, 1, false, 1},
		"client refused":        {authtest.Config{Refuse: new(forms).refuse("unauthorized_client", refreshing)}, 1, false, 0},
		"always refused":        {authtest.Config{Refuse: new(forms).refuse("invalid_request", refreshing)}, 2, false, 0},
		"refused target":        {authtest.Config{Refuse: new(forms).refuse("invalid_target", refreshing)}, 2, false, 0},
		"fewer from the start":  {authtest.Config{ScopesSupported: []string{"a"}}, 1, true, 2},
		"fewer for good": {authtest.Config{RefreshWithoutScope: []string{"a"}, Refuse: new(forms).refuse("invalid_scope", func(form url.Values) bool {
			return refreshing(form) && form.Has("scope")
		})}, 2, true, 3},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, tc.cfg, authtest.Protection{})
				cfg := k.onDemand()
				cfg.Grant = grant.AuthorizationCode{UserAgent: k.asked(0)}
				cfg.Scopes = []string{"a", "b"}
				m := k.manager(cfg)
				if _, err := m.Authorize(t.Context()); err != nil {
					t.Fatal(err)
				}
				_, err := m.Refresh(t.Context())
				if (err == nil) != tc.ok {
					t.Errorf("refresh: %v", err)
				}
				k.wantRefreshes(tc.refreshes)
				if tok, err := m.Token(t.Context()); err != nil || k.call(tok) != 200 {
					t.Errorf("the token afterwards: %v, %v", tok, err)
				}
				if _, _ = m.Refresh(t.Context()); tc.then > 0 {
					k.wantRefreshes(tc.then)
				}
			})
		})
	}
}
