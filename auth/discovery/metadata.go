package discovery

import "slices"

// ProtectedResource is what an MCP server says about itself (RFC 9728 section 2). A nil slice
// is a member that the document leaves out. Signed metadata is not read, which section 2.2
// leaves to the client.
type ProtectedResource struct {
	// Resource is the server's resource identifier. It has passed MatchResource.
	Resource string `json:"resource"`
	// AuthorizationServers are issuer identifiers, each to be passed to
	// Client.AuthorizationServer as it is. MCP requires at least one; that is for the caller
	// to insist on, as it may know the authorization server from elsewhere.
	AuthorizationServers []string `json:"authorization_servers,omitempty"`
	// ScopesSupported are the scopes to ask for when the challenge names none (MCP
	// 2026-07-28, "Scope Selection Strategy").
	ScopesSupported []string `json:"scopes_supported,omitempty"`
	// BearerMethodsSupported is how tokens may be sent: "header", "body", "query".
	BearerMethodsSupported []string `json:"bearer_methods_supported,omitempty"`
	// JWKSURI is where the keys are with which the resource signs its responses.
	JWKSURI string `json:"jwks_uri,omitempty"`
	// ResourceName is a name to show to people. It is the server's own claim.
	ResourceName string `json:"resource_name,omitempty"`
	// ResourceDocumentation, ResourcePolicyURI and ResourceTOSURI are pages for people. They
	// are not validated, as nothing requests them.
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
// have been validated.
type AuthorizationServer struct {
	// Issuer identifies the server. It is identical to what was asked for. Credentials and
	// tokens belong to it, and an iss parameter is compared with it as a plain string
	// (RFC 9207).
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
	JWKSURI                     string `json:"jwks_uri,omitempty"`

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
	// DPoPSigningAlgValuesSupported are the JWS algorithms it takes for DPoP proofs (RFC 9449
	// section 5.1); nil means no DPoP.
	DPoPSigningAlgValuesSupported []string `json:"dpop_signing_alg_values_supported,omitempty"`
	// AuthorizationGrantProfilesSupported are the profiles of grants it takes, such as
	// urn:ietf:params:oauth:grant-profile:id-jag (identity assertion grants).
	AuthorizationGrantProfilesSupported []string `json:"authorization_grant_profiles_supported,omitempty"`
}

// SupportsPKCE reports whether the server says it does PKCE with S256 (RFC 7636 section
// 6.2.2). If not, MCP 2026-07-28 forbids to start an authorization code flow ("Authorization
// Code Protection"). The plain method does not count: it protects nothing here.
func (a *AuthorizationServer) SupportsPKCE() bool {
	return slices.Contains(a.CodeChallengeMethodsSupported, "S256")
}
