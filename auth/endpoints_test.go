package auth_test

import (
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
)

// expired is a store with the record of a login whose access token has expired,
// after change, and its key.
func (k *kit) expired(cfg auth.Config, change func(r *auth.Record)) (*auth.MemoryStore, auth.Key) {
	k.t.Helper()
	store := new(auth.MemoryStore)
	cfg.Store, cfg.NoIdleRefresh = store, true
	m := k.manager(cfg)
	if _, err := m.Authorize(k.t.Context()); err != nil {
		k.t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		k.t.Fatal(err)
	}
	time.Sleep(2 * time.Hour)
	key := auth.Key{Resource: k.res.URL, ClientID: cfg.Client.ID}
	if cfg.Server != nil {
		key.Issuer = cfg.Server.Issuer
	}
	rec, err := store.Load(k.t.Context(), key)
	if err != nil {
		k.t.Fatal(err)
	}
	change(rec)
	if _, err := store.Save(k.t.Context(), key, rec); err != nil {
		k.t.Fatal(err)
	}
	return store, key
}

func unchanged(*auth.Record) {}

// confidential is k.discovered with a client that has a secret.
func (k *kit) confidential() auth.Config {
	k.srv.AddClient("confidential", "s3cret-of-the-client", callback)
	cfg := k.discovered()
	cfg.Client = auth.Client{ID: "confidential", Secret: "s3cret-of-the-client"}
	cfg.Server = &auth.Server{Issuer: k.srv.Issuer}
	return cfg
}

// A program that starts with an expired token needs one request, and no metadata:
// they may be down. So does a logout.
//
//compat:finding metadata that are down when a program starts
//compat:default the endpoints in the record are used
//compat:attack TestPlantedEndpoint
func TestStartWithoutMetadata(t *testing.T) {
	for name, config := range map[string]func(k *kit) auth.Config{
		"registered":   (*kit).discovered,
		"confidential": (*kit).confidential,
		"document": func(k *kit) auth.Config {
			cfg := k.discovered()
			cfg.ClientMetadataURL = "https://client.example/id.json"
			return cfg
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, authtest.Config{ClientIDMetadata: name == "document"}, authtest.Protection{})
				cfg := config(k)
				store, _ := k.expired(cfg, unchanged)
				cfg.Store = store
				before := k.srv.Counts()
				k.srv.InjectAlways(authtest.MetadataEndpoint, authtest.Status(503))
				k.srv.InjectAlways(authtest.ResourceMetadataEndpoint, authtest.Status(503))
				m := k.manager(cfg)
				if tok, err := m.Token(t.Context()); err != nil || k.call(tok) != 200 {
					t.Fatalf("Token = %v, %v", tok, err)
				}
				if err := m.Revoke(t.Context()); err != nil {
					t.Errorf("Revoke: %v", err)
				}
				c := k.srv.Counts()
				if c.Metadata != before.Metadata || c.ResourceMetadata != before.ResourceMetadata || c.Token != before.Token+1 || c.Revoke != before.Revoke+2 {
					t.Errorf("%+v after %+v", c, before)
				}
			})
		})
	}
}

// A record of an earlier version has no endpoints.
func TestRecordWithoutEndpoints(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		cfg := k.discovered()
		store, key := k.expired(cfg, func(r *auth.Record) { r.Endpoints = nil })
		cfg.Store = store
		before := k.srv.Counts().Metadata
		if _, err := k.manager(cfg).Token(t.Context()); err != nil || k.srv.Counts().Metadata != before+1 {
			t.Fatalf("%v after %d requests for metadata", err, k.srv.Counts().Metadata-before)
		}
		if rec, err := store.Load(t.Context(), key); err != nil || rec.Endpoints == nil || rec.Endpoints.Token != k.srv.Endpoint(authtest.TokenEndpoint) {
			t.Errorf("stored %+v, %v", rec.Endpoints, err)
		}
	})
}

// Where the stored endpoint refuses or is gone, the server is looked for again.
func TestStoredEndpointIsOld(t *testing.T) {
	bubble(t, func(t *testing.T) {
		other := authtest.NewServerConfig(t, authtest.Config{InMemory: true})
		for name, old := range map[string]string{
			"404":     other.URL + "/nothing",
			"refuses": other.Endpoint(authtest.TokenEndpoint),
			"no host": "http://127.0.0.1:1/token",
			"no URL":  "mailto:token",
		} {
			k := &kit{t: t, srv: authtest.NewServerConfig(t, authtest.Config{Peer: other})}
			k.res = k.srv.Protect(mcpServer, authtest.Protection{})
			cfg := k.discovered()
			store, key := k.expired(cfg, func(r *auth.Record) { r.Endpoints.Token = old })
			cfg.Store = store
			tok, err := k.manager(cfg).Token(t.Context())
			if err != nil || k.call(tok) != 200 || k.refreshes() != 1 {
				t.Errorf("%s: Token = %v, %v after %d refreshes", name, tok, err, k.refreshes())
				continue
			}
			if rec, err := store.Load(t.Context(), key); err != nil || rec.Endpoints.Token != k.srv.Endpoint(authtest.TokenEndpoint) {
				t.Errorf("%s: stored %+v, %v", name, rec.Endpoints, err)
			}
		}
	})
}

// A refusal is one, whether or not the metadata can be fetched: the same endpoint is
// not asked twice.
func TestStoredEndpointRefuses(t *testing.T) {
	for name, down := range map[string]bool{"metadata there": false, "metadata down": true} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, authtest.Config{}, authtest.Protection{})
				cfg := k.discovered()
				store, _ := k.expired(cfg, unchanged)
				cfg.Store, cfg.Grant = store, nil
				k.srv.RevokeAll()
				if down {
					k.srv.InjectAlways(authtest.MetadataEndpoint, authtest.Status(503))
				}
				_, err := k.manager(cfg).Refresh(t.Context())
				if e := asError[*auth.TokenError](t, err); e.Code != "invalid_grant" {
					t.Errorf("error %v", err)
				}
				k.wantRefreshes(1)
			})
		})
	}
}

// Whoever can write to the store cannot have the client's secret sent to them: it
// goes to the origin of the issuer that the program named.
func TestPlantedEndpoint(t *testing.T) {
	for name, tc := range map[string]struct {
		config func(cfg *auth.Config)
		moved  bool // the whole record is of the attacker's server
	}{
		"named issuer":           {func(*auth.Config) {}, false},
		"client bound to issuer": {func(cfg *auth.Config) { cfg.Client.Issuer, cfg.Server = cfg.Server.Issuer, nil }, false},
		"no issuer named":        {func(cfg *auth.Config) { cfg.Server = nil }, false},
		"issuer planted too":     {func(*auth.Config) {}, true},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, authtest.Config{}, authtest.Protection{})
				evil := authtest.NewServerConfig(t, authtest.Config{Peer: k.srv})
				var got []string
				base := k.srv.Client().Transport
				watch := roundTrip(func(r *http.Request) (*http.Response, error) {
					if strings.HasPrefix(r.URL.String(), evil.URL) {
						body := []byte{}
						if r.Body != nil {
							body, _ = io.ReadAll(r.Body)
						}
						got = append(got, r.Method+" "+r.URL.Path+" "+string(body)+r.Header.Get("Authorization"))
						r.Body = io.NopCloser(strings.NewReader(string(body)))
					}
					return base.RoundTrip(r)
				})
				cfg := k.confidential()
				tc.config(&cfg)
				key := auth.Key{Resource: k.res.URL, ClientID: cfg.Client.ID, Issuer: cfg.Client.Issuer}
				if cfg.Server != nil {
					key.Issuer = cfg.Server.Issuer
				}
				store := new(auth.MemoryStore)
				p := k.srv.IssueToken(nil, k.res.URL)
				rec := &auth.Record{
					Issuer: k.srv.Issuer, Resource: k.res.URL, Token: &auth.Token{RefreshToken: p.RefreshToken},
					Endpoints: &auth.Endpoints{Token: evil.Endpoint(authtest.TokenEndpoint), Revocation: evil.Endpoint(authtest.RevocationEndpoint)},
				}
				if tc.moved {
					rec.Issuer = evil.Issuer
				}
				if _, err := store.Save(t.Context(), key, rec); err != nil {
					t.Fatal(err)
				}
				cfg.Store, cfg.HTTPClient = store, &http.Client{Transport: watch}
				m := k.manager(cfg)
				if _, err := m.Token(t.Context()); key.Issuer != "" && (err == nil) == tc.moved {
					t.Errorf("Token: %v", err)
				}
				_ = m.Revoke(t.Context())
				for _, request := range got {
					if !strings.HasPrefix(request, "GET ") {
						t.Errorf("the planted server got %s", request)
					}
				}
			})
		})
	}
}

// What the program sets goes before what was stored, and a credential of another
// issuer brings no endpoints along.
func TestStoredEndpointsAreOfTheIssuer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		cfg := k.discovered()
		store, key := k.expired(cfg, unchanged)
		cfg.Store, cfg.Grant = store, nil
		other := authtest.NewServerConfig(t, authtest.Config{Peer: k.srv})
		m := k.manager(cfg)
		before := k.srv.Counts().Token
		err := m.SetRecord(t.Context(), &auth.Record{Issuer: other.Issuer, Resource: k.res.URL, Token: &auth.Token{AccessToken: "x", RefreshToken: "y"}})
		if err != nil {
			t.Fatal(err)
		}
		rec, err := store.Load(t.Context(), key)
		if err != nil || rec.Endpoints != nil {
			t.Errorf("stored %+v, %v", rec.Endpoints, err)
		}
		_, _ = m.Refresh(t.Context())
		if n := k.srv.Counts().Token; n != before {
			t.Error("the refresh token of one server was sent to another")
		}
	})
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		cfg := k.confidential()
		store, _ := k.expired(cfg, func(r *auth.Record) { r.Endpoints.Revocation = k.srv.URL + "/nothing" })
		cfg.Store = store
		srv := *cfg.Server
		srv.RevocationEndpoint = k.srv.Endpoint(authtest.RevocationEndpoint)
		cfg.Server = &srv
		if err := k.manager(cfg).Revoke(context.Background()); err != nil || k.srv.Counts().Revoke != 2 {
			t.Errorf("Revoke: %v, %d requests", err, k.srv.Counts().Revoke)
		}
	})
}

// How the client authenticates is stored too.
func TestStoredAuthMethods(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{TokenEndpointAuthMethods: []string{"client_secret_post"}}, authtest.Protection{})
		cfg := k.confidential()
		store, key := k.expired(cfg, unchanged)
		if rec, err := store.Load(t.Context(), key); err != nil || !slices.Equal(rec.Endpoints.AuthMethods, []string{"client_secret_post"}) {
			t.Fatalf("stored %+v, %v", rec.Endpoints, err)
		}
		cfg.Store = store
		if _, err := k.manager(cfg).Token(t.Context()); err != nil {
			t.Fatal(err)
		}
		k.wantRefreshes(1)
	})
}
