package finder

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/auth/discovery"
)

const tenant = asOne + "/tenant"

// noPKCE is the document of a server that does not say how it does PKCE.
func noPKCE(issuer string) page {
	return page{body: fmt.Sprintf(`{"issuer":%q,"token_endpoint":"https://one.example/token","authorization_endpoint":"https://one.example/authorize","registration_endpoint":"javascript:1"}`, issuer)}
}

// What the program set goes before what the metadata say, and nothing of it is lost.
//
//compat:finding metadata that are wrong
//compat:default they count; a field that is set takes precedence
//compat:setting Config.Server
//compat:attack TestConfiguredServerSaysNothingOfOthers
func TestConfiguredServerGoesBeforeItsDocument(t *testing.T) {
	set := discovery.AuthorizationServer{
		Issuer: asOne, AuthorizationEndpoint: asTwo + "/authorize", RegistrationEndpoint: asTwo + "/register", RevocationEndpoint: asTwo + "/revoke",
		IntrospectionEndpoint: asTwo + "/introspect", DeviceAuthorizationEndpoint: asTwo + "/device", PushedAuthorizationRequestEndpoint: asTwo + "/par",
		JWKSURI: asTwo + "/keys", ScopesSupported: []string{"a"}, ResponseTypesSupported: []string{"code"}, GrantTypesSupported: []string{"password"},
		TokenEndpointAuthMethodsSupported: []string{"none"}, TokenEndpointAuthSigningAlgValuesSupported: []string{"ES256"},
		RevocationEndpointAuthMethodsSupported: []string{"none"}, CodeChallengeMethodsSupported: []string{"S256"},
		AuthorizationResponseIssParameterSupported: true, ClientIDMetadataDocumentSupported: true, RequirePushedAuthorizationRequests: true,
		DPoPSigningAlgValuesSupported: []string{"ES256"}, AuthorizationGrantProfilesSupported: []string{"p"},
	}
	bubble(t, func(t *testing.T, w *web) {
		w.set(asOne+wellKnown, noPKCE(asOne))
		given := set
		p, err := w.finder(Config{Server: &given}).Find(t.Context(), query())
		wantIssuer(t, p, err, asOne)
		want := set
		want.TokenEndpoint = asOne + "/token"
		if got, want := asJSON(t, p.Server), asJSON(t, &want); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		if err := p.Server.Problem("registration_endpoint"); err != nil {
			t.Errorf("the document's endpoint is not used, but is a problem: %v", err)
		}
		if asJSON(t, &given) != asJSON(t, &set) {
			t.Error("the configuration was changed")
		}
	})
}

// The scopes of the resource are asked for apart, and what was known of them stays while the
// resource fails.
func TestNamedScopes(t *testing.T) {
	scopes := []string{"read", "write"}
	bubble(t, func(t *testing.T, w *web) {
		f := w.finder(Config{Server: &discovery.AuthorizationServer{Issuer: asTwo}})
		want := func(f *Finder, q Query, want []string, urls ...string) {
			t.Helper()
			p, err := f.Find(t.Context(), q)
			wantIssuer(t, p, err, asTwo)
			w.requested()
			if got := f.NamedScopes(t.Context(), q, p); !slices.Equal(got, want) {
				t.Errorf("scopes %q, want %q", got, want)
			}
			wantRequests(t, w, urls...)
		}
		want(f, query(), scopes, atMCP)
		want(f, of(asTwo), scopes) // though the resource does not list that server
		time.Sleep(freshMetadata)
		want(f, of(asTwo), scopes, atMCP)
		for _, broken := range []page{{status: 503}, {fail: errRefused}, {body: "{"}, {delay: time.Hour}} {
			time.Sleep(freshMetadata)
			w.set(atMCP, broken)
			asked := []string{atMCP, atRoot}
			if broken.delay > 0 {
				asked = asked[:1]
			}
			began := time.Now()
			want(f, query(), scopes, asked...)
			if took := time.Since(began); took > namesTime {
				t.Errorf("it took %v", took)
			}
			w.list(asOne)
		}
		time.Sleep(freshMetadata)
		w.gone(atMCP)
		want(f, query(), nil, atMCP, atRoot)

		// The endpoints are the program's: nobody is asked.
		srv := &discovery.AuthorizationServer{Issuer: asTwo, TokenEndpoint: asTwo + "/token"}
		want(w.finder(Config{Server: srv}), query(), nil)
	})
	bubble(t, func(t *testing.T, w *web) {
		f := w.finder(Config{Server: &discovery.AuthorizationServer{Issuer: asTwo}})
		w.set(atMCP, page{delay: time.Hour})
		p, err := f.Find(t.Context(), query())
		wantIssuer(t, p, err, asTwo)
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
		defer cancel()
		began := time.Now()
		if got := f.NamedScopes(ctx, query(), p); got != nil || time.Since(began) != time.Second {
			t.Errorf("scopes %q after %v", got, time.Since(began))
		}
	})
}

func asJSON(t *testing.T, srv *discovery.AuthorizationServer) string {
	t.Helper()
	all, err := json.Marshal(srv)
	if err != nil {
		t.Fatal(err)
	}
	return string(all)
}

// Settings are for the server that the program named and for no other.
func TestConfiguredServerSaysNothingOfOthers(t *testing.T) {
	bubble(t, func(t *testing.T, w *web) {
		f := w.finder(Config{Server: &discovery.AuthorizationServer{Issuer: asOne, RevocationEndpoint: asOne + "/revoke"}})
		p, err := f.Issuer(t.Context(), of(asTwo)) // a credential of before
		wantIssuer(t, p, err, asTwo)
		if p.Server.RevocationEndpoint != "" {
			t.Errorf("revocation endpoint %s of another server", p.Server.RevocationEndpoint)
		}
	})
}

// A server lists one URL and calls itself by another: naming the latter suffices, if both are of
// one origin.
//
//compat:finding a document calls its issuer otherwise than the list, at the same origin (Atlassian)
//compat:default refused; the error says what to set
//compat:setting Config.Server.Issuer
//compat:attack TestIssuerOfAnotherFormIsRefused
func TestIssuerOfAnotherForm(t *testing.T) {
	tenantDoc := asOne + wellKnown + "/tenant"
	for name, test := range map[string]struct {
		listed string
		pages  map[string]page
		want   error
		text   string
	}{
		"at the issuer's own place":      {tenant, map[string]page{asOne + wellKnown: serverDoc(asOne)}, nil, ""},
		"at the tenant's":                {tenant, map[string]page{tenantDoc: serverDoc(asOne)}, nil, ""},
		"the own place is another's":     {tenant, map[string]page{asOne + wellKnown: serverDoc(asThree), tenantDoc: serverDoc(asOne)}, nil, ""},
		"the tenant calls itself so":     {tenant, map[string]page{tenantDoc: serverDoc(tenant)}, discovery.ErrNotFound, ""},
		"another host speaks for it":     {asTwo, map[string]page{asTwo + wellKnown: serverDoc(asOne)}, discovery.ErrNotFound, ""},
		"another port speaks for it":     {asOne + ":8443", map[string]page{asOne + ":8443" + wellKnown: serverDoc(asOne)}, discovery.ErrNotFound, ""},
		"the document names another":     {tenant, map[string]page{asOne + wellKnown: serverDoc(asThree)}, discovery.ErrIssuerMismatch, `set Config.Server.Issuer to "https://three.example"`},
		"no list and no own document":    {"", nil, discovery.ErrNotFound, ""},
		"the tenant's server is broken":  {tenant, map[string]page{tenantDoc: {status: 503}}, discovery.ErrNotFound, ""},
		"at the resource's, not its own": {"", map[string]page{atLegacy: serverDoc(asOne)}, discovery.ErrNotFound, ""},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *web) {
				w.list(test.listed)
				w.gone(asOne + wellKnown)
				for at, p := range test.pages {
					w.set(at, p)
				}
				p, err := w.finder(Config{Server: &discovery.AuthorizationServer{Issuer: asOne}}).Find(t.Context(), query())
				if test.want == nil {
					wantIssuer(t, p, err, asOne)
					return
				}
				if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.text) {
					t.Errorf("%s, %v", describe(p), err)
				}
			})
		})
	}
}

// Issuers as servers spell them; the error shows what to copy.
func TestIssuerThatIsCopiedFromTheError(t *testing.T) {
	for name, test := range map[string]struct{ listed, at, issuer string }{
		"a template (Microsoft Entra ID, openai/codex#38973)": {asOne + "/common/v2.0", asOne + "/common/v2.0/.well-known/openid-configuration", asOne + "/{tenantid}/v2.0"},
		"the usual port (forcedotcom/mcp-hosted#44)":          {tenant, asOne + wellKnown + "/tenant", asOne + ":443"},
		"no list, Swiggy/swiggy-mcp-server-manifest#88":       {"", atLegacy, "https://mcp.example/auth"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *web) {
				w.gone(asOne + wellKnown)
				if test.listed == "" {
					w.gone(atMCP)
				} else {
					w.list(test.listed)
				}
				w.set(test.at, serverDoc(test.issuer))
				_, err := w.finder(Config{}).Find(t.Context(), query())
				if err == nil {
					t.Fatal("another issuer was taken")
				}
				_, advice, _ := strings.Cut(err.Error(), `set Config.Server.Issuer to "`)
				advice, _, _ = strings.Cut(advice, `"`)
				if advice != test.issuer {
					t.Fatalf("%v, want advice to set %s", err, test.issuer)
				}
				p, err := w.finder(Config{Server: &discovery.AuthorizationServer{Issuer: advice}}).Find(t.Context(), query())
				wantIssuer(t, p, err, test.issuer)
			})
		})
	}
}

// A server whose metadata call it by another name, as behind a proxy that ends TLS
// (mesh/mesh-mcp#20, Mnexa-AI/e2a#635) or with an identifier of Entra ID
// (anthropics/claude-code#76096), is none that can be trusted; the error says what to set.
func TestResourceOfAnotherName(t *testing.T) {
	for _, name := range []string{"http://mcp.example/mcp", "api://0d7c6e3b", "https://mcp.example/other"} {
		bubble(t, func(t *testing.T, w *web) {
			w.set(atMCP, page{body: fmt.Sprintf(`{"resource":%q,"authorization_servers":[%q]}`, name, asOne)})
			w.set(asOne+wellKnown, serverDoc(asOne))
			_, err := w.finder(Config{}).Find(t.Context(), query())
			if !errors.Is(err, discovery.ErrResourceMismatch) {
				t.Fatalf("%s: %v", name, err)
			}
			for _, part := range []string{`"` + name + `"`, "Config.Server.Issuer", "Config.Requests.Resource"} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%v does not say %s", err, part)
				}
			}
			p, err := w.finder(Config{Server: &discovery.AuthorizationServer{Issuer: asOne}}).Find(t.Context(), query())
			wantIssuer(t, p, err, asOne)
		})
	}
}

// Without the setting the check stays, and the error says what to set.
func TestIssuerOfAnotherFormIsRefused(t *testing.T) {
	bubble(t, func(t *testing.T, w *web) {
		w.list(tenant)
		w.set(asOne+wellKnown+"/tenant", serverDoc(asOne))
		_, err := w.finder(Config{}).Find(t.Context(), query())
		if !errors.Is(err, discovery.ErrIssuerMismatch) || !strings.Contains(err.Error(), `set Config.Server.Issuer to "https://one.example"`) {
			t.Error(err)
		}
	})
}
