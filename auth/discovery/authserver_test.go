package discovery

import (
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
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

// full is a document for issuer with all that a login needs, so that no other is asked for.
func full(issuer string) page {
	return minimal(issuer, `,"authorization_endpoint":"https://as.example.com/authorize","registration_endpoint":"https://as.example.com/register","code_challenge_methods_supported":["S256"]`)
}

func TestAuthorizationServer(t *testing.T) {
	tests := []struct {
		name, issuer string
		pages        map[string]page
		requests     []string
		err          error // nil: found, unless temporary
		temporary    bool
	}{
		{name: "OAuth", issuer: as, pages: map[string]page{asOAuth: full(as)}, requests: []string{asOAuth}},
		{name: "OpenID Connect", issuer: as, pages: map[string]page{asOpenID: full(as)}, requests: []string{asOAuth, asOpenID}},
		{name: "slash at the end", issuer: as + "/", pages: map[string]page{asOAuth: full(as + "/")}, requests: []string{asOAuth}},
		{
			name: "byte order mark", issuer: as,
			pages:    map[string]page{asOAuth: {contentType: "text/plain", body: "\xef\xbb\xbf" + full(as).body}},
			requests: []string{asOAuth},
		}, {
			name: "a page called JSON, then a document", issuer: as,
			pages:    map[string]page{asOAuth: {body: webPage}, asOpenID: full(as)},
			requests: []string{asOAuth, asOpenID},
		},
		{name: "pages called JSON", issuer: as, pages: map[string]page{asOAuth: {body: webPage}, asOpenID: {body: webPage}}, requests: []string{asOAuth, asOpenID}, err: ErrNotFound},
		{name: "nowhere", issuer: as, requests: []string{asOAuth, asOpenID}, err: ErrNotFound},

		{name: "path, OAuth", issuer: tenant, pages: map[string]page{tenantOAuth: full(tenant)}, requests: []string{tenantOAuth}},
		{name: "path, OpenID Connect inserted", issuer: tenant, pages: map[string]page{tenantOpenID: full(tenant)}, requests: []string{tenantOAuth, tenantOpenID}},
		{
			name: "path, OpenID Connect appended", issuer: tenant,
			pages:    map[string]page{tenantOpenIDLast: full(tenant)},
			requests: []string{tenantOAuth, tenantOpenID, tenantOpenIDLast},
		}, {
			name: "path and slash at the end", issuer: tenant + "/",
			pages:    map[string]page{tenantOpenIDLast: full(tenant + "/")},
			requests: []string{tenantOAuth, tenantOpenID, tenantOpenIDLast},
		}, {
			name: "path, never the root", issuer: tenant,
			pages:    map[string]page{asOAuth: full(tenant), asOpenID: full(tenant)},
			requests: []string{tenantOAuth, tenantOpenID, tenantOpenIDLast}, err: ErrNotFound,
		}, {
			name: "escaped path", issuer: as + "/a%2Fb",
			pages:    map[string]page{asOAuth + "/a%2Fb": full(as + "/a%2Fb")},
			requests: []string{asOAuth + "/a%2Fb"},
		},

		{
			name: "pages, then a document", issuer: as,
			pages:    map[string]page{asOAuth: {contentType: "text/html", body: webPage}, asOpenID: full(as)},
			requests: []string{asOAuth, asOpenID},
		}, {
			name: "not JSON, then a document", issuer: as,
			pages:    map[string]page{asOAuth: {body: "canary"}, asOpenID: full(as)},
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
		{name: "other issuer", issuer: as, pages: map[string]page{asOAuth: full("https://other.example"), asOpenID: full(as)}, requests: []string{asOAuth}, err: ErrIssuerMismatch},
		{name: "issuer with two slashes", issuer: as, pages: map[string]page{asOAuth: full(as + "//")}, requests: []string{asOAuth}, err: ErrIssuerMismatch},
		{name: "issuer with a path", issuer: as, pages: map[string]page{asOAuth: full(tenant)}, requests: []string{asOAuth}, err: ErrIssuerMismatch},
		{name: "issuer without the path", issuer: tenant, pages: map[string]page{tenantOAuth: full(as)}, requests: []string{tenantOAuth}, err: ErrIssuerMismatch},
		{name: "issuer with another scheme", issuer: as, pages: map[string]page{asOAuth: full("http://as.example.com/")}, requests: []string{asOAuth}, err: ErrIssuerMismatch},
		{name: "issuer on a subdomain", issuer: as, pages: map[string]page{asOAuth: full("https://x.as.example.com")}, requests: []string{asOAuth}, err: ErrIssuerMismatch},
		{name: "issuer with a dot", issuer: as, pages: map[string]page{asOAuth: full(as + "./")}, requests: []string{asOAuth}, err: ErrIssuerMismatch},
		{name: "issuer with a port", issuer: as, pages: map[string]page{asOAuth: full(as + ":443")}, requests: []string{asOAuth}, err: ErrIssuerMismatch},
		{name: "issuer in other case", issuer: as, pages: map[string]page{asOAuth: full("https://AS.example.com")}, requests: []string{asOAuth}, err: ErrIssuerMismatch},
		{name: "issuer under another spelling", issuer: as, pages: map[string]page{asOAuth: minimal("https://other.example", `,"Issuer":"`+as+`"`)}, requests: []string{asOAuth, asOpenID}, err: ErrMalformed},
		{name: "issuer twice", issuer: as, pages: map[string]page{asOAuth: minimal("https://other.example", `,"issuer":"`+as+`"`)}, requests: []string{asOAuth, asOpenID}, err: ErrMalformed},
		{name: "token endpoint twice", issuer: as, pages: map[string]page{asOAuth: minimal(as, `,"token_endpoint":"https://other.example/token"`)}, requests: []string{asOAuth, asOpenID}, err: ErrMalformed},

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

// An endpoint that may not be requested is not there, and the reason is known. What nobody uses
// does not make the document unusable.
func TestAuthorizationServerEndpoints(t *testing.T) {
	for _, field := range []string{
		"authorization_endpoint", "token_endpoint", "registration_endpoint", "revocation_endpoint",
		"introspection_endpoint", "device_authorization_endpoint", "pushed_authorization_request_endpoint", "jwks_uri",
	} {
		for name, endpoint := range map[string]string{
			"unencrypted":     `"http://as.example.com/canary"`,
			"on this machine": `"http://127.0.0.1/canary"`,
			"relative":        `"/canary"`,
			"script":          `"javascript:canary"`,
			"with a user":     `"https://canary@as.example.com/"`,
			"a list":          `["https://as.example.com/canary"]`,
		} {
			t.Run(field+" "+name, func(t *testing.T) {
				doc := minimal(as, fmt.Sprintf(",%q:%s", field, endpoint))
				if field == "token_endpoint" {
					doc.body = fmt.Sprintf(`{"issuer":%q,%q:%s}`, as, field, endpoint)
				}
				want := ErrInsecureURL
				if name == "a list" {
					want = ErrMalformed
				}
				_, c := newWeb(map[string]page{asOAuth: doc})
				got, err := c.AuthorizationServer(t.Context(), as)
				if field == "token_endpoint" {
					checkError(t, err, want, false)
					if got != nil || !strings.Contains(err.Error(), field) {
						t.Errorf("AuthorizationServer = %+v, %v, want an error that names %s", got, err, field)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				for _, m := range got.endpoints() {
					if m.name != "token_endpoint" && *m.at != "" {
						t.Errorf("%s is %q", m.name, *m.at)
					}
					if problem := got.Problem(m.name); (m.name == field) != (problem != nil) {
						t.Errorf("problem of %s: %v", m.name, problem)
					}
				}
				problem := got.Problem(field)
				if !errors.Is(problem, want) || !strings.Contains(problem.Error(), field) || strings.Contains(problem.Error(), "canary") {
					t.Errorf("problem %v, want %v that names %s", problem, want, field)
				}
			})
		}
	}
}

// One slash at the end makes no difference, and the document's spelling counts.
//
//compat:finding a slash at the end of the issuer, in the list or in the document only (Google, Auth0)
//compat:default the same issuer, by the document's spelling from then on
//compat:attack TestSameIssuer
func TestIssuerSpelling(t *testing.T) {
	tests := []struct{ name, listed, document, at string }{
		{"Google, github/copilot-cli#4606", as + "/", as, asOAuth},
		{"JumpCloud, anomalyco/opencode#50036; modelcontextprotocol/python-sdk#1919", as, as + "/", asOAuth},
		{"with a path", tenant, tenant + "/", tenantOAuth},
		{"with a path and a slash", tenant + "/", tenant, tenantOpenIDLast},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, c := newWeb(map[string]page{tt.at: full(tt.document)})
			got, err := c.AuthorizationServer(t.Context(), tt.listed)
			if err != nil || got.Issuer != tt.document {
				t.Errorf("AuthorizationServer = %+v, %v, want issuer %s", got, err, tt.document)
			}
		})
	}
}

func TestSameIssuer(t *testing.T) {
	tests := []struct {
		a, b string
		want bool
	}{
		{as, as, true},
		{as, as + "/", true},
		{tenant + "/", tenant, true},
		{as, as + "//", false},
		{as + "/", as + "//", true},
		{as, tenant, false},
		{as, "http://as.example.com/", false},
		{as, as + ":443/", false},
		{as, "https://AS.example.com/", false},
		{as, "https://AS.example.com", false},
		{as, as + ".", false},
		{as, as + "?", false},
		{"", "/", false},
		{"", "", true},
	}
	for _, tt := range tests {
		if SameIssuer(tt.a, tt.b) != tt.want || SameIssuer(tt.b, tt.a) != tt.want {
			t.Errorf("SameIssuer(%q, %q) is not %v", tt.a, tt.b, tt.want)
		}
	}
	if !Lists([]string{tenant, as + "/"}, as) || Lists([]string{tenant, as + "/x"}, as) || Lists(nil, as) {
		t.Error("Lists")
	}
}

// The documents of an issuer are one source; another issuer's is none.
//
//compat:finding `openid-configuration` has what `oauth-authorization-server` lacks
//compat:default both are one source; another issuer's document is none
//compat:attack same
func TestDocumentsComplementEachOther(t *testing.T) {
	const (
		authorize = `,"authorization_endpoint":"https://as.example.com/authorize"`
		register  = `,"registration_endpoint":"https://as.example.com/register"`
		pkce      = `,"code_challenge_methods_supported":["S256"]`
	)
	both := []string{asOAuth, asOpenID}
	tests := []struct {
		name          string
		oauth, openID page
		requests      []string
		want          AuthorizationServer // of what differs
	}{
		{
			name: "S256", oauth: minimal(as, authorize+register), openID: minimal(as, pkce), requests: both,
			want: AuthorizationServer{AuthorizationEndpoint: "https://as.example.com/authorize", RegistrationEndpoint: "https://as.example.com/register", CodeChallengeMethodsSupported: []string{"S256"}},
		}, {
			name: "S256 beside plain", oauth: minimal(as, authorize+register+`,"code_challenge_methods_supported":["plain"]`), openID: minimal(as, pkce), requests: both,
			want: AuthorizationServer{AuthorizationEndpoint: "https://as.example.com/authorize", RegistrationEndpoint: "https://as.example.com/register", CodeChallengeMethodsSupported: []string{"S256"}},
		}, {
			name: "endpoints and lists", oauth: minimal(as, pkce), openID: minimal(as, authorize+register+`,"scopes_supported":["a"],"authorization_response_iss_parameter_supported":true`), requests: both,
			want: AuthorizationServer{
				AuthorizationEndpoint: "https://as.example.com/authorize", RegistrationEndpoint: "https://as.example.com/register", CodeChallengeMethodsSupported: []string{"S256"},
				ScopesSupported: []string{"a"}, AuthorizationResponseIssParameterSupported: true,
			},
		}, {
			name: "a bad endpoint gives way to a good one", oauth: minimal(as, pkce+authorize+`,"registration_endpoint":"/register"`), openID: minimal(as, register), requests: both,
			want: AuthorizationServer{AuthorizationEndpoint: "https://as.example.com/authorize", RegistrationEndpoint: "https://as.example.com/register", CodeChallengeMethodsSupported: []string{"S256"}},
		}, {
			name: "the first document stands", oauth: minimal(as, pkce+authorize), openID: minimal(as, register+`,"authorization_endpoint":"https://as.example.com/other","code_challenge_methods_supported":["plain"]`), requests: both,
			want: AuthorizationServer{AuthorizationEndpoint: "https://as.example.com/authorize", RegistrationEndpoint: "https://as.example.com/register", CodeChallengeMethodsSupported: []string{"S256"}},
		}, {
			name: "no registration where none is needed", oauth: minimal(as, pkce+authorize+`,"client_id_metadata_document_supported":true`), openID: minimal(as, register), requests: both[:1],
			want: AuthorizationServer{AuthorizationEndpoint: "https://as.example.com/authorize", CodeChallengeMethodsSupported: []string{"S256"}, ClientIDMetadataDocumentSupported: true},
		},

		{name: "nothing elsewhere", oauth: minimal(as, ""), openID: page{status: 404}, requests: both},
		{name: "down elsewhere", oauth: minimal(as, ""), openID: page{status: 503}, requests: both},
		{name: "not JSON elsewhere", oauth: minimal(as, ""), openID: page{body: "canary"}, requests: both},
		{name: "another issuer", oauth: minimal(as, ""), openID: full("https://other.example"), requests: both},
		{name: "another issuer by a path", oauth: minimal(as, ""), openID: full(tenant), requests: both},
		{name: "another spelling", oauth: minimal(as, ""), openID: full(as + "/"), requests: both},
		{name: "an ambiguous document", oauth: minimal(as, ""), openID: minimal(as, pkce+authorize+register+pkce), requests: both},
		{name: "unusable endpoints", oauth: minimal(as, ""), openID: minimal(as, `,"authorization_endpoint":"http://127.0.0.1/"`), requests: both},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w, c := newWeb(map[string]page{asOAuth: tt.oauth, asOpenID: tt.openID})
			got, err := c.AuthorizationServer(t.Context(), as)
			if err != nil {
				t.Fatal(err)
			}
			w.requested(t, tt.requests...)
			tt.want.Issuer, tt.want.TokenEndpoint = as, "https://as.example.com/token"
			if len(got.problems) == 0 {
				got.problems = nil
			}
			if !reflect.DeepEqual(*got, tt.want) {
				t.Errorf("AuthorizationServer = %+v, want %+v", *got, tt.want)
			}
		})
	}
}

// What real servers get wrong in members that a login does not use, or only in form.
//
//compat:reading metadata with broken members that this flow does not use
//compat:default they are not there; the rest counts
//compat:attack TestAuthorizationServerEndpoints
func TestAuthorizationServerForm(t *testing.T) {
	body := strings.TrimSuffix(full(as).body, "}") + `,
		"introspection_endpoint": "/introspect",
		"jwks_uri": "http://as.example.com/jwks",
		"revocation_endpoint": 7,
		"userinfo_endpoint": "",
		"scopes_supported": "read write",
		"grant_types_supported": ["authorization_code", null],
		"token_endpoint_auth_methods_supported": "none",
		"response_types_supported": {"code": true},
		"authorization_response_iss_parameter_supported": "true",
		"service_documentation": {"x": [1]}
	}`
	_, c := newWeb(map[string]page{asOAuth: {body: body}})
	got, err := c.AuthorizationServer(t.Context(), as)
	if err != nil {
		t.Fatal(err)
	}
	if got.IntrospectionEndpoint+got.JWKSURI+got.RevocationEndpoint != "" || !got.SupportsPKCE() || !got.AuthorizationResponseIssParameterSupported ||
		!slices.Equal(got.ScopesSupported, []string{"read", "write"}) || !slices.Equal(got.GrantTypesSupported, []string{"authorization_code"}) ||
		!slices.Equal(got.TokenEndpointAuthMethodsSupported, []string{"none"}) || got.ResponseTypesSupported != nil {
		t.Errorf("AuthorizationServer = %+v", got)
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
		"pushed_authorization_request_endpoint": "https://as.example.com/par",
		"require_pushed_authorization_requests": true,
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
		Issuer:                                     "https://as.example.com",
		AuthorizationEndpoint:                      "https://as.example.com/authorize?tenant=1",
		TokenEndpoint:                              "https://as.example.com/token",
		RegistrationEndpoint:                       "https://as.example.com/register",
		RevocationEndpoint:                         "https://as.example.com/revoke",
		IntrospectionEndpoint:                      "https://as.example.com/introspect",
		DeviceAuthorizationEndpoint:                "https://as.example.com/device",
		PushedAuthorizationRequestEndpoint:         "https://as.example.com/par",
		RequirePushedAuthorizationRequests:         true,
		JWKSURI:                                    "https://keys.example.com/jwks",
		ScopesSupported:                            []string{"read"},
		ResponseTypesSupported:                     []string{"code"},
		GrantTypesSupported:                        []string{"authorization_code"},
		TokenEndpointAuthMethodsSupported:          []string{"none"},
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
		{name: "other issuer", server: mcp, page: &page{body: `{"issuer":"https://other.example","token_endpoint":"https://mcp.example.com/oauth/token"}`}, err: ErrIssuerMismatch},
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
