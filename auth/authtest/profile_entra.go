package authtest

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Entra is Microsoft Entra ID, its endpoints of version 2, in front of your own MCP server.
//
//   - The metadata are at the issuer, as openid-configuration only.
//     https://learn.microsoft.com/en-us/entra/identity-platform/v2-protocols-oidc
//   - No registration on demand, no place of RFC 8414 and no revocation endpoint.
//     https://zuplo.com/learn/mcp/compatibility/identity-providers, https://github.com/DuendeArchive/Support/issues/988
//   - PKCE works and is not listed. https://github.com/modelcontextprotocol/typescript-sdk/issues/832
//   - A resource parameter that is not the scopes' resource is refused: the scopes say what a token is for, by their prefix.
//     https://github.com/microsoft/powerbi-modeling-mcp/issues/68, https://github.com/microsoft/Dataverse-MCP/issues/15
//   - A refresh without the scopes is refused where they are a custom API's, though the documentation calls the parameter
//     optional. https://learn.microsoft.com/en-us/answers/questions/192699/confusing-error-message-on-failed-refresh-token-re,
//     https://github.com/anthropics/claude-ai-mcp/issues/228
//   - A refresh token comes with offline_access, and a refresh brings another one; the old one stays good; scope in an answer is
//     what the access token is for. https://learn.microsoft.com/en-us/entra/identity-platform/v2-oauth2-auth-code-flow,
//     https://docs.microsoft.com/en-us/azure/active-directory/develop/refresh-tokens
//   - Where users may not consent, prompt=consent leads to a page that asks for an administrator's approval, whatever has been
//     approved. https://github.com/modelcontextprotocol/inspector/issues/2068, https://github.com/anthropics/claude-ai-mcp/issues/104
//   - Redirect URIs with localhost may have any port; http://127.0.0.1 takes the manifest.
//     https://learn.microsoft.com/en-us/entra/identity-platform/reply-url
//   - Errors have the cause in error_description, and members of their own. https://learn.microsoft.com/entra/identity-platform/reference-error-codes
func Entra() Profile {
	const tenant = "/8eaef023-2b34-4da1-9baa-8bc8c9d6a490"
	return Profile{
		Name: "Microsoft Entra ID", ClientID: "6731de76-14a6-49ae-97bc-6eba6914391e", RedirectURIs: []string{"http://localhost/callback"},
		Server: Config{
			URL: "https://login.microsoftonline.com", IssuerPath: tenant + "/v2.0", MetadataAt: []string{tenant + "/v2.0" + wellKnownOIDC},
			Endpoints: map[Endpoint]string{
				AuthorizeEndpoint: tenant + "/oauth2/v2.0/authorize", TokenEndpoint: tenant + "/oauth2/v2.0/token", DeviceEndpoint: tenant + "/oauth2/v2.0/devicecode",
			},
			NoRegistration: true, NoIssParameter: true, NoReuseDetection: true, ResourceParameter: "none", Offline: asksOffline,
			Refuse: func(_ Endpoint, form url.Values) string {
				switch {
				case form.Has("resource"):
					return "invalid_target: AADSTS9010010: The resource parameter provided in the request doesn't match with the requested scopes."
				case form.Get("prompt") == "consent":
					return "access_denied: AADSTS90094: An administrator of your organization has set a policy that prevents you from granting the permissions."
				case form.Get("grant_type") == "refresh_token" && form.Get("scope") == "":
					return "invalid_request: AADSTS90009: Application is requesting a token for itself. This scenario is supported only if resource is specified using the GUID based App Identifier."
				}
				return ""
			},
			Metadata: func(doc map[string]any) {
				lists(doc, "device_authorization_endpoint")
				doc["scopes_supported"] = []string{"openid", "profile", "email", "offline_access"}
				doc["token_endpoint_auth_methods_supported"] = []string{"client_secret_post", "private_key_jwt", "client_secret_basic"}
			},
			Rewrite: func(e Endpoint, _ *http.Request, a *Reply) {
				if scope, ok := a.Document["scope"].(string); ok { // those that the access token is for
					a.Document["scope"] = strings.Join(slices.DeleteFunc(fields(scope), func(s string) bool { return s == "offline_access" }), " ")
				}
				if _, is := a.isRefusal(e); is {
					a.Document["error_codes"] = []int{70000}
					a.Document["trace_id"], a.Document["correlation_id"] = "255d1aef-8c98-452f-ac51-23d051240864", "fb3d2015-bc17-4bb9-bb85-30c5cf1aaaa7"
				}
			},
		},
		Resource: Protection{
			URL: "https://mcp.example.com", AllowUnbound: true,
			Scopes: []string{"api://notes/read"}, ToolScopes: map[string][]string{"write": {"api://notes/write"}},
		},
	}
}
