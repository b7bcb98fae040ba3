package auth_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
)

// closing closes a manager and returns how long that took. Whatever of it were
// left would fail the bubble.
func closing(t *testing.T, m *auth.Manager) time.Duration {
	t.Helper()
	began := time.Now()
	if err := m.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	return time.Since(began)
}

func TestAfterClose(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		cfg := k.config()
		cfg.Grant = forbidden{t}
		m, tok := k.started(cfg)
		events, cancel := m.Subscribe()
		if took := closing(t, m); took != 0 {
			t.Errorf("Close of an idle manager took %v", took)
		}
		ctx := t.Context()
		for name, call := range map[string]func() error{
			"Token":         func() error { _, err := m.Token(ctx); return err },
			"Refresh":       func() error { _, err := m.Refresh(ctx); return err },
			"Authorize":     func() error { _, err := m.Authorize(ctx); return err },
			"UpgradeScopes": func() error { _, err := m.UpgradeScopes(ctx, "x"); return err },
			"Resolve":       func() error { _, err := m.Resolve(ctx, tok, auth.Challenge{Status: 401}); return err },
			"Resolve 403": func() error {
				_, err := m.Resolve(ctx, tok, auth.Challenge{Status: 403, Error: "insufficient_scope", Scopes: []string{"x"}})
				return err
			},
			"SetToken":    func() error { return m.SetToken(ctx, tok) },
			"Revoke":      func() error { return m.Revoke(ctx) },
			"TokenSource": func() error { _, err := m.TokenSource(ctx).Token(); return err },
		} {
			if err := call(); !errors.Is(err, auth.ErrClosed) {
				t.Errorf("%s: %v, want ErrClosed", name, err)
			}
		}
		if _, open := <-events; open {
			t.Error("the subscription is still open")
		}
		cancel() // does no harm
		late, cancel := m.Subscribe()
		if _, open := <-late; open {
			t.Error("a subscription to a closed manager is open")
		}
		cancel()
		if err := m.Close(); err != nil {
			t.Errorf("second Close: %v", err)
		}
		time.Sleep(24 * time.Hour)
		k.wantRefreshes(0)
	})
}

// The answer of a refresh under way may be the only copy of a rotated refresh
// token: Close waits for it, and it is stored [invariant 2].
func TestCloseDuringARefresh(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		cfg, s := k.onDemand(), new(auth.MemoryStore)
		cfg.Store = s
		m, old := k.started(cfg)
		k.srv.Inject(authtest.TokenEndpoint, authtest.DelayAfter(2*time.Second))
		got := make(chan *auth.Token, 1)
		go func() {
			tok, err := m.Refresh(t.Context())
			if err != nil {
				t.Errorf("Refresh: %v", err)
			}
			got <- tok
		}()
		synctest.Wait()
		if took := closing(t, m); took != 2*time.Second {
			t.Errorf("Close took %v, want until the answer came", took)
		}
		if tok := <-got; k.stored(s).Token.RefreshToken != tok.RefreshToken || tok.RefreshToken == old.RefreshToken {
			t.Errorf("stored %v", k.stored(s))
		}
		k.wantRefreshes(1)
	})
}

// Close does not wait forever.
func TestCloseDuringARefreshThatHangs(t *testing.T) {
	for _, tc := range []struct {
		name string
		hang func(k *kit, s *auth.MemoryStore)
		took time.Duration
	}{
		{"token endpoint", func(k *kit, _ *auth.MemoryStore) {
			k.srv.InjectAlways(authtest.TokenEndpoint, authtest.Delay(time.Hour))
		}, time.Minute},
		{"lock held by another process", func(k *kit, s *auth.MemoryStore) {
			if _, err := s.Lock(k.t.Context(), k.storeKey()); err != nil {
				k.t.Fatal(err)
			}
		}, 0}, // nothing was sent
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, authtest.Config{}, authtest.Protection{})
				cfg, s := k.onDemand(), new(auth.MemoryStore)
				cfg.Store = s
				m, _ := k.started(cfg)
				tc.hang(k, s)
				failed := make(chan error, 1)
				go func() {
					_, err := m.Refresh(t.Context())
					failed <- err
				}()
				synctest.Wait()
				if took := closing(t, m); took != tc.took {
					t.Errorf("Close took %v, want %v", took, tc.took)
				}
				if err := <-failed; !errors.Is(err, auth.ErrClosed) {
					t.Errorf("Refresh: %v, want ErrClosed", err)
				}
			})
		})
	}
}

// A wait between two attempts is worth nothing: Close ends it at once.
func TestCloseDuringBackoff(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		m, old := k.started(k.onDemand())
		expire(old)
		k.srv.InjectAlways(authtest.TokenEndpoint, authtest.RetryAfter(503, 10*time.Second))
		failed := make(chan error, 1)
		go func() {
			_, err := m.Token(t.Context())
			failed <- err
		}()
		time.Sleep(time.Second)
		k.wantRefreshes(1)
		if took := closing(t, m); took != 0 {
			t.Errorf("Close took %v", took)
		}
		if err := <-failed; !errors.Is(err, auth.ErrClosed) {
			t.Errorf("Token: %v, want ErrClosed", err)
		}
		k.wantRefreshes(1)
	})
}

// An upgrade that still waits for others to join it is not held up by that.
func TestCloseDuringAnUpgrade(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{RefreshWidens: true}, authtest.Protection{})
		m, _ := k.started(k.onDemand())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_, _ = m.UpgradeScopes(t.Context(), "write") // it may just make it
		}()
		synctest.Wait()
		k.wantRefreshes(0)
		if took := closing(t, m); took != 0 {
			t.Errorf("Close took %v", took)
		}
		<-ended
	})
}

func TestCloseDuringTheFirstLoad(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		cfg := k.config()
		cfg.Store = slowLoad{new(auth.MemoryStore)}
		m := k.manager(cfg)
		failed := make(chan error, 1)
		go func() {
			_, err := m.Token(t.Context())
			failed <- err
		}()
		synctest.Wait()
		if took := closing(t, m); took != time.Second {
			t.Errorf("Close took %v", took)
		}
		if err := <-failed; !errors.Is(err, auth.ErrClosed) {
			t.Errorf("Token: %v, want ErrClosed", err)
		}
	})
}

// slowLoad takes a second for each Load.
type slowLoad struct{ *auth.MemoryStore }

func (s slowLoad) Load(ctx context.Context, key auth.Key) (*auth.Record, error) {
	time.Sleep(time.Second)
	return s.MemoryStore.Load(ctx, key)
}

// An authorization waits for a person: Close does not, but it waits for the
// grant to clean up.
func TestCloseDuringALogin(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		cfg := k.config()
		cfg.Grant = absent{}
		m := k.manager(cfg)
		failed := make(chan error, 1)
		go func() {
			_, err := m.Authorize(t.Context())
			failed <- err
		}()
		time.Sleep(time.Minute)
		if took := closing(t, m); took != time.Second {
			t.Errorf("Close took %v, want what the grant takes", took)
		}
		if err := <-failed; !errors.Is(err, auth.ErrClosed) {
			t.Errorf("Authorize: %v, want ErrClosed", err)
		}
	})
}

// absent is a user who never comes back, and a browser that takes a second to
// close.
type absent struct{}

func (absent) Type() string      { return "authorization_code" }
func (absent) Interactive() bool { return true }
func (absent) Authorize(ctx context.Context, _ *auth.Flow) (*auth.Token, error) {
	<-ctx.Done()
	time.Sleep(time.Second)
	return nil, ctx.Err()
}

// Close is the last chance for a token that could not be stored.
func TestCloseSavesTheUnsaved(t *testing.T) {
	for _, works := range []bool{true, false} {
		t.Run(map[bool]string{true: "store works again", false: "store still fails"}[works], func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, authtest.Config{}, authtest.Protection{})
				s := new(store)
				cfg := k.onDemand()
				cfg.Store = s
				m, old := k.started(cfg)
				s.fail(nil, errDisk, nil)
				tok, err := m.Refresh(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if works {
					s.fail(nil, nil, nil)
				}
				err = m.Close()
				stored := k.stored(s).Token.RefreshToken
				if works && (err != nil || stored != tok.RefreshToken) {
					t.Errorf("Close: %v, stored %v", err, k.stored(s))
				}
				if !works {
					if e := asError[*auth.StoreError](t, err); !errors.Is(e, errDisk) || stored != old.RefreshToken {
						t.Errorf("Close: %v, stored %v", e, k.stored(s))
					}
				}
				n, _ := s.saves()
				time.Sleep(time.Hour)
				if again, _ := s.saves(); again != n {
					t.Error("saving goes on after Close")
				}
			})
		})
	}
}

// Every Close returns when everything has ended, not only the first.
func TestConcurrentCloses(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		m, old := k.started(k.onDemand())
		expire(old)
		k.srv.Inject(authtest.TokenEndpoint, authtest.Delay(time.Second))
		go func() { _, _ = m.Token(t.Context()) }()
		synctest.Wait()
		together(3, func(int) {
			if took := closing(t, m); took != time.Second {
				t.Errorf("Close took %v", took)
			}
		})
	})
}

// A load and a refresh that both hang share one grace, and the answer has its own
// time.
func TestCloseWaitsOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		cfg, s := k.onDemand(), new(slowLater)
		cfg.Store, cfg.AnswerTimeout = s, 11*time.Second
		m, _ := k.started(cfg)
		k.srv.InjectAlways(authtest.TokenEndpoint, authtest.Delay(time.Hour))
		failed := make(chan error, 1)
		go func() {
			_, err := m.Refresh(t.Context())
			failed <- err
		}()
		time.Sleep(5 * time.Second)
		s.slow.Store(true)
		mustToken(t, m)                                           // looks into the store, for a moment
		if took := closing(t, m); took != 5750*time.Millisecond { // 11 s after the request
			t.Errorf("Close took %v, want what is left of the answer's time", took)
		}
		if err := <-failed; !errors.Is(err, auth.ErrClosed) {
			t.Errorf("Refresh: %v, want ErrClosed", err)
		}
		if n := s.hung.Load(); n != 1 {
			t.Errorf("%d loads hung, want 1", n)
		}
	})
}

// slowLater is a store whose Load does not return, once it is slow.
type slowLater struct {
	auth.MemoryStore
	slow atomic.Bool
	hung atomic.Int32
}

// Watch is not that of an [auth.Watcher].
func (s *slowLater) Watch() {}

func (s *slowLater) Load(ctx context.Context, key auth.Key) (*auth.Record, error) {
	if s.slow.Load() {
		s.hung.Add(1)
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return s.MemoryStore.Load(ctx, key)
}
