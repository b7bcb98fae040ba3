package auth_test

import (
	"errors"
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
)

// Two users of one resource have a record each.
func TestSubjectsAreApart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k, s := newKit(t, authtest.Config{}, authtest.Protection{}), new(remote)
		tokens := make(map[string]*auth.Token)
		for _, subject := range []string{"", "alice", "bob"} {
			cfg := k.onDemand()
			cfg.Store, cfg.Subject = s, subject
			_, tokens[subject] = k.started(cfg)
		}
		for subject, want := range tokens {
			cfg := k.onDemand()
			cfg.Store, cfg.Subject = s, subject
			if tok := mustToken(t, k.manager(cfg)); tok.AccessToken != want.AccessToken {
				t.Errorf("%q got the token of another", subject)
			}
			key := k.storeKey()
			key.Subject = subject
			if rec, err := s.Load(t.Context(), key); err != nil || rec.Token.AccessToken != want.AccessToken {
				t.Errorf("%q: stored %v, %v", subject, rec, err)
			}
		}
	})
}

func TestSubjectHasToBeText(t *testing.T) {
	_, err := auth.NewManager(auth.Config{Resource: "https://mcp.example.com", Subject: "a\xff"})
	if e := asError[*auth.ConfigError](t, err); e.Field != "Config.Subject" {
		t.Errorf("error %v", err)
	}
}

// Who has nothing to go on with looks into the store now and then: another
// process may have logged in, and not every store gives hints.
func TestLoginOfAnotherProcessIsFound(t *testing.T) {
	for _, tc := range []struct {
		name string
		lose bool // there was a token, which another process revoked
	}{{"at first", false}, {"later", true}} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k, s := newKit(t, authtest.Config{}, authtest.Protection{}), new(store)
				cfg := k.onDemand()
				cfg.Store = s
				m, other := k.manager(cfg), k.manager(cfg)
				if tc.lose {
					if err := m.SetToken(t.Context(), k.token()); err != nil {
						t.Fatal(err)
					}
					mustToken(t, other)
					k.srv.Inject(authtest.TokenEndpoint, authtest.OAuthError("invalid_grant", 400))
					_, err := m.Refresh(t.Context())
					asError[*auth.ReauthorizationRequiredError](t, err)
					time.Sleep(time.Hour)
				}
				before := s.loads
				for range 50 {
					if _, err := m.Token(t.Context()); err == nil {
						t.Fatal("there is a token")
					}
					time.Sleep(100 * time.Millisecond)
				}
				if n := s.loads - before; n < 4 || n > 6 {
					t.Errorf("%d readings of the store in 5 s, want one each second", n)
				}
				tok := k.token()
				if err := other.SetToken(t.Context(), tok); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
				if got := mustToken(t, m); got.AccessToken != tok.AccessToken {
					t.Errorf("Token: %v", got)
				}
			})
		})
	}
}

// A store that fails then is the cause, unless it can be done without.
func TestLookingAgainFails(t *testing.T) {
	for _, without := range []bool{false, true} {
		t.Run(map[bool]string{false: "store needed", true: "RefreshWithoutStore"}[without], func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k, s := newKit(t, authtest.Config{}, authtest.Protection{}), new(store)
				cfg := k.onDemand()
				cfg.Store, cfg.RefreshWithoutStore = s, without
				m := k.manager(cfg)
				if _, err := m.Token(t.Context()); !errors.Is(err, auth.ErrNoToken) {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
				s.fail(errDisk, nil, nil)
				_, err := m.Token(t.Context())
				if without {
					if !errors.Is(err, auth.ErrNoToken) {
						t.Errorf("Token: %v, want ErrNoToken", err)
					}
				} else if e := asError[*auth.StoreError](t, err); e.Op != "load" {
					t.Errorf("Token: %v", err)
				}
			})
		})
	}
}

// So does who has a token that lives but cannot be renewed: a login elsewhere is
// found when the token is refused, and nobody is asked a second time.
func TestLoginOfAnotherProcessIsFoundAtARejection(t *testing.T) {
	for _, call := range []string{"Refresh", "Resolve"} {
		t.Run(call, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k, s := newKit(t, authtest.Config{}, authtest.Protection{}), new(store)
				cfg := k.onDemand()
				cfg.Store, cfg.Grant = s, forbidden{t}
				m, _ := k.started(cfg)
				other := k.manager(cfg)
				mustToken(t, other)
				k.srv.Inject(authtest.TokenEndpoint, authtest.OAuthError("invalid_grant", 400))
				if _, err := m.Refresh(t.Context()); err == nil {
					t.Fatal("refreshed")
				}
				rejected := mustToken(t, m) // it lives
				if err := other.SetToken(t.Context(), k.token()); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
				var tok *auth.Token
				var err error
				if call == "Refresh" {
					tok, err = m.Refresh(t.Context())
				} else {
					tok, err = m.Resolve(t.Context(), rejected, auth.Challenge{Status: 401})
				}
				if err != nil || tok.AccessToken == rejected.AccessToken || k.call(tok) != 200 {
					t.Errorf("%s: %v, %v", call, tok, err)
				}
			})
		})
	}
}
