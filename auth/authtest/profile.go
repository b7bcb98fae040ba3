package authtest

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Profile is an authorization server, with an MCP server, that behaves as a widely used one is documented and reported to
// behave. The functions of this package that return one name their sources. What could not be verified is left out, so that a
// profile is never stricter than its comments say; hosts, accounts and limits are examples.
//
// A profile has the provider's real URLs, which only [Server.Client] reaches, so that a test runs with the
// settings that a program has in production:
//
//	p := authtest.Entra()
//	srv, res := authtest.NewProfile(t, p, handler)
//	manager, err := auth.NewManager(auth.Config{
//		Resource:   res.URL,
//		Client:     auth.Client{ID: p.ClientID},
//		HTTPClient: srv.Client(),
//		Network:    auth.Network{AnyAddress: true}, // none of the hosts is in the DNS
//		...
//
// docs/providers.md of this module has the settings for each.
type Profile struct {
	// Name is the provider's.
	Name string
	// Server and Resource set up the two servers. A call of the tool "write" needs a scope more than other requests
	// where the provider has scopes.
	Server   Config
	Resource Protection
	// ClientID, ClientSecret and RedirectURIs are the client that a developer registered with the provider. All are
	// empty where clients register themselves.
	ClientID, ClientSecret string
	RedirectURIs           []string
}

// Profiles returns all profiles, in the order of their names.
func Profiles() []Profile {
	return []Profile{
		Cognito(), Atlassian(), Auth0(), GitHubApp(), GitHubOAuthApp(), GitLab(), Google(), Keycloak(), Linear(), Entra(), Notion(),
		Okta(), Slack(), Supabase(),
	}
}

// NewProfile starts the servers of a profile, with a handler behind the MCP server's authorization. They are closed when the
// test ends; any failure ends the test.
func NewProfile(t TB, p Profile, h http.Handler) (*Server, *Resource) {
	t.Helper()
	srv := NewServerConfig(t, p.Server)
	return srv, p.furnish(srv, h)
}

// StartProfile is [NewProfile] outside of tests. The caller closes the server, and the resource with it. The error is that of
// [Start].
func StartProfile(p Profile, h http.Handler) (*Server, *Resource, error) {
	srv, err := Start(p.Server)
	if err != nil {
		return nil, nil, err
	}
	return srv, p.furnish(srv, h), nil
}

// furnish adds what a profile has beside its server.
func (p Profile) furnish(srv *Server, h http.Handler) *Resource {
	if p.ClientID != "" {
		srv.AddClient(p.ClientID, p.ClientSecret, p.RedirectURIs...)
	}
	return srv.Protect(h, p.Resource)
}

// The members that nearly every metadata document of a profile has.
var usual = []string{"issuer", "authorization_endpoint", "token_endpoint", "response_types_supported", "grant_types_supported", "token_endpoint_auth_methods_supported"}

// lists leaves these members in a metadata document, and the usual ones.
func lists(doc map[string]any, more ...string) {
	for name := range doc {
		if !slices.Contains(usual, name) && !slices.Contains(more, name) {
			delete(doc, name)
		}
	}
}

// asksOffline reports whether a request names the scope offline_access (OpenID Connect Core section 11).
func asksOffline(request url.Values) bool {
	return slices.Contains(fields(request.Get("scope")), "offline_access")
}

// isRefusal reports whether an answer of the token endpoint is an error, and its code.
func (a *Reply) isRefusal(e Endpoint) (code string, is bool) {
	if e != TokenEndpoint || a.Status == http.StatusOK || a.Document == nil {
		return "", false
	}
	code, _ = a.Document["error"].(string)
	return code, true
}

// commas separates the scopes in an answer by commas.
func (a *Reply) commas() {
	if scope, ok := a.Document["scope"].(string); ok {
		a.Document["scope"] = strings.ReplaceAll(scope, " ", ",")
	}
}
