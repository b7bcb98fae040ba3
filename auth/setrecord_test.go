package auth_test

import (
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/registration"
)

// registered is a client that another program registered with the kit's server.
func (k *kit) registered() *registration.Client {
	k.t.Helper()
	c, err := registration.Register(k.t.Context(), k.srv.Client(), k.srv.Endpoint(authtest.RegistrationEndpoint), registration.Metadata{
		ClientName: "somebody else", RedirectURIs: []string{callback}, GrantTypes: []string{"authorization_code", "refresh_token"},
		ResponseTypes: []string{"code"}, TokenEndpointAuthMethod: "client_secret_post",
	})
	if err != nil {
		k.t.Fatal(err)
	}
	return &registration.Client{ClientID: c.ClientID, ClientSecret: c.ClientSecret, TokenEndpointAuthMethod: c.TokenEndpointAuthMethod}
}

// foreign is a configuration that knows the MCP server's URL and nothing else.
func (k *kit) foreign() auth.Config {
	return auth.Config{Resource: k.res.URL, HTTPClient: k.srv.Client(), NoIdleRefresh: true}
}

// A token that somebody else got is refreshed as the client that it was issued
// to, at the server that issued it, for the resource as its metadata call it;
// also after a restart.
func TestSetRecord(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var origin atomic.Value
		k := newKit(t, authtest.Config{}, authtest.Protection{Metadata: func(doc map[string]any) {
			if o := origin.Load(); o != nil {
				doc["resource"] = o
			}
		}})
		origin.Store(k.res.URL[:len(k.res.URL)-len("/mcp")])
		s := new(store)
		cfg := k.foreign()
		cfg.Store = s
		m, client := k.manager(cfg), k.registered()
		p := k.srv.IssueToken([]string{"read"}, k.res.URL[:len(k.res.URL)-len("/mcp")])
		tok := &auth.Token{AccessToken: p.AccessToken, RefreshToken: p.RefreshToken, Expiry: p.Expiry, Scopes: p.Scopes}
		now := time.Now()
		err := m.SetRecord(t.Context(), &auth.Record{
			Generation: 17, Token: tok, Issuer: k.srv.Issuer, Registration: client, Obtained: now, Requested: []string{"read", "more"},
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := mustToken(t, m); got.AccessToken != tok.AccessToken {
			t.Errorf("in use: %v", got)
		}
		if i := m.Info(); i.ClientID != client.ClientID || i.Issuer != k.srv.Issuer || len(i.Requested) != 2 {
			t.Errorf("Info: %+v", i)
		}
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
		m = k.manager(cfg)
		time.Sleep(2 * time.Hour)
		if got := k.call(mustToken(t, m)); got != http.StatusOK {
			t.Errorf("the refreshed token gets %d", got)
		}
		sent := k.srv.TokenRequests()[0].Form
		if sent.Get("client_id") != client.ClientID || sent.Get("client_secret") != client.ClientSecret || sent.Get("resource") != origin.Load() {
			t.Errorf("refresh as %q for %q", sent.Get("client_id"), sent.Get("resource"))
		}
	})

	// A lifetime that is known shrinks the window [invariant 7].
	t.Run("short-lived", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			k := newKit(t, authtest.Config{AccessTokenTTL: 4 * time.Minute}, authtest.Protection{})
			m := k.manager(k.onDemand())
			if err := m.SetRecord(t.Context(), &auth.Record{Token: k.token(), Obtained: time.Now()}); err != nil {
				t.Fatal(err)
			}
			mustToken(t, m)
			if i := m.Info(); i.State != auth.StateFresh || i.Refreshing {
				t.Errorf("%+v, want it not to be refreshed yet", i)
			}
		})
	})

	t.Run("the resource does not answer", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			k := newKit(t, authtest.Config{}, authtest.Protection{})
			m := k.manager(k.foreign())
			if err := m.SetRecord(t.Context(), &auth.Record{Token: k.token(), Issuer: k.srv.Issuer, Registration: k.registered()}); err != nil {
				t.Fatal(err)
			}
			k.srv.InjectAlways(authtest.ResourceMetadataEndpoint, authtest.Status(503))
			if _, err := m.Refresh(t.Context()); err == nil || k.refreshes() != 0 {
				t.Errorf("err = %v after %d refreshes, want none for a resource whose name is not known", err, k.refreshes())
			}
			k.srv.ClearFaults(authtest.ResourceMetadataEndpoint)
			time.Sleep(time.Minute)
			if _, err := m.Refresh(t.Context()); err != nil {
				t.Error(err)
			}
		})
	})

	t.Run("a resource without metadata", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			k := newKit(t, authtest.Config{}, authtest.Protection{NoMetadata: true})
			m := k.manager(k.foreign())
			if err := m.SetRecord(t.Context(), &auth.Record{Token: k.token(), Issuer: k.srv.Issuer, Registration: k.registered()}); err != nil {
				t.Fatal(err)
			}
			if tok, err := m.Refresh(t.Context()); err != nil || k.call(tok) != http.StatusOK {
				t.Errorf("%v, %v", tok, err)
			}
		})
	})
}

// What is said of a new token replaces what was known of the old one.
func TestSetRecordFromAnotherIssuer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		m := k.manager(k.foreign())
		old := &auth.Record{Token: k.token(), Issuer: "https://old.example.com", Registration: &registration.Client{ClientID: "old"}}
		if err := m.SetRecord(t.Context(), old); err != nil {
			t.Fatal(err)
		}
		if err := m.SetRecord(t.Context(), &auth.Record{Token: k.token(), Issuer: k.srv.Issuer}); err != nil {
			t.Fatal(err)
		}
		_, err := m.Refresh(t.Context())
		if ce := asError[*auth.ConfigError](t, err); ce.Field != "Config.Client.ID" || k.srv.Counts().Token != 0 {
			t.Errorf("%v after %d requests, want the old client to be forgotten", err, k.srv.Counts().Token)
		}
	})
}

func TestSetRecordRefuses(t *testing.T) {
	tok := &auth.Token{AccessToken: "a", RefreshToken: "r"}
	client := &registration.Client{ClientID: "other"}
	for _, tc := range []struct {
		name   string
		record *auth.Record
		field  string // "": an IssuerError
	}{
		{"nil", nil, "Token"},
		{"no token", &auth.Record{}, "Token"},
		{"unencrypted issuer", &auth.Record{Token: tok, Issuer: "http://as.example.com"}, "Record.Issuer"},
		{"other issuer", &auth.Record{Token: tok, Issuer: "https://other.example.com"}, ""},
		{"client without an issuer", &auth.Record{Token: tok, Registration: client}, "Record.Issuer"},
		{"client without an ID", &auth.Record{Token: tok, Issuer: "https://as.example.com", Registration: &registration.Client{}}, "Record.Registration.ClientID"},
		{"other client", &auth.Record{Token: tok, Issuer: "https://as.example.com", Registration: client}, "Record.Registration.ClientID"},
		{"obtained tomorrow", &auth.Record{Token: tok, Obtained: time.Now().Add(24 * time.Hour)}, "Record.Obtained"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := offline(t, nil)
			err := m.SetRecord(t.Context(), tc.record)
			if tc.field == "" {
				if e := asError[*auth.IssuerError](t, err); e.Expected != "https://as.example.com" || e.Actual != tc.record.Issuer {
					t.Errorf("%v", e)
				}
			} else if e := asError[*auth.ConfigError](t, err); e.Field != tc.field {
				t.Errorf("names %q, want %q", e.Field, tc.field)
			}
			if _, err := m.Token(t.Context()); !errors.Is(err, auth.ErrNoToken) {
				t.Errorf("Token: %v, want ErrNoToken", err)
			}
		})
	}

	// A client that was configured without its issuer belongs to the first one
	// that gave it a token.
	m, err := auth.NewManager(auth.Config{Resource: "https://mcp.example.com", Client: auth.Client{ID: clientID}})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := m.SetRecord(t.Context(), &auth.Record{Token: tok, Issuer: "https://as.example.com"}); err != nil {
		t.Fatal(err)
	}
	asError[*auth.IssuerError](t, m.SetRecord(t.Context(), &auth.Record{Token: tok, Issuer: "https://other.example.com"}))
}

// An old copy of a token never replaces what became of it, whoever imports it
// and however late.
func TestImport(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		shared := new(store)
		cfg := k.onDemand()
		cfg.Store = shared
		kept := k.token("read") // what all of them find in the old place
		var imports atomic.Int32
		together(8, func(int) {
			m, err := auth.NewManager(cfg)
			if err != nil {
				t.Error(err)
				return
			}
			defer m.Close()
			imported, err := m.Import(t.Context(), &auth.Record{Token: kept})
			if err != nil {
				t.Error(err)
			}
			if imported {
				imports.Add(1)
			}
			if _, err := m.Refresh(t.Context()); err != nil {
				t.Error(err)
			}
			if imported, err := m.Import(t.Context(), &auth.Record{Token: kept}); imported || err != nil {
				t.Errorf("imported over a token in use: %v, %v", imported, err)
			}
		})
		if imports.Load() != 1 {
			t.Errorf("%d imports, want 1", imports.Load())
		}
		if n := k.srv.Counts().ReusedRefreshTokens; n != 0 {
			t.Errorf("%d refresh tokens were used twice", n)
		}
	})

	t.Run("errors", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			k := newKit(t, authtest.Config{}, authtest.Protection{})
			s := new(store)
			cfg := k.onDemand()
			cfg.Store = s
			m := k.manager(cfg)
			rec := &auth.Record{Token: k.token()}
			for _, tc := range []struct {
				op         string
				load, lock error
			}{{"load", errDisk, nil}, {"lock", nil, errDisk}} {
				s.fail(tc.load, nil, tc.lock)
				imported, err := m.Import(t.Context(), rec)
				if e := asError[*auth.StoreError](t, err); imported || e.Op != tc.op {
					t.Errorf("%v, %v, want none without a %s", imported, err, tc.op)
				}
			}
			s.fail(nil, errDisk, nil)
			imported, err := m.Import(t.Context(), rec)
			if e := asError[*auth.StoreError](t, err); !imported || e.Op != "save" || mustToken(t, m).AccessToken != rec.Token.AccessToken {
				t.Errorf("%v, %v, want the token in use and the error of its save", imported, err)
			}
			s.fail(nil, nil, nil)
			if err := m.Close(); err != nil {
				t.Fatal(err)
			}
			if _, err := m.Import(t.Context(), rec); err != auth.ErrClosed {
				t.Errorf("after Close: %v", err)
			}
		})
	})
}

// A refresh token goes to the client that it was issued to, also when the
// program has a client ID metadata document by now.
func TestRefreshAsTheRegisteredClient(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{ClientIDMetadata: true}, authtest.Protection{})
		cfg := k.discovered()
		cfg.Store = new(store)
		m := k.manager(cfg)
		if _, err := m.Authorize(t.Context()); err != nil {
			t.Fatal(err)
		}
		before := m.Info().ClientID
		_ = m.Close()
		cfg.ClientMetadataURL = "https://client.example.com/oauth/metadata.json"
		m = k.manager(cfg)
		if _, err := m.Token(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := m.Refresh(t.Context()); err != nil {
			t.Fatalf("Refresh: %v, want one as %s", err, before)
		}
		if reqs := k.srv.TokenRequests(); reqs[len(reqs)-1].Form.Get("client_id") != before {
			t.Errorf("refreshed as %q, want %q", reqs[len(reqs)-1].Form.Get("client_id"), before)
		}
	})
}
