package auth_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
)

// invalid_grant removes the refresh token that was sent, unless the store
// holds another by now [invariant 6].
func TestLoserOfARaceKeepsTheWinnersToken(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		shared := new(auth.MemoryStore)
		cfg := k.config()
		cfg.Store = unlocked{shared}
		winner, old := k.started(cfg)

		// While the loser's request is under way the winner rotates.
		var fresh *auth.Token
		inner := k.srv.Client().Transport
		cfg.HTTPClient = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			var err error
			if fresh, err = winner.Refresh(r.Context()); err != nil {
				return nil, err
			}
			k.srv.Inject(authtest.TokenEndpoint, authtest.OAuthError("invalid_grant", 400))
			return inner.RoundTrip(r)
		})}
		loser := k.manager(cfg)
		mustToken(t, loser)

		tok, err := loser.Refresh(t.Context())
		if err != nil || tok.AccessToken != fresh.AccessToken {
			t.Fatalf("the loser got %v (%v), want the winner's token", tok, err)
		}
		k.wantRefreshes(2)
		rec, err := shared.Load(t.Context(), auth.Key{Resource: k.res.URL, Issuer: k.srv.Issuer, ClientID: clientID})
		if err != nil || rec.Token.RefreshToken != fresh.RefreshToken || rec.Token.RefreshToken == old.RefreshToken {
			t.Errorf("the store holds %v (%v), want the winner's token", rec, err)
		}
		cfg.HTTPClient = k.srv.Client()
		if _, err := loser.Resolve(t.Context(), nil, auth.Challenge{}); err != nil {
			t.Errorf("the loser cannot go on: %v", err)
		}
	})
}

// The winner's refresh token is kept, and used, even if its access token has
// died meanwhile.
func TestLoserGoesOnWithTheWinnersRefreshToken(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		shared, winners := new(auth.MemoryStore), k.token()
		cfg := k.onDemand()
		cfg.Store = unlocked{shared}
		first := true
		inner := k.srv.Client().Transport
		cfg.HTTPClient = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			if first {
				first = false
				rec := k.stored(shared)
				rec.Token = &auth.Token{AccessToken: "dead", RefreshToken: winners.RefreshToken, Expiry: time.Now()}
				if _, err := shared.Save(r.Context(), k.storeKey(), rec); err != nil {
					return nil, err
				}
				k.srv.Inject(authtest.TokenEndpoint, authtest.OAuthError("invalid_grant", 400))
			}
			return inner.RoundTrip(r)
		})}
		loser, old := k.started(cfg)
		events, stop := loser.Subscribe()
		defer stop()
		expire(old)
		if status := k.call(mustToken(t, loser)); status != http.StatusOK {
			t.Errorf("the MCP server answered %d", status)
		}
		for len(events) > 0 {
			if e := <-events; e.Type == auth.EventRefreshFailed {
				t.Errorf("told of a failure: %v", e.Err)
			}
		}
		if k.stored(shared).Token.RefreshToken == old.RefreshToken {
			t.Errorf("stored %v", k.stored(shared))
		}
		if reqs := k.srv.TokenRequests(); len(reqs) != 2 || reqs[1].Form.Get("refresh_token") != winners.RefreshToken {
			t.Errorf("%d requests, want the winner's refresh token in the second", len(reqs))
		}
	})
}

// unlocked is a store whose lock was lost.
type unlocked struct{ auth.Store }

func (unlocked) Lock(context.Context, auth.Key) (func(), error) { return func() {}, nil }

// What is not stored yet is not lost to somebody who found the old refresh
// token in the store, was refused and dropped it there [invariant 6].
func TestUnsavedTokenSurvivesALoser(t *testing.T) {
	for _, next := range []string{"the save comes next", "a refresh comes next"} {
		t.Run(next, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, authtest.Config{}, authtest.Protection{})
				s := new(store)
				cfg := k.onDemand()
				cfg.Store = s
				m, _ := k.started(cfg)
				cfg.Store = &s.MemoryStore // that of the loser works
				loser := k.manager(cfg)
				mustToken(t, loser)

				s.fail(nil, errDisk, nil)
				tok, err := m.Refresh(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				k.srv.Inject(authtest.TokenEndpoint, authtest.OAuthError("invalid_grant", 400))
				_, err = loser.Refresh(t.Context())
				asError[*auth.ReauthorizationRequiredError](t, err)
				s.fail(nil, nil, nil)
				if next == "a refresh comes next" {
					if tok, err = m.Refresh(t.Context()); err != nil || tok.RefreshToken == "" {
						t.Fatalf("Refresh: %v, %v", tok, err)
					}
				}
				time.Sleep(10 * time.Second)
				if got := k.stored(s); got.Token.RefreshToken != tok.RefreshToken || m.Info().Unsaved {
					t.Errorf("stored %v, want %v", got, tok)
				}
			})
		})
	}
}

// Somebody deleted the record, by Revoke in another process for instance.
func TestRecordIsGone(t *testing.T) {
	for _, unsaved := range []bool{false, true} {
		t.Run(map[bool]string{false: "saved", true: "unsaved"}[unsaved], func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, authtest.Config{}, authtest.Protection{})
				s := new(store)
				cfg := k.onDemand()
				cfg.Store = s
				m, _ := k.started(cfg)
				if unsaved {
					s.fail(nil, errDisk, nil)
					if _, err := m.Refresh(t.Context()); err != nil {
						t.Fatal(err)
					}
					s.fail(nil, nil, nil)
				}
				sent := k.refreshes()
				if err := s.MemoryStore.Delete(t.Context(), k.storeKey(), k.stored(s).Generation); err != nil {
					t.Fatal(err)
				}
				events, _ := m.Subscribe()
				tok, err := m.Refresh(t.Context())
				if unsaved { // newer than what was deleted
					if err != nil || k.stored(s).Token.RefreshToken != tok.RefreshToken {
						t.Errorf("Refresh: %v, %v", tok, err)
					}
					k.wantRefreshes(sent + 1)
					return
				}
				if !errors.Is(err, auth.ErrNoToken) || m.Info().State != auth.StateNone {
					t.Errorf("Refresh: %v, state %q", err, m.Info().State)
				}
				k.wantRefreshes(sent)
				if all := types(drained(events)); len(all) == 0 || all[0] != auth.EventForgotten {
					t.Errorf("events %v", all)
				}
			})
		})
	}
}

// Somebody wrote in spite of the lock: what is stored wins if it works, else
// what we got does.
func TestConflict(t *testing.T) {
	for _, tc := range []struct {
		name   string
		theirs func(k *kit) *auth.Token // nil: they deleted it
		ours   bool
	}{
		{"theirs works", func(k *kit) *auth.Token { return k.token() }, false},
		{"theirs has expired", func(k *kit) *auth.Token {
			tok := k.token()
			tok.Expiry = time.Now().Add(-time.Second)
			return tok
		}, true},
		{"they deleted it", nil, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, authtest.Config{}, authtest.Protection{})
				s := new(store)
				cfg := k.onDemand()
				cfg.Store = s
				m, old := k.started(cfg)
				var theirs *auth.Token
				s.onSave = func() {
					s.onSave = nil
					rec := k.stored(s)
					if tc.theirs == nil {
						_ = s.MemoryStore.Delete(t.Context(), k.storeKey(), rec.Generation)
						return
					}
					theirs = tc.theirs(k)
					rec.Token = theirs
					_, _ = s.MemoryStore.Save(t.Context(), k.storeKey(), rec)
				}
				tok, err := m.Refresh(t.Context())
				if err != nil || tok.AccessToken == old.AccessToken {
					t.Fatalf("Refresh: %v, %v", tok, err)
				}
				if ours := theirs == nil || tok.AccessToken != theirs.AccessToken; ours != tc.ours {
					t.Errorf("ours won: %t, want %t", ours, tc.ours)
				}
				if mustToken(t, m) != tok || k.stored(s).Token.AccessToken != tok.AccessToken || m.Info().Unsaved {
					t.Errorf("in use %v, stored %v", mustToken(t, m), k.stored(s))
				}
				if status := k.call(tok); status != http.StatusOK {
					t.Errorf("the MCP server answered %d", status)
				}
			})
		})
	}
}

// Somebody logs in after the loser has looked into the store and before it drops
// its refresh token there, which takes a lock that was lost: the new token counts.
func TestLoserMeetsALogin(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k, s := newKit(t, authtest.Config{}, authtest.Protection{}), new(store)
		cfg := k.onDemand()
		cfg.Store = s
		m, _ := k.started(cfg)
		fresh := k.token()
		s.onSave = func() {
			s.onSave = nil
			rec := k.stored(&s.MemoryStore)
			rec.Token = fresh
			if _, err := s.MemoryStore.Save(t.Context(), k.storeKey(), rec); err != nil {
				t.Error(err)
			}
		}
		k.srv.Inject(authtest.TokenEndpoint, authtest.OAuthError("invalid_grant", 400))
		tok, err := m.Refresh(t.Context())
		if err != nil || tok.AccessToken != fresh.AccessToken {
			t.Fatalf("the loser got %v (%v), want the token of the login", tok, err)
		}
		if _, err := m.Refresh(t.Context()); err != nil {
			t.Errorf("the loser cannot go on: %v", err)
		}
	})
}

// Who finds that the refresh token is gone, since another process was refused with it,
// says so to callers, subscribers and the log.
func TestRefusedElsewhere(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const says = "another process sent it, and the authorization server refused it"
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		cfg := k.onDemand()
		cfg.Store = unlocked{new(auth.MemoryStore)} // without hints
		first, _ := k.started(cfg)
		log := new(strings.Builder)
		cfg.Logger = slog.New(slog.NewTextHandler(log, nil))
		second := k.manager(cfg)
		mustToken(t, second)
		events, _ := second.Subscribe()

		k.srv.Inject(authtest.TokenEndpoint, authtest.OAuthError("invalid_grant", 400))
		if _, err := first.Refresh(t.Context()); err == nil || strings.Contains(err.Error(), says) {
			t.Errorf("the first: %v", err)
		}
		sent := k.srv.Counts().Token
		_, err := second.Refresh(t.Context())
		if !errors.Is(err, auth.ErrNoRefreshToken) || !strings.Contains(err.Error(), says) {
			t.Errorf("the second: %v", err)
		}
		if n := k.srv.Counts().Token; n != sent {
			t.Errorf("%d requests by the second", n-sent)
		}
		for _, e := range wantEvents(t, events, auth.EventRefreshFailed) {
			if !strings.Contains(e.Err.Error(), says) {
				t.Errorf("event %v: %v", e.Type, e.Err)
			}
		}
		if !strings.Contains(log.String(), says) {
			t.Errorf("the log does not say it: %s", log)
		}
	})
}
