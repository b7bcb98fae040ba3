package auth_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
)

// slowReader is a store of which one Load returns only later what it has read.
type slowReader struct {
	remote
	slow chan slowReading // of that Load, which takes it
}

type slowReading struct {
	read chan struct{} // closed when it has read
	wait chan struct{} // it returns when this is closed
}

func (s *slowReader) Load(ctx context.Context, key auth.Key) (*auth.Record, error) {
	rec, err := s.remote.Load(ctx, key)
	select {
	case l := <-s.slow:
		close(l.read)
		<-l.wait
	default:
	}
	return rec, err
}

// What was read before a token was put in use does not replace it.
func TestStaleReadingIsNotAdopted(t *testing.T) {
	for _, stored := range []bool{false, true} {
		t.Run(map[bool]string{false: "nothing was stored", true: "an older token was stored"}[stored], func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k, s := newKit(t, authtest.Config{}, authtest.Protection{}), &slowReader{slow: make(chan slowReading, 1)}
				cfg := k.onDemand()
				cfg.Store = s
				if stored {
					first := cfg
					first.Store = &s.MemoryStore
					k.started(first)
				}
				m := k.manager(cfg)
				events, _ := m.Subscribe()
				_, _ = m.Token(t.Context()) // reads the store and watches it

				l := slowReading{make(chan struct{}), make(chan struct{})}
				s.slow <- l
				if n := s.hint(k.storeKey()); n != 1 {
					t.Fatalf("%d watchers", n)
				}
				<-l.read
				tok := k.token()
				if err := m.SetToken(t.Context(), tok); err != nil {
					t.Fatal(err)
				}
				drained(events)
				close(l.wait)
				synctest.Wait()
				if got, err := m.Token(t.Context()); err != nil || got.AccessToken != tok.AccessToken {
					t.Errorf("Token: %v, %v; want the one that was set", got, err)
				}
				wantEvents(t, events)
			})
		})
	}
}

// A save that failed may have arrived all the same. Who found the token in the
// store and rotated it holds the refresh token that counts, also when its
// access token has died meanwhile.
func TestSaveThatArrivedIsNotRepeated(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k, s := newKit(t, authtest.Config{AccessTokenTTL: time.Second}, authtest.Protection{}), new(lossy)
		cfg := k.onDemand()
		cfg.Store, cfg.Grant = s, forbidden{t}
		m, _ := k.started(cfg)
		cfg.Store = &s.store
		other := k.manager(cfg)

		s.lose(true)
		if _, err := m.Refresh(t.Context()); err != nil || !m.Info().Unsaved {
			t.Fatalf("Refresh: %v, info %+v", err, m.Info())
		}
		theirs, err := other.Refresh(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		s.fail(nil, nil, errDisk)
		time.Sleep(2 * time.Second) // everything is dead
		s.fail(nil, nil, nil)
		s.lose(false)
		time.Sleep(2 * time.Minute)
		if got := k.stored(s); got.Token.RefreshToken != theirs.RefreshToken || m.Info().Unsaved {
			t.Errorf("stored %v, want the newest refresh token", got)
		}
		for _, manager := range []*auth.Manager{m, other, m} {
			if _, err := manager.Token(t.Context()); err != nil {
				t.Error(err)
			}
			time.Sleep(2 * time.Second)
		}
		if n := k.srv.Counts(); n.ReusedRefreshTokens != 0 || n.Refreshes != 5 {
			t.Errorf("%+v", n)
		}
	})
}

// lossy is a store that saves and says that it could not.
type lossy struct {
	store
	loses bool
}

func (s *lossy) lose(loses bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loses = loses
}

func (s *lossy) Save(ctx context.Context, key auth.Key, rec *auth.Record) (uint64, error) {
	generation, err := s.store.Save(ctx, key, rec)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.loses && err == nil {
		return 0, errors.New("connection lost")
	}
	return generation, err
}

// Somebody stored something else beside the token, which was just spent here.
func TestSpentTokenDoesNotWin(t *testing.T) {
	for _, tc := range []struct {
		name    string
		unsaved bool // the first save of the new token fails
	}{{"during the request", false}, {"while the new token cannot be saved", true}} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k, s := newKit(t, authtest.Config{}, authtest.Protection{}), new(store)
				cfg := k.onDemand()
				cfg.Store, cfg.Grant = s, forbidden{t}
				m, old := k.started(cfg)
				touch := func() {
					rec := k.stored(&s.MemoryStore)
					rec.StepUps = []auth.StepUpLimit{{Scopes: []string{"x"}, Attempts: 2, Until: time.Now().Add(time.Minute)}}
					if _, err := s.MemoryStore.Save(t.Context(), k.storeKey(), rec); err != nil {
						t.Error(err)
					}
				}
				if tc.unsaved {
					s.fail(nil, errDisk, nil)
				} else {
					s.onSave = func() { s.onSave = nil; touch() }
				}
				tok, err := m.Refresh(t.Context())
				if err != nil || tok.RefreshToken == old.RefreshToken {
					t.Fatalf("Refresh: %v, %v", tok, err)
				}
				if tc.unsaved {
					touch()
					s.fail(nil, nil, nil)
					time.Sleep(time.Minute)
				}
				if got := k.stored(s); got.Token.RefreshToken != tok.RefreshToken || m.Info().Unsaved {
					t.Errorf("stored %v, want %v", got, tok)
				}
				if _, err := m.Refresh(t.Context()); err != nil || k.srv.Counts().ReusedRefreshTokens != 0 {
					t.Errorf("Refresh: %v, %+v", err, k.srv.Counts())
				}
			})
		})
	}
}

// Who was refused with a refresh token drops that one, also in the moment in
// which another process stores its own, and goes on with that [invariant 6].
func TestDropLosesAgainstTheWinner(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k, s := newKit(t, authtest.Config{}, authtest.Protection{}), new(store)
		cfg := k.onDemand()
		cfg.Store = s
		m, _ := k.started(cfg)
		winners := k.token()
		winners.Expiry = time.Now() // dead, but its refresh token is not
		s.onSave = func() {
			s.onSave = nil
			rec := k.stored(&s.MemoryStore)
			rec.Token = winners
			if _, err := s.MemoryStore.Save(t.Context(), k.storeKey(), rec); err != nil {
				t.Error(err)
			}
		}
		k.srv.Inject(authtest.TokenEndpoint, authtest.OAuthError("invalid_grant", 400))
		tok, err := m.Refresh(t.Context())
		if err != nil {
			t.Fatalf("Refresh: %v, want a token by the winner's", err)
		}
		if got := k.stored(s); got.Token.RefreshToken != tok.RefreshToken || k.srv.RefreshTokenUses()[winners.RefreshToken] != 1 {
			t.Fatalf("stored %v, want what came of the winner's token", got)
		}
		time.Sleep(time.Minute)
		if status := k.call(mustToken(t, m)); status != http.StatusOK {
			t.Errorf("the MCP server answered %d", status)
		}
	})
}
