package authtest

import "net/http"

// Okta is a custom authorization server of Okta in front of your own MCP server.
//
//   - The metadata are at the place of RFC 8414, and below the issuer as before. Custom scopes are listed only if they are published.
//     https://developer.okta.com/docs/api/openapi/okta-oauth/oauth/customas
//   - The registration endpoint is listed, and takes administrators only. https://www.apollographql.com/docs/apollo-mcp-server/guides/auth-okta
//   - All scopes that are listed at once are refused: the MCP server has to name those it needs. https://zuplo.com/changelog/2026/09/24/mcp-oauth-improvements
//   - A refresh token needs offline_access; a native app's stays the same unless the app says otherwise.
//     https://developer.okta.com/docs/guides/refresh-tokens/main/
//   - The server's own audience is in the tokens. https://help.okta.com/en-us/Content/topics/security/api-config-auth-server.htm
func Okta() Profile {
	const path = "/oauth2/default"
	return Profile{
		Name: "Okta", ClientID: "0oa1exampleclient", RedirectURIs: []string{"http://127.0.0.1:8765/callback"},
		Server: Config{
			URL: "https://example.okta.com", IssuerPath: path, MetadataAt: []string{wellKnownOAuth + path, path + wellKnownOAuth, path + wellKnownOIDC},
			Endpoints: map[Endpoint]string{
				AuthorizeEndpoint: path + "/v1/authorize", TokenEndpoint: path + "/v1/token", RevocationEndpoint: path + "/v1/revoke",
				DeviceEndpoint: path + "/v1/device/authorize", RegistrationEndpoint: "/oauth2/v1/clients",
			},
			NoIssParameter: true, NoRotation: true, ResourceParameter: "none", Offline: asksOffline,
			Metadata: func(doc map[string]any) {
				lists(doc, "registration_endpoint", "revocation_endpoint", "device_authorization_endpoint", "code_challenge_methods_supported")
				doc["scopes_supported"] = []string{"openid", "profile", "email", "address", "phone", "offline_access"}
			},
			Rewrite: func(e Endpoint, _ *http.Request, a *Reply) {
				if e == RegistrationEndpoint {
					a.Status, a.Document, a.Body = http.StatusForbidden, nil, []byte{}
				}
			},
		},
		Resource: Protection{
			URL: "https://mcp.example.com", AllowUnbound: true,
			Scopes: []string{"notes:read"}, ToolScopes: map[string][]string{"write": {"notes:write"}},
		},
	}
}
