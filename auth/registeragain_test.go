package auth_test

import (
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
)

// relogin makes the manager need a login and gets it. The token in use works
// until then: after one that never did nobody is asked once more.
func (k *kit) relogin(m *auth.Manager) error {
	k.t.Helper()
	tok, err := k.send(m, mustToken(k.t, m))
	if err != nil {
		return err
	}
	k.srv.RevokeAll()
	_, err = k.send(m, tok)
	return err
}

// A server that forgot the client, and says so with invalid_client, is
// registered with again.
func TestRegisteredAgain(t *testing.T) {
	// forgotten lets the server forget the client and everything it holds.
	forgotten := func(k *kit, m *auth.Manager) {
		k.srv.RemoveClient(m.Info().ClientID)
		k.srv.RevokeAll()
	}
	want := func(t *testing.T, k *kit, m *auth.Manager, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		reg := k.srv.Registrations()
		if len(reg) != 2 || m.Info().ClientID != reg[1].ClientID || k.call(mustToken(t, m)) != 200 {
			t.Errorf("%d registrations, client %s", len(reg), m.Info().ClientID)
		}
	}

	t.Run("at a refresh", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			k := newKit(t, authtest.Config{}, authtest.Protection{})
			m := k.manager(k.discovered())
			tok, err := k.send(m, nil)
			if err != nil {
				t.Fatal(err)
			}
			forgotten(k, m)
			_, err = k.send(m, tok)
			want(t, k, m, err)
			k.wantRefreshes(2) // the first refusal is not believed
		})
	})

	t.Run("at a refresh, after a restart", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			k := newKit(t, authtest.Config{}, authtest.Protection{})
			cfg := k.discovered()
			cfg.Store, cfg.NoIdleRefresh = new(auth.MemoryStore), true
			m := k.manager(cfg)
			if _, err := m.Resolve(t.Context(), nil, k.unauthorized()); err != nil {
				t.Fatal(err)
			}
			forgotten(k, m)
			time.Sleep(2 * time.Hour)
			again := k.manager(cfg)
			if _, err := again.Token(t.Context()); err != auth.ErrNoToken {
				t.Fatalf("Token = %v, want ErrNoToken", err)
			}
			if _, err := k.manager(cfg).Token(t.Context()); err != auth.ErrNoToken { // nor at the start after that
				t.Fatalf("Token = %v, want ErrNoToken", err)
			}
			k.wantRefreshes(2)
			_, err := again.Resolve(t.Context(), nil, k.unauthorized())
			want(t, k, again, err)
		})
	})

	// A login for more scopes hears of it while there is a refresh token, which
	// is worth nothing without the client that it was issued to.
	t.Run("at a step-up", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			k := newKit(t, authtest.Config{}, authtest.Protection{})
			m := k.manager(k.discovered())
			if _, err := m.Resolve(t.Context(), nil, k.unauthorized()); err != nil {
				t.Fatal(err)
			}
			refused := authtest.OAuthError("invalid_client", 401)
			k.srv.Inject(authtest.TokenEndpoint, authtest.Fault{}, refused, refused) // refresh, code twice
			_, err := m.UpgradeScopes(t.Context(), "write")
			want(t, k, m, err)
		})
	})

	// There is no refresh token, so the login is the first to hear of it: at
	// the token endpoint, by a server that shows the page to any client. The
	// same login goes on with a new client.
	t.Run("at a login", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			k := newKit(t, authtest.Config{NoRefreshToken: true}, authtest.Protection{})
			m := k.manager(k.discovered())
			tok, err := k.send(m, nil)
			if err != nil {
				t.Fatal(err)
			}
			k.srv.RevokeAll()
			refused := authtest.OAuthError("invalid_client", 401)
			k.srv.Inject(authtest.TokenEndpoint, refused, refused)
			_, err = k.send(m, tok)
			want(t, k, m, err)
		})
	})

	// Another manager has registered again already: its client is used.
	t.Run("by another", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			k := newKit(t, authtest.Config{}, authtest.Protection{})
			one := k.discovered()
			one.Store = new(auth.MemoryStore)
			two := one
			two.Resource = k.srv.Protect(mcpServer, authtest.Protection{}).URL
			a, b := k.manager(one), k.manager(two)
			var toks [2]*auth.Token
			for i, m := range []*auth.Manager{a, b} {
				var err error
				if toks[i], err = m.Authorize(t.Context()); err != nil {
					t.Fatal(err)
				}
				m.Accepted(toks[i])
			}
			forgotten(k, a)
			for i, m := range []*auth.Manager{a, b} {
				another := func(tok *auth.Token) bool { return tok.AccessToken != toks[i].AccessToken }
				if _, err := k.insist(m, toks[i], auth.Challenge{Status: 401}, another); err != nil {
					t.Fatal(err)
				}
			}
			if n := k.srv.Counts().Register; n != 2 || a.Info().ClientID != b.Info().ClientID {
				t.Errorf("%d registrations, clients %s and %s", n, a.Info().ClientID, b.Info().ClientID)
			}
		})
	})

	// A client that somebody configured is theirs to fix.
	t.Run("configured client", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			k := newKit(t, authtest.Config{}, authtest.Protection{})
			m, _ := k.started(k.config())
			k.srv.RemoveClient(clientID)
			_, err := m.Refresh(t.Context())
			if te := asError[*auth.TokenError](t, err); te.Code != "invalid_client" || k.srv.Counts().Register != 0 {
				t.Errorf("%v after %d registrations", err, k.srv.Counts().Register)
			}
		})
	})
}

// A client secret that expires is replaced in time: a minute before.
func TestClientSecretExpires(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{TokenEndpointAuthMethods: []string{"client_secret_basic"}}, authtest.Protection{})
		began := time.Now()
		cfg := k.discovered()
		cfg.HTTPClient = k.editing(func(doc map[string]any) { doc["client_secret_expires_at"] = began.Add(time.Hour).Unix() })
		m := k.manager(cfg)
		if _, err := m.Resolve(t.Context(), nil, k.unauthorized()); err != nil {
			t.Fatal(err)
		}
		for _, step := range []struct {
			at   time.Duration
			want int
		}{{58 * time.Minute, 1}, {59 * time.Minute, 2}} {
			time.Sleep(step.at - time.Since(began))
			if err := k.relogin(m); err != nil || k.srv.Counts().Register != step.want {
				t.Errorf("after %v: %v, %d registrations, want %d", step.at, err, k.srv.Counts().Register, step.want)
			}
		}
	})
}
