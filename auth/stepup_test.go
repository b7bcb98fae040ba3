package auth_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/grant"
)

// steps is a tracer that keeps what it is told of step-ups and discovery.
type steps struct {
	mu       sync.Mutex
	started  []auth.StepUpStart
	ended    []auth.StepUpEnd
	searches []auth.DiscoveryEnd
}

func (*steps) TraceRefreshStart(ctx, _ context.Context, _ auth.RefreshStart) context.Context {
	return ctx
}
func (*steps) TraceRefreshEnd(context.Context, auth.RefreshEnd) {}

func (s *steps) TraceStepUpStart(ctx context.Context, d auth.StepUpStart) context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.started = append(s.started, d)
	return ctx
}

func (s *steps) TraceStepUpEnd(_ context.Context, d auth.StepUpEnd) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = append(s.ended, d)
}

func (s *steps) TraceDiscoveryStart(ctx context.Context, _ auth.DiscoveryStart) context.Context {
	return ctx
}

func (s *steps) TraceDiscoveryEnd(_ context.Context, d auth.DiscoveryEnd) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.searches = append(s.searches, d)
}

// paths are how the step-ups ended; "error" for those that failed.
func (s *steps) paths() (list []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.ended {
		if e.Err != nil {
			list = append(list, "error")
		} else {
			list = append(list, e.Path)
		}
	}
	return list
}

// ascending is a manager with a token for scopes and, by config's changes,
// with a way up.
func (k *kit) ascending(p *person, scopes ...string) (*auth.Manager, *auth.Token, *steps) {
	k.t.Helper()
	s := new(steps)
	cfg := k.config()
	cfg.Tracer = s
	if p != nil {
		cfg.Grant = grant.AuthorizationCode{UserAgent: p}
	}
	m, _ := k.started(cfg, scopes...)
	return m, mustToken(k.t, m), s
}

// wantSteps fails the test unless so many refreshes and logins were needed.
func (k *kit) wantSteps(refreshes, logins int) {
	k.t.Helper()
	if c := k.srv.Counts(); c.Refreshes != refreshes || c.Authorize != logins {
		k.t.Fatalf("%d refreshes, %d authorizations, want %d, %d", c.Refreshes, c.Authorize, refreshes, logins)
	}
}

// An authorization server that widens by refresh: the refresh path is all it
// takes, with what was granted, what was asked for and what is needed.
func TestStepUpByRefresh(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{RefreshWidens: true}, authtest.Protection{})
		p := k.asked(0)
		m, tok, s := k.ascending(p, "a", "b")
		got, err := m.Resolve(t.Context(), tok, insufficient("c", "b"))
		if err != nil || !slices.Equal(got.Scopes, []string{"a", "b", "c"}) {
			t.Fatalf("Resolve = %v, %v", got, err)
		}
		k.wantSteps(1, 0)
		if sent := k.srv.TokenRequests()[0].Form.Get("scope"); sent != "a b c" {
			t.Errorf("scope %q was sent, want the union", sent)
		}
		if i := m.Info(); !slices.Equal(i.Requested, []string{"c", "b"}) {
			t.Errorf("remembered as requested: %q", i.Requested)
		}
		if !slices.Equal(s.paths(), []string{"refresh"}) || !slices.Equal(s.started[0].Requested, []string{"a", "b", "c"}) {
			t.Errorf("traced %q of %+v", s.paths(), s.started)
		}
		// A token that has them already is the answer to a late 403.
		if late, err := m.Resolve(t.Context(), tok, insufficient("c")); err != nil || late != got {
			t.Errorf("late 403: %v, %v, want the token in use", late, err)
		}
		k.wantSteps(1, 0)
	})
}

// One that narrows: what the refresh granted is checked, the login does the
// rest, and the next step-up goes straight there.
func TestStepUpByLogin(t *testing.T) {
	for policy, cfg := range map[string]authtest.Config{
		"narrows": {},
		"refuses": {RefreshScopePolicy: authtest.RefuseScopes},
	} {
		t.Run(policy, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, cfg, authtest.Protection{})
				p := k.asked(0)
				m, tok, s := k.ascending(p, "a")
				got, err := m.Resolve(t.Context(), tok, insufficient("b"))
				if err != nil || !slices.Equal(got.Scopes, []string{"a", "b"}) {
					t.Fatalf("Resolve = %v, %v", got, err)
				}
				k.wantSteps(1, 1)
				if sent := p.visit(0).Get("scope"); sent != "a b" {
					t.Errorf("the login asks for %q, want the union", sent)
				}
				got, err = m.Resolve(t.Context(), got, insufficient("c"))
				if err != nil || !slices.Equal(got.Scopes, []string{"a", "b", "c"}) {
					t.Fatalf("Resolve = %v, %v", got, err)
				}
				k.wantSteps(1, 2)
				if !slices.Equal(s.paths(), []string{"authorization", "authorization"}) {
					t.Errorf("traced %q", s.paths())
				}
				// That it does not widen is no reason not to refresh.
				if _, err := m.Refresh(t.Context()); err != nil {
					t.Errorf("Refresh: %v", err)
				}
				k.wantSteps(2, 2)
			})
		})
	}
}

// Without a grant the error names everything that somebody else has to ask
// for, and the token in use stays.
func TestStepUpWithoutGrant(t *testing.T) {
	for policy, cfg := range map[string]authtest.Config{
		"narrows": {},
		"refuses": {RefreshScopePolicy: authtest.RefuseScopes},
	} {
		t.Run(policy, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, cfg, authtest.Protection{})
				m, tok, _ := k.ascending(nil, "a")
				_, err := m.Resolve(t.Context(), tok, insufficient("b"))
				re := asError[*auth.ReauthorizationRequiredError](t, err)
				if !slices.Equal(re.Scopes, []string{"a", "b"}) || re.Issuer != k.srv.Issuer || re.Resource != k.res.URL {
					t.Errorf("error %+v", re)
				}
				k.wantSteps(1, 0)
				if got := mustToken(t, m); !slices.Equal(got.Scopes, []string{"a"}) || k.call(got) != 200 {
					t.Errorf("the token in use is %v", got)
				}
				if _, err := m.Refresh(t.Context()); err != nil { // the refresh token was kept
					t.Errorf("Refresh: %v", err)
				}
			})
		})
	}

	t.Run("no refresh token", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			k := newKit(t, authtest.Config{}, authtest.Protection{})
			m := k.manager(k.config())
			first := k.token("a")
			first.RefreshToken = ""
			if err := m.SetToken(t.Context(), first); err != nil {
				t.Fatal(err)
			}
			_, err := m.Resolve(t.Context(), mustToken(t, m), insufficient("b"))
			if re := asError[*auth.ReauthorizationRequiredError](t, err); !slices.Equal(re.Scopes, []string{"a", "b"}) {
				t.Errorf("scopes %q", re.Scopes)
			}
			k.wantSteps(0, 0)
		})
	})
}

// A grant that needs nobody asks for the union itself.
func TestStepUpByClientCredentials(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		k.srv.AddClient("service", "secret")
		cfg := k.config()
		cfg.Client, cfg.Grant = auth.Client{ID: "service", Secret: "secret"}, grant.ClientCredentials{}
		m := k.manager(cfg)
		tok, err := m.Resolve(t.Context(), nil, k.unauthorized("a"))
		if err != nil {
			t.Fatal(err)
		}
		got, err := m.Resolve(t.Context(), tok, insufficient("b"))
		if err != nil || !slices.Equal(got.Scopes, []string{"a", "b"}) {
			t.Fatalf("Resolve = %v, %v", got, err)
		}
		if n := k.srv.Counts().Token; n != 2 {
			t.Errorf("%d token requests, want 2", n)
		}
	})

	// What it grants is final: a second request would get the same.
	t.Run("granted less", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			k := newKit(t, authtest.Config{ScopesSupported: []string{"a"}}, authtest.Protection{})
			k.srv.AddClient("service", "secret")
			cfg := k.config()
			cfg.Client, cfg.Grant = auth.Client{ID: "service", Secret: "secret"}, grant.ClientCredentials{}
			m := k.manager(cfg)
			tok, err := m.Resolve(t.Context(), nil, k.unauthorized("a"))
			if err != nil {
				t.Fatal(err)
			}
			for want := 2; want <= 3; want++ {
				tok, err = m.Resolve(t.Context(), tok, insufficient("b"))
				if err != nil || k.srv.Counts().Token != want {
					t.Fatalf("Resolve = %v, %v after %d requests, want %d", tok, err, k.srv.Counts().Token, want)
				}
			}
			_, err = m.Resolve(t.Context(), tok, insufficient("b"))
			asError[*auth.InsufficientScopeError](t, err)
			if n := k.srv.Counts().Token; n != 3 {
				t.Errorf("%d token requests, want no more", n)
			}
		})
	})
}

// Design invariant 13: a server that is never satisfied gets two upgrades;
// then its challenge fails at once for a while, and after that it gets two
// again.
func TestStepUpLimit(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		p := k.asked(0)
		m, tok, _ := k.ascending(p, "a")
		c := insufficient("b")
		c.Operation = "tools/call write"
		began := time.Now()
		for round := range 2 {
			logins := 2 * round
			for i := 1; i <= 2; i++ {
				var err error
				if tok, err = m.Resolve(t.Context(), tok, c); err != nil {
					t.Fatalf("upgrade %d: %v", i, err)
				}
				if got := p.browsers(); got != logins+i {
					t.Fatalf("%d browsers after upgrade %d", got, logins+i)
				}
			}
			together(20, func(int) {
				_, err := m.Resolve(t.Context(), tok, c)
				ie := asError[*auth.InsufficientScopeError](t, err)
				if ie.Attempts != 2 || ie.Operation != c.Operation || ie.Resource != k.res.URL || ie.Err != nil ||
					!slices.Equal(ie.Required, []string{"b"}) || !slices.Equal(ie.Granted, []string{"a", "b"}) {
					t.Errorf("error %+v", ie)
				}
				if got := ie.RetryAt.Sub(began); got < 5*time.Minute || got > 5*time.Minute+time.Second {
					t.Errorf("retry after %v, want 5 minutes", got)
				}
			})
			// The scopes are what is refused, whatever they are needed for.
			other := c
			other.Operation = "tools/call delete"
			_, err := m.Resolve(t.Context(), tok, other)
			asError[*auth.InsufficientScopeError](t, err)
			// Other scopes are another matter, and so is the token itself.
			if mustToken(t, m) != tok {
				t.Error("the token in use has changed")
			}
			time.Sleep(5*time.Minute - time.Since(began) - time.Nanosecond)
			_, err = m.Resolve(t.Context(), tok, c)
			if asError[*auth.InsufficientScopeError](t, err); p.browsers() != logins+2 {
				t.Fatalf("%d browsers, want %d", p.browsers(), logins+2)
			}
			time.Sleep(time.Nanosecond)
			began = time.Now()
		}
	})

	t.Run("other scopes", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			k := newKit(t, authtest.Config{RefreshWidens: true}, authtest.Protection{})
			m, tok, _ := k.ascending(nil, "a")
			for _, scopes := range [][]string{{"b"}, {"c"}, {"d", "e"}, {"e", "f"}, {"g"}} {
				var err error
				if tok, err = m.Resolve(t.Context(), tok, insufficient(scopes...)); err != nil {
					t.Fatalf("%q: %v", scopes, err)
				}
			}
			k.wantSteps(5, 0)
		})
	})

	t.Run("order of scopes", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			k := newKit(t, authtest.Config{RefreshWidens: true}, authtest.Protection{})
			m, tok, _ := k.ascending(nil, "a")
			for i, c := range []auth.Challenge{insufficient("b", "c"), insufficient("c", "b"), insufficient("b", "c")} {
				next, err := m.Resolve(t.Context(), tok, c)
				if i == 2 {
					asError[*auth.InsufficientScopeError](t, err)
				} else if err != nil {
					t.Fatal(err)
				} else {
					tok = next
				}
			}
		})
	})

	t.Run("configured", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			k := newKit(t, authtest.Config{RefreshWidens: true}, authtest.Protection{})
			cfg := k.config()
			cfg.StepUpLimit = 1
			m, _ := k.started(cfg, "a")
			tok, err := m.Resolve(t.Context(), mustToken(t, m), insufficient("b"))
			if err != nil {
				t.Fatal(err)
			}
			_, err = m.Resolve(t.Context(), tok, insufficient("b"))
			if ie := asError[*auth.InsufficientScopeError](t, err); ie.Attempts != 1 {
				t.Errorf("%d attempts, want 1", ie.Attempts)
			}
		})
	})
}

// What a step-up failed with is what the same challenge gets again: no other
// browser window for the same answer.
func TestStepUpFailureIsRemembered(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		p := k.asked(0)
		m, tok, s := k.ascending(p, "a")
		k.srv.InjectAlways(authtest.AuthorizeEndpoint, authtest.OAuthError("access_denied", 0))
		for range 3 {
			_, err := m.Resolve(t.Context(), tok, insufficient("b"))
			if ae := asError[*auth.AuthorizationError](t, err); ae.Code != "access_denied" {
				t.Errorf("error %v", err)
			}
			time.Sleep(time.Minute) // longer than a failed login is remembered
		}
		k.wantSteps(1, 1)
		if !slices.Equal(s.paths(), []string{"error"}) {
			t.Errorf("traced %q", s.paths())
		}
		// The user pressed the button, and again at once: that is not held back.
		if _, err := m.UpgradeScopes(t.Context(), "b"); err == nil {
			t.Error("no error")
		}
		k.srv.ClearFaults(authtest.AuthorizeEndpoint)
		if got, err := m.UpgradeScopes(t.Context(), "b"); err != nil || !slices.Equal(got.Scopes, []string{"a", "b"}) {
			t.Errorf("UpgradeScopes = %v, %v", got, err)
		}
		k.wantSteps(1, 3)
		// Which is as good for the old challenge.
		if got, err := m.Resolve(t.Context(), mustToken(t, m), insufficient("c")); err != nil || len(got.Scopes) != 3 {
			t.Errorf("Resolve = %v, %v", got, err)
		}
	})

	// A failure that passes is not held against the scopes.
	t.Run("transient", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			k := newKit(t, authtest.Config{RefreshWidens: true}, authtest.Protection{})
			m, tok, _ := k.ascending(k.asked(0), "a")
			k.srv.InjectAlways(authtest.TokenEndpoint, authtest.Status(503))
			_, err := m.Resolve(t.Context(), tok, insufficient("b"))
			if te := asError[*auth.TokenError](t, err); te.StatusCode != 503 {
				t.Fatal(err)
			}
			n := k.srv.Counts().Token
			if _, again := m.Resolve(t.Context(), tok, insufficient("b")); !errors.Is(again, err) || k.srv.Counts().Token != n {
				t.Errorf("before the next attempt is due: %v and %d requests", again, k.srv.Counts().Token-n)
			}
			k.srv.ClearFaults(authtest.TokenEndpoint)
			time.Sleep(2 * time.Minute)
			if got, err := m.Resolve(t.Context(), tok, insufficient("b")); err != nil || len(got.Scopes) != 2 {
				t.Errorf("Resolve = %v, %v", got, err)
			}
			if c := k.srv.Counts(); c.Authorize != 0 {
				t.Errorf("%d logins for a failure that passed", c.Authorize)
			}
		})
	})
}

// Design invariant 14: fifty calls that need three different scopes make one
// upgrade, by either path.
func TestStepUpsMerge(t *testing.T) {
	for name, widens := range map[string]bool{"refresh": true, "login": false} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, authtest.Config{RefreshWidens: widens}, authtest.Protection{})
				p := k.asked(10 * time.Second)
				m, tok, _ := k.ascending(p, "a")
				got := make([]*auth.Token, 50)
				together(50, func(i int) {
					scope := string("bcd"[i%3])
					var err error
					if got[i], err = m.Resolve(t.Context(), tok, insufficient(scope)); err != nil {
						t.Errorf("caller %d: %v", i, err)
					} else if !slices.Contains(got[i].Scopes, scope) {
						t.Errorf("caller %d: scope %s is not among %q", i, scope, got[i].Scopes)
					}
				})
				logins := 1
				if widens {
					logins = 0
				}
				k.wantSteps(1, logins)
				form := k.srv.TokenRequests()[0].Form
				sent := strings.Fields(form.Get("scope"))
				slices.Sort(sent)
				if !slices.Equal(sent, []string{"a", "b", "c", "d"}) {
					t.Errorf("the refresh asked for %q, want all of it", sent)
				}
				for i := range got {
					if got[i] != got[0] {
						t.Errorf("caller %d got another token", i)
					}
				}
			})
		})
	}

	// Who comes too late for a request that has been sent waits for it to end.
	t.Run("one after the other", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			k := newKit(t, authtest.Config{RefreshWidens: true}, authtest.Protection{})
			m, tok, _ := k.ascending(nil, "a")
			k.srv.Inject(authtest.TokenEndpoint, authtest.Delay(5*time.Second))
			together(20, func(i int) {
				scope := "b"
				if i >= 10 {
					time.Sleep(time.Second)
					scope = "c"
				}
				got, err := m.Resolve(t.Context(), tok, insufficient(scope))
				if err != nil || !slices.Contains(got.Scopes, scope) {
					t.Errorf("caller %d: %v, %v", i, got, err)
				}
			})
			k.wantSteps(2, 0)
			if got := mustToken(t, m); len(got.Scopes) != 3 {
				t.Errorf("scopes %q, want all three", got.Scopes)
			}
		})
	})

	// The same for a login: what it was not asked for it does not grant.
	t.Run("one login after the other", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			k := newKit(t, authtest.Config{}, authtest.Protection{})
			p := k.asked(10 * time.Second)
			m, tok, _ := k.ascending(p, "a")
			together(20, func(i int) {
				scope := "b"
				if i >= 10 {
					time.Sleep(5 * time.Second)
					scope = "c"
				}
				got, err := m.Resolve(t.Context(), tok, insufficient(scope))
				if err != nil || !slices.Contains(got.Scopes, scope) {
					t.Errorf("caller %d: %v, %v", i, got, err)
				}
			})
			k.wantSteps(1, 2)
			if got := p.visit(1).Get("scope"); got != "a b c" {
				t.Errorf("the second login asks for %q, want the union", got)
			}
		})
	})

	// And a plain refresh that is under way is no upgrade.
	t.Run("during a refresh", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			k := newKit(t, authtest.Config{RefreshWidens: true}, authtest.Protection{})
			m, tok, _ := k.ascending(nil, "a")
			k.srv.Inject(authtest.TokenEndpoint, authtest.Delay(5*time.Second))
			together(2, func(i int) {
				if i == 0 {
					if _, err := m.Refresh(t.Context()); err != nil {
						t.Errorf("Refresh: %v", err)
					}
					return
				}
				time.Sleep(time.Second)
				if got, err := m.Resolve(t.Context(), tok, insufficient("b")); err != nil || !slices.Equal(got.Scopes, []string{"a", "b"}) {
					t.Errorf("Resolve = %v, %v", got, err)
				}
			})
			k.wantSteps(2, 0)
		})
	})
}

// A challenge that does not say which scopes: those that the resource's
// metadata list are asked for; when there is nothing to ask for, it fails at
// once.
func TestStepUpWithoutScopes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{RefreshWidens: true}, authtest.Protection{Metadata: func(doc map[string]any) {
			doc["scopes_supported"] = []string{"a", "b"}
		}})
		cfg := k.discovered()
		cfg.Scopes = []string{"a"}
		m := k.manager(cfg)
		tok, err := m.Resolve(t.Context(), nil, k.unauthorized())
		if err != nil {
			t.Fatal(err)
		}
		c := insufficient()
		c.Operation = "POST /mcp"
		got, err := m.Resolve(t.Context(), tok, c)
		if err != nil || !slices.Equal(got.Scopes, []string{"a", "b"}) {
			t.Fatalf("Resolve = %v, %v, want the resource's scopes", got, err)
		}
		for range 2 {
			_, err = m.Resolve(t.Context(), got, c)
			ie := asError[*auth.InsufficientScopeError](t, err)
			if len(ie.Required) != 0 || ie.Operation != "POST /mcp" || !strings.Contains(ie.Error(), "does not say") {
				t.Errorf("error %+v", ie)
			}
		}
		k.wantSteps(1, 1)
	})

	t.Run("nothing is known", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			k := newKit(t, authtest.Config{}, authtest.Protection{})
			p := k.asked(0)
			m, tok, _ := k.ascending(p, "a")
			_, err := m.Resolve(t.Context(), tok, insufficient())
			asError[*auth.InsufficientScopeError](t, err)
			k.wantSteps(0, 0)
		})
	})
}

// insufficient_scope to a request without a token is a demand for one.
func TestStepUpWithoutToken(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		p := k.asked(0)
		m := k.manager(k.bothering(p))
		got, err := m.Resolve(t.Context(), nil, insufficient("b"))
		if err != nil || !slices.Equal(got.Scopes, []string{"b"}) {
			t.Errorf("Resolve = %v, %v", got, err)
		}
		k.wantSteps(0, 1)
	})
}

// The seed's own call: merged with what there is, by the refresh token, else
// an error with the whole list.
func TestUpgradeScopes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{RefreshWidens: true}, authtest.Protection{})
		m, tok, _ := k.ascending(nil, "a")
		got, err := m.UpgradeScopes(t.Context(), "b", "", "b", "c")
		if err != nil || !slices.Equal(got.Scopes, []string{"a", "b", "c"}) {
			t.Fatalf("UpgradeScopes = %v, %v", got, err)
		}
		again, err := m.UpgradeScopes(t.Context(), "a", "c")
		if err != nil || again != got || got == tok {
			t.Errorf("for scopes that it has: %v, %v, want the token in use", again, err)
		}
		k.wantSteps(1, 0)
	})

	t.Run("errors", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			k := newKit(t, authtest.Config{ScopesSupported: []string{"a", "b"}}, authtest.Protection{})
			m, _, _ := k.ascending(k.asked(0), "a")
			_, err := m.UpgradeScopes(t.Context(), "", "")
			if ce := asError[*auth.ConfigError](t, err); ce.Field != "scopes" {
				t.Errorf("error names %s", ce.Field)
			}
			_, err = m.UpgradeScopes(t.Context(), "b", "unknown")
			ie := asError[*auth.InsufficientScopeError](t, err)
			if !slices.Equal(ie.Required, []string{"b", "unknown"}) || !slices.Equal(ie.Granted, []string{"a", "b"}) || ie.Attempts != 1 {
				t.Errorf("error %+v", ie)
			}
			if got := mustToken(t, m); !slices.Equal(got.Scopes, []string{"a", "b"}) {
				t.Errorf("scopes %q, want what was granted", got.Scopes)
			}
			if err := m.Close(); err != nil {
				t.Fatal(err)
			}
			if _, err := m.UpgradeScopes(t.Context(), "c"); err != auth.ErrClosed {
				t.Errorf("after Close: %v", err)
			}
		})
	})

	t.Run("caller leaves", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			k := newKit(t, authtest.Config{RefreshWidens: true}, authtest.Protection{})
			m, _, s := k.ascending(nil, "a")
			k.srv.Inject(authtest.TokenEndpoint, authtest.Delay(5*time.Second))
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if _, err := m.UpgradeScopes(ctx, "b"); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("UpgradeScopes: %v", err)
			}
			time.Sleep(5 * time.Second)
			if got := mustToken(t, m); !slices.Equal(got.Scopes, []string{"a", "b"}) {
				t.Errorf("scopes %q: the upgrade went with its caller", got.Scopes)
			}
			if !slices.Equal(s.paths(), []string{"error"}) {
				t.Errorf("traced %q, want the end of the wait", s.paths())
			}
		})
	})
}
