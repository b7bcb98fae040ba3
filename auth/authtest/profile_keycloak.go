package authtest

import "net/http"

// Keycloak is a realm of Keycloak without its experimental features, in front of your own MCP server.
//
//   - The resource parameter is not looked at: a mapper of a scope puts the audience into the token.
//     https://www.keycloak.org/securing-apps/mcp-authz-server
//   - iss (RFC 9207) is there, as are metadata at the place of RFC 8414. https://www.keycloak.org/securing-apps/mcp-authz-server
//   - Clients that register themselves have to come from a trusted host, and none is at first.
//     https://www.keycloak.org/securing-apps/client-registration
//   - A refresh brings another refresh token, and the old one stays good unless the realm revokes it.
//     https://www.keycloak.org/docs/latest/server_admin/#_timeouts, https://skycloak.io/?p=3462
func Keycloak() Profile {
	const realm, endpoints = "/realms/notes", "/realms/notes/protocol/openid-connect"
	return Profile{
		Name: "Keycloak", ClientID: "notes-cli", RedirectURIs: []string{"http://127.0.0.1/callback"},
		Server: Config{
			URL: "https://keycloak.example.com", IssuerPath: realm, MetadataAt: []string{realm + wellKnownOIDC, wellKnownOAuth + realm},
			Endpoints: map[Endpoint]string{
				AuthorizeEndpoint: endpoints + "/auth", TokenEndpoint: endpoints + "/token", RevocationEndpoint: endpoints + "/revoke",
				DeviceEndpoint: endpoints + "/auth/device", RegistrationEndpoint: realm + "/clients-registrations/openid-connect",
			},
			NoReuseDetection: true, ResourceParameter: "none",
			Metadata: func(doc map[string]any) {
				lists(doc, "registration_endpoint", "revocation_endpoint", "device_authorization_endpoint", "code_challenge_methods_supported", "authorization_response_iss_parameter_supported")
				doc["scopes_supported"] = []string{"openid", "profile", "email", "offline_access", "notes:read", "notes:write"}
			},
			Rewrite: func(e Endpoint, _ *http.Request, a *Reply) {
				if e == RegistrationEndpoint {
					a.Status, a.Document = http.StatusForbidden, map[string]any{
						"error": "insufficient_scope", "error_description": "Policy 'Trusted Hosts' rejected request to client-registration service. Details: Host not trusted.",
					}
				}
			},
		},
		Resource: Protection{
			URL: "https://mcp.example.com", AllowUnbound: true,
			Scopes: []string{"notes:read"}, ToolScopes: map[string][]string{"write": {"notes:write"}},
		},
	}
}
