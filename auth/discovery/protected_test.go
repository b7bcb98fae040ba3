package discovery

import (
	"errors"
	"net/http"
	"reflect"
	"strings"
	"testing"
)

const (
	mcp       = "https://mcp.example.com/mcp"
	mcpPath   = "https://mcp.example.com/.well-known/oauth-protected-resource/mcp"
	mcpRoot   = "https://mcp.example.com/.well-known/oauth-protected-resource"
	mcpDoc    = `{"resource":"https://mcp.example.com/mcp","authorization_servers":["https://as.example.com"]}`
	webPage   = "<!doctype html><title>canary</title>"
	elsewhere = "https://meta.example.net/mcp.json?token=canary"
)

func TestProtectedResource(t *testing.T) {
	html := page{contentType: "text/html", body: webPage}
	down := page{status: http.StatusServiceUnavailable, header: map[string]string{"Retry-After": "30"}, body: "canary"}

	tests := []struct {
		name, server, challenge string
		pages                   map[string]page
		requests                []string
		at                      string // where the document is found
		err                     error  // or why it is not
		temporary               bool
	}{
		{
			name: "at the path", server: mcp,
			pages:    map[string]page{mcpPath: {body: mcpDoc}, mcpRoot: {body: mcpDoc}},
			requests: []string{mcpPath}, at: mcpPath,
		}, {
			name: "at the root", server: mcp,
			pages:    map[string]page{mcpRoot: {body: mcpDoc}},
			requests: []string{mcpPath, mcpRoot}, at: mcpRoot,
		}, {
			name: "bare host", server: "https://mcp.example.com/",
			pages:    map[string]page{mcpRoot: {body: `{"resource":"https://mcp.example.com"}`}},
			requests: []string{mcpRoot}, at: mcpRoot,
		}, {
			name: "query of the server", server: mcp + "?session=1#x",
			pages:    map[string]page{mcpPath: {body: mcpDoc}},
			requests: []string{mcpPath}, at: mcpPath,
		}, {
			name: "where the challenge says", server: mcp, challenge: elsewhere,
			pages:    map[string]page{elsewhere: {body: mcpDoc}, mcpPath: {body: mcpDoc}},
			requests: []string{elsewhere}, at: elsewhere,
		}, {
			name: "not where the challenge says", server: mcp, challenge: elsewhere,
			pages:    map[string]page{mcpPath: {body: mcpDoc}},
			requests: []string{elsewhere, mcpPath}, at: mcpPath,
		}, {
			name: "a page where the challenge says", server: mcp, challenge: elsewhere,
			pages:    map[string]page{elsewhere: html, mcpRoot: {body: mcpDoc}},
			requests: []string{elsewhere, mcpPath, mcpRoot}, at: mcpRoot,
		}, {
			name: "the challenge names the well-known location", server: mcp, challenge: mcpPath,
			pages:    map[string]page{mcpRoot: {body: mcpDoc}},
			requests: []string{mcpPath, mcpRoot}, at: mcpRoot,
		}, {
			name: "the challenge names the only location", server: "https://mcp.example.com", challenge: mcpRoot,
			requests: []string{mcpRoot}, err: ErrNotFound,
		}, {
			name: "wrong content type", server: mcp,
			pages:    map[string]page{mcpPath: {contentType: "application/octet-stream", body: " " + mcpDoc}},
			requests: []string{mcpPath}, at: mcpPath,
		}, {
			name: "one page for every path", server: mcp,
			pages:    map[string]page{mcpPath: html, mcpRoot: html},
			requests: []string{mcpPath, mcpRoot}, err: ErrNotFound,
		}, {
			name: "nowhere", server: mcp,
			requests: []string{mcpPath, mcpRoot}, err: ErrNotFound,
		}, {
			name: "guarded", server: mcp,
			pages:    map[string]page{mcpPath: {status: 401}, mcpRoot: {status: 403}},
			requests: []string{mcpPath, mcpRoot}, err: ErrNotFound,
		}, {
			name: "redirect within the origin", server: mcp,
			pages: map[string]page{
				mcpPath:       {status: 308, header: map[string]string{"Location": mcpPath + "/"}},
				mcpPath + "/": {body: mcpDoc},
			},
			requests: []string{mcpPath, mcpPath + "/"}, at: mcpPath,
		}, {
			name: "redirect to another origin", server: mcp,
			pages:    map[string]page{mcpPath: {status: 302, header: map[string]string{"Location": "http://169.254.169.254/canary"}}},
			requests: []string{mcpPath, mcpRoot}, err: ErrRedirect,
		}, {
			name: "down at one, nothing at the other", server: mcp,
			pages:    map[string]page{mcpPath: down},
			requests: []string{mcpPath, mcpRoot}, err: nil, temporary: true,
		}, {
			name: "down at one, found at the other", server: mcp,
			pages:    map[string]page{mcpPath: down, mcpRoot: {body: mcpDoc}},
			requests: []string{mcpPath, mcpRoot}, at: mcpRoot,
		}, {
			name: "down where the challenge says", server: mcp, challenge: elsewhere,
			pages:    map[string]page{elsewhere: down, mcpPath: {body: mcpDoc}},
			requests: []string{elsewhere}, temporary: true,
		}, {
			name: "for another host", server: mcp,
			pages:    map[string]page{mcpPath: {body: `{"resource":"https://canary.example/mcp"}`}, mcpRoot: {body: mcpDoc}},
			requests: []string{mcpPath}, err: ErrResourceMismatch,
		}, {
			name: "for another host, where the challenge says", server: mcp, challenge: elsewhere,
			pages:    map[string]page{elsewhere: {body: `{"resource":"https://canary.example/mcp"}`}, mcpPath: {body: mcpDoc}},
			requests: []string{elsewhere}, err: ErrResourceMismatch,
		}, {
			name: "no resource", server: mcp,
			pages:    map[string]page{mcpPath: {body: `{"error":"canary"}`}},
			requests: []string{mcpPath, mcpRoot}, err: ErrMalformed,
		}, {
			name: "wrong type", server: mcp,
			pages:    map[string]page{mcpPath: {body: `{"resource":"https://mcp.example.com/mcp","authorization_servers":"canary"}`}},
			requests: []string{mcpPath, mcpRoot}, err: ErrMalformed,
		}, {
			name: "too large", server: mcp,
			pages:    map[string]page{mcpPath: {body: strings.Repeat(" ", 1<<20) + mcpDoc}},
			requests: []string{mcpPath, mcpRoot}, err: ErrTooLarge,
		}, {
			name: "unencrypted authorization server", server: mcp,
			pages:    map[string]page{mcpPath: {body: `{"resource":"https://mcp.example.com/mcp","authorization_servers":["https://a.example","http://as.example.com"]}`}},
			requests: []string{mcpPath}, err: ErrInsecureURL,
		}, {
			name: "authorization server on this machine", server: mcp,
			pages:    map[string]page{mcpPath: {body: `{"resource":"https://mcp.example.com/mcp","authorization_servers":["http://127.0.0.1:9"]}`}},
			requests: []string{mcpPath}, err: ErrInsecureURL,
		}, {
			name: "unencrypted keys", server: mcp,
			pages:    map[string]page{mcpPath: {body: `{"resource":"https://mcp.example.com/mcp","jwks_uri":"http://mcp.example.com/jwks"}`}},
			requests: []string{mcpPath}, err: ErrInsecureURL,
		},
		{name: "challenge names plain http", server: mcp, challenge: "http://10.0.0.1/admin?canary", err: ErrInsecureURL},
		{name: "challenge names this machine", server: mcp, challenge: "https://localhost/canary", err: ErrInsecureURL},
		{name: "challenge names a file", server: mcp, challenge: "file:///canary", err: ErrInsecureURL},
		{name: "server without encryption", server: "http://mcp.example.com/mcp", err: ErrInsecureURL},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w, c := newWeb(tt.pages)
			got, err := c.ProtectedResource(t.Context(), tt.server, tt.challenge)
			w.requested(t, tt.requests...)
			if tt.at != "" {
				if err != nil || got.URL != tt.at {
					t.Fatalf("ProtectedResource = %+v, %v, want the document at %s", got, err, tt.at)
				}
				return
			}
			checkError(t, err, tt.err, tt.temporary)
			if got != nil {
				t.Errorf("ProtectedResource = %+v besides an error", got)
			}
		})
	}
}

// checkError checks that err is an *Error that is want, if that is not nil, and that it
// repeats nothing the servers of the tests sent.
func checkError(t *testing.T, err, want error, temporary bool) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("error = %v, want an *Error", err)
	}
	if want != nil && !errors.Is(err, want) {
		t.Errorf("error = %v, want %v", err, want)
	}
	if e.Temporary() != temporary {
		t.Errorf("error %v: Temporary = %v, want %v", err, e.Temporary(), temporary)
	}
	if strings.Contains(err.Error(), "canary") {
		t.Errorf("error %q repeats what a server sent", err)
	}
}

func TestProtectedResourceFields(t *testing.T) {
	w, c := newWeb(map[string]page{mcpPath: {body: `{
		"resource": "https://mcp.example.com/mcp",
		"authorization_servers": ["https://as.example.com", "https://as.example.net/tenant"],
		"scopes_supported": ["read", "write"],
		"bearer_methods_supported": ["header"],
		"jwks_uri": "https://mcp.example.com/jwks",
		"resource_name": "Example",
		"resource_name#de": "Beispiel",
		"resource_documentation": "https://mcp.example.com/docs",
		"resource_policy_uri": "https://mcp.example.com/policy",
		"resource_tos_uri": "https://mcp.example.com/tos",
		"dpop_bound_access_tokens_required": true,
		"dpop_signing_alg_values_supported": ["ES256"],
		"unknown": {"a": 1}
	}`}})
	got, err := c.ProtectedResource(t.Context(), mcp, "")
	if err != nil {
		t.Fatal(err)
	}
	w.requested(t, mcpPath)
	want := &ProtectedResource{
		Resource:                      "https://mcp.example.com/mcp",
		AuthorizationServers:          []string{"https://as.example.com", "https://as.example.net/tenant"},
		ScopesSupported:               []string{"read", "write"},
		BearerMethodsSupported:        []string{"header"},
		JWKSURI:                       "https://mcp.example.com/jwks",
		ResourceName:                  "Example",
		ResourceDocumentation:         "https://mcp.example.com/docs",
		ResourcePolicyURI:             "https://mcp.example.com/policy",
		ResourceTOSURI:                "https://mcp.example.com/tos",
		DPoPBoundAccessTokensRequired: true,
		DPoPSigningAlgValuesSupported: []string{"ES256"},
		URL:                           mcpPath,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("ProtectedResource = %+v, want %+v", got, want)
	}
}
