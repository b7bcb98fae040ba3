package discovery

import (
	"net/url"
	"strings"
	"testing"

	"github.com/mcptokens/mcptokens/internal/httpx"
)

// The fuzz targets check that whatever a server sends, a document that is returned keeps the
// promises of this package.

func FuzzProtectedResource(f *testing.F) {
	for _, seed := range []string{
		mcpDoc,
		`{"resource":"https://mcp.example.com","scopes_supported":["a"],"jwks_uri":"https://mcp.example.com/jwks"}`,
		`{"resource":"https://evil.example/mcp"}`,
		`{"resource":"https://mcp.example.com/mcp2"}`,
		`{"resource":"https://mcp.example.com/mcp","authorization_servers":["http://127.0.0.1"]}`,
		`{"Resource":"https://mcp.example.com/mcp"}`,
		`{"resource":1}`, `[]`, `null`, ``, webPage,
	} {
		f.Add([]byte(seed))
	}
	server := &url.URL{Scheme: "https", Host: "mcp.example.com", Path: "/mcp"}
	f.Fuzz(func(t *testing.T, body []byte) {
		doc, err := new(Client).parseProtectedResource(body, server, true)
		if err != nil {
			return
		}
		u, err := url.Parse(doc.Resource)
		if err != nil || !httpx.SameOrigin(u, server) || !MatchResource(doc.Resource, mcp) {
			t.Errorf("accepted resource %q", doc.Resource)
		}
		for _, issuer := range doc.AuthorizationServers {
			checkRemote(t, issuer)
		}
		if alone, err := new(Client).parseProtectedResource(body, server, false); err == nil {
			if u, err := url.Parse(alone.Resource); err != nil || strings.TrimSuffix(u.Path, "/") != "/mcp" {
				t.Errorf("accepted %q from elsewhere", alone.Resource)
			}
		}
	})
}

func FuzzAuthorizationServer(f *testing.F) {
	for _, seed := range []string{
		minimal(as, "").body,
		minimal(as, `,"authorization_endpoint":"https://as.example.com/authorize","code_challenge_methods_supported":["S256"]`).body,
		minimal(as, `,"registration_endpoint":"http://localhost/"`).body,
		minimal(as, `,"issuer":"https://evil.example"`).body,
		minimal("https://evil.example", "").body,
		`{"issuer":"https://as.example.com","token_endpoint":"//evil.example"}`,
		`{"issuer":"https://as.example.com","token_endpoint":{}}`,
		`[]`, `null`, ``, webPage,
	} {
		f.Add([]byte(seed))
	}
	base := &url.URL{Scheme: "https", Host: "as.example.com"}
	f.Fuzz(func(t *testing.T, body []byte) {
		doc, err := new(Client).parseAuthorizationServer(body, base, as)
		if err != nil {
			return
		}
		if doc.Issuer != as && doc.Issuer != as+"/" {
			t.Errorf("accepted issuer %q", doc.Issuer)
		}
		checkRemote(t, doc.TokenEndpoint)
		for _, endpoint := range []string{
			doc.AuthorizationEndpoint, doc.RegistrationEndpoint, doc.RevocationEndpoint,
			doc.IntrospectionEndpoint, doc.DeviceAuthorizationEndpoint, doc.JWKSURI,
		} {
			if endpoint != "" {
				checkRemote(t, endpoint)
			}
		}
	})
}

// checkRemote checks that raw is an https URL that is not on this machine.
func checkRemote(t *testing.T, raw string) {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || httpx.IsLoopback(u.Hostname()) {
		t.Errorf("accepted URL %q", raw)
	}
}
