package auth_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/clientauth"
	"github.com/mcptokens/mcptokens/auth/grant"
)

// ownSecret is what the program proves itself with in all forms.
const ownSecret = "eyJ.the-programs-own.secret"

// ownProofs are the ways in which a program sends something of its own.
func ownProofs(k *kit) map[string]func(cfg *auth.Config) {
	own := func(context.Context) (string, error) { return ownSecret, nil }
	confidential := auth.Client{ID: "service", Secret: ownSecret}
	return map[string]func(cfg *auth.Config){
		"ClientCredentials": func(cfg *auth.Config) { cfg.Client, cfg.Grant = confidential, grant.ClientCredentials{} },
		"Auth": func(cfg *auth.Config) {
			cfg.Client, cfg.Grant = confidential, grant.ClientCredentials{}
			cfg.Client.Auth = clientauth.SecretPost{}
		},
		"login as a confidential client": func(cfg *auth.Config) { cfg.Client, cfg.Grant = confidential, k.login() },
		"JWTBearer":                      func(cfg *auth.Config) { cfg.Client.ID, cfg.Grant = clientID, grant.JWTBearer{Assertion: own} },
		"JWTBearer, client on demand":    func(cfg *auth.Config) { cfg.Grant = grant.JWTBearer{Assertion: own} },
		"TokenExchange":                  func(cfg *auth.Config) { cfg.Grant = grant.TokenExchange{SubjectToken: own} },
		"OnBehalfOf": func(cfg *auth.Config) {
			cfg.Client.ID, cfg.Scopes, cfg.Grant = clientID, []string{"read"}, grant.OnBehalfOf{Assertion: own}
		},
		"IDJAG": func(cfg *auth.Config) {
			cfg.Client.ID = clientID
			cfg.Grant = &grant.IDJAG{IDPTokenEndpoint: "https://idp.example/token", IDPClient: auth.Client{ID: "at-idp"}, SubjectToken: own}
		},
	}
}

// leaks tells where the program's own secret was sent.
type leaks struct {
	http.RoundTripper
	mu    sync.Mutex
	hosts map[string]int
}

func (l *leaks) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
		r = r.Clone(r.Context())
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	user, password, _ := r.BasicAuth()
	if strings.Contains(user+password+r.Header.Get("Authorization")+r.URL.RawQuery+string(body), ownSecret) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.hosts[r.URL.Host]++
	}
	return l.RoundTripper.RoundTrip(r)
}

// attack is a resource that leads to an authorization server of the attacker's.
type attack struct {
	*kit
	leaks  *leaks
	evil   *authtest.Server
	listed []string // what the resource names
}

func newAttack(t *testing.T) *attack {
	a := &attack{}
	a.kit = newKit(t, authtest.Config{}, authtest.Protection{Metadata: func(doc map[string]any) { doc["authorization_servers"] = a.listed }})
	a.evil = authtest.NewServerConfig(t, authtest.Config{Peer: a.srv})
	for _, srv := range []*authtest.Server{a.srv, a.evil} {
		srv.AddClient("service", ownSecret, callback)
	}
	a.leaks = &leaks{RoundTripper: a.srv.Client().Transport, hosts: make(map[string]int)}
	return a
}

func (a *attack) config(store auth.Store, proof func(*auth.Config), issuer string) auth.Config {
	cfg := auth.Config{Resource: a.res.URL, HTTPClient: &http.Client{Transport: a.leaks}, Store: store, NoIdleRefresh: true}
	proof(&cfg)
	cfg.Client.Issuer = issuer
	return cfg
}

// useAll calls everything of a manager that may send something.
func (a *attack) useAll(m *auth.Manager) (errs []error) {
	ctx := a.t.Context()
	tok, _ := m.Token(ctx)
	for _, use := range []func() error{
		func() error { _, err := m.Resolve(ctx, tok, a.unauthorized()); return err },
		func() error { _, err := m.Authorize(ctx); return err },
		func() error { _, err := m.Refresh(ctx); return err },
		func() error { _, err := m.UpgradeScopes(ctx, "write"); return err },
		func() error { return m.Revoke(ctx) },
	} {
		errs = append(errs, use())
	}
	return errs
}

// wantHome fails the test if the secret went anywhere but to the issuer that the
// program named.
func (a *attack) wantHome() {
	a.t.Helper()
	home := strings.TrimPrefix(a.srv.Issuer, "http://")
	for host, n := range a.leaks.hosts {
		if host != home && host != "idp.example" {
			a.t.Errorf("the program's own secret was sent to %s %d times", host, n)
		}
	}
	for by, n := range a.evil.Counts().TokenByGrant {
		if by != "refresh_token" { // what was planted there is the attacker's own
			a.t.Errorf("the attacker's token endpoint got %d requests by %s", n, by)
		}
	}
}

// planted puts a record into the store that leads to the attacker's server.
func (a *attack) planted(cfg auth.Config, store auth.Store, issuer string) {
	a.t.Helper()
	key := auth.Key{Resource: cfg.Resource, Issuer: cfg.Client.Issuer, ClientID: cfg.Client.ID}
	rec := &auth.Record{
		Issuer: issuer, Resource: cfg.Resource, Obtained: time.Now().Add(-2 * time.Hour),
		Endpoints: &auth.Endpoints{
			Token: a.evil.Endpoint(authtest.TokenEndpoint), Revocation: a.evil.Endpoint(authtest.RevocationEndpoint),
		},
		Token: &auth.Token{AccessToken: "planted", RefreshToken: "planted", Expiry: time.Now().Add(-time.Hour)},
	}
	if _, err := store.Save(a.t.Context(), key, rec); err != nil {
		a.t.Fatal(err)
	}
}

// What the program proves itself with goes to the issuer that it named, whatever
// a resource or a store says.
func TestOwnCredentialsGoNowhereElse(t *testing.T) {
	attacks := map[string]struct {
		unnamed bool // the program named no issuer
		planted bool
		// honest: the planted record has the program's issuer and the
		// attacker's endpoints.
		honest bool
		// first is what the resource names when the program starts.
		first func(a *attack) []string
		// works: the honest server gives a token first.
		works bool
	}{
		"the first use":                        {unnamed: true, first: func(a *attack) []string { return []string{a.evil.Issuer} }},
		"a planted record":                     {unnamed: true, planted: true, first: func(a *attack) []string { return []string{a.evil.Issuer} }},
		"a planted record, honest metadata":    {unnamed: true, planted: true, first: func(a *attack) []string { return []string{a.srv.Issuer} }},
		"named, other metadata":                {first: func(a *attack) []string { return []string{a.evil.Issuer} }},
		"named, planted record":                {planted: true, first: func(a *attack) []string { return []string{a.evil.Issuer} }},
		"named, planted, honest metadata":      {planted: true, first: func(a *attack) []string { return []string{a.srv.Issuer} }},
		"named, planted endpoints":             {planted: true, honest: true, first: func(a *attack) []string { return []string{a.srv.Issuer} }},
		"named, planted, both":                 {planted: true, first: func(a *attack) []string { return []string{a.evil.Issuer, a.srv.Issuer} }},
		"named, the resource moves":            {works: true, first: func(a *attack) []string { return []string{a.srv.Issuer} }},
		"named, both listed, the other before": {works: true, first: func(a *attack) []string { return []string{a.evil.Issuer, a.srv.Issuer} }},
	}
	for name, tt := range attacks {
		t.Run(name, func(t *testing.T) {
			for proof := range ownProofs(&kit{srv: &authtest.Server{}}) {
				t.Run(proof, func(t *testing.T) {
					bubble(t, func(t *testing.T) {
						a := newAttack(t)
						a.listed = tt.first(a)
						issuer := a.srv.Issuer
						if tt.unnamed {
							issuer = ""
						}
						store := new(auth.MemoryStore)
						cfg := a.config(store, ownProofs(a.kit)[proof], issuer)
						switch {
						case tt.honest:
							a.planted(cfg, store, a.srv.Issuer)
						case tt.planted:
							a.planted(cfg, store, a.evil.Issuer)
						}
						m := a.manager(cfg)
						_, err := m.Resolve(t.Context(), nil, a.unauthorized())
						switch {
						case tt.unnamed && !tt.planted:
							e := asError[*auth.ConfigError](t, err)
							if e.Field != "Config.Client.Issuer" || !strings.Contains(e.Error(), `"`+a.listed[0]+`"`) || !strings.Contains(e.Error(), "TrustDiscovery") {
								t.Errorf("error %v, want the field, the issuer found and the setting", e)
							}
						case tt.works && a.leaks.hosts[strings.TrimPrefix(a.srv.Issuer, "http://")] == 0 && proof != "IDJAG":
							t.Fatalf("nothing was sent to the issuer that the program named: %v", err)
						}
						a.useAll(m)
						a.listed = []string{a.evil.Issuer}
						time.Sleep(2 * time.Hour) // what is known of the resource is old
						a.useAll(m)
						a.useAll(a.manager(cfg)) // the next start of the program
						cfg.Store = nil
						a.useAll(a.manager(cfg)) // and one that remembers nothing
						a.wantHome()
					})
				})
			}
		})
	}
}

// With a named issuer a program's credentials work, also where what was stored
// leads elsewhere.
func TestOwnCredentialsGoHome(t *testing.T) {
	for name, planted := range map[string]bool{"nothing stored": false, "a planted record": true} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				a := newAttack(t)
				a.listed = []string{a.evil.Issuer, a.srv.Issuer}
				store := new(auth.MemoryStore)
				cfg := a.config(store, ownProofs(a.kit)["ClientCredentials"], a.srv.Issuer)
				if planted {
					a.planted(cfg, store, a.evil.Issuer)
				}
				m := a.manager(cfg)
				if planted {
					if _, err := m.Token(t.Context()); err != nil {
						t.Errorf("by what was planted: %v", err)
					}
				} else if _, err := a.send(m, nil); err != nil {
					t.Fatal(err)
				}
				time.Sleep(2 * time.Hour)
				if _, err := m.Token(t.Context()); err != nil {
					t.Error(err)
				}
				a.wantHome()
			})
		})
	}
}

// Who trusts discovery says so. Public clients need not.
//
//compat:client a program's own credentials for whatever server the MCP server names
//compat:default refused; the error shows the issuer
//compat:setting Config.TrustDiscovery, Config.Client.Issuer
//compat:attack TestOwnCredentialsGoNowhereElse
func TestTrustDiscovery(t *testing.T) {
	for name, change := range map[string]func(k *kit, cfg *auth.Config){
		"TrustDiscovery": func(_ *kit, cfg *auth.Config) {
			cfg.Client, cfg.Grant, cfg.TrustDiscovery = auth.Client{ID: "service", Secret: ownSecret}, grant.ClientCredentials{}, true
		},
		"the server": func(k *kit, cfg *auth.Config) {
			cfg.Client, cfg.Grant, cfg.Server = auth.Client{ID: "service", Secret: ownSecret}, grant.ClientCredentials{}, &auth.Server{Issuer: k.srv.Issuer}
		},
		"the server's endpoints": func(k *kit, cfg *auth.Config) {
			cfg.Client, cfg.Grant = auth.Client{ID: "service", Secret: ownSecret}, grant.ClientCredentials{}
			cfg.Server = &auth.Server{TokenEndpoint: k.srv.Endpoint(authtest.TokenEndpoint)}
		},
		"the grant": func(k *kit, cfg *auth.Config) {
			idp := authtest.NewJWTIssuer("https://idp.example")
			k.srv.TrustIssuer(idp.URL, idp.PublicKey())
			cfg.Grant = grant.TokenExchange{Issuer: k.srv.Issuer, SubjectToken: func(context.Context) (string, error) {
				return idp.JWT(map[string]any{"sub": "user", "aud": k.srv.Issuer}), nil
			}}
		},
		"a public client": func(k *kit, cfg *auth.Config) { cfg.Client, cfg.Grant = auth.Client{ID: clientID}, k.login() },
		"one with Auth None": func(k *kit, cfg *auth.Config) {
			cfg.Client, cfg.Grant = auth.Client{ID: clientID, Auth: clientauth.None{}}, k.login()
		},
		"one that registers itself":   func(k *kit, cfg *auth.Config) { cfg.Grant = k.login() },
		"a grant with nothing to say": func(k *kit, cfg *auth.Config) { cfg.Client.ID, cfg.Grant = clientID, silentGrant{k.login()} },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, authtest.Config{}, authtest.Protection{})
				k.srv.AddClient("service", ownSecret)
				cfg := auth.Config{Resource: k.res.URL, HTTPClient: k.srv.Client()}
				change(k, &cfg)
				if _, err := k.send(k.manager(cfg), nil); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// silentGrant is one that sends nothing of the program's own.
type silentGrant struct{ auth.Grant }

func (silentGrant) Credentials() (what, issuer string) { return "", "https://elsewhere.example" }
