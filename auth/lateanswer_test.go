package auth_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/grant"
)

// A server that takes its time has rotated the refresh token, and the answer is on
// its way. It is waited for, and nothing is sent again meanwhile.
func TestLateAnswer(t *testing.T) {
	for name, change := range map[string]func(*auth.Config){
		"default":                       func(*auth.Config) {},
		"a client that is less patient": func(cfg *auth.Config) { c := *cfg.HTTPClient; c.Timeout = 10 * time.Second; cfg.HTTPClient = &c },
		"a short refresh":               func(cfg *auth.Config) { cfg.RefreshTimeout = 5 * time.Second },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, authtest.Config{}, authtest.Protection{})
				cfg, s := k.onDemand(), new(auth.MemoryStore)
				cfg.Store = s
				change(&cfg)
				m, old := k.started(cfg)
				expire(old)
				k.srv.Inject(authtest.TokenEndpoint, authtest.DelayAfter(45*time.Second))
				began := time.Now()
				tok := mustToken(t, m)
				if took := time.Since(began); took != 45*time.Second {
					t.Errorf("it took %v", took)
				}
				if k.call(tok) != 200 || k.stored(s).Token.RefreshToken != tok.RefreshToken {
					t.Errorf("in use is %v, stored %v", tok, k.stored(s))
				}
				k.wantRefreshes(1)
				k.refreshOnce(m)
				if n := k.srv.Counts(); n.ReusedRefreshTokens != 0 || n.FamiliesRevoked != 0 {
					t.Errorf("%+v", n)
				}
			})
		})
	}
}

// refreshOnce refreshes, to see that the refresh token in use is the newest.
func (k *kit) refreshOnce(m *auth.Manager) {
	k.t.Helper()
	if tok, err := m.Refresh(k.t.Context()); err != nil || k.call(tok) != 200 {
		k.t.Errorf("Refresh: %v, %v", tok, err)
	}
}

// Callers leave a late answer by their own contexts, and the next one finds it.
func TestCallerLeavesALateAnswer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		m, old := k.started(k.onDemand())
		expire(old)
		k.srv.Inject(authtest.TokenEndpoint, authtest.DelayAfter(20*time.Second))
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if _, err := m.Token(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		time.Sleep(20 * time.Second)
		if tok := mustToken(t, m); k.call(tok) != 200 {
			t.Errorf("%v", tok)
		}
		k.wantRefreshes(1)
	})
}

// Close waits for an answer that was sent for, and stores it.
func TestCloseDuringALateAnswer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		cfg, s := k.onDemand(), new(auth.MemoryStore)
		cfg.Store = s
		m, old := k.started(cfg)
		k.srv.Inject(authtest.TokenEndpoint, authtest.DelayAfter(40*time.Second))
		go func() { _, _ = m.Refresh(t.Context()) }()
		synctest.Wait()
		if took := closing(t, m); took != 40*time.Second {
			t.Errorf("Close took %v", took)
		}
		if got := k.stored(s).Token; got.RefreshToken == old.RefreshToken {
			t.Error("the answer was not stored")
		}
		k.refreshOnce(k.manager(cfg))
	})
}

// A code is good for one use too.
func TestLateAnswerToACode(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		m := k.manager(k.discovered())
		k.srv.Inject(authtest.TokenEndpoint, authtest.DelayAfter(45*time.Second))
		tok, err := m.Authorize(t.Context())
		if err != nil || k.call(tok) != 200 || k.srv.Counts().Token != 1 {
			t.Errorf("%v, %v after %d requests", tok, err, k.srv.Counts().Token)
		}
	})
}

// What spends nothing is sent again as soon as it takes too long.
func TestLateAnswerThatCostsNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		k.srv.AddClient("service", "secret")
		cfg := k.onDemand()
		cfg.Client = auth.Client{ID: "service", Secret: "secret"}
		cfg.Grant = grant.ClientCredentials{}
		k.srv.Inject(authtest.TokenEndpoint, authtest.DelayAfter(45*time.Second))
		began := time.Now()
		if _, err := k.manager(cfg).Authorize(t.Context()); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 20*time.Second || k.srv.Counts().Token != 2 {
			t.Errorf("%d requests in %v", k.srv.Counts().Token, took)
		}
	})
}

// An answer can come after its token has expired. A caller that asks for a new
// token gets one that can be used.
func TestLateAnswerHasExpired(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{AccessTokenTTL: 30 * time.Second}, authtest.Protection{})
		m, _ := k.started(k.onDemand())
		k.srv.Inject(authtest.TokenEndpoint, authtest.DelayAfter(45*time.Second))
		tok, err := m.Refresh(t.Context())
		if err != nil || k.call(tok) != 200 {
			t.Errorf("token %v, %v", tok, err)
		}
		k.wantRefreshes(2)
	})
}
