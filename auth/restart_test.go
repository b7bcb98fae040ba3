package auth_test

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/dpop"
	"github.com/mcptokens/mcptokens/auth/grant"
	codec "github.com/mcptokens/mcptokens/auth/store"
)

// bytesStore keeps records as what [codec.Encode] makes of them, as stores
// do that outlive a process.
type bytesStore struct {
	auth.MemoryStore // for its lock

	mu   sync.Mutex
	data map[string][]byte
	next uint64
}

func (s *bytesStore) Load(_ context.Context, key auth.Key) (*auth.Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.load(key)
}

func (s *bytesStore) load(key auth.Key) (*auth.Record, error) {
	data, ok := s.data[key.ID()]
	if !ok {
		return nil, auth.ErrNotFound
	}
	of, r, err := codec.Decode(data)
	if err == nil && of != key {
		err = codec.ErrCorrupt
	}
	return r, err
}

func (s *bytesStore) Save(_ context.Context, key auth.Key, r *auth.Record) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var have uint64
	if old, err := s.load(key); err == nil {
		have = old.Generation
	}
	if have != r.Generation {
		return 0, auth.ErrConflict
	}
	s.next++
	fresh := *r
	fresh.Generation = s.next
	data, err := codec.Encode(key, &fresh)
	if err != nil {
		return 0, err
	}
	if s.data == nil {
		s.data = make(map[string][]byte)
	}
	s.data[key.ID()] = data
	return fresh.Generation, nil
}

// restart closes m and starts another one in its place.
func (k *kit) restart(m *auth.Manager, cfg auth.Config) *auth.Manager {
	k.t.Helper()
	if err := m.Close(); err != nil {
		k.t.Fatal(err)
	}
	return k.manager(cfg)
}

// After a restart nobody has to log in or to register again.
func TestRestart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k, s := newKit(t, authtest.Config{}, authtest.Protection{}), new(bytesStore)
		cfg := k.discovered()
		cfg.Store = s
		first := k.manager(cfg)
		tok, err := first.Authorize(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		cfg.Grant = forbidden{t}
		second := k.restart(first, cfg)
		again := mustToken(t, second)
		if again.AccessToken != tok.AccessToken || again.RefreshToken != tok.RefreshToken || !again.Expiry.Equal(tok.Expiry) || !slices.Equal(again.Scopes, tok.Scopes) {
			t.Errorf("after the restart %v, before %v", again, tok)
		}
		if second.Info().ClientID != first.Info().ClientID {
			t.Error("another client")
		}
		expire(again)
		if status := k.call(mustToken(t, second)); status != http.StatusOK {
			t.Errorf("the MCP server answered %d", status)
		}
		third := k.restart(second, cfg)
		mustToken(t, third)
		if n := k.srv.Counts(); n.Register != 1 || n.Authorize != 1 || n.Refreshes != 1 {
			t.Errorf("%+v, want one registration, one login, one refresh", n)
		}
	})
}

// The client registration serves other resources of the issuer, too.
func TestRegistrationIsFoundForAnotherResource(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k, s := newKit(t, authtest.Config{}, authtest.Protection{}), new(bytesStore)
		second := k.srv.Protect(mcpServer, authtest.Protection{Path: "/second"})
		for _, resource := range []string{k.res.URL, second.URL} {
			cfg := k.discovered()
			cfg.Store, cfg.Resource = s, resource
			if _, err := k.manager(cfg).Authorize(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if n := k.srv.Counts(); n.Register != 1 || n.Authorize != 3 {
			t.Errorf("%+v, want one registration for two logins, and a look before the second", n)
		}
	})
}

// The key that tokens are bound to comes back with them.
func TestRestartWithDPoP(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newDPoPKit(t, authtest.Protection{})
		k.cfg.Store, k.cfg.DPoP = new(bytesStore), dpop.Keys{}
		first := k.manager(k.cfg)
		tok := k.authorize(first)
		second := k.restart(first, k.cfg)
		again := mustToken(t, second)
		if again.AccessToken != tok.AccessToken || again.TokenType != "DPoP" {
			t.Fatalf("after the restart %v", again)
		}
		k.wantAccepted(again)
		k.wantAccepted(k.refresh(second))
	})
}

// A limit on step-ups that was reached holds after a restart, for the rest of
// its time: the user does not get another browser window.
func TestRestartKeepsStepUpLimits(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k, s := newKit(t, authtest.Config{}, authtest.Protection{}), new(bytesStore)
		p := k.asked(0)
		cfg := k.onDemand()
		cfg.Store, cfg.Grant = s, grant.AuthorizationCode{UserAgent: p}
		first, _ := k.started(cfg, "a")
		began := time.Now()
		tok := mustToken(t, first)
		tok, err := first.Resolve(t.Context(), tok, insufficient("b"))
		if err != nil {
			t.Fatal(err)
		}
		_, err = first.Resolve(t.Context(), tok, insufficient("b"))
		want := asError[*auth.InsufficientScopeError](t, err)
		if p.browsers() != 1 {
			t.Fatalf("%d browsers", p.browsers())
		}

		m := k.restart(first, cfg)
		for range 2 {
			_, err = m.Resolve(t.Context(), mustToken(t, m), insufficient("b"))
			got := asError[*auth.InsufficientScopeError](t, err)
			if got.Attempts != want.Attempts || got.Err != auth.ErrScopeNotSeen || !got.NextAttempt.Equal(want.NextAttempt) {
				t.Errorf("after a restart %+v, want %+v", got, want)
			}
			m = k.restart(m, cfg)
		}
		if p.browsers() != 1 {
			t.Errorf("%d browsers after restarts", p.browsers())
		}
		time.Sleep(time.Until(want.NextAttempt))
		if began.Add(5 * time.Minute).After(time.Now()) {
			t.Errorf("the limit held for %v only", time.Since(began))
		}
		m = k.restart(m, cfg)
		sent := k.srv.Counts().Token
		if _, err := m.Resolve(t.Context(), mustToken(t, m), insufficient("b")); err != nil || k.srv.Counts().Token == sent {
			t.Errorf("after its time: %v, %d token requests", err, k.srv.Counts().Token-sent)
		}
	})
}

// A limit is stored behind, whatever happens to the token meanwhile.
func TestStepUpLimitIsStoredBesideOtherChanges(t *testing.T) {
	for _, tc := range []struct {
		name string
		do   func(t *testing.T, m, other *auth.Manager)
	}{
		{"nothing", func(*testing.T, *auth.Manager, *auth.Manager) {}},
		{"a refresh here", func(t *testing.T, m, _ *auth.Manager) {
			if _, err := m.Refresh(t.Context()); err != nil {
				t.Error(err)
			}
		}},
		{"a refresh by another process", func(t *testing.T, _, other *auth.Manager) {
			for range 2 { // the first one finds the token that m has
				if _, err := other.Refresh(t.Context()); err != nil {
					t.Error(err)
				}
			}
		}},
		{"Close at once", func(t *testing.T, m, _ *auth.Manager) {
			if err := m.Close(); err != nil {
				t.Error(err)
			}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k, s := newKit(t, authtest.Config{RefreshWidens: true}, authtest.Protection{}), new(bytesStore)
				cfg := k.onDemand()
				cfg.Store, cfg.Grant, cfg.StepUpLimit = s, k.login(), 1
				m, _ := k.started(cfg, "a")
				other := k.manager(cfg)
				mustToken(t, other)
				tok, err := m.Resolve(t.Context(), mustToken(t, m), insufficient("b"))
				if err != nil {
					t.Fatal(err)
				}
				_, err = m.Resolve(t.Context(), tok, insufficient("b"))
				asError[*auth.InsufficientScopeError](t, err)
				tc.do(t, m, other)
				time.Sleep(10 * time.Second)
				rec := k.stored(s)
				if len(rec.StepUps) != 1 || rec.StepUps[0].Attempts != 1 || !slices.Equal(rec.StepUps[0].Scopes, []string{"b"}) {
					t.Errorf("stored limits %+v", rec.StepUps)
				}
				if tc.name != "Close at once" && mustToken(t, m).RefreshToken != rec.Token.RefreshToken {
					t.Error("the token in use is not the stored one")
				}
				if n := k.srv.Counts(); n.ReusedRefreshTokens != 0 {
					t.Errorf("%+v", n)
				}
			})
		})
	}
}
