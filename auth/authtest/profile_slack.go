package authtest

import (
	"net/http"
	"net/url"
	"time"
)

// Slack is Slack's own MCP server, used with your own app that rotates tokens.
//
//   - The server is listed as https://mcp.slack.com, and its document says https://slack.com, at times.
//     https://github.com/slackapi/slack-skills-plugin/issues/7, https://github.com/microsoft/vscode/issues/293533
//   - No registration on demand; the endpoints are at slack.com. https://github.com/CommandCodeAI/command-code/issues/610
//   - The secret has to be in the body, and a request without scopes is refused. https://gitlab.com/gitlab-org/gitlab/-/merge_requests/259717
//   - The redirect URI is compared with its port. https://github.com/openai/codex/issues/13200
//   - Scopes are separated by commas. https://github.com/slackapi/node-slack-sdk/blob/main/packages/oauth/src/install-provider.ts
//   - Errors are {"ok":false}. https://api.slack.com/methods/auth.revoke. That they have status 200 is by accounts of clients
//     of the Web API, such as https://github.com/outline/outline/pull/2365, which look at nothing else.
//   - Tokens live for 12 hours, refresh tokens rotate. https://docs.slack.dev/authentication/using-token-rotation
//   - A refused refresh token is invalid_refresh_token. https://github.com/slackapi/node-slack-sdk/issues/2038
//   - Revoking is a method of the Web API. https://api.slack.com/methods/auth.revoke
func Slack() Profile {
	const listed = "https://mcp.slack.com"
	return Profile{
		Name: "Slack", ClientID: "1601185624273.8899143856786", ClientSecret: "secret", RedirectURIs: []string{"http://localhost:3118/callback"},
		Server: Config{
			URL: listed,
			Endpoints: map[Endpoint]string{
				AuthorizeEndpoint: "https://slack.com/oauth/v2_user/authorize", TokenEndpoint: "https://slack.com/api/oauth.v2.user.access",
			},
			NoRegistration: true, NoIssParameter: true, ResourceParameter: "none", ExactRedirectURIs: true, AccessTokenTTL: 12 * time.Hour,
			TokenEndpointAuthMethods: []string{"client_secret_post"},
			Refuse: func(e Endpoint, form url.Values) string {
				if e == AuthorizeEndpoint && form.Get("scope") == "" {
					return "invalid_scope: No scopes requested"
				}
				return ""
			},
			Metadata: func(doc map[string]any) {
				lists(doc, "code_challenge_methods_supported")
				doc["issuer"] = "https://slack.com"
				doc["scopes_supported"] = []string{"search:read.public", "chat:write"}
			},
			Rewrite: func(e Endpoint, r *http.Request, a *Reply) {
				if e != TokenEndpoint || a.Document == nil {
					return
				}
				code, refused := a.isRefusal(e)
				if refused {
					if code == "invalid_grant" && r.PostForm.Get("grant_type") == "refresh_token" {
						code = "invalid_refresh_token"
					}
					a.Status, a.Document = http.StatusOK, map[string]any{"error": code}
				}
				a.Document["ok"] = !refused
				a.commas()
			},
		},
		Resource: Protection{
			URL: listed, SameOrigin: true, AllowUnbound: true, Metadata: func(doc map[string]any) { doc["resource"] = listed },
			Scopes: []string{"search:read.public"}, ToolScopes: map[string][]string{"write": {"chat:write"}},
		},
	}
}
