package auth_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	records "github.com/mcptokens/mcptokens/auth/store"
	"github.com/mcptokens/mcptokens/auth/store/sealed"
)

// restorable is a store that can go back in time, and whose record can be damaged.
type restorable struct {
	auth.MemoryStore
	corrupt atomic.Bool
	past    atomic.Pointer[auth.Record]
}

func (s *restorable) Load(ctx context.Context, key auth.Key) (*auth.Record, error) {
	if s.corrupt.Load() {
		return nil, records.ErrCorrupt
	}
	if r := s.past.Load(); r != nil {
		c := *r
		return &c, nil
	}
	return s.MemoryStore.Load(ctx, key)
}

func (s *restorable) Save(ctx context.Context, key auth.Key, r *auth.Record) (uint64, error) {
	have, err := s.MemoryStore.Load(ctx, key)
	now := *r
	switch past := s.past.Load(); {
	case s.corrupt.Load() && r.Generation == 0, past != nil && past.Generation == r.Generation:
		if err == nil {
			now.Generation = have.Generation
		}
	case past != nil:
		return 0, auth.ErrConflict
	}
	g, err := s.MemoryStore.Save(ctx, key, &now)
	if err == nil && s.past.Swap(nil) != nil {
		// Counted on from what was restored.
		g = r.Generation + 1
		kept := *r
		kept.Generation = g
		s.past.Store(&kept)
	}
	if err == nil {
		s.corrupt.Store(false)
	}
	return g, err
}

// trio is three managers that share a restorable store, as processes do.
func trio(k *kit) (*restorable, []*auth.Manager) {
	s := new(restorable)
	cfg := k.onDemand()
	cfg.Store = struct{ auth.Store }{s} // without hints, so that it is looked at
	first, _ := k.started(cfg)
	managers := []*auth.Manager{first, k.manager(cfg), k.manager(cfg)}
	for _, m := range managers {
		mustToken(k.t, m)
	}
	return s, managers
}

// intact checks that the server saw no refresh token twice, and that each manager
// can refresh.
func (k *kit) intact(managers []*auth.Manager) {
	k.t.Helper()
	for i, m := range managers {
		if _, err := m.Refresh(k.t.Context()); err != nil {
			k.t.Errorf("manager %d: %v", i, err)
		}
	}
	if n := k.srv.Counts(); n.ReusedRefreshTokens != 0 || n.FamiliesRevoked != 0 {
		k.t.Errorf("%d reused, %d families revoked", n.ReusedRefreshTokens, n.FamiliesRevoked)
	}
}

// The store goes back to a refresh token that is spent. One process has the newest
// token, another one that is spent too and was never in what is left of the store.
// The first to refresh waits until the newest token is stored again.
func TestStoreGoesBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		s, managers := trio(k)
		old := k.stored(&s.MemoryStore)
		k.refreshOnce(managers[0]) // the others do not look
		time.Sleep(10 * time.Second)
		mustToken(t, managers[1]) // this one has
		k.refreshOnce(managers[0])
		s.past.Store(old)
		go func() {
			for range 10 { // while callers come, the store is looked at
				time.Sleep(time.Second)
				_, _ = managers[0].Token(t.Context())
			}
		}()
		began := time.Now()
		if _, err := managers[1].Refresh(t.Context()); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took < 5*time.Second || took > 12*time.Second {
			t.Errorf("waited %v for the others", took)
		}
		time.Sleep(10 * time.Second)
		k.intact(managers)
	})
}

// Whoever finds that the store went back stores what it has, which may be spent too.
// It says so in the record: a process that has just been started, or has the same
// token, waits as well.
func TestStoreWentBackForAll(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		s, managers := trio(k)
		old := k.stored(&s.MemoryStore)
		k.refreshOnce(managers[0])
		time.Sleep(10 * time.Second)
		for _, m := range managers[1:] { // they have seen what is spent next
			mustToken(t, m)
		}
		k.refreshOnce(managers[0])
		s.past.Store(old)
		newest := managers[0]
		go func() {
			for range 10 { // it looks a little later
				time.Sleep(3 * time.Second)
				_, _ = newest.Token(t.Context())
			}
		}()
		cfg := k.onDemand()
		cfg.Store = struct{ auth.Store }{s}
		managers = append(managers, k.manager(cfg))
		together(3, func(i int) {
			time.Sleep(time.Duration(i) * 500 * time.Millisecond)
			if _, err := managers[i+1].Refresh(t.Context()); err != nil {
				t.Errorf("manager %d: %v", i+1, err)
			}
		})
		time.Sleep(time.Minute)
		k.intact(managers)
	})
}

// A record whose counter is behind can be the newer one: by another process, after
// the store went back.
func TestNewerRecordWithASmallerCounter(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		s, managers := trio(k)
		old := k.stored(&s.MemoryStore)
		for range 3 {
			k.refreshOnce(managers[0])
		}
		time.Sleep(10 * time.Second)
		for _, m := range managers {
			mustToken(t, m)
		}
		s.past.Store(old)
		for i := range 6 {
			k.refreshOnce(managers[i%3])
		}
		k.intact(managers)
	})
}

// A record is damaged while a process has the token: it is stored again, and
// nobody logs in.
func TestCorruptRecordIsReplaced(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		s, managers := trio(k)
		k.refreshOnce(managers[0])
		s.corrupt.Store(true)
		time.Sleep(10 * time.Second)
		mustToken(t, managers[1]) // it has a token that is spent: it may not win
		time.Sleep(10 * time.Second)
		mustToken(t, managers[0])
		time.Sleep(time.Minute)
		if s.corrupt.Load() {
			t.Error("the record is still corrupt")
		}
		k.intact(managers)
	})
}

// Where no process has a token to put in its place, a login does: after some seconds,
// in which a process that is running may.
func TestCorruptRecordEndsInALogin(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		s := new(restorable)
		s.corrupt.Store(true)
		cfg := k.onDemand()
		cfg.Store, cfg.Grant = s, k.login()
		m := k.manager(cfg)
		for range 5 {
			_, err := m.Resolve(t.Context(), nil, k.unauthorized())
			if e := asError[*auth.StoreError](t, err); !errors.Is(e, records.ErrCorrupt) {
				t.Fatalf("error %v", err)
			}
			time.Sleep(time.Second)
		}
		time.Sleep(10 * time.Second)
		tok, err := m.Resolve(t.Context(), nil, k.unauthorized())
		if err != nil || k.call(tok) != 200 || s.corrupt.Load() || k.srv.Counts().Authorize != 1 {
			t.Fatalf("%v, %v, corrupt: %t, %d logins", tok, err, s.corrupt.Load(), k.srv.Counts().Authorize)
		}
		if got := mustToken(t, k.manager(cfg)); got.AccessToken != tok.AccessToken {
			t.Errorf("the next process has %v", got)
		}
	})
}

// unreadable is a store whose record this program cannot read, and another can.
type unreadable struct {
	auth.MemoryStore
	err   error
	saves atomic.Int32
}

func (s *unreadable) Load(context.Context, auth.Key) (*auth.Record, error) { return nil, s.err }

func (s *unreadable) Save(ctx context.Context, key auth.Key, r *auth.Record) (uint64, error) {
	s.saves.Add(1)
	return s.MemoryStore.Save(ctx, key, r)
}

// A record of a newer version, or one that was sealed with another key, is somebody's
// all the same: however long it stays so, no login takes its place.
func TestUnreadableRecordStays(t *testing.T) {
	for name, err := range map[string]error{"newer": records.ErrNewer, "sealed": sealed.ErrWrongKey, "sealed with a key that is not known": sealed.ErrUnknownKey} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, authtest.Config{}, authtest.Protection{})
				s := &unreadable{err: err}
				cfg := k.onDemand()
				cfg.Store, cfg.Grant = s, k.login()
				m := k.manager(cfg)
				for range 10 {
					_, got := m.Resolve(t.Context(), nil, k.unauthorized())
					if e := asError[*auth.StoreError](t, got); !errors.Is(e, err) {
						t.Fatalf("error %v", got)
					}
					time.Sleep(time.Minute)
				}
				if n := k.srv.Counts().Authorize; n != 0 || s.saves.Load() != 0 {
					t.Errorf("%d logins, %d saves", n, s.saves.Load())
				}
			})
		})
	}
}
