package authtest_test

import (
	"html"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/mcptokens/mcptokens/auth/authtest"
)

func TestAuthorizeRefusals(t *testing.T) {
	srv := newServer(t, authtest.Config{ScopesSupported: []string{"read"}})
	srv.AddClient("machine", "secret")
	srv.Protect(ok, authtest.Protection{})
	tests := []struct {
		name    string
		changes []string
		want    string // error code; "" is a page, no redirect
	}{
		{"unknown client", []string{"client_id", "nobody"}, ""},
		{"no client", []string{"client_id", "-"}, ""},
		{"no redirect URI", []string{"redirect_uri", "-"}, ""},
		{"other redirect URI", []string{"redirect_uri", "http://127.0.0.1:7777/other"}, ""},
		{"other host", []string{"redirect_uri", "http://localhost:7777/callback"}, ""},
		{"https on loopback", []string{"redirect_uri", "https://127.0.0.1:7777/callback"}, ""},
		{"redirect URI with a fragment", []string{"redirect_uri", callback + "#x"}, ""},
		{"client without redirect URIs", []string{"client_id", "machine"}, ""},
		{"response type", []string{"response_type", "token"}, "unsupported_response_type"},
		{"no PKCE", []string{"code_challenge", "-", "code_challenge_method", "-"}, "invalid_request"},
		{"plain PKCE", []string{"code_challenge_method", "plain"}, "invalid_request"},
		{"short challenge", []string{"code_challenge", "abc"}, "invalid_request"},
		{"unknown resource", []string{"resource", "https://elsewhere.example/mcp"}, "invalid_target"},
		{"relative resource", []string{"resource", "/mcp"}, "invalid_target"},
		{"resource with a fragment", []string{"resource", "https://h.example/#x"}, "invalid_target"},
		{"unsupported scope", []string{"scope", "write"}, "invalid_scope"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			target := authorizationURL(srv, tt.changes...)
			if tt.want == "" {
				if r := get(t, srv, target); r.status != 400 || r.header.Get("Location") != "" {
					t.Errorf("status %d, Location %q", r.status, r.header.Get("Location"))
				}
				if _, err := srv.Approve(t.Context(), target); err == nil || !strings.Contains(err.Error(), "400") {
					t.Errorf("Approve: %v", err)
				}
				return
			}
			q := approve(t, srv, target)
			if q.Get("error") != tt.want || q.Get("code") != "" || q.Get("state") != "xyz" || q.Get("iss") != srv.Issuer {
				t.Errorf("response %v, want %s", q, tt.want)
			}
		})
	}
	t.Run("repeated parameter", func(t *testing.T) {
		if q := approve(t, srv, authorizationURL(srv)+"&scope=a&scope=b"); q.Get("error") != "invalid_request" {
			t.Errorf("response %v", q)
		}
	})
	t.Run("two resources", func(t *testing.T) {
		if q := approve(t, srv, authorizationURL(srv)+"&resource=a&resource=b"); q.Get("error") != "invalid_target" {
			t.Errorf("response %v", q)
		}
	})
}

func TestRedirectURIs(t *testing.T) {
	srv := newServer(t, authtest.Config{ClientIDMetadata: true, NoIssParameter: true})
	const cimd = "https://app.example/client.json"
	srv.AddClient("custom", "", "com.example.app:/callback", "https://app.example/cb?keep=1")
	tests := []struct {
		name, client, redirect string
		ok                     bool
	}{
		{"exact", clientID, callback, true},
		{"another loopback port", clientID, "http://127.0.0.1:54321/callback", true},
		{"custom scheme", "custom", "com.example.app:/callback", true},
		{"query kept", "custom", "https://app.example/cb?keep=1", true},
		{"another https port", "custom", "https://app.example:444/cb?keep=1", false},
		{"metadata document, loopback", cimd, "http://localhost:1234/cb", true},
		{"metadata document, https", cimd, "https://app.example/cb", true},
		{"metadata document, plain http", cimd, "http://app.example/cb", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			location, err := srv.Approve(t.Context(), authorizationURL(srv, "client_id", tt.client, "redirect_uri", tt.redirect))
			if (err == nil) != tt.ok {
				t.Fatalf("%q, %v", location, err)
			}
			if !tt.ok {
				return
			}
			u, err := url.Parse(location)
			if err != nil {
				t.Fatal(err)
			}
			q := u.Query()
			if q.Get("code") == "" || q.Has("iss") || strings.Contains(tt.redirect, "keep") != q.Has("keep") {
				t.Errorf("response %q", location)
			}
		})
	}
}

func TestConsentPage(t *testing.T) {
	srv := newServer(t, authtest.Config{Page: true})
	target := authorizationURL(srv, "scope", "read <b>")
	r := get(t, srv, target)
	for _, want := range []string{`id="approve"`, `id="deny"`, clientID, "&lt;b&gt;"} {
		if !strings.Contains(r.body, want) {
			t.Errorf("the page lacks %q:\n%s", want, r.body)
		}
	}
	if strings.Contains(r.body, "<b>") {
		t.Error("the page does not escape")
	}
	_, action, _ := strings.Cut(r.body, `action="`)
	action, _, _ = strings.Cut(action, `"`)
	action = html.UnescapeString(action)
	for decision, want := range map[string]string{"approve": "code", "deny": "error"} {
		r := must(t, srv, formRequest(t, srv.URL+action, form("decision", decision)))
		u, err := url.Parse(r.header.Get("Location"))
		if err != nil || r.status != http.StatusFound || u.Query().Get(want) == "" || u.Query().Get("state") != "xyz" {
			t.Errorf("%s: %d %q", decision, r.status, r.header.Get("Location"))
		}
	}
	if q := approve(t, srv, target); q.Get("code") == "" {
		t.Errorf("Approve: %v", q)
	}
}

func TestApproveErrors(t *testing.T) {
	srv := newServer(t, authtest.Config{})
	for name, target := range map[string]string{"not a URL": "http://[", "nobody there": "http://127.0.0.1:1/authorize"} {
		t.Run(name, func(t *testing.T) {
			if _, err := srv.Approve(t.Context(), target); err == nil {
				t.Error("no error")
			}
		})
	}
}
