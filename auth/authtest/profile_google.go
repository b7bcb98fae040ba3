package authtest

import (
	"net/url"
	"slices"
)

// Google is an MCP server of Google's own, such as Gmail's, and Google's authorization server.
//
//   - The server is listed with a slash at the end, and its document has none. https://github.com/github/copilot-cli/issues/4606
//   - A client for desktop apps has a secret and needs it. https://github.com/taylorwilsdon/google_workspace_mcp/issues/1008
//   - A refresh token needs access_type=offline, and prompt=consent where the user has consented before; here both at every login.
//     https://github.com/nicobailon/pi-mcp-adapter/issues/238, https://github.com/willdady/platypus/pull/139
//   - offline_access is an unknown scope, and refused. https://github.com/giantswarm/mcp-oauth/issues/156
//   - The resource parameter makes no difference. https://github.com/can1357/oh-my-pi/issues/12438 (a client that sends it)
//   - The redirect has iss (RFC 9207). https://github.com/openai/codex/issues/40783
//   - Loopback redirect URIs may have any port.
//     https://ldapwiki.com/wiki/Wiki.jsp?page=Loopback+URI+Redirection, which quotes Google's guide;
//     https://developers.google.com/identity/protocols/oauth2/resources/loopback-migration
func Google() Profile {
	return Profile{
		Name: "Google", ClientID: "407408718192.apps.googleusercontent.com", ClientSecret: "secret", RedirectURIs: []string{"http://127.0.0.1/callback"},
		Server: Config{
			URL: "https://accounts.google.com", MetadataAt: []string{wellKnownOIDC},
			Endpoints: map[Endpoint]string{
				AuthorizeEndpoint: "/o/oauth2/v2/auth", TokenEndpoint: "https://oauth2.googleapis.com/token",
				RevocationEndpoint: "https://oauth2.googleapis.com/revoke", DeviceEndpoint: "https://oauth2.googleapis.com/device/code",
			},
			NoRegistration: true, NoRotation: true, ResourceParameter: "none",
			TokenEndpointAuthMethods: []string{"client_secret_post", "client_secret_basic"},
			Offline: func(request url.Values) bool {
				return request.Get("access_type") == "offline" && slices.Contains(fields(request.Get("prompt")), "consent")
			},
			Refuse: func(e Endpoint, form url.Values) string {
				if e == AuthorizeEndpoint && asksOffline(form) {
					return "invalid_scope: Some requested scopes were invalid. {invalid=[offline_access]}"
				}
				return ""
			},
			Metadata: func(doc map[string]any) {
				lists(doc, "revocation_endpoint", "device_authorization_endpoint", "code_challenge_methods_supported")
				doc["scopes_supported"] = []string{"openid", "email", "profile"}
			},
		},
		Resource: Protection{
			URL: "https://gmailmcp.googleapis.com", Path: "/mcp/v1", AuthorizationServers: []string{"https://accounts.google.com/"}, AllowUnbound: true,
			Scopes:     []string{"https://www.googleapis.com/auth/gmail.readonly"},
			ToolScopes: map[string][]string{"write": {"https://www.googleapis.com/auth/gmail.compose"}},
		},
	}
}
