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
	"github.com/mcptokens/mcptokens/auth/authtrace"
	"github.com/mcptokens/mcptokens/auth/grant"
)

// steps is a tracer that keeps what it hears of step-ups and discovery.
type steps struct {
	authtrace.Nop
	mu       sync.Mutex
	started  []authtrace.StepUpStart
	ended    []authtrace.StepUpEnd
	searches []authtrace.DiscoveryEnd
}

func (s *steps) Start(ctx, _ context.Context, d authtrace.Start) context.Context {
	if d, ok := d.(authtrace.StepUpStart); ok {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.started = append(s.started, d)
	}
	return ctx
}

func (s *steps) End(_ context.Context, d authtrace.End) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch d := d.(type) {
	case authtrace.StepUpEnd:
		s.ended = append(s.ended, d)
	case authtrace.DiscoveryEnd:
		s.searches = append(s.searches, d)
	}
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

// Scopes that the program asks for are merged with what there is, by the refresh
// token; else the error has the whole list.
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

// That one authorization server does not widen scopes by refresh says nothing
// about the next one.
func TestNarrowServerIsLeft(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var issuers []string
		k := newKit(t, authtest.Config{}, authtest.Protection{Metadata: func(doc map[string]any) { doc["authorization_servers"] = issuers }})
		issuers = []string{k.srv.Issuer}
		next := authtest.NewServerConfig(t, authtest.Config{Peer: k.srv, RefreshWidens: true})
		cfg := k.discovered()
		cfg.NoIdleRefresh = true
		m := k.manager(cfg)
		if _, err := m.Authorize(t.Context()); err != nil {
			t.Fatal(err)
		}
		for i, scope := range []string{"a", "b"} {
			if tok, err := m.UpgradeScopes(t.Context(), scope); err != nil || k.refreshes() != 1 {
				t.Fatalf("upgrade %d: %v, %v after %d refreshes, want only the first to try one", i, tok, err, k.refreshes())
			}
		}
		m.Accepted(mustToken(t, m)) // else nobody would be asked to log in once more
		issuers = []string{next.Issuer}
		if _, err := k.replace(m, mustToken(t, m)); err != nil || m.Info().Issuer != next.Issuer {
			t.Fatalf("%v, issuer %s", err, m.Info().Issuer)
		}
		before := next.Counts()
		if tok, err := m.UpgradeScopes(t.Context(), "c"); err != nil {
			t.Errorf("UpgradeScopes = %v, %v", tok, err)
		}
		if c := next.Counts(); c.Refreshes != before.Refreshes+1 || c.Authorize != before.Authorize {
			t.Errorf("%d refreshes and %d logins at the new server, want one refresh", c.Refreshes-before.Refreshes, c.Authorize-before.Authorize)
		}
	})
}
