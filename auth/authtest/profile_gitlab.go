package authtest

import (
	"net/url"
	"time"
)

// GitLab is GitLab's own MCP server.
//
//   - Clients register themselves, for the scope mcp and no other, whatever they ask for; another is an invalid_scope.
//     https://gitlab.com/gitlab-org/gitlab/-/merge_requests/198566, https://gitlab.com/gitlab-org/gitlab/-/issues/585699
//   - The MCP server does not name the scope, so the client has to. https://gitlab.com/gitlab-org/gitlab/-/work_items/570482.
//     Since .../merge_requests/208967 a request without scopes gets mcp; older instances do not do that.
//   - Tokens live for 2 hours. A refresh ends the old refresh token, and the old access token too.
//     https://github.com/gitlabhq/gitlabhq/blob/master/doc/api/oauth2.md
func GitLab() Profile {
	return Profile{
		Name: "GitLab",
		Server: Config{
			URL: "https://gitlab.com",
			Endpoints: map[Endpoint]string{
				AuthorizeEndpoint: "/oauth/authorize", TokenEndpoint: "/oauth/token", RevocationEndpoint: "/oauth/revoke", RegistrationEndpoint: "/oauth/register",
			},
			Refuse: func(e Endpoint, form url.Values) string {
				if scopes := fields(form.Get("scope")); e == AuthorizeEndpoint && len(intersect(scopes, []string{"mcp"})) < len(scopes) {
					return "invalid_scope: The requested scope is invalid, unknown, or malformed."
				}
				return ""
			},
			NoIssParameter: true, ScopesSupported: []string{"mcp"}, RegisteredScopes: true, AccessTokenTTL: 2 * time.Hour,
			Metadata: func(doc map[string]any) {
				lists(doc, "registration_endpoint", "revocation_endpoint", "code_challenge_methods_supported")
				doc["scopes_supported"] = []string{"api", "read_api", "read_user", "mcp", "openid", "profile", "email"}
			},
		},
		Resource: Protection{URL: "https://gitlab.com", SameOrigin: true, Path: "/api/v4/mcp", ToolScopes: map[string][]string{"write": {"api"}}},
	}
}
