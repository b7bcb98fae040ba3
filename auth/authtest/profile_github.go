package authtest

import (
	"net/http"
	"net/url"
	"strings"
	"time"
)

// GitHubOAuthApp is GitHub's own MCP server, used with an OAuth app.
//
//   - The metadata are at the place of RFC 8414, and not below the issuer. https://github.com/github/github-mcp-server/issues/2901
//   - No registration on demand. https://github.com/github/github-mcp-server/issues/2532
//   - PKCE with S256. https://github.blog/changelog/2025-07-14-pkce-support-for-oauth-and-github-app-authentication
//   - The secret goes into the body, and is needed for all clients; answers are forms unless the client accepts JSON; scopes are
//     separated by commas; loopback redirect URIs may have any port.
//     https://docs.github.com/en/apps/oauth-apps/building-oauth-apps/authorizing-oauth-apps
//   - Errors have codes of their own, and status 200.
//     https://docs.github.com/en/apps/oauth-apps/maintaining-oauth-apps/troubleshooting-oauth-app-access-token-request-errors,
//     https://github.com/interlink-hq/interLink/pull/262
//   - Tokens do not expire unless the app says so, and then there are no refresh tokens.
//     https://docs.github.com/en/apps/oauth-apps/building-oauth-apps/differences-between-github-apps-and-oauth-apps
//   - Revoking is a call of the REST API.
//     https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/refreshing-user-access-tokens
func GitHubOAuthApp() Profile {
	p := github("GitHub, OAuth app")
	p.ClientID = "Ov23liEXAMPLE"
	p.Server.NoRefreshToken, p.Server.NoExpiresIn, p.Server.AccessTokenTTL = true, true, 10*365*24*time.Hour
	p.Resource.Scopes, p.Resource.ToolScopes = []string{"read:org"}, map[string][]string{"write": {"repo"}}
	return p
}

// GitHubApp is GitHub's own MCP server, used with a GitHub App, and what [GitHubOAuthApp] has but
//
//   - Tokens live for 8 hours; refresh tokens rotate. https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/refreshing-user-access-tokens
//   - The permissions of the app take the place of scopes: none are granted. https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-user-access-token-for-a-github-app
func GitHubApp() Profile {
	p := github("GitHub App")
	p.ClientID = "Iv23liEXAMPLE"
	p.Server.AccessTokenTTL = 8 * time.Hour
	rewrite := p.Server.Rewrite
	p.Server.Rewrite = func(e Endpoint, r *http.Request, a *Reply) {
		if e == TokenEndpoint && a.Document["access_token"] != nil {
			a.Document["scope"] = ""
		}
		rewrite(e, r, a)
	}
	return p
}

func github(name string) Profile {
	const issuer = "/login/oauth"
	return Profile{
		Name: name, ClientSecret: "secret", RedirectURIs: []string{"http://127.0.0.1/callback"},
		Server: Config{
			URL: "https://github.com", IssuerPath: issuer, MetadataAt: []string{wellKnownOAuth + issuer},
			Endpoints:      map[Endpoint]string{TokenEndpoint: issuer + "/access_token", DeviceEndpoint: "/login/device/code"},
			NoRegistration: true, NoIssParameter: true, ResourceParameter: "none",
			TokenEndpointAuthMethods: []string{"client_secret_post"},
			Metadata: func(doc map[string]any) {
				lists(doc, "code_challenge_methods_supported")
				delete(doc, "token_endpoint_auth_methods_supported")
			},
			Rewrite: rewriteGitHub,
		},
		Resource: Protection{URL: "https://api.githubcopilot.com", Path: "/mcp", AllowUnbound: true},
	}
}

func rewriteGitHub(e Endpoint, r *http.Request, a *Reply) {
	if e != TokenEndpoint || a.Document == nil {
		return
	}
	a.commas()
	if code, is := a.isRefusal(e); is {
		switch {
		case code == "invalid_client":
			code = "incorrect_client_credentials"
		case code == "invalid_grant" && r.PostForm.Get("grant_type") == "refresh_token":
			code = "bad_refresh_token"
		case code == "invalid_grant":
			code = "bad_verification_code"
		}
		a.Status, a.Document["error"] = http.StatusOK, code
	}
	if strings.Contains(r.Header.Get("Accept"), "application/json") {
		return
	}
	form := url.Values{}
	for name, value := range a.Document {
		if text, ok := value.(string); ok {
			form.Set(name, text)
		}
	}
	a.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	a.Body = []byte(form.Encode())
}
