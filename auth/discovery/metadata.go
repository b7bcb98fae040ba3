package discovery

import (
	"maps"
	"slices"
)

// ProtectedResource is what an MCP server says about itself (RFC 9728 section 2). A nil slice
// is a member that the document leaves out. Signed metadata is not read, which section 2.2
// leaves to the client.
type ProtectedResource struct {
	// Resource is the server's resource identifier. It has passed MatchResource.
	Resource string `json:"resource"`
	// AuthorizationServers are issuer identifiers, each to be passed to
	// Client.AuthorizationServer as it is. MCP requires at least one; that is for the caller
	// to insist on, as it may know the authorization server from elsewhere.
	// An entry whose URL may not be requested is left out.
	AuthorizationServers []string `json:"authorization_servers,omitempty"`
	// ScopesSupported are the scopes to ask for when the challenge names none (MCP
	// 2026-07-28, "Scope Selection Strategy").
	ScopesSupported []string `json:"scopes_supported,omitempty"`
	// BearerMethodsSupported is how tokens may be sent: "header", "body", "query".
	BearerMethodsSupported []string `json:"bearer_methods_supported,omitempty"`
	// JWKSURI is where the keys are with which the resource signs its responses.
	JWKSURI string `json:"jwks_uri,omitempty"`
	// ResourceName is a name to show to people, of visible characters, at most 300. It is the
	// server's own claim.
	ResourceName string `json:"resource_name,omitempty"`
	// ResourceDocumentation, ResourcePolicyURI and ResourceTOSURI are pages for people. They
	// are not validated, as nothing requests them; one of more than 300 or of invisible
	// characters is left out.
	ResourceDocumentation string `json:"resource_documentation,omitempty"`
	ResourcePolicyURI     string `json:"resource_policy_uri,omitempty"`
	ResourceTOSURI        string `json:"resource_tos_uri,omitempty"`
	// DPoPBoundAccessTokensRequired says that the server takes DPoP-bound tokens only (RFC
	// 9449).
	DPoPBoundAccessTokensRequired bool `json:"dpop_bound_access_tokens_required,omitempty"`
	// DPoPSigningAlgValuesSupported are the JWS algorithms it takes for DPoP proofs.
	DPoPSigningAlgValuesSupported []string `json:"dpop_signing_alg_values_supported,omitempty"`

	// URL is where the document was found. It is no part of it.
	URL string `json:"-"`
}

// AuthorizationServer is what an authorization server says about itself (RFC 8414 section 2,
// and the extensions named below). A nil slice is a member that the document leaves out, and
// then the RFC's default applies, which is not filled in here. URLs of endpoints are empty or
// have been validated; if the document has one that may not be requested, Problem says why.
type AuthorizationServer struct {
	// Issuer identifies the server, as its document spells it: what was asked for, perhaps with
	// or without a slash at the end (see SameIssuer). Credentials and tokens belong to it, and an iss
	// parameter is compared with it as a plain string (RFC 9207).
	Issuer                string `json:"issuer"`
	AuthorizationEndpoint string `json:"authorization_endpoint,omitempty"`
	// TokenEndpoint is never empty.
	TokenEndpoint string `json:"token_endpoint"`
	// RegistrationEndpoint is for dynamic client registration (RFC 7591).
	RegistrationEndpoint string `json:"registration_endpoint,omitempty"`
	// RevocationEndpoint is the one of RFC 7009.
	RevocationEndpoint string `json:"revocation_endpoint,omitempty"`
	// IntrospectionEndpoint is the one of RFC 7662.
	IntrospectionEndpoint string `json:"introspection_endpoint,omitempty"`
	// DeviceAuthorizationEndpoint is the one of RFC 8628.
	DeviceAuthorizationEndpoint string `json:"device_authorization_endpoint,omitempty"`
	// PushedAuthorizationRequestEndpoint is the one of RFC 9126.
	PushedAuthorizationRequestEndpoint string `json:"pushed_authorization_request_endpoint,omitempty"`
	JWKSURI                            string `json:"jwks_uri,omitempty"`

	ScopesSupported        []string `json:"scopes_supported,omitempty"`
	ResponseTypesSupported []string `json:"response_types_supported,omitempty"`
	// GrantTypesSupported: nil means authorization_code and implicit.
	GrantTypesSupported []string `json:"grant_types_supported,omitempty"`
	// TokenEndpointAuthMethodsSupported: nil means client_secret_basic.
	TokenEndpointAuthMethodsSupported          []string `json:"token_endpoint_auth_methods_supported,omitempty"`
	TokenEndpointAuthSigningAlgValuesSupported []string `json:"token_endpoint_auth_signing_alg_values_supported,omitempty"`
	// RevocationEndpointAuthMethodsSupported: nil means client_secret_basic.
	RevocationEndpointAuthMethodsSupported []string `json:"revocation_endpoint_auth_methods_supported,omitempty"`
	// CodeChallengeMethodsSupported: nil means no PKCE. See SupportsPKCE.
	CodeChallengeMethodsSupported []string `json:"code_challenge_methods_supported,omitempty"`

	// AuthorizationResponseIssParameterSupported says that authorization responses carry iss
	// (RFC 9207 section 3); one without is then to be rejected.
	AuthorizationResponseIssParameterSupported bool `json:"authorization_response_iss_parameter_supported,omitempty"`
	// ClientIDMetadataDocumentSupported says that a client ID may be the URL of a Client ID
	// Metadata Document.
	ClientIDMetadataDocumentSupported bool `json:"client_id_metadata_document_supported,omitempty"`
	// RequirePushedAuthorizationRequests says that the server takes authorization requests by
	// PushedAuthorizationRequestEndpoint only (RFC 9126 section 5).
	RequirePushedAuthorizationRequests bool `json:"require_pushed_authorization_requests,omitempty"`
	// DPoPSigningAlgValuesSupported are the JWS algorithms it takes for DPoP proofs (RFC 9449
	// section 5.1); nil means no DPoP.
	DPoPSigningAlgValuesSupported []string `json:"dpop_signing_alg_values_supported,omitempty"`
	// AuthorizationGrantProfilesSupported are the profiles of grants it takes, such as
	// urn:ietf:params:oauth:grant-profile:id-jag (identity assertion grants).
	AuthorizationGrantProfilesSupported []string `json:"authorization_grant_profiles_supported,omitempty"`

	problems map[string]error // by the member's name
	assumed  *string          // see Assumed; nil: none
}

// Problem says why the document's URL for an endpoint, by the name of its member such as
// "registration_endpoint", is not here: ErrInsecureURL or ErrMalformed. It is nil if there is
// one, or the document has none.
func (a *AuthorizationServer) Problem(member string) error { return a.problems[member] }

// member is a field by the name of its member in the document. They come as lists: an
// iterator would be compiled into each loop over it, once for each field.
type member[T any] struct {
	name string
	at   *T
}

// endpoints are the URLs of a.
func (a *AuthorizationServer) endpoints() []member[string] {
	return []member[string]{
		{"authorization_endpoint", &a.AuthorizationEndpoint},
		{"token_endpoint", &a.TokenEndpoint},
		{"registration_endpoint", &a.RegistrationEndpoint},
		{"revocation_endpoint", &a.RevocationEndpoint},
		{"introspection_endpoint", &a.IntrospectionEndpoint},
		{"device_authorization_endpoint", &a.DeviceAuthorizationEndpoint},
		{"pushed_authorization_request_endpoint", &a.PushedAuthorizationRequestEndpoint},
		{"jwks_uri", &a.JWKSURI},
	}
}

// lists are the lists of a.
func (a *AuthorizationServer) lists() []member[[]string] {
	return []member[[]string]{
		{"scopes_supported", &a.ScopesSupported},
		{"response_types_supported", &a.ResponseTypesSupported},
		{"grant_types_supported", &a.GrantTypesSupported},
		{"token_endpoint_auth_methods_supported", &a.TokenEndpointAuthMethodsSupported},
		{"token_endpoint_auth_signing_alg_values_supported", &a.TokenEndpointAuthSigningAlgValuesSupported},
		{"revocation_endpoint_auth_methods_supported", &a.RevocationEndpointAuthMethodsSupported},
		{"code_challenge_methods_supported", &a.CodeChallengeMethodsSupported},
		{"dpop_signing_alg_values_supported", &a.DPoPSigningAlgValuesSupported},
		{"authorization_grant_profiles_supported", &a.AuthorizationGrantProfilesSupported},
	}
}

// complete reports whether a has what a login needs.
func (a *AuthorizationServer) complete() bool {
	return a.SupportsPKCE() && a.AuthorizationEndpoint != "" && (a.RegistrationEndpoint != "" || a.ClientIDMetadataDocumentSupported)
}

// complement adds what a lacks and b, another document of the same issuer, has.
func (a *AuthorizationServer) complement(b *AuthorizationServer) {
	urls, lists, bools := b.endpoints(), b.lists(), b.bools()
	for i, url := range a.endpoints() {
		if *url.at == "" && *urls[i].at != "" {
			*url.at = *urls[i].at
			delete(a.problems, url.name)
		}
	}
	for i, list := range a.lists() {
		if *list.at == nil || list.name == "code_challenge_methods_supported" && !a.SupportsPKCE() && b.SupportsPKCE() {
			*list.at = *lists[i].at
		}
	}
	for i, is := range a.bools() {
		*is.at = *is.at || *bools[i].at
	}
}

// bools are what a says that is true or not.
func (a *AuthorizationServer) bools() []member[bool] {
	return []member[bool]{
		{"authorization_response_iss_parameter_supported", &a.AuthorizationResponseIssParameterSupported},
		{"client_id_metadata_document_supported", &a.ClientIDMetadataDocumentSupported},
		{"require_pushed_authorization_requests", &a.RequirePushedAuthorizationRequests},
	}
}

// With returns a with what set says in place of what its document says: every URL that is not
// empty, every list that is not nil, every bool that is true. The issuer stays that of the
// document.
func (a *AuthorizationServer) With(set *AuthorizationServer) *AuthorizationServer {
	both := *a
	both.problems = maps.Clone(a.problems)
	named := *set
	urls, lists, bools := named.endpoints(), named.lists(), named.bools()
	for i, url := range both.endpoints() {
		if *urls[i].at != "" {
			*url.at = *urls[i].at
			delete(both.problems, url.name)
		}
	}
	for i, list := range both.lists() {
		if *lists[i].at != nil {
			*list.at = *lists[i].at
		}
	}
	for i, is := range both.bools() {
		*is.at = *is.at || *bools[i].at
	}
	return &both
}

// SupportsPKCE reports whether the server says it does PKCE with S256 (RFC 7636 section
// 6.2.2). If not, MCP 2026-07-28 forbids to start an authorization code flow ("Authorization
// Code Protection"). The plain method does not count: it protects nothing here.
func (a *AuthorizationServer) SupportsPKCE() bool {
	return slices.Contains(a.CodeChallengeMethodsSupported, "S256")
}
