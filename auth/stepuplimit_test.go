package auth_test

import (
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
)

// A server that is never satisfied gets one login; what that granted is not asked
// for again, and its challenge fails at once for a while. Where no login is tried
// it gets two upgrades [invariant 16].
func TestStepUpLimit(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		p := k.asked(0)
		m, tok, _ := k.ascending(p, "a")
		c := insufficient("b")
		c.Operation = "tools/call write"
		began := time.Now()
		for round := range 2 {
			// One login grants what the server wants. Another would grant the same.
			var err error
			if tok, err = m.Resolve(t.Context(), tok, c); err != nil {
				t.Fatalf("upgrade: %v", err)
			}
			logins := round + 1
			if got := p.browsers(); got != logins {
				t.Fatalf("%d browsers after round %d", got, round)
			}
			together(20, func(int) {
				_, err := m.Resolve(t.Context(), tok, c)
				ie := asError[*auth.InsufficientScopeError](t, err)
				if ie.Attempts != 1 || ie.Operation != c.Operation || ie.Resource != k.res.URL || ie.Err != auth.ErrScopeNotSeen || !strings.Contains(ie.Error(), "does not see") ||
					!slices.Equal(ie.Required, []string{"b"}) || !slices.Equal(ie.Granted, []string{"a", "b"}) {
					t.Errorf("error %+v", ie)
				}
				if got := ie.NextAttempt.Sub(began); got < 5*time.Minute || got > 5*time.Minute+time.Second {
					t.Errorf("retry after %v, want 5 minutes", got)
				}
			})
			// The scopes are what is refused, whatever they are needed for.
			other := c
			other.Operation = "tools/call delete"
			_, err = m.Resolve(t.Context(), tok, other)
			asError[*auth.InsufficientScopeError](t, err)
			// Other scopes are another matter, and so is the token itself.
			if mustToken(t, m) != tok {
				t.Error("the token in use has changed")
			}
			time.Sleep(5*time.Minute - time.Since(began) - time.Nanosecond)
			_, err = m.Resolve(t.Context(), tok, c)
			if asError[*auth.InsufficientScopeError](t, err); p.browsers() != logins {
				t.Fatalf("%d browsers, want %d", p.browsers(), logins)
			}
			time.Sleep(time.Second) // the login was a little later
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

// Fifty calls that need three different scopes make one upgrade, by either path
// [invariant 16].
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

// A scope that the server does not grant, neither by a refresh nor by a login,
// is not asked for at the next login: that would fail for it, whatever it is for.
//
//compat:asking a step-up that is refused
//compat:default the call fails; later logins ask for what was granted before
//compat:attack same
func TestRefusedScopesDoNotSpoilTheNextLogin(t *testing.T) {
	for _, code := range []string{"invalid_scope", "invalid_request"} {
		t.Run(code, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, authtest.Config{Refuse: func(e authtest.Endpoint, form url.Values) string {
					if e == authtest.AuthorizeEndpoint && strings.Contains(form.Get("scope"), "c") {
						return code + ": no such scope"
					}
					return ""
				}}, authtest.Protection{})
				m, tok, _ := k.ascending(k.asked(0), "a", "b")
				if _, err := m.Resolve(t.Context(), tok, insufficient("c")); err == nil {
					t.Fatal("the step-up succeeded")
				}
				k.srv.RevokeAll()
				time.Sleep(2 * time.Hour)
				got, err := m.Resolve(t.Context(), tok, auth.Challenge{Status: 401})
				if err != nil || !slices.Equal(got.Scopes, []string{"a", "b"}) {
					t.Errorf("the next login = %v, %v", got, err)
				}
			})
		})
	}
}
