package authtest

import (
	"net/http"
	"net/url"
	"slices"
)

// Supabase is the OAuth 2.1 server of a Supabase project, in front of your own MCP server.
//
//   - The scopes are those of OpenID Connect; others are refused, with invalid_request. https://github.com/supabase/auth/issues/2628;
//     since https://github.com/supabase/auth/pull/2630 offline_access is one.
//   - The resource parameter makes no difference. https://gofastmcp.com/v3/integrations/supabase
//   - A refused refresh token is an answer of another form than RFC 6749 has. https://github.com/supabase/auth/issues/2829
//   - Redirect URIs are compared to the letter. https://github.com/supabase/auth/blob/master/internal/api/oauthserver/authorize.go
//   - The document is at the place of RFC 8414; clients register themselves if the project allows it.
//     https://supabase.com/docs/guides/auth/oauth-server/mcp-authentication. No revocation endpoint is described.
func Supabase() Profile {
	const path = "/auth/v1"
	scopes := []string{"openid", "profile", "email", "phone", "offline_access"}
	return Profile{
		Name: "Supabase",
		Server: Config{
			URL: "https://example.supabase.co", IssuerPath: path, MetadataAt: []string{wellKnownOAuth + path},
			Endpoints: map[Endpoint]string{
				AuthorizeEndpoint: path + "/oauth/authorize", TokenEndpoint: path + "/oauth/token", RegistrationEndpoint: path + "/oauth/clients/register",
			},
			NoIssParameter: true, ExactRedirectURIs: true, ResourceParameter: "none",
			TokenEndpointAuthMethods: []string{"client_secret_basic", "client_secret_post", "none"},
			Refuse: func(e Endpoint, form url.Values) string {
				for _, s := range fields(form.Get("scope")) {
					if e == AuthorizeEndpoint && !slices.Contains(scopes, s) {
						return "invalid_request: unsupported scope: " + s
					}
				}
				return ""
			},
			Metadata: func(doc map[string]any) {
				lists(doc, "registration_endpoint", "code_challenge_methods_supported")
				doc["scopes_supported"] = scopes
			},
			Rewrite: func(e Endpoint, r *http.Request, a *Reply) {
				if code, _ := a.isRefusal(e); code == "invalid_grant" && r.PostForm.Get("grant_type") == "refresh_token" {
					a.Document = map[string]any{"code": http.StatusBadRequest, "error_code": "refresh_token_not_found", "msg": "Invalid Refresh Token: Refresh Token Not Found"}
				}
			},
		},
		Resource: Protection{
			URL: "https://mcp.example.com", AllowUnbound: true,
			Scopes: []string{"openid"}, ToolScopes: map[string][]string{"write": {"notes:write"}},
		},
	}
}
