package auth_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/authtrace"
)

// household is several managers that share a store, as processes do, with one
// person.
type household struct {
	*kit
	p        *person
	managers []*auth.Manager
	events   []<-chan auth.Event
}

func newHousehold(k *kit, takes time.Duration, change func(*auth.Config)) *household {
	h := &household{kit: k, p: k.asked(takes)}
	cfg := k.bothering(h.p)
	cfg.Store = new(auth.MemoryStore)
	if change != nil {
		change(&cfg)
	}
	for range 4 {
		m := k.manager(cfg)
		events, stop := m.Subscribe()
		k.t.Cleanup(stop)
		h.managers, h.events = append(h.managers, m), append(h.events, events)
	}
	return h
}

// waited is how many managers said that they wait for another.
func (h *household) waited() (n int) {
	for _, ch := range h.events {
		for _, e := range drained(ch) {
			if e.Type == auth.EventLoginElsewhere {
				n++
			}
		}
	}
	return n
}

// once checks that one window was opened, one client registered, and that the
// others said that they waited.
func (h *household) once() {
	h.t.Helper()
	if n, reg, w := h.p.browsers(), h.srv.Counts().Register, h.waited(); n != 1 || reg > 1 || w != len(h.managers)-1 {
		h.t.Errorf("%d windows, %d registrations, %d waited", n, reg, w)
	}
}

// Four processes need a first login at once: one asks, and all have a token.
func TestOneFirstLoginForAll(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := newHousehold(newKit(t, authtest.Config{}, authtest.Protection{}), 2*time.Second, nil)
		together(4, func(i int) {
			tok, err := h.managers[i].Resolve(t.Context(), nil, h.unauthorized())
			if err != nil {
				t.Error(err)
				return
			}
			if status, err := h.present(tok); status != 200 || err != nil {
				t.Errorf("manager %d: %d, %v", i, status, err)
			}
		})
		h.once()
	})
}

func TestOneStepUpForAll(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		h := newHousehold(k, 0, nil)
		old, err := h.managers[0].Authorize(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		h.waited()
		h.p.takes, h.p.visits = 2*time.Second, nil
		together(4, func(i int) {
			m := h.managers[i]
			if err := m.Load(t.Context()); err != nil {
				t.Error(err)
				return
			}
			tok, err := m.Resolve(t.Context(), old, insufficient("write"))
			if err != nil || !slices.Contains(tok.Scopes, "write") {
				t.Errorf("manager %d: %v, %v", i, tok, err)
			}
		})
		h.once()
	})
}

// While the person is asked for more scopes, other processes bring tokens that have
// no more than the old one. Whoever is refused with one of them waits for the person
// too.
func TestTokensComeDuringAStepUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		h := newHousehold(k, 0, nil)
		old, err := h.managers[0].Authorize(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		mustToken(t, h.managers[1])
		h.p.takes, h.p.visits = time.Minute, nil
		together(6, func(i int) {
			time.Sleep(time.Duration(i) * 5 * time.Second)
			tok := old
			if i > 0 {
				fresh, err := h.managers[1].Refresh(t.Context())
				if err != nil || slices.Contains(fresh.Scopes, "write") {
					t.Errorf("%v, %v", fresh, err)
				}
				tok, _ = h.managers[0].Token(t.Context())
			}
			tok, err := h.managers[0].Resolve(t.Context(), tok, insufficient("write"))
			if err != nil || !slices.Contains(tok.Scopes, "write") {
				t.Errorf("call %d: %v, %v", i, tok, err)
			}
		})
		if n := h.p.browsers(); n != 1 {
			t.Errorf("%d windows", n)
		}
	})
}

// What the person said is the answer for all who waited for it.
func TestRefusalIsShared(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		h := newHousehold(k, 2*time.Second, nil)
		k.srv.InjectAlways(authtest.AuthorizeEndpoint, authtest.OAuthError("access_denied", 0))
		together(4, func(i int) {
			_, err := h.managers[i].Resolve(t.Context(), nil, h.unauthorized())
			if e := asError[*auth.AuthorizationError](t, err); e.Code != "access_denied" || e.Issuer != k.srv.Issuer {
				t.Errorf("manager %d: %v", i, err)
			}
		})
		h.once()
		// They do not ask by themselves for a while, and then they may.
		if _, err := h.managers[3].Resolve(t.Context(), nil, h.unauthorized()); err == nil || h.p.browsers() != 1 {
			t.Errorf("%v, %d windows", err, h.p.browsers())
		}
		k.srv.ClearFaults(authtest.AuthorizeEndpoint)
		if _, err := h.managers[3].Authorize(t.Context()); err != nil || h.p.browsers() != 2 {
			t.Errorf("%v, %d windows", err, h.p.browsers())
		}
	})
}

// Nobody sits at the screen: one window is enough to find that out.
func TestSilenceIsShared(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := newHousehold(newKit(t, authtest.Config{}, authtest.Protection{}), time.Hour, func(cfg *auth.Config) { cfg.AuthorizationTimeout = time.Minute })
		began := time.Now()
		together(4, func(i int) {
			_, err := h.managers[i].Resolve(t.Context(), nil, h.unauthorized())
			asError[*auth.AuthorizationError](t, err)
		})
		h.once()
		if took := time.Since(began); took > 2*time.Minute {
			t.Errorf("it took %v", took)
		}
	})
}

// The process that asks the person ends: another one asks.
func TestLoginIsTakenOver(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := newHousehold(newKit(t, authtest.Config{}, authtest.Protection{}), 20*time.Second, nil)
		go func() { _, _ = h.managers[0].Resolve(t.Context(), nil, h.unauthorized()) }()
		time.Sleep(time.Second)
		time.AfterFunc(10*time.Second, func() { _ = h.managers[0].Close() })
		together(3, func(i int) {
			if _, err := h.managers[i+1].Resolve(t.Context(), nil, h.unauthorized()); err != nil {
				t.Error(err)
			}
		})
		if n := h.p.browsers(); n != 2 {
			t.Errorf("%d windows, want that of the one that ended and another", n)
		}
	})
}

// What failed without the person is no answer for the others: each tries, in
// turn.
func TestFailureIsNotShared(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		h := newHousehold(k, 2*time.Second, nil)
		k.srv.Inject(authtest.AuthorizeEndpoint, authtest.OAuthError("server_error", 0))
		var failed, worked int
		results := make(chan error, 4)
		together(4, func(i int) {
			_, err := h.managers[i].Resolve(t.Context(), nil, h.unauthorized())
			results <- err
		})
		for range 4 {
			if err := <-results; err != nil {
				failed++
			} else {
				worked++
			}
		}
		if failed != 1 || worked != 3 || h.p.browsers() != 2 {
			t.Errorf("%d failed, %d worked, %d windows", failed, worked, h.p.browsers())
		}
	})
}

// A caller leaves by its own context, whoever asks the person.
func TestCallerLeavesALoginElsewhere(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := newHousehold(newKit(t, authtest.Config{}, authtest.Protection{}), 20*time.Second, nil)
		go func() { _, _ = h.managers[0].Resolve(t.Context(), nil, h.unauthorized()) }()
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if _, err := h.managers[1].Resolve(ctx, nil, h.unauthorized()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		time.Sleep(time.Minute)
		if n := h.p.browsers(); n != 1 {
			t.Errorf("%d windows", n)
		}
	})
}

// A program that wraps the store hides what else it can do. The lock is enough.
func TestWrappedStoreAsksOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := newHousehold(newKit(t, authtest.Config{}, authtest.Protection{}), 2*time.Second, func(cfg *auth.Config) { cfg.Store = struct{ auth.Store }{cfg.Store} })
		together(4, func(i int) {
			if _, err := h.managers[i].Resolve(t.Context(), nil, h.unauthorized()); err != nil {
				t.Error(err)
			}
		})
		h.once()
	})
}

// shortLocks is a store whose locks do not last as long as a login.
type shortLocks struct{ auth.Store }

func (s shortLocks) Lock(ctx context.Context, key auth.Key) (func(), error) {
	if strings.HasPrefix(key.Resource, "login ") {
		return func() {}, nil
	}
	return s.Store.Lock(ctx, key)
}

// Where the lock ends too early each asks, and nothing else is lost.
func TestLockEndsBeforeTheLogin(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := newHousehold(newKit(t, authtest.Config{}, authtest.Protection{}), 2*time.Second, func(cfg *auth.Config) { cfg.Store = shortLocks{cfg.Store} })
		together(4, func(i int) {
			tok, err := h.managers[i].Resolve(t.Context(), nil, h.unauthorized())
			if err != nil {
				t.Error(err)
				return
			}
			if status, err := h.present(tok); status != 200 || err != nil {
				t.Errorf("manager %d: %d, %v", i, status, err)
			}
		})
		if n := h.p.browsers(); n != 4 {
			t.Errorf("%d windows, want 4: the test tests nothing", n)
		}
	})
}

// stepTracer passes the steps on.
type stepTracer struct {
	authtrace.Nop
	steps chan<- authtrace.Step
}

func (s stepTracer) Point(_ context.Context, p authtrace.Point) {
	if step, ok := p.(authtrace.Step); ok {
		s.steps <- step
	}
}

// The turn is a step of the login, as long as the wait was.
func TestTurnIsTraced(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		steps := make(chan authtrace.Step, 100)
		h := newHousehold(k, 2*time.Second, func(cfg *auth.Config) {
			cfg.Tracer = stepTracer{steps: steps}
			cfg.Store = struct { // without hints, which end a wait
				auth.Store
				auth.Leaser
			}{cfg.Store, cfg.Store.(auth.Leaser)}
		})
		together(2, func(i int) { _, _ = h.managers[i].Resolve(t.Context(), nil, h.unauthorized()) })
		close(steps)
		var took []time.Duration
		for s := range steps {
			if s.Kind == authtrace.StepTurn {
				took = append(took, s.Duration)
			}
		}
		if len(took) != 2 || took[0] != 0 || took[1] < 2*time.Second {
			t.Errorf("turns took %v", took)
		}
	})
}
