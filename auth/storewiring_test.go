package auth_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
)

// remote is a store as other processes share it: it can be probed and watched.
type remote struct {
	store

	wired    sync.Mutex
	probeErr error
	probes   int
	watchers map[*watcher]struct{}
	onWatch  func() // called in Watch
}

type watcher struct {
	key     auth.Key
	changed func()
	calls   sync.WaitGroup
}

func (r *remote) Probe(context.Context, auth.Key) error {
	r.wired.Lock()
	defer r.wired.Unlock()
	r.probes++
	return r.probeErr
}

// failProbe lets probes fail from now on; nil: not.
func (r *remote) failProbe(err error) {
	r.wired.Lock()
	defer r.wired.Unlock()
	r.probeErr = err
}

func (r *remote) Watch(key auth.Key, changed func()) func() {
	if r.onWatch != nil {
		r.onWatch()
	}
	w := &watcher{key: key, changed: changed}
	r.wired.Lock()
	defer r.wired.Unlock()
	if r.watchers == nil {
		r.watchers = make(map[*watcher]struct{})
	}
	r.watchers[w] = struct{}{}
	return func() {
		r.wired.Lock()
		delete(r.watchers, w)
		r.wired.Unlock()
		w.calls.Wait()
	}
}

// hint tells the watchers of key, and returns how many there are.
func (r *remote) hint(key auth.Key) (told int) {
	r.wired.Lock()
	defer r.wired.Unlock()
	for w := range r.watchers {
		if w.key == key {
			told++
			w.calls.Go(w.changed)
		}
	}
	return told
}

func (r *remote) Save(ctx context.Context, key auth.Key, rec *auth.Record) (uint64, error) {
	defer r.hint(key)
	return r.store.Save(ctx, key, rec)
}

func (r *remote) Delete(ctx context.Context, key auth.Key, generation uint64) error {
	defer r.hint(key)
	return r.store.Delete(ctx, key, generation)
}

// A store that cannot be written is found out before the refresh token is
// spent. The valid token is served; at its expiry the error says what is wrong.
func TestProbeComesBeforeTheRequest(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k, s := newKit(t, authtest.Config{}, authtest.Protection{}), new(remote)
		cfg := k.onDemand()
		cfg.Store, cfg.Grant = s, forbidden{t}
		m, old := k.started(cfg)
		s.failProbe(errDisk)

		time.Sleep(time.Until(old.Expiry) - time.Minute) // inside the window
		if mustToken(t, m).AccessToken != old.AccessToken {
			t.Error("the valid token is not served")
		}
		synctest.Wait()
		if mustToken(t, m).AccessToken != old.AccessToken {
			t.Error("the valid token was lost to the failed probe")
		}
		expire(old)
		_, err := m.Token(t.Context())
		if e := asError[*auth.StoreError](t, err); e.Op != "probe" || !errors.Is(err, errDisk) || !strings.Contains(err.Error(), "store: probe") {
			t.Errorf("error %v", err)
		}
		k.wantRefreshes(0)

		s.failProbe(nil)
		for deadline := time.Now().Add(5 * time.Minute); err != nil && time.Now().Before(deadline); {
			time.Sleep(time.Second)
			_, err = m.Token(t.Context())
		}
		if status := k.call(mustToken(t, m)); status != http.StatusOK {
			t.Errorf("the MCP server answered %d", status)
		}
		k.wantRefreshes(1)
	})
}

// Nor is the user asked for a token that could not be stored.
func TestProbeComesBeforeTheUser(t *testing.T) {
	for _, without := range []bool{false, true} {
		t.Run(map[bool]string{false: "store needed", true: "RefreshWithoutStore"}[without], func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k, s := newKit(t, authtest.Config{}, authtest.Protection{}), new(remote)
				cfg := k.onDemand()
				cfg.Store, cfg.Grant, cfg.RefreshWithoutStore = s, k.login(), without
				s.failProbe(errDisk)
				tok, err := k.manager(cfg).Resolve(t.Context(), nil, auth.Challenge{Status: 401})
				if without {
					if err != nil || k.call(tok) != http.StatusOK {
						t.Errorf("Resolve: %v", err)
					}
					return
				}
				if e := asError[*auth.StoreError](t, err); e.Op != "probe" || k.srv.Counts().Authorize != 0 {
					t.Errorf("error %v after %d authorization requests", err, k.srv.Counts().Authorize)
				}
			})
		})
	}
}

// lateReader is a store whose reads end a second after they saw the record.
type lateReader struct {
	*remote
	slow atomic.Bool
}

func (s *lateReader) Load(ctx context.Context, key auth.Key) (*auth.Record, error) {
	rec, err := s.remote.Load(ctx, key)
	if s.slow.Load() {
		time.Sleep(time.Second)
	}
	return rec, err
}

// A change while the store is read, for an earlier change, is read too.
func TestChangeDuringARead(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k, s := newKit(t, authtest.Config{}, authtest.Protection{}), &lateReader{remote: new(remote)}
		cfg := k.onDemand()
		cfg.Store = s
		here, _ := k.started(cfg)
		there := k.manager(func() auth.Config { c := cfg; c.Store = s.remote; return c }())
		synctest.Wait()
		s.slow.Store(true)
		if _, err := there.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // here reads
		fresh, err := there.Refresh(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
		if tok := mustToken(t, here); tok.AccessToken != fresh.AccessToken {
			t.Error("the second change was not seen")
		}
		k.wantRefreshes(2)
	})
}

// What another process does is known here before anybody asks.
func TestWatchAdoptsWhatOthersDo(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k, s := newKit(t, authtest.Config{}, authtest.Protection{}), new(remote)
		cfg := k.onDemand()
		cfg.Store = s
		here, _ := k.started(cfg)
		there := k.manager(cfg)
		mustToken(t, there)
		events, _ := here.Subscribe()

		fresh, err := there.Refresh(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		wantEvents(t, events, auth.EventTokenUpdated)
		s.fail(errDisk, errDisk, errDisk) // it is here already
		if tok := mustToken(t, here); tok.AccessToken != fresh.AccessToken || tok.RefreshToken != fresh.RefreshToken {
			t.Errorf("in use is %v", tok)
		}
		s.fail(nil, nil, nil)
		k.wantRefreshes(1)

		if err := there.Revoke(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		wantEvents(t, events, auth.EventForgotten)
		if _, err := here.Token(t.Context()); !errors.Is(err, auth.ErrNoToken) {
			t.Errorf("Token after the other process revoked it: %v", err)
		}
	})
}

// Hints may come for nothing, for another key, or when the store has failed.
func TestHintsForNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k, s := newKit(t, authtest.Config{}, authtest.Protection{}), new(remote)
		cfg := k.onDemand()
		cfg.Store = s
		m, _ := k.started(cfg)
		cfg.Subject = "somebody else"
		other, _ := k.started(cfg)
		synctest.Wait()
		tok := mustToken(t, m)
		events, _ := m.Subscribe()
		for _, err := range []error{nil, errDisk, nil} {
			s.fail(err, nil, nil)
			for range 100 {
				if n := s.hint(k.storeKey()); n != 1 {
					t.Fatalf("%d watchers, want 1", n)
				}
			}
			synctest.Wait()
		}
		if _, err := other.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		wantEvents(t, events)
		if mustToken(t, m) != tok {
			t.Error("the token has changed")
		}
		k.wantRefreshes(1)
	})
}

func TestCloseEndsTheWatch(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k, s := newKit(t, authtest.Config{}, authtest.Protection{}), new(remote)
		cfg := k.onDemand()
		cfg.Store = s
		m, _ := k.started(cfg)
		together(100, func(i int) {
			if i == 50 {
				_ = m.Close()
			}
			s.hint(k.storeKey())
		})
		if n := s.hint(k.storeKey()); n != 0 {
			t.Errorf("%d watchers after Close", n)
		}
	})
}

// A manager that is closed while it begins to watch ends that, too.
func TestCloseWhileTheWatchBegins(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k, s := newKit(t, authtest.Config{}, authtest.Protection{}), new(remote)
		cfg := k.onDemand()
		cfg.Store = s
		m := k.manager(cfg)
		begun := make(chan struct{})
		s.onWatch = func() {
			close(begun)
			time.Sleep(time.Second)
		}
		go func() { _, _ = m.Token(t.Context()) }()
		<-begun
		if err := m.Close(); err != nil {
			t.Error(err)
		}
		if n := s.hint(k.storeKey()); n != 0 {
			t.Errorf("%d watchers after Close", n)
		}
	})
}

// Without the store a token is refreshed only if that is configured, whether
// the store refuses or is silent.
func TestRefreshWithoutStore(t *testing.T) {
	for _, tc := range []struct {
		name  string
		store func(s *remote) auth.Store
		op    string
	}{
		{"no lock", func(s *remote) auth.Store { s.fail(nil, errDisk, errDisk); return s }, "lock"},
		{"a lock that never comes", func(s *remote) auth.Store { s.fail(nil, errDisk, nil); return silent{s} }, "lock"},
		{"no reading", func(s *remote) auth.Store { s.fail(errDisk, errDisk, nil); return s }, "load"},
		{"no writing", func(s *remote) auth.Store { s.failProbe(errDisk); s.fail(nil, errDisk, nil); return s }, "probe"},
	} {
		for _, without := range []bool{false, true} {
			t.Run(tc.name+map[bool]string{false: "", true: ", RefreshWithoutStore"}[without], func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					k, s := newKit(t, authtest.Config{}, authtest.Protection{}), new(remote)
					first := k.onDemand()
					first.Store = s
					_, old := k.started(first)
					cfg := first
					broken := &switching{now: s}
					cfg.Store, cfg.RefreshWithoutStore = broken, without
					m := k.manager(cfg)
					mustToken(t, m)
					broken.to(tc.store(s))

					expire(old)
					tok, err := m.Token(t.Context())
					if !without {
						if e := asError[*auth.StoreError](t, err); e.Op != tc.op {
							t.Errorf("error %v, want op %q", err, tc.op)
						}
						k.wantRefreshes(0)
						return
					}
					if err != nil || k.call(tok) != http.StatusOK || !m.Info().Unsaved {
						t.Fatalf("Token: %v, %v, info %+v", tok, err, m.Info())
					}
					k.wantRefreshes(1)
					s.fail(nil, nil, nil)
					s.failProbe(nil)
					broken.to(s)
					time.Sleep(2 * time.Minute)
					if got := k.stored(s); got.Token.RefreshToken != tok.RefreshToken || m.Info().Unsaved {
						t.Errorf("stored %v once the store was back, want %v", got, tok)
					}
				})
			})
		}
	}
}

// silent is a store that hangs when its lock is asked for.
type silent struct{ *remote }

func (silent) Lock(ctx context.Context, _ auth.Key) (func(), error) {
	<-ctx.Done()
	time.Sleep(10 * time.Millisecond) // no store notices at the very moment
	return nil, ctx.Err()
}

// switching is a store that can be replaced by another.
type switching struct {
	mu  sync.Mutex
	now auth.Store
}

func (s *switching) to(next auth.Store) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = next
}

func (s *switching) current() auth.Store {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *switching) Load(ctx context.Context, key auth.Key) (*auth.Record, error) {
	return s.current().Load(ctx, key)
}

func (s *switching) Save(ctx context.Context, key auth.Key, r *auth.Record) (uint64, error) {
	return s.current().Save(ctx, key, r)
}

func (s *switching) Delete(ctx context.Context, key auth.Key, generation uint64) error {
	return s.current().Delete(ctx, key, generation)
}

func (s *switching) Lock(ctx context.Context, key auth.Key) (func(), error) {
	return s.current().Lock(ctx, key)
}

func (s *switching) Probe(ctx context.Context, key auth.Key) error {
	return s.current().(auth.Prober).Probe(ctx, key)
}

// A request that was given little time, because the lock took long, would
// perhaps have spent the refresh token for an answer that nobody reads.
func TestSlowLockLeavesTimeForTheRequest(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k, s := newKit(t, authtest.Config{}, authtest.Protection{}), new(remote)
		cfg := k.onDemand()
		cfg.Store = s
		m, _ := k.started(cfg)
		unlock, err := s.MemoryStore.Lock(t.Context(), k.storeKey())
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(refreshTimeout*3/5-time.Second, unlock)
		k.srv.InjectAlways(authtest.TokenEndpoint, authtest.DelayAfter(refreshTimeout*2/5-time.Second))
		if tok, err := m.Refresh(t.Context()); err != nil || k.call(tok) != http.StatusOK {
			t.Errorf("Refresh: %v, %v", tok, err)
		}
		k.wantRefreshes(1)
	})
}
