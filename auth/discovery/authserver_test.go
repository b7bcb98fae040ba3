package discovery

import (
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
)

const (
	as       = "https://as.example.com"
	asOAuth  = as + "/.well-known/oauth-authorization-server"
	asOpenID = as + "/.well-known/openid-configuration"

	tenant           = as + "/tenant1"
	tenantOAuth      = asOAuth + "/tenant1"
	tenantOpenID     = asOpenID + "/tenant1"
	tenantOpenIDLast = tenant + "/.well-known/openid-configuration"
)

// minimal is the shortest document that is accepted for issuer, with more appended.
func minimal(issuer, more string) page {
	return page{body: fmt.Sprintf(`{"issuer":%q,"token_endpoint":"https://as.example.com/token"%s}`, issuer, more)}
}

func TestAuthorizationServer(t *testing.T) {
	tests := []struct {
		name, issuer string
		pages        map[string]page
		requests     []string
		err          error // nil: found, unless temporary
		temporary    bool
	}{
		{name: "OAuth", issuer: as, pages: map[string]page{asOAuth: minimal(as, "")}, requests: []string{asOAuth}},
		{name: "OpenID Connect", issuer: as, pages: map[string]page{asOpenID: minimal(as, "")}, requests: []string{asOAuth, asOpenID}},
		{name: "slash at the end", issuer: as + "/", pages: map[string]page{asOAuth: minimal(as+"/", "")}, requests: []string{asOAuth}},
		{name: "nowhere", issuer: as, requests: []string{asOAuth, asOpenID}, err: ErrNotFound},

		{name: "path, OAuth", issuer: tenant, pages: map[string]page{tenantOAuth: minimal(tenant, "")}, requests: []string{tenantOAuth}},
		{name: "path, OpenID Connect inserted", issuer: tenant, pages: map[string]page{tenantOpenID: minimal(tenant, "")}, requests: []string{tenantOAuth, tenantOpenID}},
		{
			name: "path, OpenID Connect appended", issuer: tenant,
			pages:    map[string]page{tenantOpenIDLast: minimal(tenant, "")},
			requests: []string{tenantOAuth, tenantOpenID, tenantOpenIDLast},
		}, {
			name: "path and slash at the end", issuer: tenant + "/",
			pages:    map[string]page{tenantOpenIDLast: minimal(tenant+"/", "")},
			requests: []string{tenantOAuth, tenantOpenID, tenantOpenIDLast},
		}, {
			name: "path, never the root", issuer: tenant,
			pages:    map[string]page{asOAuth: minimal(tenant, ""), asOpenID: minimal(tenant, "")},
			requests: []string{tenantOAuth, tenantOpenID, tenantOpenIDLast}, err: ErrNotFound,
		}, {
			name: "escaped path", issuer: as + "/a%2Fb",
			pages:    map[string]page{asOAuth + "/a%2Fb": minimal(as+"/a%2Fb", "")},
			requests: []string{asOAuth + "/a%2Fb"},
		},

		{
			name: "pages, then a document", issuer: as,
			pages:    map[string]page{asOAuth: {contentType: "text/html", body: webPage}, asOpenID: minimal(as, "")},
			requests: []string{asOAuth, asOpenID},
		}, {
			name: "not JSON, then a document", issuer: as,
			pages:    map[string]page{asOAuth: {body: "canary"}, asOpenID: minimal(as, "")},
			requests: []string{asOAuth, asOpenID},
		}, {
			name: "unusable, then nothing", issuer: as,
			pages:    map[string]page{asOAuth: {body: `{"issuer":["canary"]}`}},
			requests: []string{asOAuth, asOpenID}, err: ErrMalformed,
		}, {
			name: "unusable, then down", issuer: as,
			pages:    map[string]page{asOAuth: {body: `{"issuer":["canary"]}`}, asOpenID: {status: 502}},
			requests: []string{asOAuth, asOpenID}, temporary: true,
		}, {
			name: "throttled", issuer: as,
			pages:    map[string]page{asOAuth: {status: http.StatusTooManyRequests}},
			requests: []string{asOAuth, asOpenID}, temporary: true,
		}, {
			name: "no issuer", issuer: as,
			pages:    map[string]page{asOAuth: {body: `{"token_endpoint":"https://as.example.com/token"}`}},
			requests: []string{asOAuth, asOpenID}, err: ErrMalformed,
		}, {
			name: "no token endpoint", issuer: as,
			pages:    map[string]page{asOAuth: {body: `{"issuer":"https://as.example.com"}`}},
			requests: []string{asOAuth, asOpenID}, err: ErrMalformed,
		},

		// A mismatch ends the search, though the next location has a good document.
		{name: "other issuer", issuer: as, pages: map[string]page{asOAuth: minimal("https://canary.example", ""), asOpenID: minimal(as, "")}, requests: []string{asOAuth}, err: ErrIssuerMismatch},
		{name: "issuer with a slash", issuer: as, pages: map[string]page{asOAuth: minimal(as+"/", "")}, requests: []string{asOAuth}, err: ErrIssuerMismatch},
		{name: "issuer with a port", issuer: as, pages: map[string]page{asOAuth: minimal(as+":443", "")}, requests: []string{asOAuth}, err: ErrIssuerMismatch},
		{name: "issuer in other case", issuer: as, pages: map[string]page{asOAuth: minimal("https://AS.example.com", "")}, requests: []string{asOAuth}, err: ErrIssuerMismatch},
		{name: "issuer under another spelling", issuer: as, pages: map[string]page{asOAuth: minimal("https://canary.example", `,"Issuer":"`+as+`"`)}, requests: []string{asOAuth}, err: ErrIssuerMismatch},

		{name: "not a URL", issuer: "as.example.com", err: ErrInsecureURL},
		{name: "unencrypted", issuer: "http://as.example.com", err: ErrInsecureURL},
		{name: "query", issuer: as + "?canary", err: ErrInsecureURL},
		{name: "empty query", issuer: as + "?", err: ErrInsecureURL},
		{name: "fragment", issuer: as + "#canary", err: ErrInsecureURL},
		{name: "dot segments", issuer: as + "/a/../b", err: ErrInsecureURL},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w, c := newWeb(tt.pages)
			got, err := c.AuthorizationServer(t.Context(), tt.issuer)
			w.requested(t, tt.requests...)
			if tt.err == nil && !tt.temporary {
				if err != nil || got.Issuer != tt.issuer {
					t.Fatalf("AuthorizationServer = %+v, %v, want that of %s", got, err, tt.issuer)
				}
				return
			}
			checkError(t, err, tt.err, tt.temporary)
			if got != nil {
				t.Errorf("AuthorizationServer = %+v besides an error", got)
			}
		})
	}
}

func TestAuthorizationServerEndpoints(t *testing.T) {
	for _, field := range []string{
		"authorization_endpoint", "token_endpoint", "registration_endpoint", "revocation_endpoint",
		"introspection_endpoint", "device_authorization_endpoint", "jwks_uri",
	} {
		for name, endpoint := range map[string]string{
			"unencrypted":     "http://as.example.com/canary",
			"on this machine": "http://127.0.0.1/canary",
			"relative":        "/canary",
			"script":          "javascript:canary",
		} {
			t.Run(field+" "+name, func(t *testing.T) {
				doc := minimal(as, fmt.Sprintf(",%q:%q", field, endpoint))
				if field == "token_endpoint" {
					doc.body = fmt.Sprintf(`{"issuer":%q,%q:%q}`, as, field, endpoint)
				}
				_, c := newWeb(map[string]page{asOAuth: doc})
				got, err := c.AuthorizationServer(t.Context(), as)
				checkError(t, err, ErrInsecureURL, false)
				if got != nil || !strings.Contains(err.Error(), field) {
					t.Errorf("AuthorizationServer = %+v, %v, want an error that names %s", got, err, field)
				}
			})
		}
	}
}

func TestAuthorizationServerFields(t *testing.T) {
	_, c := newWeb(map[string]page{asOAuth: {body: `{
		"issuer": "https://as.example.com",
		"authorization_endpoint": "https://as.example.com/authorize?tenant=1",
		"token_endpoint": "https://as.example.com/token",
		"registration_endpoint": "https://as.example.com/register",
		"revocation_endpoint": "https://as.example.com/revoke",
		"introspection_endpoint": "https://as.example.com/introspect",
		"device_authorization_endpoint": "https://as.example.com/device",
		"jwks_uri": "https://keys.example.com/jwks",
		"scopes_supported": ["read"],
		"response_types_supported": ["code"],
		"grant_types_supported": ["authorization_code"],
		"token_endpoint_auth_methods_supported": ["none"],
		"token_endpoint_auth_signing_alg_values_supported": ["ES256"],
		"revocation_endpoint_auth_methods_supported": ["client_secret_post"],
		"code_challenge_methods_supported": ["S256"],
		"authorization_response_iss_parameter_supported": true,
		"client_id_metadata_document_supported": true,
		"dpop_signing_alg_values_supported": ["EdDSA"],
		"authorization_grant_profiles_supported": ["urn:ietf:params:oauth:grant-profile:id-jag"]
	}`}})
	got, err := c.AuthorizationServer(t.Context(), as)
	if err != nil {
		t.Fatal(err)
	}
	want := &AuthorizationServer{
		Issuer:                            "https://as.example.com",
		AuthorizationEndpoint:             "https://as.example.com/authorize?tenant=1",
		TokenEndpoint:                     "https://as.example.com/token",
		RegistrationEndpoint:              "https://as.example.com/register",
		RevocationEndpoint:                "https://as.example.com/revoke",
		IntrospectionEndpoint:             "https://as.example.com/introspect",
		DeviceAuthorizationEndpoint:       "https://as.example.com/device",
		JWKSURI:                           "https://keys.example.com/jwks",
		ScopesSupported:                   []string{"read"},
		ResponseTypesSupported:            []string{"code"},
		GrantTypesSupported:               []string{"authorization_code"},
		TokenEndpointAuthMethodsSupported: []string{"none"},
		TokenEndpointAuthSigningAlgValuesSupported: []string{"ES256"},
		RevocationEndpointAuthMethodsSupported:     []string{"client_secret_post"},
		CodeChallengeMethodsSupported:              []string{"S256"},
		AuthorizationResponseIssParameterSupported: true,
		ClientIDMetadataDocumentSupported:          true,
		DPoPSigningAlgValuesSupported:              []string{"EdDSA"},
		AuthorizationGrantProfilesSupported:        []string{"urn:ietf:params:oauth:grant-profile:id-jag"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("AuthorizationServer = %+v, want %+v", got, want)
	}
}

func TestSupportsPKCE(t *testing.T) {
	tests := []struct {
		methods []string
		want    bool
	}{
		{nil, false},
		{[]string{}, false},
		{[]string{"plain"}, false},
		{[]string{"s256"}, false},
		{[]string{"plain", "S256"}, true},
	}
	for _, tt := range tests {
		if got := (&AuthorizationServer{CodeChallengeMethodsSupported: tt.methods}).SupportsPKCE(); got != tt.want {
			t.Errorf("SupportsPKCE with %q = %v, want %v", tt.methods, got, tt.want)
		}
	}
}

func TestLegacy(t *testing.T) {
	const (
		origin   = "https://mcp.example.com"
		location = origin + "/.well-known/oauth-authorization-server"
	)
	tests := []struct {
		name, server string
		page         *page
		tokenURL     string
		issuer       string
		err          error
		temporary    bool
	}{
		{name: "metadata", server: mcp, page: &page{body: `{"issuer":"https://mcp.example.com","token_endpoint":"https://mcp.example.com/oauth/token"}`}, issuer: origin, tokenURL: origin + "/oauth/token"},
		{name: "metadata with a slash", server: mcp, page: &page{body: `{"issuer":"https://mcp.example.com/","token_endpoint":"https://mcp.example.com/oauth/token"}`}, issuer: origin + "/", tokenURL: origin + "/oauth/token"},
		{name: "no metadata", server: "https://MCP.example.com:443/mcp?a#b", issuer: origin, tokenURL: origin + "/token"},
		{name: "one page for every path", server: mcp, page: &page{contentType: "text/html", body: webPage}, issuer: origin, tokenURL: origin + "/token"},
		{name: "other issuer", server: mcp, page: &page{body: `{"issuer":"https://canary.example","token_endpoint":"https://mcp.example.com/oauth/token"}`}, err: ErrIssuerMismatch},
		{name: "down", server: mcp, page: &page{status: 503}, temporary: true},
		{name: "unusable", server: mcp, page: &page{body: `{`}, err: ErrMalformed},
		{name: "unencrypted", server: "http://mcp.example.com", err: ErrInsecureURL},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			pages := map[string]page{}
			if tt.page != nil {
				pages[location] = *tt.page
			}
			w, c := newWeb(pages)
			got, err := c.Legacy(t.Context(), tt.server)
			if tt.tokenURL == "" {
				checkError(t, err, tt.err, tt.temporary)
				if got != nil {
					t.Errorf("Legacy = %+v besides an error", got)
				}
				return
			}
			w.requested(t, location)
			if err != nil || got.Issuer != tt.issuer || got.TokenEndpoint != tt.tokenURL {
				t.Fatalf("Legacy = %+v, %v, want issuer %s and token endpoint %s", got, err, tt.issuer, tt.tokenURL)
			}
		})
	}

	_, c := newWeb(nil)
	got, err := c.Legacy(t.Context(), mcp)
	if err != nil {
		t.Fatal(err)
	}
	if got.AuthorizationEndpoint != origin+"/authorize" || got.RegistrationEndpoint != origin+"/register" || !got.SupportsPKCE() {
		t.Errorf("Legacy defaults = %+v, want /authorize, /register and PKCE", got)
	}
}
