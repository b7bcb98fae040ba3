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

// Where the document may be, and what it has to be for.
//
//compat:finding a slash at the end of the MCP server's URL, and none in the address of its metadata
//compat:default both addresses are tried
//compat:attack same
func TestProtectedResource(t *testing.T) {
	html := page{contentType: "text/html", body: webPage}
	down := page{status: http.StatusServiceUnavailable, header: map[string]string{"Retry-After": "30"}, body: "canary"}

	tests := []struct {
		name, server, challenge string
		pages                   map[string]page
		requests                []string
		at                      string // where the document is found
		err                     error  // or why it is not
		text                    string // a part of that
		retryable               bool
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
			name: "slash at the end, microsoft/vscode#259251", server: mcp + "/",
			pages:    map[string]page{mcpPath: {body: mcpDoc}},
			requests: []string{mcpPath + "/", mcpPath}, at: mcpPath,
		}, {
			name: "slash at the end, and in the document's place", server: mcp + "/",
			pages:    map[string]page{mcpPath + "/": {body: mcpDoc}, mcpPath: {body: mcpDoc}},
			requests: []string{mcpPath + "/"}, at: mcpPath + "/",
		}, {
			name: "slash at the end, for another path", server: mcp + "/",
			pages:    map[string]page{mcpPath: {body: `{"resource":"https://mcp.example.com/mcp/other?canary"}`}},
			requests: []string{mcpPath + "/", mcpPath, mcpRoot}, err: ErrResourceMismatch, text: `for "https://mcp.example.com/mcp/other", not for`,
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
			requests: []string{mcpPath, mcpRoot}, err: nil, retryable: true,
		}, {
			name: "down at one, found at the other", server: mcp,
			pages:    map[string]page{mcpPath: down, mcpRoot: {body: mcpDoc}},
			requests: []string{mcpPath, mcpRoot}, at: mcpRoot,
		}, {
			name: "down where the challenge says", server: mcp, challenge: elsewhere,
			pages:    map[string]page{elsewhere: down, mcpPath: {body: mcpDoc}},
			requests: []string{elsewhere, mcpPath}, at: mcpPath,
		}, {
			name: "down everywhere", server: mcp, challenge: elsewhere,
			pages:    map[string]page{elsewhere: down, mcpPath: down},
			requests: []string{elsewhere, mcpPath, mcpRoot}, retryable: true,
		}, {
			name: "unreachable where the challenge says", server: mcp, challenge: elsewhere,
			pages:    map[string]page{elsewhere: {err: errors.New("canary")}, mcpPath: {body: mcpDoc}},
			requests: []string{elsewhere, mcpPath}, at: mcpPath,
		}, {
			name: "broken where the challenge says", server: mcp, challenge: elsewhere,
			pages:    map[string]page{elsewhere: {body: "canary"}, mcpRoot: {body: mcpDoc}},
			requests: []string{elsewhere, mcpPath, mcpRoot}, at: mcpRoot,
		}, {
			name: "a path too many, zed-industries/zed#53502", server: mcp, challenge: mcpPath + "/mcp",
			pages:    map[string]page{mcpPath: {body: mcpDoc}},
			requests: []string{mcpPath + "/mcp", mcpPath}, at: mcpPath,
		}, {
			name: "401 at the path, modelcontextprotocol/typescript-sdk#2783", server: mcp,
			pages:    map[string]page{mcpPath: {status: 401}, mcpRoot: {body: mcpDoc}},
			requests: []string{mcpPath, mcpRoot}, at: mcpRoot,
		}, {
			name: "for another host", server: mcp,
			pages:    map[string]page{mcpPath: {body: `{"resource":"https://other.example/mcp?canary"}`}},
			requests: []string{mcpPath, mcpRoot}, err: ErrResourceMismatch, text: `for "https://other.example/mcp", not for "` + mcp + `": check Config.Resource`,
		}, {
			name: "for another host at the path", server: mcp,
			pages:    map[string]page{mcpPath: {body: `{"resource":"https://other.example/mcp?canary"}`}, mcpRoot: {body: mcpDoc}},
			requests: []string{mcpPath, mcpRoot}, at: mcpRoot,
		}, {
			name: "for another host, where the challenge says", server: mcp, challenge: elsewhere,
			pages:    map[string]page{elsewhere: {body: `{"resource":"https://other.example/mcp?canary"}`}, mcpPath: {body: mcpDoc}},
			requests: []string{elsewhere, mcpPath}, at: mcpPath,
		}, {
			name: "for another host, where the challenge says, and nowhere else", server: mcp, challenge: elsewhere,
			pages:    map[string]page{elsewhere: {body: `{"resource":"https://canary@other.example/mcp"}`}},
			requests: []string{elsewhere, mcpPath, mcpRoot}, err: ErrResourceMismatch, text: `for "https://other.example/mcp", not for`,
		}, {
			name: "for the host, from elsewhere", server: mcp, challenge: elsewhere,
			pages:    map[string]page{elsewhere: {body: `{"resource":"https://mcp.example.com","authorization_servers":["https://canary.example"]}`}},
			requests: []string{elsewhere, mcpPath, mcpRoot}, err: ErrResourceMismatch,
		}, {
			name: "for the host, from a place of the tenant's", server: mcp, challenge: mcp + "/meta.json",
			pages:    map[string]page{mcp + "/meta.json": {body: `{"resource":"https://mcp.example.com/","authorization_servers":["https://canary.example"]}`}},
			requests: []string{mcp + "/meta.json", mcpPath, mcpRoot}, err: ErrResourceMismatch,
		}, {
			name: "for the host, from the host", server: mcp, challenge: elsewhere,
			pages:    map[string]page{elsewhere: {body: `{"resource":"https://mcp.example.com"}`}, mcpRoot: {body: `{"resource":"https://mcp.example.com"}`}},
			requests: []string{elsewhere, mcpPath, mcpRoot}, at: mcpRoot,
		}, {
			name: "for the host, from the host, as the challenge says", server: mcp, challenge: mcpRoot,
			pages:    map[string]page{mcpRoot: {body: `{"resource":"https://mcp.example.com"}`}},
			requests: []string{mcpRoot}, at: mcpRoot,
		}, {
			name: "for the server with a slash, from elsewhere", server: mcp, challenge: elsewhere,
			pages:    map[string]page{elsewhere: {body: `{"resource":"https://mcp.example.com/mcp/"}`}},
			requests: []string{elsewhere}, at: elsewhere,
		}, {
			name: "no resource", server: mcp,
			pages:    map[string]page{mcpPath: {body: `{"error":"canary"}`}},
			requests: []string{mcpPath, mcpRoot}, err: ErrMalformed,
		}, {
			name: "a string for a list", server: mcp,
			pages:    map[string]page{mcpPath: {body: `{"resource":"https://mcp.example.com/mcp","authorization_servers":"https://as.example.com","scopes_supported":"a b","jwks_uri":"/jwks"}`}},
			requests: []string{mcpPath}, at: mcpPath,
		}, {
			name: "wrong type", server: mcp,
			pages:    map[string]page{mcpPath: {body: `{"resource":"https://mcp.example.com/mcp","authorization_servers":{"canary":1}}`}},
			requests: []string{mcpPath, mcpRoot}, err: ErrMalformed,
		}, {
			name: "no URL in the list", server: mcp,
			pages:    map[string]page{mcpPath: {body: `{"resource":"https://mcp.example.com/mcp","authorization_servers":"canary"}`}},
			requests: []string{mcpPath, mcpRoot}, err: ErrInsecureURL,
		}, {
			name: "two lists", server: mcp,
			pages:    map[string]page{mcpPath: {body: `{"resource":"https://mcp.example.com/mcp","authorization_servers":["https://a.example"],"authorization_servers":["https://canary.example"]}`}},
			requests: []string{mcpPath, mcpRoot}, err: ErrMalformed,
		}, {
			name: "too large", server: mcp,
			pages:    map[string]page{mcpPath: {body: strings.Repeat(" ", 1<<20) + mcpDoc}},
			requests: []string{mcpPath, mcpRoot}, err: ErrTooLarge,
		}, {
			name: "unencrypted authorization server", server: mcp,
			pages:    map[string]page{mcpPath: {body: `{"resource":"https://mcp.example.com/mcp","authorization_servers":["http://as.example.com"]}`}},
			requests: []string{mcpPath, mcpRoot}, err: ErrInsecureURL,
		}, {
			name: "unencrypted authorization server beside another", server: mcp,
			pages:    map[string]page{mcpPath: {body: `{"resource":"https://mcp.example.com/mcp","authorization_servers":["http://as.example.com","https://a.example"]}`}},
			requests: []string{mcpPath}, at: mcpPath,
		}, {
			name: "authorization server on this machine", server: mcp,
			pages:    map[string]page{mcpPath: {body: `{"resource":"https://mcp.example.com/mcp","authorization_servers":["http://127.0.0.1:9"]}`}},
			requests: []string{mcpPath, mcpRoot}, err: ErrInsecureURL,
		}, {
			name: "unencrypted keys", server: mcp,
			pages:    map[string]page{mcpPath: {body: `{"resource":"https://mcp.example.com/mcp","jwks_uri":"http://mcp.example.com/jwks"}`}},
			requests: []string{mcpPath}, at: mcpPath,
		}, {
			name: "challenge names plain http, and there is a document", server: mcp, challenge: "http://mcp.example.com/.well-known/oauth-protected-resource/mcp",
			pages:    map[string]page{mcpPath: {body: mcpDoc}},
			requests: []string{mcpPath}, at: mcpPath,
		}, {
			name: "challenge names a path, and there is a document", server: mcp, challenge: "/.well-known/oauth-protected-resource",
			pages:    map[string]page{mcpRoot: {body: mcpDoc}},
			requests: []string{mcpPath, mcpRoot}, at: mcpRoot,
		},
		{name: "challenge names plain http", server: mcp, challenge: "http://10.0.0.1/canary?canary", requests: []string{mcpPath, mcpRoot}, err: ErrInsecureURL},
		{name: "challenge names this machine", server: mcp, challenge: "https://localhost/canary", requests: []string{mcpPath, mcpRoot}, err: ErrInsecureURL},
		{name: "challenge names a file", server: mcp, challenge: "file:///canary", requests: []string{mcpPath, mcpRoot}, err: ErrInsecureURL},
		{name: "for a name that is no URL", server: mcp, pages: map[string]page{mcpPath: {body: `{"resource":"urn:canary"}`}}, requests: []string{mcpPath, mcpRoot}, err: ErrResourceMismatch},
		{name: "challenge names nothing", server: mcp, challenge: "canary", requests: []string{mcpPath, mcpRoot}, err: ErrInsecureURL},
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
			checkError(t, err, tt.err, tt.retryable)
			if !strings.Contains(err.Error(), tt.text) {
				t.Errorf("error %q, want %q", err, tt.text)
			}
			if got != nil {
				t.Errorf("ProtectedResource = %+v besides an error", got)
			}
		})
	}
}

// checkError checks that err is an *Error that is want, if that is not nil, and that it
// repeats nothing the servers of the tests sent.
func checkError(t *testing.T, err, want error, retryable bool) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("error = %v, want an *Error", err)
	}
	if want != nil && !errors.Is(err, want) {
		t.Errorf("error = %v, want %v", err, want)
	}
	if e.Retryable() != retryable {
		t.Errorf("error %v: Retryable = %v, want %v", err, e.Retryable(), retryable)
	}
	if strings.Contains(err.Error(), "canary") {
		t.Errorf("error %q repeats what a server sent", err)
	}
}

// The list keeps what can be used, and the error says what became of each place.
//
//compat:finding `resource_metadata` of a challenge that cannot be used
//compat:default the well-known places are tried, and the error lists all
//compat:attack TestProtectedResource
func TestProtectedResourceOutcomes(t *testing.T) {
	_, c := newWeb(map[string]page{mcpPath: {body: `{"resource":"https://mcp.example.com/mcp","authorization_servers":["http://as.example.com","https://a.example",null]}`}})
	got, err := c.ProtectedResource(t.Context(), mcp, "")
	if err != nil || !reflect.DeepEqual(got.AuthorizationServers, []string{"https://a.example"}) {
		t.Errorf("ProtectedResource = %+v, %v", got, err)
	}

	_, c = newWeb(map[string]page{elsewhere: {status: 503}, mcpPath: {body: "canary"}})
	_, err = c.ProtectedResource(t.Context(), mcp, elsewhere)
	var e *Error
	if !errors.As(err, &e) || len(e.Tried) != 3 || e.Tried[0].StatusCode != 503 || !errors.Is(e.Tried[1].Err, ErrMalformed) || e.Tried[2].StatusCode != 404 || !errors.Is(e.Tried[2].Err, ErrNotFound) {
		t.Fatalf("error %+v", err)
	}
	const want = "discovery: protected resource metadata at https://meta.example.net/mcp.json: the server cannot answer now (HTTP status 503); " +
		"also looked at https://mcp.example.com/.well-known/oauth-protected-resource/mcp: malformed document: not a JSON object, " +
		"https://mcp.example.com/.well-known/oauth-protected-resource: no metadata document (HTTP status 404)"
	if err.Error() != want {
		t.Errorf("error %q, want %q", err, want)
	}

	_, err = c.ProtectedResource(t.Context(), mcp, "/relative")
	if !errors.As(err, &e) || len(e.Tried) != 3 || !errors.Is(e.Tried[0].Err, ErrInsecureURL) || !strings.Contains(err.Error(), "resource_metadata of the challenge is not absolute") {
		t.Errorf("error %v", err)
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
