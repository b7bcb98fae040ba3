package auth_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
)

// pool starts one that is closed when the test ends.
func (k *kit) pool(cfg auth.PoolConfig) *auth.Pool {
	k.t.Helper()
	p, err := auth.NewPool(cfg)
	if err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(func() { _ = p.Close() })
	return p
}

// always returns cfg for everybody.
func always(cfg auth.Config) func(string, string) (*auth.Config, error) {
	return func(string, string) (*auth.Config, error) { return &cfg, nil }
}

// give sets a token for subject.
func (k *kit) give(p *auth.Pool, subject string) *auth.Token {
	k.t.Helper()
	tok := k.token()
	if err := p.Source(subject, k.res.URL).Use(func(m *auth.Manager) error { return m.SetToken(k.t.Context(), tok) }); err != nil {
		k.t.Fatal(err)
	}
	return tok
}

// used returns the manager of a source, to compare it with others.
func used(t *testing.T, s *auth.PoolSource) (manager *auth.Manager) {
	t.Helper()
	if err := s.Use(func(m *auth.Manager) error { manager = m; return nil }); err != nil {
		t.Fatal(err)
	}
	return manager
}

// A hundred callers of one subject share one manager and one refresh.
func TestPoolHasOneManagerForEachKey(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		cfg := k.onDemand()
		cfg.Store = new(auth.MemoryStore)
		var asked atomic.Int32
		p := k.pool(auth.PoolConfig{Config: func(subject, resource string) (*auth.Config, error) {
			asked.Add(1)
			if resource != k.res.URL {
				t.Errorf("asked for %q", resource)
			}
			return &cfg, nil
		}, Idle: 2 * time.Hour})
		old := k.give(p, "alice")
		other := k.give(p, "bob")
		expire(old)

		var mu sync.Mutex
		seen := make(map[*auth.Manager]bool)
		tokens := make(map[string]bool)
		together(100, func(int) {
			src := p.Source("alice", k.res.URL)
			tok, err := src.Token(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			m := used(t, src)
			mu.Lock()
			defer mu.Unlock()
			seen[m], tokens[tok.AccessToken] = true, true
		})
		if len(seen) != 1 || len(tokens) != 1 || p.Len() != 2 || asked.Load() != 2 {
			t.Errorf("%d managers, %d tokens, %d kept, Config called %d times", len(seen), len(tokens), p.Len(), asked.Load())
		}
		k.wantRefreshes(1)
		if m := used(t, p.Source("bob", k.res.URL)); seen[m] || tokens[other.AccessToken] {
			t.Error("two subjects share a manager")
		}
	})
}

func TestPoolSource(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		cfg := k.onDemand()
		cfg.Grant = k.login()
		p := k.pool(auth.PoolConfig{Config: always(cfg)})
		var src auth.Source = p.Source("alice", k.res.URL)
		if _, err := src.Token(t.Context()); !errors.Is(err, auth.ErrNoToken) {
			t.Errorf("Token: %v", err)
		}
		tok, err := src.Resolve(t.Context(), nil, auth.Challenge{Status: 401})
		if err != nil || k.call(tok) != http.StatusOK {
			t.Fatalf("Resolve: %v", err)
		}
		if again, err := src.Token(t.Context()); err != nil || again.AccessToken != tok.AccessToken {
			t.Errorf("Token: %v, %v", again, err)
		}
		if r := p.Source("alice", k.res.URL).Resource(); r != k.res.URL {
			t.Errorf("Resource = %q", r)
		}
		broken := errors.New("mine")
		if err := p.Source("alice", k.res.URL).Use(func(m *auth.Manager) error {
			if m.Resource() != k.res.URL {
				t.Errorf("Resource = %q", m.Resource())
			}
			return broken
		}); err != broken {
			t.Errorf("Use: %v", err)
		}
	})
}

// Beyond MaxManagers the one that was idle longest goes. It comes back with its
// token, out of the store that all share.
func TestPoolEvictsByNumber(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		p := k.pool(auth.PoolConfig{Config: always(k.onDemand()), MaxManagers: 3})
		tokens := make(map[string]*auth.Token)
		managers := make(map[string]*auth.Manager)
		for i := range 5 {
			name := strconv.Itoa(i)
			tokens[name] = k.give(p, name)
			managers[name] = used(t, p.Source(name, k.res.URL))
			if i == 2 { // 0 is the newest now, 1 the oldest
				used(t, p.Source("0", k.res.URL))
			}
			if p.Len() > 3 {
				t.Errorf("%d managers", p.Len())
			}
		}
		synctest.Wait()
		for name, m := range managers {
			want := name == "1" || name == "2"
			if _, err := m.Token(t.Context()); errors.Is(err, auth.ErrClosed) != want {
				t.Errorf("manager %s: %v, want closed: %t", name, err, want)
			}
		}
		for name, want := range tokens {
			if tok, err := p.Source(name, k.res.URL).Token(t.Context()); err != nil || tok.AccessToken != want.AccessToken {
				t.Errorf("%s: %v, %v", name, tok, err)
			}
		}
		k.wantRefreshes(0)
	})
}

func TestPoolEvictsByTime(t *testing.T) {
	for _, idle := range []time.Duration{0, time.Minute} {
		t.Run(idle.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, authtest.Config{}, authtest.Protection{})
				p := k.pool(auth.PoolConfig{Config: always(k.onDemand()), Idle: idle})
				want := idle
				if want == 0 {
					want = time.Hour
				}
				for i := range 20 {
					k.give(p, strconv.Itoa(i))
				}
				time.Sleep(want - time.Nanosecond)
				used(t, p.Source("0", k.res.URL))
				if p.Len() != 20 {
					t.Errorf("%d managers before their time", p.Len())
				}
				time.Sleep(time.Nanosecond) // nobody uses the pool now
				synctest.Wait()
				if p.Len() != 1 {
					t.Errorf("%d managers, want the one that was used", p.Len())
				}
				time.Sleep(want)
				synctest.Wait()
				if p.Len() != 0 {
					t.Errorf("%d managers, though nobody uses the pool", p.Len())
				}
				k.give(p, "again") // and so on
				time.Sleep(want)
				synctest.Wait()
				if p.Len() != 0 {
					t.Errorf("%d managers the second time", p.Len())
				}
			})
		})
	}
}

// A manager in use stays, however many are wanted and however long it takes,
// and does not keep others from being closed.
func TestPoolKeepsWhatIsInUse(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		p := k.pool(auth.PoolConfig{Config: always(k.onDemand()), MaxManagers: 1})
		const busy = 20 // more than are looked at in one go
		var inside sync.WaitGroup
		inside.Add(busy)
		end := make(chan struct{})
		var users sync.WaitGroup
		for i := range busy {
			users.Go(func() {
				_ = p.Source(fmt.Sprint("busy ", i), k.res.URL).Use(func(m *auth.Manager) error {
					inside.Done()
					<-end
					if _, err := m.Token(t.Context()); !errors.Is(err, auth.ErrNoToken) {
						t.Errorf("a manager in use: %v", err)
					}
					return nil
				})
			})
		}
		inside.Wait()
		for i := range 100 {
			k.give(p, strconv.Itoa(i))
			time.Sleep(time.Hour)
		}
		if n := p.Len(); n != busy {
			t.Errorf("%d managers, want the %d in use", n, busy)
		}
		close(end)
		users.Wait()
		k.give(p, "last")
		k.give(p, "last")
		if n := p.Len(); n != 1 {
			t.Errorf("%d managers, want 1", n)
		}
	})
}

// Nor is one closed that would lose a token, or end what it is doing.
func TestPoolKeepsWhatIsUnfinished(t *testing.T) {
	t.Run("unsaved", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			k, s := newKit(t, authtest.Config{}, authtest.Protection{}), new(store)
			cfg := k.onDemand()
			cfg.Store = s
			p := k.pool(auth.PoolConfig{Config: always(cfg), MaxManagers: 1})
			k.give(p, "alice")
			s.fail(nil, errDisk, nil)
			var tok *auth.Token
			if err := p.Source("alice", k.res.URL).Use(func(m *auth.Manager) (err error) { tok, err = m.Refresh(t.Context()); return err }); err != nil {
				t.Fatal(err)
			}
			touch := func() { _, _ = p.Source("bob", k.res.URL).Token(t.Context()) }
			touch()
			touch()
			if p.Len() != 1 || !used(t, p.Source("alice", k.res.URL)).Info().Unsaved {
				t.Errorf("%d managers; the unsaved token is lost", p.Len())
			}
			s.fail(nil, nil, nil)
			time.Sleep(2 * time.Minute)
			touch()
			touch()
			if got, err := p.Source("alice", k.res.URL).Token(t.Context()); err != nil || got.RefreshToken != tok.RefreshToken {
				t.Errorf("Token: %v, %v", got, err)
			}
		})
	})
	t.Run("logging in", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			k := newKit(t, authtest.Config{}, authtest.Protection{})
			cfg := k.onDemand()
			cfg.Grant = slowLogin{k.login(), 20 * time.Second}
			p := k.pool(auth.PoolConfig{Config: always(cfg), MaxManagers: 1})
			hasty, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			if _, err := p.Source("alice", k.res.URL).Resolve(hasty, nil, auth.Challenge{}); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("Resolve: %v", err)
			}
			for range 3 {
				_, _ = p.Source("bob", k.res.URL).Token(t.Context())
			}
			if tok, err := p.Source("alice", k.res.URL).Resolve(t.Context(), nil, auth.Challenge{}); err != nil || k.call(tok) != http.StatusOK {
				t.Errorf("Resolve: %v", err)
			}
			if n := k.srv.Counts().Authorize; n != 1 {
				t.Errorf("%d logins, want 1", n)
			}
		})
	})
}

// Managers refresh when they are asked, unless RefreshIdle is set.
func TestPoolRefreshesIdleManagers(t *testing.T) {
	for _, idle := range []bool{false, true} {
		t.Run(map[bool]string{false: "default", true: "RefreshIdle"}[idle], func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, authtest.Config{}, authtest.Protection{})
				p := k.pool(auth.PoolConfig{Config: always(k.config()), RefreshIdle: idle})
				tok := k.give(p, "alice")
				expire(tok)
				k.wantRefreshes(map[bool]int{false: 0, true: 1}[idle])
			})
		})
	}
}

func TestPoolClose(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k, s := newKit(t, authtest.Config{}, authtest.Protection{}), new(store)
		cfg := k.onDemand()
		cfg.Store = s
		p := k.pool(auth.PoolConfig{Config: always(cfg)})
		for i := range 200 {
			k.give(p, strconv.Itoa(i))
		}
		s.fail(nil, errDisk, nil)
		if err := p.Source("7", k.res.URL).Use(func(m *auth.Manager) error { _, err := m.Refresh(t.Context()); return err }); err != nil {
			t.Fatal(err)
		}
		entered, ended := make(chan struct{}), make(chan error)
		go func() {
			ended <- p.Source("8", k.res.URL).Use(func(m *auth.Manager) error {
				close(entered)
				for {
					if _, err := m.Token(t.Context()); err != nil {
						return err
					}
					time.Sleep(time.Second)
				}
			})
		}()
		<-entered
		var errs [3]error
		together(len(errs), func(i int) { errs[i] = p.Close() })
		told := slices.DeleteFunc(errs[:], func(err error) bool { return err == nil })
		if len(told) != 1 {
			t.Fatalf("%d calls of Close told of an error, want 1", len(told))
		}
		if e := asError[*auth.StoreError](t, told[0]); e.Op != "save" {
			t.Errorf("Close: %v, want the token that could not be saved", e)
		}
		if err := <-ended; !errors.Is(err, auth.ErrClosed) {
			t.Errorf("a manager in use ended with %v", err)
		}
		if _, err := p.Source("9", k.res.URL).Token(t.Context()); !errors.Is(err, auth.ErrClosed) || p.Len() != 0 {
			t.Errorf("after Close: %v, %d managers", err, p.Len())
		}
	})
}

// One that is busy when its time comes is closed later, also when nobody uses
// the pool, and does not keep others from being closed.
func TestPoolClosesWhatWasBusy(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k, s := newKit(t, authtest.Config{}, authtest.Protection{}), new(store)
		cfg := k.onDemand()
		cfg.Store = s
		p := k.pool(auth.PoolConfig{Config: always(cfg), Idle: time.Minute})
		for i := range 20 {
			k.give(p, strconv.Itoa(i))
		}
		s.fail(nil, errDisk, nil)
		for i := range 10 { // have a token now that is not saved
			if err := p.Source(strconv.Itoa(i), k.res.URL).Use(func(m *auth.Manager) error { _, err := m.Refresh(t.Context()); return err }); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Hour)
		if p.Len() != 10 {
			t.Errorf("%d managers, want those with an unsaved token", p.Len())
		}
		s.fail(nil, nil, nil)
		time.Sleep(time.Hour)
		if p.Len() != 0 {
			t.Errorf("%d managers", p.Len())
		}
	})
}

// Eviction, use and Close at once, for the race detector.
func TestPoolUnderPressure(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		cfg := k.onDemand()
		cfg.Store = new(auth.MemoryStore)
		p := k.pool(auth.PoolConfig{Config: always(cfg), MaxManagers: 4, Idle: time.Minute})
		tokens := make([]*auth.Token, 10)
		for i := range tokens {
			tokens[i] = k.give(p, strconv.Itoa(i))
		}
		together(50, func(i int) {
			for range 20 {
				n := i % len(tokens)
				tok, err := p.Source(strconv.Itoa(n), k.res.URL).Token(t.Context())
				if err != nil || tok.AccessToken != tokens[n].AccessToken {
					t.Errorf("%d: %v, %v", n, tok, err)
				}
				i++
			}
		})
		if p.Len() > 4 {
			t.Errorf("%d managers once nobody uses them", p.Len())
		}
	})
}
