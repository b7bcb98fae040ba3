package auth_test

import (
	"errors"
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
)

var errDisk = errors.New("disk full")

// storeKey is where the managers of a kit with a pre-registered client keep
// their record.
func (k *kit) storeKey() auth.Key {
	return auth.Key{Resource: k.res.URL, Issuer: k.srv.Issuer, ClientID: clientID}
}

// stored is what the store holds for them.
func (k *kit) stored(s auth.Store) *auth.Record {
	k.t.Helper()
	rec, err := s.Load(k.t.Context(), k.storeKey())
	if err != nil {
		k.t.Fatalf("Load: %v", err)
	}
	return rec
}

// A rotated refresh token is stored before the new access token is handed out
// [invariant 3].
func TestSavedBeforeHandedOut(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		s := new(store)
		cfg := k.onDemand()
		cfg.Store = s
		m, old := k.started(cfg)
		events, _ := m.Subscribe()
		s.onSave = func() { // a slow disk
			for range 10 {
				time.Sleep(100 * time.Millisecond)
				if tok, err := m.Token(t.Context()); err != nil || tok.AccessToken != old.AccessToken {
					t.Errorf("Token: %v, %v while the new one is not stored yet", tok, err)
				}
			}
			if early := drained(events); len(early) > 0 {
				t.Errorf("told before it was stored: %v", types(early))
			}
		}
		began := time.Now()
		tok, err := m.Refresh(t.Context())
		if err != nil || time.Since(began) != time.Second {
			t.Fatalf("Refresh: %v after %v, want the time that saving takes", err, time.Since(began))
		}
		if n, _ := s.saves(); n != 2 || k.stored(s).Token.RefreshToken != tok.RefreshToken {
			t.Errorf("%d saves, stored %v", n, k.stored(s))
		}
		wantEvents(t, events, auth.EventTokenUpdated)
	})
}

// Nothing is sent before the lock is held and the store was read.
func TestLockedBeforeSent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		s := new(auth.MemoryStore)
		cfg := k.onDemand()
		cfg.Store = s
		m, _ := k.started(cfg)
		unlock, err := s.Lock(t.Context(), k.storeKey())
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Second, func() {
			k.wantRefreshes(0)
			unlock()
		})
		began := time.Now()
		if _, err := m.Refresh(t.Context()); err != nil || time.Since(began) != time.Second {
			t.Errorf("Refresh: %v after %v", err, time.Since(began))
		}
		k.wantRefreshes(1)
		if unlock, err = s.Lock(t.Context(), k.storeKey()); err != nil { // given back
			t.Fatal(err)
		}
		unlock()
	})
}

// If storing fails the token is used, marked, and stored later
// [invariant 3].
func TestUnsavedTokenIsUsedAndSavedLater(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		s, ends := new(store), &refreshEnds{}
		cfg := k.onDemand()
		cfg.Store, cfg.Tracer = s, ends
		m, old := k.started(cfg)
		events, _ := m.Subscribe()
		s.fail(nil, errDisk, nil)

		tok, err := m.Refresh(t.Context())
		if err != nil || tok.RefreshToken == old.RefreshToken || mustToken(t, m) != tok {
			t.Fatalf("Refresh: %v, %v", tok, err)
		}
		told := wantEvents(t, events, auth.EventTokenUpdated, auth.EventSaveFailed)
		if e := asError[*auth.StoreError](t, told[1].Err); e.Op != "save" || !errors.Is(e, errDisk) {
			t.Errorf("the event says %v", e)
		}
		i := m.Info()
		if asError[*auth.StoreError](t, i.LastError); !i.Unsaved || !ends.all()[0].Unsaved {
			t.Errorf("info %+v, traced %+v", i, ends.all())
		}
		time.Sleep(10 * time.Minute)
		n, _ := s.saves()
		if n < 8 || n > 100 {
			t.Errorf("%d saves in 10 minutes", n)
		}
		if k.stored(&s.MemoryStore).Token.RefreshToken != old.RefreshToken {
			t.Error("the store does not fail")
		}

		s.fail(nil, nil, nil)
		time.Sleep(time.Minute + time.Second) // the longest wait between two tries
		if got := k.stored(s); got.Token.RefreshToken != tok.RefreshToken {
			t.Errorf("stored %v, want the newest token", got)
		}
		wantEvents(t, events, auth.EventSaved)
		if m.Info().Unsaved {
			t.Error("still marked unsaved")
		}
		n, _ = s.saves()
		time.Sleep(time.Hour / 2)
		if again, _ := s.saves(); again != n {
			t.Error("saving goes on")
		}
	})
}

// A refresh that comes first stores the newer token, and the retry of the old
// save, which waits for the lock meanwhile, leaves it alone.
func TestNewerTokenSupersedesTheUnsavedOne(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		s := new(store)
		cfg := k.onDemand()
		cfg.Store = s
		m, _ := k.started(cfg)
		s.fail(nil, errDisk, nil)
		if _, err := m.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.fail(nil, nil, nil)
		k.srv.Inject(authtest.TokenEndpoint, authtest.Delay(10*time.Second))
		tok, err := m.Refresh(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if i := m.Info(); i.Unsaved || i.LastError != nil {
			t.Errorf("info %+v", i)
		}
		time.Sleep(10 * time.Minute)
		if n, _ := s.saves(); n != 3 || k.stored(s).Token.RefreshToken != tok.RefreshToken {
			t.Errorf("%d saves, stored %v", n, k.stored(s))
		}
	})
}

// Saving is also tried again when it is the lock that fails.
func TestSavingIsRetriedWithoutALock(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		s := new(store)
		cfg := k.onDemand()
		cfg.Store = s
		m, _ := k.started(cfg)
		s.fail(nil, errDisk, nil)
		tok, err := m.Refresh(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		s.fail(nil, nil, errDisk)
		time.Sleep(10 * time.Minute)
		if !m.Info().Unsaved {
			t.Error("saved without the lock")
		}
		s.fail(nil, nil, nil)
		time.Sleep(time.Minute + time.Second)
		if k.stored(s).Token.RefreshToken != tok.RefreshToken || m.Info().Unsaved {
			t.Errorf("stored %v", k.stored(s))
		}
	})
}

func TestSetTokenIsStored(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		s := new(store)
		cfg := k.onDemand()
		cfg.Store = s
		m, tok := k.started(cfg, "read")
		if rec := k.stored(s); rec.Token.AccessToken != tok.AccessToken || rec.Resource != k.res.URL || rec.Issuer != k.srv.Issuer {
			t.Errorf("stored %v", rec)
		}
		s.fail(nil, errDisk, nil)
		next := k.token("write")
		if e := asError[*auth.StoreError](t, m.SetToken(t.Context(), next)); e.Op != "save" {
			t.Errorf("Op = %q", e.Op)
		}
		if mustToken(t, m).AccessToken != next.AccessToken {
			t.Error("the token that could not be stored is not in use")
		}
		for _, tc := range []struct {
			op         string
			load, lock error
		}{{"load", errDisk, nil}, {"lock", nil, errDisk}} {
			s.fail(tc.load, nil, tc.lock)
			if e := asError[*auth.StoreError](t, m.SetToken(t.Context(), k.token())); e.Op != tc.op || !errors.Is(e, errDisk) {
				t.Errorf("error %v, want op %q", e, tc.op)
			}
			if mustToken(t, m).AccessToken != next.AccessToken {
				t.Error("a token that was refused is in use")
			}
		}
		s.fail(nil, nil, nil)
	})
}

// A store that cannot be read is an error of the store, not "log in".
func TestStoreThatCannotBeRead(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		s := new(store)
		cfg := k.onDemand()
		cfg.Store, cfg.Grant = s, forbidden{t}
		first, tok := k.started(cfg)
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}
		m := k.manager(cfg)
		s.fail(errDisk, nil, nil)
		for _, call := range []func() error{
			func() error { _, err := m.Token(t.Context()); return err },
			func() error { _, err := m.Refresh(t.Context()); return err },
			func() error { _, err := m.Authorize(t.Context()); return err },
			func() error { _, err := m.Resolve(t.Context(), nil, auth.Challenge{Status: 401}); return err },
			func() error { _, err := m.UpgradeScopes(t.Context(), "x"); return err },
			func() error { return m.Revoke(t.Context()) },
			func() error { return m.SetToken(t.Context(), tok) },
		} {
			if e := asError[*auth.StoreError](t, call()); e.Op != "load" {
				t.Errorf("error %v", e)
			}
		}
		s.fail(nil, nil, nil)
		time.Sleep(5 * time.Second)
		if mustToken(t, m).AccessToken != tok.AccessToken || m.Info().LastError != nil {
			t.Error("the stored token was not read once it could be")
		}
	})
}

// While the store cannot be read, before the first use or when a login of another
// process is looked for, it is not read for each call: they get the same error
// until the next attempt is due [invariant 15]. What a person asks for is
// tried at once.
func TestStoreThatCannotBeReadIsLeftAlone(t *testing.T) {
	for name, before := range map[string]func(t *testing.T, m *auth.Manager){
		"at first": func(*testing.T, *auth.Manager) {},
		"later": func(t *testing.T, m *auth.Manager) {
			if _, err := m.Token(t.Context()); !errors.Is(err, auth.ErrNoToken) {
				t.Fatal(err)
			}
			time.Sleep(time.Hour)
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k, s := newKit(t, authtest.Config{}, authtest.Protection{}), new(store)
				cfg := k.onDemand()
				cfg.Store = s
				m, other := k.manager(cfg), k.manager(cfg)
				before(t, m)
				s.fail(errDisk, nil, nil)
				seen := make(map[error]bool)
				start := s.loads
				for range 60 * 20 { // a minute
					together(3, func(int) {
						_, err := m.Token(t.Context())
						asError[*auth.StoreError](t, err)
					})
					_, err := m.Resolve(t.Context(), nil, auth.Challenge{Status: 401})
					asError[*auth.StoreError](t, err)
					seen[err] = true
					time.Sleep(50 * time.Millisecond)
				}
				if n := s.loads - start; n < 60/5 || n > 60 || len(seen) != n {
					t.Errorf("%d readings and %d errors in a minute", n, len(seen))
				}
				if m.Info().LastError == nil {
					t.Error("Info does not tell")
				}
				start = s.loads
				for range 3 {
					_, err := m.Authorize(t.Context())
					asError[*auth.StoreError](t, err)
				}
				if n := s.loads - start; n != 3 {
					t.Errorf("%d readings for three calls of Authorize", n)
				}
				s.fail(nil, nil, nil)
				if err := other.SetToken(t.Context(), k.token()); err != nil {
					t.Fatal(err)
				}
				time.Sleep(5 * time.Second)
				mustToken(t, m)
				if err := m.Info().LastError; err != nil {
					t.Errorf("Info: %v", err)
				}
			})
		})
	}
}

// A lock that fails, or a store that fails under it, is retried like
// any transient failure, and the token in use is not lost to it.
func TestStoreFailsDuringARefresh(t *testing.T) {
	for _, tc := range []struct {
		op         string
		load, lock error
	}{{"load", errDisk, nil}, {"lock", nil, errDisk}} {
		t.Run(tc.op, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, authtest.Config{}, authtest.Protection{})
				s := new(store)
				cfg := k.onDemand()
				cfg.Store, cfg.Grant = s, forbidden{t}
				m, old := k.started(cfg)
				s.fail(tc.load, nil, tc.lock)
				_, err := m.Refresh(t.Context())
				if e := asError[*auth.StoreError](t, err); e.Op != tc.op {
					t.Errorf("error %v", e)
				}
				k.wantRefreshes(0)
				if mustToken(t, m).AccessToken != old.AccessToken {
					t.Error("the token was lost")
				}
				expire(old)
				_, err = m.Token(t.Context())
				asError[*auth.StoreError](t, err)
				time.AfterFunc(time.Second, func() { s.fail(nil, nil, nil) })
				for err != nil {
					time.Sleep(time.Second)
					_, err = m.Token(t.Context())
				}
				k.wantRefreshes(1)
			})
		})
	}
}
