package auth_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/clientauth"
	"github.com/mcptokens/mcptokens/auth/registration"
)

// A server that grants no scope that the client did not name when it registered,
// as Ory Hydra does.
//
//compat:client scopes that a client was not registered for, as the answer to its registration says
//compat:default registered again, for those as well, before a window opens
//compat:attack TestLoginFailsAndClientStays
func TestRegisteredForItsScopes(t *testing.T) {
	// start is a login at such a server, which has these scopes.
	start := func(t *testing.T, supported []string, p authtest.Protection, edit func(*auth.Config)) (*kit, *person, *auth.Manager, error) {
		k := newKit(t, authtest.Config{RegisteredScopes: true, ScopesSupported: supported}, p)
		who := k.asked(0)
		cfg := k.bothering(who)
		if edit != nil {
			edit(&cfg)
		}
		m := k.manager(cfg)
		_, err := m.Resolve(t.Context(), nil, k.unauthorized(p.Scopes...))
		return k, who, m, err
	}
	scope := func(k *kit, i int) string { s, _ := k.srv.Registrations()[i].Document["scope"].(string); return s }

	t.Run("named", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			k, p, m, err := start(t, []string{"read", "write", "offline_access"},
				authtest.Protection{Scopes: []string{"read"}, Metadata: func(doc map[string]any) { doc["scopes_supported"] = []string{"read", "write"} }}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := scope(k, 0); got != "read offline_access write" {
				t.Errorf("registered for %q: want what is asked for, what the resource lists, and offline_access", got)
			}
			if got := p.visit(0).Get("scope"); got != "read offline_access" {
				t.Errorf("asked for %q", got)
			}
			// What it lists needs no other client, what it does not list does.
			if _, err := m.UpgradeScopes(t.Context(), "write"); err != nil {
				t.Fatal(err)
			}
			k.wantClients(p, 1, 2)
		})
	})

	for name, listed := range map[string]any{
		"more later":           []string{"read", "admin"},
		"more later, unlisted": []string{"openid"}, // as Ory Hydra has it
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, authtest.Config{RegisteredScopes: true, Metadata: func(doc map[string]any) { doc["scopes_supported"] = listed }},
					authtest.Protection{Scopes: []string{"read"}})
				p := k.asked(0)
				m := k.manager(k.bothering(p))
				if _, err := m.Resolve(t.Context(), nil, k.unauthorized("read")); err != nil {
					t.Fatal(err)
				}
				if tok, err := m.UpgradeScopes(t.Context(), "admin"); err != nil || !slices.Contains(tok.Scopes, "admin") {
					t.Fatalf("UpgradeScopes = %v, %v", tok, err)
				}
				k.wantClients(p, 2, 2) // no window comes back at once
				if looks := k.srv.Counts().Authorize - p.browsers(); looks != 0 {
					t.Errorf("%d looks, want none: the registration says it", looks)
				}
				if i := m.Info(); i.ClientID != k.srv.Registrations()[1].ClientID || !i.HasRefreshToken {
					t.Errorf("info %+v", i)
				}
				if got := scope(k, 1); got != "read admin" {
					t.Errorf("registered for %q", got)
				}
			})
		})
	}

	// widen logs in for "read" at a server that answers registrations so, then for
	// "admin" too, and this often again.
	widen := func(t *testing.T, answer func(doc map[string]any), times int) (*kit, *person) {
		k := newKit(t, authtest.Config{}, authtest.Protection{Scopes: []string{"read"}})
		p := k.asked(0)
		cfg := k.bothering(p)
		cfg.HTTPClient = k.editing(answer)
		m := k.manager(cfg)
		if _, err := m.Resolve(t.Context(), nil, k.unauthorized("read")); err != nil {
			t.Fatal(err)
		}
		if tok, err := m.UpgradeScopes(t.Context(), "admin"); err != nil || !slices.Contains(tok.Scopes, "admin") {
			t.Fatalf("UpgradeScopes = %v, %v", tok, err)
		}
		for range times {
			time.Sleep(10 * time.Minute)
			if err := k.relogin(m); err != nil {
				t.Fatal(err)
			}
		}
		return k, p
	}

	// A server that does not say what it registered keeps the client.
	t.Run("more later, not said", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			k, p := widen(t, func(doc map[string]any) { delete(doc, "scope") }, 2)
			k.wantClients(p, 1, 4)
		})
	})

	// One that registers the same whatever it is asked, as GitLab does, is asked once.
	t.Run("more later, always the same", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			k, p := widen(t, func(doc map[string]any) { doc["scope"] = "read" }, 3)
			k.wantClients(p, 2, 5)
		})
	})

	// One that registers nobody any more: the client it has may do.
	t.Run("more later, registration closed", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			k := newKit(t, authtest.Config{}, authtest.Protection{Scopes: []string{"read"}})
			p := k.asked(0)
			m := k.manager(k.bothering(p))
			if _, err := m.Resolve(t.Context(), nil, k.unauthorized("read")); err != nil {
				t.Fatal(err)
			}
			k.srv.InjectAlways(authtest.RegistrationEndpoint, authtest.OAuthError("access_denied", 403))
			before := k.srv.Counts().Register
			for _, scope := range []string{"admin", "root"} {
				if tok, err := m.UpgradeScopes(t.Context(), scope); err != nil || !slices.Contains(tok.Scopes, scope) {
					t.Fatalf("UpgradeScopes = %v, %v", tok, err)
				}
			}
			if n := k.srv.Counts().Register - before; n != 1 || p.browsers() != 3 {
				t.Errorf("%d registrations and %d windows, want 1 and 3", n, p.browsers())
			}
			if len(k.srv.Registrations()) != 1 {
				t.Error("another client was registered")
			}
		})
	})

	// Two resources of one server with scopes of their own share one client in the end.
	t.Run("two resources", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			k := newKit(t, authtest.Config{RegisteredScopes: true}, authtest.Protection{Scopes: []string{"read"}})
			p := k.asked(0)
			cfg := k.bothering(p)
			cfg.Store = new(auth.MemoryStore)
			cfg.Scopes = []string{"read"}
			one := k.manager(cfg)
			cfg.Resource = k.srv.Protect(mcpServer, authtest.Protection{Scopes: []string{"mail"}}).URL
			cfg.Scopes = []string{"mail"}
			two := k.manager(cfg)
			for _, m := range []*auth.Manager{one, two} {
				if _, err := m.Authorize(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(10 * time.Minute)
			if err := k.relogin(one); err != nil {
				t.Fatal(err)
			}
			k.wantClients(p, 2, 3)
			if got := scope(k, 1); got != "mail read" {
				t.Errorf("registered for %q", got)
			}
		})
	})

	// A scope that nobody may have: one further client, and the refresh token stays.
	t.Run("more later, in vain", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			k, p, m, err := start(t, []string{"read"}, authtest.Protection{Scopes: []string{"read"}}, nil)
			if err != nil {
				t.Fatal(err)
			}
			for range 3 {
				if tok, err := m.UpgradeScopes(t.Context(), "root"); err == nil && slices.Contains(tok.Scopes, "root") {
					t.Errorf("granted %v", tok)
				}
				time.Sleep(10 * time.Minute)
			}
			if _, err := m.Refresh(t.Context()); err != nil || k.srv.Counts().Register > 2 {
				t.Errorf("Refresh: %v after %d registrations and %d windows", err, k.srv.Counts().Register, p.browsers())
			}
		})
	})

	// offline_access is our wish alone: it is not asked for where it was declined.
	t.Run("offline_access declined", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			k := newKit(t, authtest.Config{RegisteredScopes: true, ScopesSupported: []string{"read"}, Metadata: func(doc map[string]any) {
				doc["scopes_supported"] = []string{"read", "offline_access"}
			}}, authtest.Protection{Scopes: []string{"read"}})
			p := k.asked(0)
			m := k.manager(k.bothering(p))
			for range 2 {
				if _, err := m.Resolve(t.Context(), nil, k.unauthorized("read")); err != nil {
					t.Fatal(err)
				}
				if err := m.Revoke(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			for i := range 2 {
				if got := p.visit(i).Get("scope"); got != "read" {
					t.Errorf("asked for %q", got)
				}
			}
		})
	})

	// A scope that the program wants and the server does not register: one
	// registration, and the error says which.
	t.Run("declined", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			k := newKit(t, authtest.Config{RegisteredScopes: true}, authtest.Protection{})
			p := k.asked(0)
			cfg := k.bothering(p)
			cfg.Scopes = []string{"read", "root"}
			w := k.editing(func(doc map[string]any) { doc["scope"] = "read" })
			cfg.HTTPClient = w
			m := k.manager(cfg)
			k.srv.InjectAlways(authtest.AuthorizeEndpoint, authtest.OAuthError("invalid_scope", 0))
			for range 2 {
				_, err := m.Authorize(t.Context())
				if ae := asError[*auth.AuthorizationError](t, err); ae.Code != "invalid_scope" || !strings.Contains(err.Error(), `"root"`) || !strings.Contains(err.Error(), "Config.Scopes") {
					t.Errorf("error %v", err)
				}
				time.Sleep(time.Hour)
			}
			if n := k.srv.Counts().Register; n != 1 {
				t.Errorf("%d registrations, want 1", n)
			}
		})
	})

	t.Run("beside the program's own", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			k, _, _, err := start(t, nil, authtest.Protection{Scopes: []string{"read"}}, func(c *auth.Config) { c.Registration.Scope = "mine read" })
			if got := scope(k, 0); err != nil || got != "mine read" {
				t.Errorf("registered for %q, %v", got, err)
			}
		})
	})
}

// refresh_token is asked for where the server lists it, or lists nothing.
func TestRegisteredGrantTypes(t *testing.T) {
	for name, tt := range map[string]struct{ listed, want []string }{
		"nothing listed": {nil, []string{"authorization_code", "refresh_token"}},
		"listed":         {[]string{"authorization_code", "refresh_token"}, []string{"authorization_code", "refresh_token"}},
		"not listed":     {[]string{"authorization_code"}, []string{"authorization_code"}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, authtest.Config{Metadata: func(doc map[string]any) {
					delete(doc, "grant_types_supported")
					if tt.listed != nil {
						doc["grant_types_supported"] = tt.listed
					}
				}}, authtest.Protection{})
				if _, err := k.manager(k.discovered()).Authorize(t.Context()); err != nil {
					t.Fatal(err)
				}
				if got := k.srv.Registrations()[0].GrantTypes; !slices.Equal(got, tt.want) {
					t.Errorf("registered for %q, want %q", got, tt.want)
				}
			})
		})
	}
}

// A refusal of a part is answered by a registration without it, in one login.
func TestRegistersWithLess(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		k.srv.Inject(authtest.RegistrationEndpoint, authtest.Answer(400, "application/json",
			`{"error":"invalid_client_metadata","error_description":"application_type: unknown field"}`))
		p := k.asked(0)
		if _, err := k.manager(k.bothering(p)).Authorize(t.Context()); err != nil {
			t.Fatal(err)
		}
		k.wantClients(p, 2, 1)
		if reg := k.srv.Registrations()[0]; reg.ApplicationType != "" || len(reg.GrantTypes) != 2 || reg.TokenEndpointAuthMethod != "none" {
			t.Errorf("registered as %+v", reg)
		}
	})

	// A refusal of who we are is none of a part.
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		k.srv.InjectAlways(authtest.RegistrationEndpoint, authtest.OAuthError("invalid_token", 401))
		_, err := k.manager(k.discovered()).Authorize(t.Context())
		if re := asError[*registration.Error](t, err); re.StatusCode != 401 || k.srv.Counts().Register != 1 {
			t.Errorf("%v after %d requests", err, k.srv.Counts().Register)
		}
	})
}

// Basic is refused with 401 and the form is listed: the form is used, and from
// then on at once. Where it is not listed, or the secret is wrong in the form
// too, nothing is gained and nothing is remembered.
//
//compat:client a secret that is refused in the header
//compat:default sent in the form where that is listed, and remembered
//compat:setting Config.Client.Auth
//compat:attack same
func TestSecretInTheForm(t *testing.T) {
	const secret = "secret-of-the-test"
	for name, tt := range map[string]struct {
		listed []string
		edit   func(*auth.Config)
		ok     bool
		sent   []string // how the client proved itself, request by request
	}{
		"both listed":      {[]string{"client_secret_basic", "client_secret_post"}, nil, true, []string{"basic", "post", "post"}},
		"form only listed": {[]string{"client_secret_post"}, nil, true, []string{"post", "post"}},
		"form not listed":  {[]string{"client_secret_basic"}, nil, false, []string{"basic"}},
		"nothing listed":   {nil, nil, false, []string{"basic"}},
		"wrong secret":     {[]string{"client_secret_basic", "client_secret_post"}, func(c *auth.Config) { c.Client.Secret = "wrong-secret" }, false, []string{"basic", "post"}},
		"insists on basic": {[]string{"client_secret_basic", "client_secret_post"}, func(c *auth.Config) { c.Client.Auth = clientauth.SecretBasic{} }, false, []string{"basic"}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, authtest.Config{TokenEndpointAuthMethods: []string{"client_secret_post"}}, authtest.Protection{})
				k.srv.AddClient("confidential", secret, callback)
				var sent []string
				_, client := k.wired(func(r *http.Request) (*http.Response, error) {
					if r.URL.String() == k.srv.Endpoint(authtest.TokenEndpoint) {
						how := "post"
						if r.Header.Get("Authorization") != "" {
							how = "basic"
						}
						sent = append(sent, how)
					}
					return nil, nil
				})
				cfg := k.onDemand()
				cfg.Client, cfg.HTTPClient = auth.Client{ID: "confidential", Secret: secret}, client
				cfg.Server.TokenEndpointAuthMethodsSupported = tt.listed
				if tt.edit != nil {
					tt.edit(&cfg)
				}
				m, _ := k.started(cfg)
				_, err := m.Refresh(t.Context())
				if (err == nil) != tt.ok {
					t.Errorf("Refresh: %v", err)
				}
				if err == nil {
					_, err = m.Refresh(t.Context())
				}
				if tt.ok && err != nil || !slices.Equal(sent, tt.sent) {
					t.Errorf("%v, sent by %q, want %q", err, sent, tt.sent)
				}
				for _, uses := range k.srv.RefreshTokenUses() {
					if uses > 1 {
						t.Error("a refresh token was spent twice")
					}
				}
			})
		})
	}
}

// A server that does not decode the identifier and the secret of a header, as
// Snowflake's (epam/ai-dial-core#1527): it refuses a good client, with a 400.
//
//compat:client an identifier or a secret with special characters that is not decoded in the header (Snowflake)
//compat:default sent as it is after a refusal, and remembered
//compat:setting Config.Client.Auth
//compat:attack same
func TestSecretThatIsNotDecoded(t *testing.T) {
	const id, secret, refusal = "Ab/Cd+ef=", "s3cret/of+the=test", `{"data":null,"error":"invalid_client","code":null,"message":"This is an invalid client.","success":false}`
	const encoded, plain = "Ab%2FCd%2Bef%3D:s3cret%2Fof%2Bthe%3Dtest", id + ":" + secret
	for name, tt := range map[string]struct {
		status int
		edit   func(*auth.Config)
		ok     bool
		sent   []string
	}{
		"refused with 400": {400, nil, true, []string{encoded, plain, plain}},
		"refused with 401": {401, nil, true, []string{encoded, plain, plain}},
		"form listed, not taken": {400, func(c *auth.Config) {
			c.Server.TokenEndpointAuthMethodsSupported = []string{"client_secret_basic", "client_secret_post"}
		}, true, []string{encoded, "", plain, plain}},
		"nothing special":           {400, func(c *auth.Config) { c.Client.Secret = "wrong"; c.Client.ID = "nobody" }, false, []string{"nobody:wrong"}},
		"wrong secret":              {400, func(c *auth.Config) { c.Client.Secret = "wrong=" }, false, []string{"Ab%2FCd%2Bef%3D:wrong%3D", id + ":wrong="}},
		"parts that cannot be told": {400, func(c *auth.Config) { c.Client.ID = "a:b" }, false, []string{"a%3Ab:s3cret%2Fof%2Bthe%3Dtest"}},
		"insists on basic":          {400, func(c *auth.Config) { c.Client.Auth = clientauth.SecretBasic{} }, false, []string{encoded}},
		"the server fails":          {503, nil, false, nil},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, authtest.Config{}, authtest.Protection{})
				k.srv.AddClient(id, secret, callback)
				var sent []string
				_, client := k.wired(func(r *http.Request) (*http.Response, error) {
					if r.URL.String() != k.srv.Endpoint(authtest.TokenEndpoint) {
						return nil, nil
					}
					_, header, _ := strings.Cut(r.Header.Get("Authorization"), " ")
					pair, _ := base64.StdEncoding.DecodeString(header)
					sent = append(sent, string(pair))
					if string(pair) != plain {
						return answer(tt.status, "application/json", refusal), nil
					}
					r.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret)) // as the kit wants it
					return nil, nil
				})
				cfg := k.onDemand()
				cfg.Client, cfg.HTTPClient = auth.Client{ID: id, Secret: secret}, client
				cfg.Server.TokenEndpointAuthMethodsSupported = []string{"client_secret_basic"}
				if tt.edit != nil {
					tt.edit(&cfg)
				}
				m, _ := k.started(cfg)
				_, err := m.Refresh(t.Context())
				if err == nil {
					_, err = m.Refresh(t.Context())
				}
				if (err == nil) != tt.ok {
					t.Errorf("Refresh: %v", err)
				}
				if tt.status >= 500 { // asked again, and in no other way
					for _, pair := range sent {
						if pair != encoded {
							t.Errorf("sent %q", pair)
						}
					}
				} else if !slices.Equal(sent, tt.sent) {
					t.Errorf("sent %q, want %q", sent, tt.sent)
				}
				if err != nil && strings.Contains(err.Error(), cfg.Client.Secret) {
					t.Errorf("the secret is in %v", err)
				}
				for _, uses := range k.srv.RefreshTokenUses() {
					if uses > 1 {
						t.Error("a refresh token was spent twice")
					}
				}
			})
		})
	}
}

// A server that registers a client with the method "none", gives it a secret all the
// same and wants it, as Figma, Supabase and OpenMetadata did (NousResearch/hermes-agent#73141,
// NousResearch/hermes-agent#29680, open-metadata/OpenMetadata#28552).
//
//compat:client a secret for a client that is registered with the method "none" (Figma)
//compat:default sent after a refusal without it, and remembered
//compat:attack same
func TestSecretOfAPublicClient(t *testing.T) {
	const secret = "s3cret-of-a-public-client"
	for name, tt := range map[string]struct {
		listed  []string
		status  int
		refusal string
		given   string   // by the registration
		sent    []string // the login, and a refresh
		ok      bool
	}{
		"Figma":               {[]string{"client_secret_basic", "client_secret_post", "none"}, 400, `{"error":true,"status":400,"message":"Client secret is required"}`, secret, []string{"none", "post", "post"}, true},
		"Supabase":            {[]string{"client_secret_post", "none"}, 422, `{"message":"Required parameter: client_secret"}`, secret, []string{"none", "post", "post"}, true},
		"OpenMetadata":        {nil, 401, `{"error":"invalid_client","error_description":"Client secret required"}`, secret, []string{"none", "post", "post"}, true},
		"in the header only":  {[]string{"client_secret_basic", "none"}, 401, ``, secret, []string{"none", "basic", "basic"}, true},
		"no secret":           {[]string{"client_secret_post", "none"}, 400, `{"error":"invalid_client"}`, "", []string{"none", "none"}, false}, // asked for again once, as a client that is new
		"refused for another": {[]string{"client_secret_post", "none"}, 401, `{"error":"invalid_grant","error_description":"code expired"}`, secret, []string{"none"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, authtest.Config{Metadata: func(doc map[string]any) {
					delete(doc, "token_endpoint_auth_methods_supported")
					if tt.listed != nil {
						doc["token_endpoint_auth_methods_supported"] = tt.listed
					}
				}}, authtest.Protection{})
				var sent []string
				register := k.editing(func(doc map[string]any) {
					doc["token_endpoint_auth_method"] = "none"
					if tt.given != "" {
						doc["client_secret"] = tt.given
					}
				})
				_, client := k.wired(func(r *http.Request) (*http.Response, error) {
					if r.URL.String() != k.srv.Endpoint(authtest.TokenEndpoint) {
						return register.Transport.RoundTrip(r)
					}
					body, err := io.ReadAll(r.Body)
					if err != nil {
						return nil, err
					}
					form, err := url.ParseQuery(string(body))
					if err != nil {
						return nil, err
					}
					id, password, basic := r.BasicAuth()
					how := "none"
					switch {
					case basic && password == secret:
						how = "basic"
						r.Header.Del("Authorization")
						form.Set("client_id", id)
					case form.Get("client_secret") == secret:
						how = "post"
						form.Del("client_secret")
					}
					if sent = append(sent, how); how == "none" {
						return answer(tt.status, "application/json", tt.refusal), nil
					}
					r.Body, r.ContentLength = io.NopCloser(strings.NewReader(form.Encode())), int64(len(form.Encode())) // as the kit registered it
					return nil, nil
				})
				cfg := k.discovered()
				cfg.HTTPClient = client
				m := k.manager(cfg)
				_, err := m.Authorize(t.Context())
				if err == nil {
					_, err = m.Refresh(t.Context())
				}
				if (err == nil) != tt.ok || !slices.Equal(sent, tt.sent) {
					t.Errorf("%v, sent by %q, want %q", err, sent, tt.sent)
				}
			})
		})
	}
}

// A client ID metadata document is used where the server takes the method that it
// names.
func TestMetadataDocumentAndItsMethod(t *testing.T) {
	const document = "https://client.example.com/oauth/metadata.json"
	for name, tt := range map[string]struct {
		listed   []string
		register bool // the server does
		document bool // is used
	}{
		"listed":                    {[]string{"none"}, true, true},
		"nothing listed":            {nil, true, true},
		"not listed":                {[]string{"client_secret_basic"}, true, false},
		"not listed, no other way":  {[]string{"client_secret_basic"}, false, false},
		"nothing listed, no choice": {nil, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, authtest.Config{ClientIDMetadata: true, NoRegistration: !tt.register, Metadata: func(doc map[string]any) {
					delete(doc, "token_endpoint_auth_methods_supported")
					if tt.listed != nil {
						doc["token_endpoint_auth_methods_supported"] = tt.listed
					}
				}}, authtest.Protection{})
				p := k.asked(0)
				cfg := k.bothering(p)
				cfg.ClientMetadataURL = document
				_, err := k.manager(cfg).Authorize(t.Context())
				if !tt.register && !tt.document {
					if ce := asError[*auth.ConfigError](t, err); ce.Field != "Config.ClientMetadataAuth" || !strings.Contains(ce.Problem, "client_secret_basic") || p.browsers() != 0 {
						t.Errorf("error %v after %d windows", err, p.browsers())
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if id := p.visit(0).Get("client_id"); (id == document) != tt.document {
					t.Errorf("client %s", id)
				}
			})
		})
	}
}

// Logging out has worked when the refresh token is revoked: a server that cannot
// revoke access tokens is no error.
//
//compat:refusal access tokens that cannot be revoked (JWTs)
//compat:default logged, if the refresh token was revoked
//compat:attack same
func TestRevokeWithoutTheAccessToken(t *testing.T) {
	for name, tt := range map[string]struct {
		cfg    authtest.Config
		faults []authtest.Fault
		fails  bool
	}{
		"unsupported_token_type":        {authtest.Config{KeepAccessTokens: true}, nil, false},
		"bare 400":                      {authtest.Config{}, []authtest.Fault{{}, authtest.Status(400)}, false},
		"trouble":                       {authtest.Config{}, []authtest.Fault{{}, authtest.Status(401)}, false},
		"no refresh token, unsupported": {authtest.Config{KeepAccessTokens: true, NoRefreshToken: true}, nil, false},
		"no refresh token, 400":         {authtest.Config{NoRefreshToken: true}, []authtest.Fault{authtest.Status(400)}, false},
		"no refresh token, 401":         {authtest.Config{NoRefreshToken: true}, []authtest.Fault{authtest.Status(401)}, true},
		"no refresh token, the client":  {authtest.Config{NoRefreshToken: true}, []authtest.Fault{authtest.OAuthError("invalid_client", 400)}, true},
		"the refresh token":             {authtest.Config{}, []authtest.Fault{authtest.Status(400)}, true},
		"the refresh token's type":      {authtest.Config{}, []authtest.Fault{authtest.OAuthError("unsupported_token_type", 400)}, true},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, tt.cfg, authtest.Protection{})
				cfg := k.config()
				cfg.Store = new(auth.MemoryStore)
				m, _ := k.started(cfg)
				other := k.manager(cfg)
				mustToken(t, other)
				k.srv.Inject(authtest.RevocationEndpoint, tt.faults...)
				err := m.Revoke(t.Context())
				var te *auth.TokenError
				if errors.As(err, &te) != tt.fails || err != nil && !tt.fails {
					t.Errorf("Revoke: %v", err)
				}
				if _, err := m.Token(t.Context()); err != auth.ErrNoToken {
					t.Errorf("Token = %v, want ErrNoToken", err)
				}
				time.Sleep(2 * time.Hour)
				if _, err := other.Token(t.Context()); err != auth.ErrNoToken {
					t.Errorf("another process: Token = %v, want ErrNoToken", err)
				}
			})
		})
	}
}

// A refusal of a client's assertion names the setting that servers differ on, also
// when the server says nothing. A refusal of something else does not.
//
//compat:client the audience of `private_key_jwt` is another (Hydra, glewlwyd)
//compat:default the issuer; the error of a refusal says what to set
//compat:setting clientauth.PrivateKeyJWT.Audience
//compat:attack same
func TestRefusedAssertionNamesTheAudience(t *testing.T) {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	for name, tt := range map[string]struct {
		fault    authtest.Fault
		audience clientauth.Audience
		want     string
	}{
		"invalid_client":  {authtest.OAuthError("invalid_client", 401), clientauth.AudienceIssuer, "to AudienceEndpoint; else check the key that is registered, KeyID and this machine's clock"},
		"bare 403":        {authtest.Status(403), clientauth.AudienceIssuer, "to AudienceEndpoint"},
		"bare 401":        {authtest.Status(401), clientauth.AudienceIssuer, "to AudienceEndpoint"},
		"for an endpoint": {authtest.OAuthError("invalid_client", 401), clientauth.AudienceEndpoint, "to AudienceIssuer"},
		"in words": {authtest.Answer(400, "application/json", `{"error":"invalid_request","error_description":"Wrong Audience of the assertion"}`),
			clientauth.AudienceIssuer, "to AudienceEndpoint"},
		"invalid_grant": {authtest.OAuthError("invalid_grant", 400), clientauth.AudienceIssuer, ""},
		"invalid_scope": {authtest.OAuthError("invalid_scope", 400), clientauth.AudienceIssuer, ""},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, authtest.Config{}, authtest.Protection{})
				cfg := k.onDemand()
				cfg.Client.Auth = clientauth.PrivateKeyJWT{Key: key, Audience: tt.audience}
				m, _ := k.started(cfg)
				k.srv.InjectAlways(authtest.TokenEndpoint, tt.fault)
				_, err := m.Refresh(t.Context())
				asError[*auth.TokenError](t, err)
				if got := strings.Contains(err.Error(), "PrivateKeyJWT.Audience"); got != (tt.want != "") || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("error %q, want %q", err, tt.want)
				}
			})
		})
	}

	// A client with a secret has no such setting.
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		m, _ := k.started(k.onDemand())
		k.srv.InjectAlways(authtest.TokenEndpoint, authtest.Status(403))
		if _, err := m.Refresh(t.Context()); err == nil || strings.Contains(err.Error(), "Audience") {
			t.Errorf("error %v", err)
		}
	})
}

// Many users of a gateway meet such a server at once: each request is tried in all the
// ways, whatever the others are just trying.
func TestSecretThatManyProve(t *testing.T) {
	const id, secret, users = "Ab/Cd+ef=", "s3cret/of+the=test", 8
	const plain = id + ":" + secret
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		k.srv.AddClient(id, secret, callback)
		_, client := k.wired(func(r *http.Request) (*http.Response, error) {
			if r.URL.String() != k.srv.Endpoint(authtest.TokenEndpoint) {
				return nil, nil
			}
			time.Sleep(time.Second) // for all of them to meet
			_, header, _ := strings.Cut(r.Header.Get("Authorization"), " ")
			if pair, _ := base64.StdEncoding.DecodeString(header); string(pair) != plain {
				return answer(401, "application/json", `{"error":"invalid_client"}`), nil
			}
			r.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret)) // as the kit wants it
			return nil, nil
		})
		cfg := k.onDemand()
		cfg.Client, cfg.HTTPClient, cfg.Store = auth.Client{ID: id, Secret: secret}, client, new(auth.MemoryStore)
		cfg.Server.TokenEndpointAuthMethodsSupported = []string{"client_secret_basic", "client_secret_post"}
		p := k.pool(auth.PoolConfig{Config: always(cfg)})
		for i := range users {
			k.give(p, strconv.Itoa(i))
		}
		together(users, func(i int) {
			time.Sleep(time.Duration(i) * 300 * time.Millisecond)
			if err := p.Source(strconv.Itoa(i), k.res.URL).Use(func(m *auth.Manager) error { _, err := m.Refresh(t.Context()); return err }); err != nil {
				t.Errorf("user %d: %v", i, err)
			}
		})
	})
}

// A server may change its mind about how it takes a secret.
func TestSecretThatIsTakenOtherwiseLater(t *testing.T) {
	const secret = "secret-of-the-test"
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		k.srv.AddClient("confidential", secret, callback)
		var sent []string
		takes := "post"
		_, client := k.wired(func(r *http.Request) (*http.Response, error) {
			if r.URL.String() != k.srv.Endpoint(authtest.TokenEndpoint) {
				return nil, nil
			}
			how := "post"
			if r.Header.Get("Authorization") != "" {
				how = "basic"
			}
			if sent = append(sent, how); how != takes {
				return answer(401, "application/json", `{"error":"invalid_client"}`), nil
			}
			return nil, nil
		})
		cfg := k.onDemand()
		cfg.Client, cfg.HTTPClient = auth.Client{ID: "confidential", Secret: secret}, client
		cfg.Server.TokenEndpointAuthMethodsSupported = []string{"client_secret_basic", "client_secret_post"}
		m, _ := k.started(cfg)
		for _, takes = range []string{"post", "post", "basic", "basic"} {
			if _, err := m.Refresh(t.Context()); err != nil {
				t.Fatalf("%v, sent by %q", err, sent)
			}
		}
		if want := []string{"basic", "post", "post", "post", "basic", "basic"}; !slices.Equal(sent, want) {
			t.Errorf("sent by %q, want %q", sent, want)
		}
	})
}

// What was refused itself is not sent again, whatever is said of the client.
func TestDeadTokenIsNotProvedAgain(t *testing.T) {
	for _, refusal := range []string{
		`{"error":"invalid_grant","error_description":"the token was not issued to this client id"}`,
		`{"error":"invalid_refresh_token","error_description":"or a wrong client_secret"}`,
		`{"error":"unsupported_grant_type","error_description":"not for this client id"}`,
	} {
		for _, status := range []int{400, 401} {
			bubble(t, func(t *testing.T) {
				k := newKit(t, authtest.Config{}, authtest.Protection{})
				k.srv.AddClient("confidential", "s", callback)
				sent := 0
				_, client := k.wired(func(r *http.Request) (*http.Response, error) {
					if r.URL.String() == k.srv.Endpoint(authtest.TokenEndpoint) {
						sent++
						return answer(status, "application/json", refusal), nil
					}
					return nil, nil
				})
				cfg := k.onDemand()
				cfg.Client, cfg.HTTPClient = auth.Client{ID: "confidential", Secret: "s"}, client
				cfg.Server.TokenEndpointAuthMethodsSupported = []string{"client_secret_basic", "client_secret_post"}
				m, _ := k.started(cfg)
				if _, err := m.Refresh(t.Context()); err == nil || sent != 1 {
					t.Errorf("%d %s: %v after %d requests", status, refusal, err, sent)
				}
			})
		}
	}
}
