package authtest

import (
	"net/http"
	"net/url"
	"strings"
)

// Notion is Notion's own MCP server, one of many that are their own authorization server and let every client register itself.
//
//   - The documents are as seen on 2026-09-20, and kept in
//     https://github.com/evenfire-ai/evenfire/blob/main/control-api/test/fixtures/remoteOAuthDiscovery.ts: the revocation
//     endpoint is the token endpoint, and the scope "default" is the only one.
//   - Tokens live for an hour. https://github.com/makenotion/notion-cookbook/pull/1. A spent refresh token ends the
//     whole session. https://github.com/damianvtran/local-operator/pull/345
func Notion() Profile {
	return Profile{
		Name: "Notion",
		Server: Config{
			URL: "https://mcp.notion.com", Endpoints: map[Endpoint]string{RevocationEndpoint: "/token"},
			NoIssParameter: true, ClientIDMetadata: true, ScopesSupported: []string{"default"},
			TokenEndpointAuthMethods: []string{"client_secret_basic", "client_secret_post", "none"},
			Metadata: func(doc map[string]any) {
				lists(doc, "registration_endpoint", "revocation_endpoint", "code_challenge_methods_supported", "client_id_metadata_document_supported", "scopes_supported")
			},
			Rewrite: func(e Endpoint, _ *http.Request, a *Reply) {
				if code, _ := a.isRefusal(e); code == "invalid_grant" {
					a.Document["error_description"] = "OAuth grant revoked"
				}
			},
		},
		Resource: Protection{URL: "https://mcp.notion.com", SameOrigin: true, Scopes: []string{"default"}},
	}
}

// Linear is Linear's own MCP server, of the same kind as [Notion], but
//
//   - It has two scopes, and says that it sends iss (RFC 9207).
//     https://github.com/evenfire-ai/evenfire/blob/main/control-api/test/fixtures/remoteOAuthDiscovery.ts, as seen on 2026-09-29
//   - It lists client ID metadata documents, and compares their redirect URIs with the port, so that a loopback address at a free port is
//     refused. https://github.com/anthropics/claude-code/issues/47185
func Linear() Profile {
	return Profile{
		Name: "Linear",
		Server: Config{
			URL: "https://mcp.linear.app", Endpoints: map[Endpoint]string{RevocationEndpoint: "/token"},
			ClientIDMetadata: true, ExactRedirectURIs: true, ScopesSupported: []string{"read", "write", "openid", "email"},
			TokenEndpointAuthMethods: []string{"client_secret_basic", "client_secret_post", "none"},
			Metadata: func(doc map[string]any) {
				lists(doc, "registration_endpoint", "revocation_endpoint", "code_challenge_methods_supported", "client_id_metadata_document_supported", "scopes_supported",
					"authorization_response_iss_parameter_supported")
			},
			Rewrite: func(e Endpoint, r *http.Request, a *Reply) {
				redirect, err := url.Parse(r.URL.Query().Get("redirect_uri"))
				if e == AuthorizeEndpoint && err == nil && redirect.Port() != "" && strings.HasPrefix(r.URL.Query().Get("client_id"), "https://") {
					a.Status, a.Header, a.Body = http.StatusBadRequest, http.Header{}, []byte("Invalid client. The clientId provided does not match to this client.")
				}
			},
		},
		Resource: Protection{
			URL: "https://mcp.linear.app", SameOrigin: true,
			Scopes: []string{"read"}, ToolScopes: map[string][]string{"write": {"write"}},
		},
	}
}
