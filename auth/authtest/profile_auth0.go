package authtest

import "net/http"

// Auth0 is a tenant of Auth0 as it is set up by default, in front of your own MCP server.
//
//   - The issuer ends in a slash. https://github.com/vercel/ai/issues/20236
//   - The parameter audience says what a token is for; resource is taken only with the Resource Parameter Compatibility Profile,
//     which is off. Without an audience the token opens no API. https://auth0.com/ai/docs/mcp/guides/resource-param-compatibility-profile,
//     https://github.com/danny-avila/LibreChat/issues/13401
//   - Callback URLs are compared with their port. https://github.com/github/copilot-cli/issues/4793
//   - A refresh token needs offline access, allowed for the API and requested as a scope; it does not rotate unless the application
//     says so. https://auth0.com/docs/refresh-token, https://auth0.com/docs/tokens/guides/configure-refresh-token-rotation
//   - A refused refresh token is a 403. https://community.auth0.com/t/troubleshoot-refresh-token-unknown-or-invalid-before-expiry-403-unknown-or-invalid-refresh-token/120406
//   - Revoking is described for refresh tokens only. https://auth0.com/docs/tokens/guides/revoke-refresh-tokens
func Auth0() Profile {
	const issuer = "https://example.us.auth0.com"
	return Profile{
		Name: "Auth0", ClientID: "8Lr2Yb1vqQ", RedirectURIs: []string{"http://127.0.0.1:8765/callback"},
		Server: Config{
			URL: issuer,
			Endpoints: map[Endpoint]string{
				TokenEndpoint: "/oauth/token", RevocationEndpoint: "/oauth/revoke", RegistrationEndpoint: "/oidc/register", DeviceEndpoint: "/oauth/device/code",
			},
			NoRegistration: true, NoIssParameter: true, NoRotation: true, ResourceParameter: "audience", ExactRedirectURIs: true,
			Offline: asksOffline, KeepAccessTokens: true,
			Metadata: func(doc map[string]any) {
				lists(doc, "revocation_endpoint", "device_authorization_endpoint", "code_challenge_methods_supported")
				doc["issuer"] = issuer + "/"
				doc["scopes_supported"] = []string{"openid", "profile", "offline_access", "email"}
				doc["token_endpoint_auth_methods_supported"] = []string{"client_secret_basic", "client_secret_post", "private_key_jwt"} // public clients work all the same
			},
			Rewrite: func(e Endpoint, _ *http.Request, a *Reply) {
				if code, _ := a.isRefusal(e); code == "invalid_grant" {
					a.Status, a.Document["error_description"] = http.StatusForbidden, "Unknown or invalid refresh token."
				}
			},
		},
		Resource: Protection{
			URL: "https://mcp.example.com", AuthorizationServers: []string{issuer + "/"},
			Scopes: []string{"notes:read"}, ToolScopes: map[string][]string{"write": {"notes:write"}},
		},
	}
}
