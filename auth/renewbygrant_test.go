package auth_test

import (
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/grant"
)

// A refused refresh token leads to a login: one, for fifty callers.
func TestRefusedRefreshThenLogin(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		m := k.manager(k.discovered())
		old, err := k.send(m, nil)
		if err != nil {
			t.Fatal(err)
		}
		k.srv.RevokeAll()
		got := make([]*auth.Token, 50)
		together(50, func(i int) {
			var err error
			if got[i], err = k.send(m, old); err != nil {
				t.Errorf("caller %d: %v", i, err)
			}
		})
		if t.Failed() {
			return
		}
		for i, tok := range got {
			if tok.AccessToken != got[0].AccessToken || k.call(tok) != 200 {
				t.Fatalf("caller %d got %v, which the server answers with %d", i, tok, k.call(tok))
			}
		}
		c := k.srv.Counts()
		if c.Refreshes != 1 || c.Authorize != 3 || c.Register != 1 { // one without a window: is the client known?
			t.Errorf("%d refreshes, %d authorizations, %d registrations, want 1, 3, 1", c.Refreshes, c.Authorize, c.Register)
		}
	})
}

// The same when nobody sees a 401: the token expires, the refresh is refused,
// the request goes out without a token and its challenge leads to the login.
func TestRefusedRefreshOfAnExpiredToken(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		cfg := k.discovered()
		cfg.NoIdleRefresh = true
		m := k.manager(cfg)
		if _, err := m.Resolve(t.Context(), nil, k.unauthorized()); err != nil {
			t.Fatal(err)
		}
		k.srv.RevokeAll()
		time.Sleep(2 * time.Hour)
		together(50, func(int) {
			if tok, err := m.Token(t.Context()); err == nil {
				if status := k.call(tok); status != 200 { // that of somebody who was faster
					t.Errorf("the server answers %d", status)
				}
				return
			} else if err != auth.ErrNoToken {
				t.Errorf("Token = %v, want ErrNoToken", err)
			}
			if tok, err := m.Resolve(t.Context(), nil, k.unauthorized()); err != nil || k.call(tok) != 200 {
				t.Errorf("Resolve = %v, %v", tok, err)
			}
		})
		if c := k.srv.Counts(); c.Refreshes != 1 || c.Authorize != 3 { // one without a window: is the client known?
			t.Errorf("%d refreshes, %d authorizations, want 1, 3", c.Refreshes, c.Authorize)
		}
	})
}

// The refresh token is refused, but in the meantime another process
// logged in: its token is the answer, not the refusal.
func TestTokenOfAFasterLogin(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		s := new(store)
		cfg := k.config()
		cfg.Store, cfg.NoIdleRefresh = s, true
		m, _ := k.started(cfg)
		k.srv.RevokeAll()
		time.Sleep(2 * time.Hour)
		theirs := k.token()
		var once sync.Once
		s.onSave = func() {
			once.Do(func() { // the dead refresh token is about to be dropped
				key := auth.Key{Resource: k.res.URL, Issuer: k.srv.Issuer, ClientID: clientID}
				rec, err := s.MemoryStore.Load(t.Context(), key)
				if err != nil {
					t.Errorf("Load: %v", err)
					return
				}
				rec.Token = theirs
				if _, err := s.MemoryStore.Save(t.Context(), key, rec); err != nil {
					t.Errorf("Save: %v", err)
				}
			})
		}
		together(20, func(int) {
			if tok, err := m.Token(t.Context()); err != nil || tok.AccessToken != theirs.AccessToken {
				t.Errorf("Token = %v, %v, want theirs", tok, err)
			}
		})
		k.wantRefreshes(1)
	})
}

// A grant that needs nobody is used as a refresh token would be: early, by the
// timer, and for a 401.
func TestClientCredentials(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		k.srv.AddClient("service", "secret")
		cfg := auth.Config{
			Resource: k.res.URL, HTTPClient: k.srv.Client(),
			Client: auth.Client{ID: "service", Secret: "secret", Issuer: k.srv.Issuer}, Grant: grant.ClientCredentials{},
		}
		m := k.manager(cfg)
		want := func(n int) {
			t.Helper()
			if got := k.srv.Counts().TokenByGrant["client_credentials"]; got != n || k.srv.Counts().Token != n {
				t.Fatalf("%d token requests by client_credentials of %d, want %d", got, k.srv.Counts().Token, n)
			}
		}
		if _, err := m.Token(t.Context()); err != auth.ErrNoToken {
			t.Fatalf("Token = %v, want ErrNoToken: nothing is known of the authorization server", err)
		}
		first, err := m.Resolve(t.Context(), nil, k.unauthorized())
		if err != nil {
			t.Fatal(err)
		}
		want(1)
		if i := m.Info(); i.HasRefreshToken || i.RefreshAt.IsZero() || i.State != auth.StateFresh {
			t.Errorf("info %+v, want a token without refresh token that is renewed all the same", i)
		}

		time.Sleep(58 * time.Minute) // by the timer: nobody asks
		want(2)
		second := mustToken(t, m)
		if second.AccessToken == first.AccessToken || k.call(second) != 200 {
			t.Error("the timer's token is not in use")
		}

		k.srv.RevokeAccess(second.AccessToken)
		together(50, func(int) {
			if tok, err := m.Resolve(t.Context(), second, k.unauthorized()); err != nil || k.call(tok) != 200 {
				t.Errorf("Resolve = %v, %v", tok, err)
			}
		})
		want(3)

		if _, err := m.Refresh(t.Context()); err != nil {
			t.Errorf("Refresh: %v", err)
		}
		want(4)
		if c := k.srv.Counts(); c.Metadata != 2 {
			t.Errorf("metadata were fetched %d times, want 2: for the two challenges, not for the renewals", c.Metadata)
		}
	})

	t.Run("early", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			k := newKit(t, authtest.Config{}, authtest.Protection{})
			k.srv.AddClient("service", "secret")
			cfg := k.config()
			cfg.Client, cfg.Grant, cfg.NoIdleRefresh = auth.Client{ID: "service", Secret: "secret"}, grant.ClientCredentials{}, true
			m := k.manager(cfg)
			first, err := m.Authorize(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(57 * time.Minute)
			if k.srv.Counts().Token != 1 {
				t.Fatal("renewed though NoIdleRefresh is set and nobody asked")
			}
			if got := mustToken(t, m); got != first {
				t.Error("inside the window the token was not served at once")
			}
			synctest.Wait()
			if got := mustToken(t, m); got == first || k.srv.Counts().Token != 2 {
				t.Errorf("not renewed behind: %d token requests", k.srv.Counts().Token)
			}
		})
	})

	t.Run("refused", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			k := newKit(t, authtest.Config{}, authtest.Protection{})
			k.srv.AddClient("service", "secret")
			cfg := k.config()
			cfg.Client, cfg.Grant = auth.Client{ID: "service", Secret: "wrong"}, grant.ClientCredentials{}
			m := k.manager(cfg)
			_, err := m.Resolve(t.Context(), nil, k.unauthorized())
			te := asError[*auth.TokenError](t, err)
			if te.Code != "invalid_client" || te.GrantType != "client_credentials" || te.Retryable() {
				t.Errorf("error %+v", te)
			}
			_, again := m.Resolve(t.Context(), nil, k.unauthorized())
			if !errors.Is(again, te) || k.srv.Counts().Token != 1 {
				t.Errorf("the second time: %v after %d requests, want the first error and no request", again, k.srv.Counts().Token)
			}
		})
	})
}
