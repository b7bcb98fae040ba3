package auth_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/transport"
)

// pair is two managers that share a store, as two processes do, without hints.
func (k *kit) pair(change func(*auth.Config)) (a, b *auth.Manager, s *auth.MemoryStore) {
	k.t.Helper()
	cfg := k.onDemand()
	s = new(auth.MemoryStore)
	cfg.Store = struct{ auth.Store }{s}
	if change != nil {
		change(&cfg)
	}
	a, _ = k.started(cfg)
	b = k.manager(cfg)
	mustToken(k.t, b)
	return a, b, s
}

// One process waits for an answer that comes late, with the lock. The callers of the
// other wait with it, and get what it stored.
func TestLateAnswerToAnotherProcess(t *testing.T) {
	for _, late := range []time.Duration{15 * time.Second, 25 * time.Second, 55 * time.Second} {
		bubble(t, func(t *testing.T) {
			k := newKit(t, authtest.Config{AccessTokenTTL: 2 * time.Hour}, authtest.Protection{})
			a, b, _ := k.pair(nil)
			events, stop := b.Subscribe()
			defer stop()
			time.Sleep(3 * time.Hour)
			k.srv.Inject(authtest.TokenEndpoint, authtest.DelayAfter(late))
			together(2, func(i int) {
				m := []*auth.Manager{a, b}[i]
				time.Sleep(time.Duration(i) * time.Second)
				began := time.Now()
				tok, err := m.Token(t.Context())
				if err != nil {
					t.Errorf("%v late, manager %d: %v", late, i, err)
					return
				}
				if status, err := k.present(tok); status != 200 || err != nil {
					t.Errorf("%d, %v", status, err)
				}
				if took := time.Since(began); took > late+time.Second {
					t.Errorf("%v late, manager %d took %v", late, i, took)
				}
			})
			k.wantRefreshes(1)
			for _, e := range drained(events) {
				if e.Err != nil {
					t.Errorf("event %s: %v", e.Type, e.Err)
				}
			}
		})
	}
}

// It is the same while each answer comes so late that its token has expired: as soon
// as the server is well again, all have a token, and none has seen an error.
func TestLateAnswersToAll(t *testing.T) {
	for _, late := range []time.Duration{8 * time.Second, 15 * time.Second} {
		bubble(t, func(t *testing.T) {
			k := newKit(t, authtest.Config{AccessTokenTTL: 4 * time.Second}, authtest.Protection{})
			a, b, _ := k.pair(nil)
			k.srv.InjectAlways(authtest.TokenEndpoint, authtest.DelayAfter(late))
			time.AfterFunc(50*time.Second, func() { k.srv.ClearFaults(authtest.TokenEndpoint) })
			end := time.Now().Add(90 * time.Second)
			together(2, func(i int) {
				rt := transport.RoundTripper{Source: []*auth.Manager{a, b}[i], Base: k.srv.Client().Transport}
				for time.Now().Before(end) {
					ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
					req, _ := http.NewRequestWithContext(ctx, http.MethodGet, k.res.URL, nil)
					resp, err := rt.RoundTrip(req)
					if err != nil {
						t.Errorf("%v late, manager %d: %v", late, i, err)
					} else if _ = resp.Body.Close(); resp.StatusCode != 200 {
						t.Errorf("%v late, manager %d: status %d", late, i, resp.StatusCode)
					}
					cancel()
					time.Sleep(50 * time.Millisecond)
				}
			})
			if n := k.srv.Counts(); n.ReusedRefreshTokens != 0 || n.FamiliesRevoked != 0 {
				t.Errorf("%+v", n)
			}
		})
	}
}

// A server whose tokens always expire before they come: the error says so.
func TestTokensExpireOnTheirWay(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{AccessTokenTTL: 4 * time.Second}, authtest.Protection{})
		m, _ := k.started(k.onDemand())
		k.srv.InjectAlways(authtest.TokenEndpoint, authtest.DelayAfter(15*time.Second))
		for name, get := range map[string]func(context.Context) (*auth.Token, error){"Token": m.Token, "Refresh": m.Refresh} {
			time.Sleep(20 * time.Second)
			before := k.srv.Counts().Token
			_, err := get(t.Context())
			if e := asError[*auth.TokenError](t, err); e.Issuer != k.srv.Issuer || !e.Retryable() || errors.Is(err, auth.ErrNoToken) {
				t.Errorf("%s: %v", name, err)
			}
			if n := k.srv.Counts().Token - before; n != 8 {
				t.Errorf("%s: %d requests", name, n)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if _, err := get(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s, in a hurry: %v", name, err)
			}
			cancel()
		}
	})
}

// A process that hangs keeps the lock. The others do not wait for ever, then say
// what they wait for, and use what it stored as soon as it goes on.
func TestLockIsHeldTooLong(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		_, b, s := k.pair(nil)
		time.Sleep(3 * time.Hour)
		unlock, err := s.Lock(t.Context(), k.storeKey())
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		_, err = b.Token(t.Context())
		if e := asError[*auth.StoreError](t, err); e.Op != "lock" {
			t.Error(err)
		}
		if took := time.Since(began); took < time.Minute || took > time.Minute+refreshTimeout {
			t.Errorf("it took %v", took)
		}
		if _, err := b.Token(t.Context()); err == nil || time.Since(began) > time.Minute+refreshTimeout {
			t.Errorf("during the pause: %v", err)
		}
		// From now on each attempt takes its own time only.
		time.Sleep(10 * time.Second)
		began = time.Now()
		if _, err := b.Token(t.Context()); err == nil || time.Since(began) > refreshTimeout {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		unlock()
		time.Sleep(10 * time.Second)
		if tok := mustToken(t, b); k.call(tok) != 200 {
			t.Error(tok)
		}
		// That it hung once is forgotten.
		time.Sleep(3 * time.Hour)
		unlock, err = s.Lock(t.Context(), k.storeKey())
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(70*time.Second, unlock)
		mustToken(t, b)
	})
}

// While the lock is held a better token can come from elsewhere. It is used within
// the time of one attempt.
func TestTokenComesWhileTheLockIsHeld(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		_, b, s := k.pair(nil)
		time.Sleep(3 * time.Hour)
		unlock, err := s.Lock(t.Context(), k.storeKey())
		if err != nil {
			t.Fatal(err)
		}
		defer unlock()
		time.AfterFunc(5*time.Second, func() {
			r := k.stored(s)
			r.Token, r.Obtained = k.token(), time.Now()
			if _, err := s.Save(t.Context(), k.storeKey(), r); err != nil {
				t.Error(err)
			}
		})
		began := time.Now()
		tok, err := b.Token(t.Context())
		if err != nil || k.call(tok) != 200 || time.Since(began) > refreshTimeout {
			t.Errorf("%v, %v after %v", tok, err, time.Since(began))
		}
		k.wantRefreshes(0)
	})
}
