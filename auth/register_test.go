package auth_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/browser"
	"github.com/mcptokens/mcptokens/auth/grant"
	"github.com/mcptokens/mcptokens/auth/registration"
)

// relogin makes the manager need a login and gets it.
func (k *kit) relogin(m *auth.Manager) error {
	k.t.Helper()
	k.srv.RevokeAll()
	_, err := m.Resolve(k.t.Context(), mustToken(k.t, m), k.unauthorized())
	return err
}

// A client is registered once per authorization server: the next login, the
// next start of the program and the server's other resources use it again,
// with the same redirect URI.
func TestRegisteredOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		other := k.srv.Protect(mcpServer, authtest.Protection{})
		p := k.asked(0)
		p.UserAgent = browser.Headless{Client: k.srv.Client()} // takes a redirect URI that is registered already
		cfg := k.bothering(p)
		cfg.Store = new(auth.MemoryStore)
		cfg.Registration = registration.Metadata{ClientName: "My client"}
		m := k.manager(cfg)
		if _, err := m.Resolve(t.Context(), nil, k.unauthorized()); err != nil {
			t.Fatal(err)
		}
		if err := k.relogin(m); err != nil {
			t.Fatal(err)
		}
		again := k.manager(cfg)
		if err := k.relogin(again); err != nil {
			t.Fatal(err)
		}
		cfg.Resource = other.URL
		if _, err := k.manager(cfg).Authorize(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := k.srv.Counts().Register; n != 1 {
			t.Fatalf("%d registrations, want 1", n)
		}
		reg := k.srv.Registrations()[0]
		if reg.Document["client_name"] != "My client" || reg.ApplicationType != "native" ||
			!slices.Equal(reg.GrantTypes, []string{"authorization_code", "refresh_token"}) {
			t.Errorf("registered as %+v", reg)
		}
		if p.browsers() != 4 {
			t.Fatalf("%d logins, want 4", p.browsers())
		}
		for i := range 4 {
			if v := p.visit(i); v.Get("redirect_uri") != reg.RedirectURIs[0] || v.Get("client_id") != reg.ClientID {
				t.Errorf("login %d as %s, back to %s", i, v.Get("client_id"), v.Get("redirect_uri"))
			}
		}
	})

	// A redirect URI that is not registered needs another registration.
	t.Run("another redirect URI", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			k := newKit(t, authtest.Config{}, authtest.Protection{})
			cfg := k.discovered()
			cfg.Store = new(auth.MemoryStore)
			m := k.manager(cfg)
			if _, err := m.Resolve(t.Context(), nil, k.unauthorized()); err != nil {
				t.Fatal(err)
			}
			cfg.Grant = grant.AuthorizationCode{UserAgent: browser.Headless{Client: k.srv.Client(), RedirectURI: "http://127.0.0.1:4711/other"}}
			again := k.manager(cfg)
			if err := k.relogin(again); err != nil {
				t.Fatal(err)
			}
			reg := k.srv.Registrations()
			if len(reg) != 2 || again.Info().ClientID != reg[1].ClientID || reg[1].RedirectURIs[0] != "http://127.0.0.1:4711/other" {
				t.Errorf("registrations %+v, client %s", reg, again.Info().ClientID)
			}
			// And it is the one that is kept.
			if err := k.relogin(k.manager(cfg)); err != nil || k.srv.Counts().Register != 2 {
				t.Errorf("%v after %d registrations, want 2", err, k.srv.Counts().Register)
			}
		})
	})

	// Managers that begin together: one registration too many is no harm, but
	// everyone gets in.
	t.Run("at once", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			k := newKit(t, authtest.Config{}, authtest.Protection{})
			cfg := k.discovered()
			cfg.Store = new(auth.MemoryStore)
			together(5, func(int) {
				if tok, err := k.manager(cfg).Authorize(t.Context()); err != nil || k.call(tok) != 200 {
					t.Errorf("Authorize = %v, %v", tok, err)
				}
			})
		})
	})
}

// A server that forgot the client, and says so with invalid_client, is
// registered with anew.
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
			tok, err := m.Resolve(t.Context(), nil, k.unauthorized())
			if err != nil {
				t.Fatal(err)
			}
			forgotten(k, m)
			_, err = m.Resolve(t.Context(), tok, k.unauthorized())
			want(t, k, m, err)
			k.wantRefreshes(1)
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
			_, err := again.Resolve(t.Context(), nil, k.unauthorized())
			want(t, k, again, err)
		})
	})

	// There is no refresh token, so the login is the first to hear of it: at
	// the token endpoint, by a server that shows the page to any client. The
	// next login is the one that works.
	t.Run("at a login", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			k := newKit(t, authtest.Config{NoRefreshToken: true}, authtest.Protection{})
			m := k.manager(k.discovered())
			tok, err := m.Resolve(t.Context(), nil, k.unauthorized())
			if err != nil {
				t.Fatal(err)
			}
			k.srv.RevokeAll()
			k.srv.Inject(authtest.TokenEndpoint, authtest.OAuthError("invalid_client", 401))
			_, err = m.Resolve(t.Context(), tok, k.unauthorized())
			if te := asError[*auth.TokenError](t, err); te.Code != "invalid_client" {
				t.Fatalf("error %v", err)
			}
			_, err = m.Authorize(t.Context())
			want(t, k, m, err)
		})
	})

	// Another manager has registered anew already: its client is used.
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
			}
			forgotten(k, a)
			for i, m := range []*auth.Manager{a, b} {
				if _, err := m.Resolve(t.Context(), toks[i], auth.Challenge{Status: 401}); err != nil {
					t.Fatal(err)
				}
			}
			if n := k.srv.Counts().Register; n != 2 || a.Info().ClientID != b.Info().ClientID {
				t.Errorf("%d registrations, clients %s and %s", n, a.Info().ClientID, b.Info().ClientID)
			}
		})
	})

	// A client that somebody configured is theirs to mend.
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

// editing lets the test rewrite the answers to registrations.
func (k *kit) editing(edit func(doc map[string]any)) *http.Client {
	var w *wire
	w, client := k.wired(func(r *http.Request) (*http.Response, error) {
		if r.URL.String() != k.srv.Endpoint(authtest.RegistrationEndpoint) {
			return nil, nil
		}
		resp, err := w.base.RoundTrip(r)
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			return nil, err
		}
		var doc map[string]any
		if err := json.Unmarshal(body, &doc); err != nil {
			return nil, err
		}
		edit(doc)
		if body, err = json.Marshal(doc); err != nil {
			return nil, err
		}
		resp.Body, resp.ContentLength = io.NopCloser(strings.NewReader(string(body))), int64(len(body))
		return resp, nil
	})
	return client
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

// A client metadata document goes before dynamic registration, where the
// server takes one.
func TestClientMetadataDocument(t *testing.T) {
	const document = "https://client.example.com/oauth/metadata.json"
	for name, supported := range map[string]bool{"supported": true, "not supported": false} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, authtest.Config{ClientIDMetadata: supported}, authtest.Protection{})
				p := k.asked(0)
				cfg := k.bothering(p)
				cfg.ClientMetadataURL = document
				m := k.manager(cfg)
				if _, err := m.Resolve(t.Context(), nil, k.unauthorized()); err != nil {
					t.Fatal(err)
				}
				id, n := p.visit(0).Get("client_id"), k.srv.Counts().Register
				if supported && (id != document || n != 0) || !supported && (id == document || n != 1) {
					t.Errorf("client %s after %d registrations", id, n)
				}
				if _, err := m.Refresh(t.Context()); err != nil {
					t.Errorf("Refresh: %v", err)
				}
			})
		})
	}
}

// No way to a client is a mistake in the configuration, and says what to do.
func TestNoClient(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{NoRegistration: true}, authtest.Protection{})
		p := k.asked(0)
		_, err := k.manager(k.bothering(p)).Resolve(t.Context(), nil, k.unauthorized())
		ce := asError[*auth.ConfigError](t, err)
		if ce.Field != "Config.Client.ID" || !strings.Contains(ce.Problem, k.srv.Issuer) || p.browsers() != 0 {
			t.Errorf("%v with %d browsers", err, p.browsers())
		}
	})

	t.Run("for a refresh", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			k := newKit(t, authtest.Config{}, authtest.Protection{})
			cfg := k.config()
			cfg.Client = auth.Client{}
			m, _ := k.started(cfg)
			_, err := m.Refresh(t.Context())
			if ce := asError[*auth.ConfigError](t, err); ce.Field != "Config.Client.ID" || k.srv.Counts().Token != 0 {
				t.Errorf("%v after %d requests", err, k.srv.Counts().Token)
			}
		})
	})
}

// What goes wrong while registering.
func TestRegistrationFails(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		k.srv.Inject(authtest.RegistrationEndpoint, authtest.Status(503), authtest.RetryAfter(429, time.Second))
		if _, err := k.manager(k.discovered()).Resolve(t.Context(), nil, k.unauthorized()); err != nil || k.srv.Counts().Register != 3 {
			t.Errorf("%v after %d requests, want success at the third", err, k.srv.Counts().Register)
		}
	})

	t.Run("refused", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			k := newKit(t, authtest.Config{}, authtest.Protection{})
			k.srv.InjectAlways(authtest.RegistrationEndpoint, authtest.OAuthError("invalid_client_metadata", 400))
			p := k.asked(0)
			m := k.manager(k.bothering(p))
			for range 2 {
				_, err := m.Resolve(t.Context(), nil, k.unauthorized())
				if re := asError[*registration.Error](t, err); re.Code != "invalid_client_metadata" {
					t.Errorf("error %+v", re)
				}
			}
			if p.browsers() != 0 || k.srv.Counts().Register != 1 {
				t.Errorf("%d browsers, %d registrations", p.browsers(), k.srv.Counts().Register)
			}
		})
	})

	// Nothing is sent that the server would have to refuse.
	t.Run("bad metadata", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			k := newKit(t, authtest.Config{}, authtest.Protection{})
			cfg := k.discovered()
			cfg.Registration = registration.Metadata{ApplicationType: "mobile", JWKSURI: "http://h.example.com/keys"}
			_, err := k.manager(cfg).Resolve(t.Context(), nil, k.unauthorized())
			ce := asError[*auth.ConfigError](t, err)
			if ce.Field != "Config.Registration" || !strings.Contains(ce.Problem, "application_type") || !strings.Contains(ce.Problem, "jwks_uri") || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %q, want one line that names both members", err)
			}
			if n := k.srv.Counts().Register; n != 0 {
				t.Errorf("%d registrations", n)
			}
		})
	})

	// A store that does not keep the registration costs one at the next start,
	// no more, and says so.
	t.Run("not stored", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			k := newKit(t, authtest.Config{}, authtest.Protection{})
			cfg := k.discovered()
			s := new(store)
			s.fail(nil, errors.New("disk full"), nil)
			cfg.Store = s
			m := k.manager(cfg)
			events, stop := m.Subscribe()
			defer stop()
			if tok, err := m.Resolve(t.Context(), nil, k.unauthorized()); err != nil || k.call(tok) != 200 {
				t.Fatalf("Resolve = %v, %v", tok, err)
			}
			failed := drained(events)
			if len(failed) == 0 || failed[0].Type != auth.EventSaveFailed {
				t.Fatalf("events %v", types(failed))
			}
			asError[*auth.StoreError](t, failed[0].Err)
			if err := k.relogin(m); err != nil || k.srv.Counts().Register != 1 {
				t.Errorf("%v after %d registrations", err, k.srv.Counts().Register)
			}
			s.fail(nil, nil, nil)
		})
	})

	t.Run("store cannot be read", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			k := newKit(t, authtest.Config{}, authtest.Protection{})
			cfg := k.discovered()
			s := new(store)
			cfg.Store = s
			m := k.manager(cfg)
			if _, err := m.Token(t.Context()); err != auth.ErrNoToken {
				t.Fatal(err)
			}
			s.fail(errors.New("disk gone"), nil, nil)
			_, err := m.Resolve(t.Context(), nil, k.unauthorized())
			if se := asError[*auth.StoreError](t, err); se.Op != "load" || k.srv.Counts().Register != 0 {
				t.Errorf("%v after %d registrations", err, k.srv.Counts().Register)
			}
		})
	})
}
