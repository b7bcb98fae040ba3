package auth_test

import (
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/grant"
	"github.com/mcptokens/mcptokens/auth/registration"
)

// The MCP server moves to another authorization server (MCP 2026-07-28,
// "Authorization Server Binding"): the old one's refresh token and client
// never reach the new one.
func TestAuthorizationServerMoves(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var issuers []string
		k := newKit(t, authtest.Config{}, authtest.Protection{Metadata: func(doc map[string]any) { doc["authorization_servers"] = issuers }})
		issuers = []string{k.srv.Issuer}
		next := authtest.NewServerConfig(t, authtest.Config{Peer: k.srv})
		m := k.manager(k.discovered())
		old, err := k.send(m, nil)
		if err != nil {
			t.Fatal(err)
		}
		oldClient := m.Info().ClientID

		issuers = []string{next.Issuer}
		tok, err := k.replace(m, old)
		if err != nil {
			t.Fatal(err)
		}
		if i := m.Info(); i.Issuer != next.Issuer || i.ClientID == oldClient {
			t.Errorf("info %+v, want the new server and a client of its own", i)
		}
		if c := next.Counts(); c.Register != 1 || c.Authorize != 1 || c.Token != 1 || c.Refreshes != 0 {
			t.Errorf("at the new server %+v, want one registration and one login", c)
		}
		if n := k.srv.Counts().Refreshes; n != 0 {
			t.Errorf("%d refreshes at the server that was left", n)
		}
		for _, r := range next.TokenRequests() {
			if id := r.Form.Get("client_id"); id == oldClient {
				t.Errorf("the old client was shown to the new server")
			}
		}
		// The new refresh token goes to the new server.
		if got, err := m.Refresh(t.Context()); err != nil || got.AccessToken == tok.AccessToken || next.Counts().Refreshes != 1 || k.srv.Counts().Refreshes != 0 {
			t.Errorf("Refresh = %v, %v", got, err)
		}
		// And back: the first registration is still good.
		issuers = []string{k.srv.Issuer}
		if _, err := k.replace(m, mustToken(t, m)); err != nil {
			t.Fatal(err)
		}
		if i := m.Info(); i.ClientID != oldClient || k.srv.Counts().Register != 1 || next.Counts().Refreshes != 1 {
			t.Errorf("info %+v after %d registrations", i, k.srv.Counts().Register)
		}
	})

	// Another process has noticed the move first: its refresh token is not sent
	// to the server that this one still remembers.
	t.Run("noticed elsewhere", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			var issuers []string
			k := newKit(t, authtest.Config{}, authtest.Protection{Metadata: func(doc map[string]any) { doc["authorization_servers"] = issuers }})
			issuers = []string{k.srv.Issuer}
			next := authtest.NewServerConfig(t, authtest.Config{Peer: k.srv})
			cfg := k.discovered()
			cfg.Store = struct{ auth.Store }{new(auth.MemoryStore)} // without hints
			a, b := k.manager(cfg), k.manager(cfg)
			old, err := a.Authorize(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			issuers = []string{next.Issuer}
			if _, err := k.replace(b, old); err != nil {
				t.Fatal(err)
			}
			if _, err := a.Refresh(t.Context()); err != nil { // adopts what b got
				t.Fatal(err)
			}
			if _, err := a.Refresh(t.Context()); err != nil {
				t.Fatal(err)
			}
			if next.Counts().Refreshes != 1 || k.srv.Counts().Refreshes != 0 {
				t.Errorf("%d refreshes at the new server and %d at the old, want 1 and 0", next.Counts().Refreshes, k.srv.Counts().Refreshes)
			}
		})
	})

	// A resource that cannot be asked has not moved.
	t.Run("metadata out of order", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			k := newKit(t, authtest.Config{}, authtest.Protection{})
			m := k.manager(k.discovered())
			old, err := k.send(m, nil)
			if err != nil {
				t.Fatal(err)
			}
			k.srv.InjectAlways(authtest.ResourceMetadataEndpoint, authtest.Status(503))
			if tok, err := k.replace(m, old); err != nil {
				t.Errorf("Resolve = %v, %v, want a refreshed token", tok, err)
			}
			k.wantRefreshes(1)
		})
	})

	// One more authorization server is no move: the refresh token's is still listed.
	t.Run("several listed", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			var issuers []string
			k := newKit(t, authtest.Config{}, authtest.Protection{Metadata: func(doc map[string]any) { doc["authorization_servers"] = issuers }})
			issuers = []string{k.srv.Issuer}
			next := authtest.NewServerConfig(t, authtest.Config{Peer: k.srv})
			m := k.manager(k.discovered())
			old, err := k.send(m, nil)
			if err != nil {
				t.Fatal(err)
			}
			issuers = []string{next.Issuer, k.srv.Issuer}
			tok, err := k.replace(m, old)
			if err != nil {
				t.Fatal(err)
			}
			k.srv.RevokeAll()
			if _, err := k.send(m, tok); err != nil { // now by login: to the one in use, which is asked first whether it knows the client
				t.Fatal(err)
			}
			if c := k.srv.Counts(); c.Refreshes != 2 || c.Authorize != 3 || next.Counts().Metadata != 0 {
				t.Errorf("%+v, and %d requests to the other", c, next.Counts().Metadata)
			}
		})
	})

	// The token has expired and its server is gone: the resource's metadata
	// are asked, and say where to log in.
	t.Run("the old one is gone", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			var issuers []string
			k := newKit(t, authtest.Config{}, authtest.Protection{Metadata: func(doc map[string]any) { doc["authorization_servers"] = issuers }})
			issuers = []string{k.srv.Issuer}
			next := authtest.NewServerConfig(t, authtest.Config{Peer: k.srv})
			shared := new(auth.MemoryStore)
			cfg := k.discovered()
			cfg.Store, cfg.NoIdleRefresh = shared, true
			if _, err := k.manager(cfg).Authorize(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Hour)
			issuers = []string{next.Issuer}
			k.srv.InjectAlways(authtest.MetadataEndpoint, authtest.Status(404))
			k.srv.InjectAlways(authtest.TokenEndpoint, authtest.Status(404))
			m := k.manager(cfg) // the next start of the program
			if _, err := m.Token(t.Context()); err != auth.ErrNoToken {
				t.Fatalf("Token = %v, want ErrNoToken: only the resource's challenge helps", err)
			}
			if _, err := m.Resolve(t.Context(), nil, k.unauthorized()); err != nil || m.Info().Issuer != next.Issuer {
				t.Errorf("Resolve: %v, issuer %s", err, m.Info().Issuer)
			}
			if n := next.Counts().Refreshes; n != 0 {
				t.Errorf("the new server was sent a refresh token of the old one")
			}
		})
	})
}

// A grant that needs nobody follows the resource to its new authorization
// server if the program trusts discovery, registers there, and asks nobody.
func TestServiceFollowsTheMove(t *testing.T) {
	for name, gone := range map[string]bool{"at a challenge": false, "when the old one is gone": true} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				var issuers []string
				k := newKit(t, authtest.Config{}, authtest.Protection{Metadata: func(doc map[string]any) { doc["authorization_servers"] = issuers }})
				issuers = []string{k.srv.Issuer}
				next := authtest.NewServerConfig(t, authtest.Config{Peer: k.srv})
				shared := new(auth.MemoryStore)
				cfg := auth.Config{
					Resource: k.res.URL, HTTPClient: k.srv.Client(), Grant: grant.ClientCredentials{}, Store: shared, NoIdleRefresh: true,
					TrustDiscovery: true,
					Registration:   registration.Metadata{TokenEndpointAuthMethod: "client_secret_basic"},
				}
				m := k.manager(cfg)
				old, err := m.Authorize(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				issuers = []string{next.Issuer}
				if gone {
					k.srv.InjectAlways(authtest.MetadataEndpoint, authtest.Status(404))
					time.Sleep(2 * time.Hour)
					m = k.manager(cfg) // the next start of the program
					_, err = m.Token(t.Context())
				} else {
					_, err = k.replace(m, old)
				}
				if err != nil || m.Info().Issuer != next.Issuer {
					t.Fatalf("%v, issuer %s", err, m.Info().Issuer)
				}
				if c := next.Counts(); c.Register != 1 || c.Token != 1 || c.Authorize != 0 {
					t.Errorf("at the new server %+v, want a registration and a token request", c)
				}
			})
		})
	}

	// While the new server fails it is left alone until the next attempt is due.
	t.Run("which fails", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			var issuers []string
			k := newKit(t, authtest.Config{}, authtest.Protection{Metadata: func(doc map[string]any) { doc["authorization_servers"] = issuers }})
			issuers = []string{k.srv.Issuer}
			next := authtest.NewServerConfig(t, authtest.Config{Peer: k.srv, NoRegistration: true})
			m := k.manager(auth.Config{
				Resource: k.res.URL, HTTPClient: k.srv.Client(), Grant: grant.ClientCredentials{}, TrustDiscovery: true,
				Registration: registration.Metadata{TokenEndpointAuthMethod: "client_secret_basic"},
			})
			old, err := m.Authorize(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			issuers = []string{next.Issuer}
			time.Sleep(time.Minute) // no server is that slow to know a token
			for range 50 {
				if _, err := m.Resolve(t.Context(), old, k.unauthorized()); err == nil {
					t.Fatal("no error")
				}
			}
			if n := next.Counts().Metadata; n != 2 { // both documents: the first has no registration_endpoint
				t.Errorf("the new server was asked %d times in no time, want twice", n)
			}
		})
	})
}

// A client that was registered in advance belongs to one issuer and is shown
// to no other.
func TestClientIsBoundToItsIssuer(t *testing.T) {
	for name, change := range map[string]func(k *kit, cfg *auth.Config){
		"configured issuer": func(_ *kit, cfg *auth.Config) { cfg.Client.Issuer = "https://as.example.com" },
		"configured server": func(_ *kit, cfg *auth.Config) {
			cfg.Server, cfg.Client.Issuer = &auth.Server{Issuer: cfg.Server.Issuer}, "https://as.example.com"
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, authtest.Config{}, authtest.Protection{})
				p := k.asked(0)
				cfg := k.bothering(p)
				cfg.Client = auth.Client{ID: clientID}
				cfg.Server = k.config().Server
				if name == "configured issuer" {
					cfg.Server = nil
				}
				change(k, &cfg)
				_, err := k.manager(cfg).Resolve(t.Context(), nil, k.unauthorized())
				ie := asError[*auth.IssuerError](t, err)
				if ie.Expected != "https://as.example.com" || ie.Actual != k.srv.Issuer || p.browsers() != 0 || k.srv.Counts().Token != 0 {
					t.Errorf("error %+v with %d browsers", ie, p.browsers())
				}
			})
		})
	}

	t.Run("the first that gave it a token", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			var issuers []string
			k := newKit(t, authtest.Config{}, authtest.Protection{Metadata: func(doc map[string]any) { doc["authorization_servers"] = issuers }})
			issuers = []string{k.srv.Issuer}
			next := authtest.NewServerConfig(t, authtest.Config{Peer: k.srv})
			k.srv.AddClient("service", "secret")
			next.AddClient("service", "secret")
			m := k.manager(auth.Config{
				Resource: k.res.URL, HTTPClient: k.srv.Client(),
				Client: auth.Client{ID: "service", Secret: "secret"}, Grant: grant.ClientCredentials{}, TrustDiscovery: true,
			})
			old, err := k.send(m, nil)
			if err != nil {
				t.Fatal(err)
			}
			issuers = []string{next.Issuer}
			_, err = k.replace(m, old)
			if ie := asError[*auth.IssuerError](t, err); ie.Expected != k.srv.Issuer || ie.Actual != next.Issuer {
				t.Errorf("error %+v", ie)
			}
			if n := next.Counts().Token; n != 0 {
				t.Errorf("the secret was sent to the new server %d times", n)
			}
		})
	})

	// With the issuer configured, it is chosen among several.
	t.Run("chosen", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			var issuers []string
			k := newKit(t, authtest.Config{}, authtest.Protection{Metadata: func(doc map[string]any) { doc["authorization_servers"] = issuers }})
			issuers = []string{"https://as.example.com", k.srv.Issuer}
			cfg := k.discovered()
			cfg.Client = auth.Client{ID: clientID, Issuer: k.srv.Issuer}
			if _, err := k.manager(cfg).Resolve(t.Context(), nil, k.unauthorized()); err != nil {
				t.Errorf("Resolve: %v", err)
			}
		})
	})
}
