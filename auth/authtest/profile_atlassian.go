package authtest

import "net/http"

// Atlassian is the Rovo MCP server at its endpoint authv2, and Atlassian's own authorization server.
//
//   - The server is listed with a tenant's path, and its document says "https://auth.atlassian.com": RFC 8414 section 3.3 does not
//     allow that. https://github.com/atlassian/atlassian-mcp-server/issues/148, .../issues/205
//   - Only clients that registered themselves get tokens for MCP, public ones without a secret; audience and resource make no
//     difference. https://github.com/agentic-community/mcp-gateway-registry/pull/1519. An earlier report,
//     .../pull/1427, has the server insist on resource; it is sent in any case.
//   - Without offline_access there is no refresh token; refresh tokens rotate.
//     https://developer.atlassian.com/cloud/oauth/getting-started/refresh-tokens. That the document lists this scope, and
//     no API's scopes, is an assumption: no copy of it could be read.
//   - A refused refresh token is a 403. https://nango.dev/blog/jira-oauth-refresh-token-invalid-grant
func Atlassian() Profile {
	const tenant = "/VCeDsk8ZHncYF1g234fKtc4lNipbBhu3"
	return Profile{
		Name: "Atlassian",
		Server: Config{
			URL: "https://auth.atlassian.com", IssuerPath: tenant, IssuerWithoutPath: true,
			Endpoints: map[Endpoint]string{
				AuthorizeEndpoint: "/authorize", TokenEndpoint: "/oauth/token", RevocationEndpoint: "/oauth/revoke",
				RegistrationEndpoint: tenant + "/dcr/register",
			},
			NoIssParameter: true, ResourceParameter: "none", Offline: asksOffline,
			TokenEndpointAuthMethods: []string{"none", "client_secret_basic", "client_secret_post"},
			Metadata: func(doc map[string]any) {
				lists(doc, "registration_endpoint", "revocation_endpoint", "code_challenge_methods_supported")
				doc["scopes_supported"] = []string{"openid", "profile", "offline_access", "email"}
			},
			Rewrite: func(e Endpoint, _ *http.Request, a *Reply) {
				if code, _ := a.isRefusal(e); code == "invalid_grant" {
					a.Status, a.Document["error_description"] = http.StatusForbidden, "Unknown or invalid refresh token."
				}
			},
		},
		Resource: Protection{
			URL: "https://mcp.atlassian.com", Path: "/v1/mcp/authv2", AllowUnbound: true,
			Scopes: []string{"read:jira-work"}, ToolScopes: map[string][]string{"write": {"write:jira-work"}},
		},
	}
}
