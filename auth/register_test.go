package auth_test

import (
	"context"
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

// A grant hears which redirect URIs are registered, if they are its client's.
func TestRegisteredRedirectURIs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		cfg := k.discovered()
		cfg.Store = new(auth.MemoryStore)
		if _, err := k.manager(cfg).Authorize(t.Context()); err != nil {
			t.Fatal(err)
		}
		var got []string
		cfg.Grant = grantFunc(func(ctx context.Context, f *auth.Flow) (*auth.Token, error) {
			got = f.RegisteredRedirectURIs(ctx)
			return &auth.Token{AccessToken: "a"}, nil
		})
		cfg.Resource = k.srv.Protect(mcpServer, authtest.Protection{}).URL
		if _, err := k.manager(cfg).Authorize(t.Context()); err != nil || !slices.Equal(got, []string{callback}) {
			t.Errorf("%q, %v, want the one registered", got, err)
		}
		cfg.Client = auth.Client{ID: clientID}
		if _, err := k.manager(cfg).Authorize(t.Context()); err != nil || len(got) != 0 {
			t.Errorf("%q, %v, want none: they are another client's", got, err)
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

// A server that supports the documents may refuse one: fastmcp and Linear compared the
// redirect URIs in it with the port of the listener (PrefectHQ/fastmcp#3588,
// anthropics/claude-code#37767).
//
//compat:client a client ID metadata document that is refused
//compat:default seen before a window opens, and a client is registered instead, where the server does that
//compat:attack same
func TestMetadataDocumentIsRefused(t *testing.T) {
	const document = "https://client.example.com/oauth/metadata.json"
	refuse := func(status int, contentType, body string) func(int) *http.Response {
		return func(int) *http.Response { return answer(status, contentType, body) }
	}
	for name, tt := range map[string]struct {
		look    func(n int) *http.Response // nil: the server's own answer
		token   bool                       // refused there
		closed  bool                       // the server registers nobody
		windows []bool                     // of two logins: as the document's client
		ok      bool
		looks   int
	}{
		"with a page":           {look: refuse(400, "text/html", "<h1>Invalid client</h1>"), windows: []bool{false, false}, ok: true, looks: 2},
		"with JSON":             {look: refuse(400, "application/json", `{"error":"invalid_request","error_description":"Redirect URI does not match CIMD redirect_uris."}`), windows: []bool{false, false}, ok: true, looks: 2},
		"at the token endpoint": {token: true, windows: []bool{true, false, false}, ok: true, looks: 1},
		"once": {look: func(n int) *http.Response {
			if n == 1 {
				return answer(400, "text/html", "<h1>Try again</h1>")
			}
			return nil
		}, windows: []bool{true, true}, ok: true, looks: 2},
		"not":                 {windows: []bool{true, true}, ok: true, looks: 1},
		"without another way": {look: refuse(400, "text/html", "<h1>Invalid client</h1>"), closed: true, windows: []bool{true}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, authtest.Config{ClientIDMetadata: true, NoRegistration: tt.closed}, authtest.Protection{})
				p, looks := k.asked(0), 0
				_, client := k.wired(func(r *http.Request) (*http.Response, error) {
					at, _, _ := strings.Cut(r.URL.String(), "?")
					switch {
					case at == k.srv.Endpoint(authtest.AuthorizeEndpoint) && r.URL.Query().Get("client_id") == document:
						if looks++; tt.look != nil {
							return tt.look(looks), nil
						}
					case at == k.srv.Endpoint(authtest.TokenEndpoint) && tt.token:
						if err := r.ParseForm(); err != nil {
							return nil, err
						}
						if r.PostForm.Get("client_id") == document {
							return answer(401, "application/json", `{"error":"invalid_client"}`), nil
						}
						body := r.PostForm.Encode()
						r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
					}
					return nil, nil
				})
				cfg := k.bothering(p)
				cfg.ClientMetadataURL, cfg.HTTPClient = document, client
				m := k.manager(cfg)
				_, err := m.Authorize(t.Context())
				if err == nil {
					err = k.relogin(m)
				}
				if tt.ok != (err == nil) && !tt.closed {
					t.Error(err)
				}
				var windows []bool
				for i := range p.browsers() {
					windows = append(windows, p.visit(i).Get("client_id") == document)
				}
				if tt.closed {
					windows = windows[:1] // the kit takes it
				}
				if !slices.Equal(windows, tt.windows) || looks != tt.looks {
					t.Errorf("windows %v after %d looks, want %v and %d", windows, looks, tt.windows, tt.looks)
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
			if p.browsers() != 0 || k.srv.Counts().Register != 2 { // the second asks for less
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
