package auth_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
)

// What TestModel found, one by one.

// Another process stored a refresh token just after this one looked: it is
// used, and the user is not asked.
func TestLoginGivesWayToStoredRefreshToken(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		cfg := k.onDemand()
		cfg.Store, cfg.Grant = new(auth.MemoryStore), k.login()
		a, b := k.manager(cfg), k.manager(cfg)
		if _, err := a.Token(t.Context()); !errors.Is(err, auth.ErrNoToken) {
			t.Fatalf("Token: %v", err)
		}
		if err := b.SetToken(t.Context(), &auth.Token{RefreshToken: k.token("read").RefreshToken}); err != nil {
			t.Fatal(err)
		}
		k.srv.Inject(authtest.TokenEndpoint, authtest.Status(503)) // which is no reason to log in either
		tok, err := a.Resolve(t.Context(), nil, auth.Challenge{Status: 401})
		if err != nil || k.call(tok) != 200 {
			t.Fatalf("Resolve: %v", err)
		}
		if c := k.srv.Counts(); c.Authorize != 0 || c.Refreshes != 2 {
			t.Errorf("%d logins and %d refreshes, want 0 and 2", c.Authorize, c.Refreshes)
		}
	})
}

// A token whose record could not be deleted does not come back into use, and
// revoking again deletes it.
func TestRevokedTokenStaysGone(t *testing.T) {
	for _, arrives := range []bool{false, true} {
		bubble(t, func(t *testing.T) {
			k := newKit(t, authtest.Config{}, authtest.Protection{})
			s := &deaf{arrives: arrives}
			cfg := k.onDemand()
			cfg.Store = s
			m := k.manager(cfg)
			s.broken.Store(arrives)
			_ = m.SetToken(t.Context(), k.token()) // stored, whatever the store says
			s.broken.Store(true)
			err := m.Revoke(t.Context())
			if se := asError[*auth.StoreError](t, err); se.Op != "delete" {
				t.Errorf("Revoke: %v", err)
			}
			s.broken.Store(false)
			time.Sleep(time.Minute)
			if tok, err := m.Token(t.Context()); !errors.Is(err, auth.ErrNoToken) {
				t.Errorf("Token after Revoke = %v, %v", tok, err)
			}
			if err := m.Revoke(t.Context()); err != nil {
				t.Errorf("Revoke again: %v", err)
			}
			if _, err := s.Load(t.Context(), s.key); !errors.Is(err, auth.ErrNotFound) {
				t.Errorf("the store still has it: %v", err)
			}
		})
	}
}

// deaf is a store whose saves, while it is broken, fail, although they may have
// arrived, and whose deletes do neither.
type deaf struct {
	auth.MemoryStore
	broken  atomic.Bool
	arrives bool
	blind   bool // loads fail as well
	key     auth.Key
}

var errDeaf = errors.New("no answer")

func (d *deaf) Save(ctx context.Context, k auth.Key, r *auth.Record) (uint64, error) {
	d.key = k
	if d.broken.Load() && !d.arrives {
		return 0, errDeaf
	}
	generation, err := d.MemoryStore.Save(ctx, k, r)
	if d.broken.Load() {
		return 0, errDeaf
	}
	return generation, err
}

func (d *deaf) Load(ctx context.Context, k auth.Key) (*auth.Record, error) {
	if d.broken.Load() && d.blind {
		return nil, errDeaf
	}
	return d.MemoryStore.Load(ctx, k)
}

func (d *deaf) Delete(ctx context.Context, k auth.Key, generation uint64) error {
	if d.broken.Load() {
		return errDeaf
	}
	return d.MemoryStore.Delete(ctx, k, generation)
}

// A rejected token is not a new one because another process dropped the refresh
// token beside it: nothing waits for the server to know it.
func TestRejectedTokenStaysRejected(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		s := &deaf{}
		cfg := k.onDemand()
		cfg.Store = s
		m, _ := k.started(cfg)
		k.srv.InjectAlways(authtest.TokenEndpoint, authtest.OAuthError("temporarily_unavailable", 503))
		if _, err := m.Resolve(t.Context(), mustToken(t, m), auth.Challenge{Status: 401}); err == nil {
			t.Fatal("Resolve: no error")
		}
		rec, err := s.Load(t.Context(), s.key)
		if err != nil {
			t.Fatal(err)
		}
		rec.Token.RefreshToken, rec.Obtained = "", time.Now()
		time.Sleep(30 * time.Second)
		if _, err := s.MemoryStore.Save(t.Context(), s.key, rec); err != nil {
			t.Fatal(err)
		}
		if got, err := m.Refresh(t.Context()); !errors.Is(err, auth.ErrNoRefreshToken) {
			t.Errorf("Refresh = %v, %v", got, err)
		}
		began := time.Now()
		_, err = m.Resolve(t.Context(), mustToken(t, m), auth.Challenge{Status: 401})
		if asError[*auth.ReauthorizationRequiredError](t, err); !time.Now().Equal(began) {
			t.Errorf("Resolve took %v", time.Since(began))
		}
	})
}

// A refresh token that was refused is not sent again, also when the store cannot
// say whether somebody has a better one.
func TestRefusedRefreshTokenIsNotSentAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		s := new(store)
		cfg := k.onDemand()
		cfg.Store, cfg.RefreshWithoutStore = s, true
		m, tok := k.started(cfg)
		k.srv.RevokeAll()
		expire(tok)
		s.fail(errors.New("down"), nil, nil)
		for range 10 {
			if _, err := m.Token(t.Context()); err == nil {
				t.Error("Token: no error")
			}
			time.Sleep(time.Minute)
		}
		k.wantRefreshes(1)
	})
}

// Nor by the next process: once the store is back, it is dropped there too.
func TestRefusedRefreshTokenIsDroppedLater(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		s := &deaf{blind: true}
		cfg := k.onDemand()
		cfg.Store, cfg.RefreshWithoutStore = s, true
		m, _ := k.started(cfg)
		k.srv.RevokeAll()
		s.broken.Store(true)
		if _, err := m.Refresh(t.Context()); err == nil {
			t.Fatal("Refresh with a revoked token: no error")
		}
		s.broken.Store(false)
		time.Sleep(time.Hour)
		next := k.manager(cfg)
		if _, err := next.Refresh(t.Context()); !errors.Is(err, auth.ErrNoRefreshToken) {
			t.Errorf("Refresh by the next process: %v", err)
		}
		k.wantRefreshes(1)
	})
}

// Saves failed, and the first of them arrived all the same: the spent refresh
// token that it left in the store is not taken for a newer one.
func TestSaveThatArrivedAllTheSame(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		s := &deaf{arrives: true, blind: true}
		cfg := k.onDemand()
		cfg.Store, cfg.RefreshWithoutStore = s, true
		m, _ := k.started(cfg)
		s.broken.Store(true)
		for range 3 {
			if _, err := m.Refresh(t.Context()); err != nil {
				t.Fatalf("Refresh: %v", err)
			}
		}
		s.broken.Store(false)
		if _, err := m.Refresh(t.Context()); err != nil {
			t.Fatalf("Refresh: %v", err)
		}
		if c := k.srv.Counts(); c.ReusedRefreshTokens != 0 || c.Refreshes != 4 {
			t.Errorf("%d refreshes, %d with a spent token", c.Refreshes, c.ReusedRefreshTokens)
		}
	})
}

// The same with a server that does not rotate: the older access token in the
// store is not taken for a newer one.
func TestUnsavedTokenWithoutRotation(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{NoRotation: true}, authtest.Protection{})
		s := &deaf{arrives: true, blind: true}
		cfg := k.onDemand()
		cfg.Store, cfg.RefreshWithoutStore = s, true
		m, _ := k.started(cfg)
		s.broken.Store(true)
		for range 2 {
			time.Sleep(time.Second)
			if _, err := m.Refresh(t.Context()); err != nil {
				t.Fatalf("Refresh: %v", err)
			}
		}
		s.broken.Store(false)
		if _, err := m.Refresh(t.Context()); err != nil {
			t.Fatalf("Refresh: %v", err)
		}
		k.wantRefreshes(3)
	})
}

// A login that finds a refresh token leaves the server alone for as long as it
// asked for.
func TestLoginObeysTheBackoff(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		cfg := k.onDemand()
		cfg.Grant = k.login()
		m := k.manager(cfg)
		var upgrade error
		var wg sync.WaitGroup
		wg.Go(func() { _, upgrade = m.UpgradeScopes(t.Context(), "more") }) // which gathers others for a moment
		synctest.Wait()
		if err := m.SetToken(t.Context(), &auth.Token{RefreshToken: k.token().RefreshToken}); err != nil {
			t.Fatal(err)
		}
		k.srv.InjectAlways(authtest.TokenEndpoint, authtest.RetryAfter(429, time.Hour))
		_, err := m.Token(t.Context())
		asError[*auth.TokenError](t, err)
		wg.Wait()
		if !errors.Is(upgrade, err) {
			t.Errorf("UpgradeScopes: %v, want %v", upgrade, err)
		}
		k.wantRefreshes(1)
	})
}

// A call of Refresh that fails for another reason does not shorten the time for
// which the server asked to be left alone.
func TestRefreshNowDoesNotShortenRetryAfter(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		m, tok := k.started(k.onDemand())
		expire(tok)
		k.srv.Inject(authtest.TokenEndpoint, authtest.RetryAfter(429, time.Hour), authtest.ResetBefore(), authtest.ResetBefore())
		_, err := m.Token(t.Context())
		asked := asError[*auth.TokenError](t, err).NextAttempt
		_, err = m.Refresh(t.Context())
		if next := asError[*auth.TokenError](t, err).NextAttempt; next.Before(asked) {
			t.Errorf("next attempt at %v, want %v", next, asked)
		}
		time.Sleep(time.Minute)
		if _, err := m.Token(t.Context()); err == nil {
			t.Error("Token: no error")
		}
		k.wantRefreshes(2) // after a failure a lost answer is not asked for again at once
	})
}

// Two credentials without an access token are not one because neither has it:
// the newer refresh token is used, and the user is not asked.
func TestRefreshTokensAreToldApart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		cfg := k.onDemand()
		cfg.Store = new(auth.MemoryStore)
		other := k.manager(cfg)
		cfg.Grant = forbidden{t}
		m := k.manager(cfg)
		if err := m.SetToken(t.Context(), &auth.Token{RefreshToken: "dead"}); err != nil {
			t.Fatal(err)
		}
		if _, err := m.Token(t.Context()); !errors.Is(err, auth.ErrNoToken) {
			t.Fatalf("Token: %v", err)
		}
		if err := other.SetToken(t.Context(), &auth.Token{RefreshToken: k.token().RefreshToken}); err != nil {
			t.Fatal(err)
		}
		if tok, err := m.Resolve(t.Context(), nil, auth.Challenge{Status: 401}); err != nil || k.call(tok) != 200 {
			t.Errorf("Resolve: %v", err)
		}
	})
}

// A refresh that fails with another process's refresh token puts off the next
// refresh, although this process has not used that token before.
func TestFailureWithAnothersTokenCounts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		cfg := k.onDemand()
		cfg.Store = new(auth.MemoryStore)
		m, tok := k.started(cfg)
		expire(tok)
		other := k.manager(cfg)
		if err := other.SetToken(t.Context(), &auth.Token{RefreshToken: k.token().RefreshToken}); err != nil {
			t.Fatal(err)
		}
		k.srv.InjectAlways(authtest.TokenEndpoint, authtest.ResetBefore())
		_, err := m.Refresh(t.Context())
		if te := asError[*auth.TokenError](t, err); te.NextAttempt.IsZero() || !m.Info().RetryAt.Equal(te.NextAttempt) {
			t.Errorf("error %v, the next attempt at %v", err, m.Info().RetryAt)
		}
		sent := k.refreshes()
		if _, again := m.Token(t.Context()); again == nil || k.refreshes() != sent {
			t.Errorf("%v after %d more requests", again, k.refreshes()-sent)
		}
	})
}

// A SetToken that fails gives the program's word to nobody: what the server
// asked for still holds.
func TestFailedSetTokenEndsNoPause(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k, s := newKit(t, authtest.Config{}, authtest.Protection{}), new(store)
		cfg := k.onDemand()
		cfg.Store = s
		m, tok := k.started(cfg)
		expire(tok)
		k.srv.InjectAlways(authtest.TokenEndpoint, authtest.RetryAfter(503, 4*time.Minute))
		_, err := m.Token(t.Context())
		te := asError[*auth.TokenError](t, err)
		s.fail(nil, nil, errDisk)
		if err := m.SetToken(t.Context(), k.token()); err == nil {
			t.Fatal("SetToken: no error")
		}
		s.fail(nil, nil, nil)
		if _, err := m.Token(t.Context()); !errors.Is(err, te) {
			t.Errorf("Token: %v, want the same error", err)
		}
		k.wantRefreshes(1)
	})
}

// A token that expires while it waits to be sent again is replaced instead.
func TestTokenExpiresBeforeItIsSentAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{AccessTokenTTL: time.Second}, authtest.Protection{})
		m, old := k.started(k.onDemand())
		young, err := m.Refresh(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		tok, err := m.Resolve(t.Context(), young, k.unauthorized()) // after 0.25 s
		if err != nil || tok.AccessToken != young.AccessToken {
			t.Fatalf("Resolve = %v, %v", tok, err)
		}
		tok, err = m.Resolve(t.Context(), tok, k.unauthorized()) // after 1 s more
		if err != nil || tok.AccessToken == young.AccessToken || k.call(tok) != 200 {
			t.Errorf("Resolve = %v, %v, want another token", tok, err)
		}
		if old.AccessToken == young.AccessToken {
			t.Error("nothing was refreshed")
		}
	})
}
