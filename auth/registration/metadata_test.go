package registration

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func TestApplicationType(t *testing.T) {
	tests := []struct {
		name string
		uris []string
		want string
	}{
		{"none", nil, "web"},
		{"https", []string{"https://app.example.com/callback"}, "web"},
		{"localhost", []string{"http://localhost:3000/callback"}, "native"},
		{"localhost over https", []string{"https://localhost/callback"}, "native"},
		{"IPv4", []string{"http://127.0.0.1/callback"}, "native"},
		{"IPv6", []string{"http://[::1]/callback"}, "native"},
		{"own scheme", []string{"com.example.app:/callback"}, "native"},
		{"one of both", []string{"https://app.example.com/callback", "http://localhost/callback"}, "native"},
		{"not a URI", []string{"http://[::1", "https://app.example.com"}, "web"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := ApplicationType(tt.uris); got != tt.want {
				t.Errorf("ApplicationType(%q) = %q, want %q", tt.uris, got, tt.want)
			}
		})
	}
}

func TestMetadataValidate(t *testing.T) {
	valid := []Metadata{
		{},
		{RedirectURIs: []string{"https://app.example.com/cb?a=b", "http://localhost:1/cb", "http://[::1]/cb", "com.example.app:/cb", "com.example.app://cb"}},
		{ApplicationType: "web"},
		{JWKSURI: "https://app.example.com/jwks"},
		{JWKS: json.RawMessage(`{"keys":[{"kty":"EC","crv":"P-256","x":"a","y":"b"}]}`)},
	}
	for i, m := range valid {
		if problems := m.validate(); problems != nil {
			t.Errorf("valid[%d]: %v", i, problems)
		}
	}

	invalid := []struct {
		name string
		m    Metadata
		want []string // parts of the text, one per problem
	}{
		{"http", Metadata{RedirectURIs: []string{"http://app.example.com/cb"}}, []string{"redirect_uris[0]"}},
		{"script", Metadata{RedirectURIs: []string{"javascript:canary"}}, []string{"redirect_uris[0] has the scheme"}},
		{"scheme without a dot", Metadata{RedirectURIs: []string{"https://a.example", "myapp://canary"}}, []string{"redirect_uris[1] has the scheme"}},
		{"relative", Metadata{RedirectURIs: []string{"/canary"}}, []string{"redirect_uris[0] is not absolute"}},
		{"not a URI", Metadata{RedirectURIs: []string{"http://[canary"}}, []string{"redirect_uris[0] is not a URL"}},
		{"fragment", Metadata{RedirectURIs: []string{"https://a.example/#canary", "com.example.app:/cb#canary"}}, []string{"redirect_uris[0] contains a fragment", "redirect_uris[1] contains a fragment"}},
		{"application type", Metadata{ApplicationType: "Native"}, []string{"application_type"}},
		{"keys over http", Metadata{JWKSURI: "http://app.example.com/jwks"}, []string{"jwks_uri"}},
		{"keys twice", Metadata{JWKSURI: "https://app.example.com/jwks", JWKS: json.RawMessage(`{"keys":[{"kty":"EC"}]}`)}, []string{"jwks and jwks_uri"}},
		{"private EC key", Metadata{JWKS: json.RawMessage(`{"keys":[{"kty":"EC"},{"kty":"EC","d":"canary"}]}`)}, []string{`jwks.keys[1] is a private or symmetric key`}},
		{"private RSA key", Metadata{JWKS: json.RawMessage(`{"keys":[{"kty":"RSA","p":"canary","q":"canary"}]}`)}, []string{`jwks.keys[0] is a private or symmetric key`}},
		{"symmetric key", Metadata{JWKS: json.RawMessage(`{"keys":[{"kty":"oct","k":"canary"}]}`)}, []string{`jwks.keys[0] is a private or symmetric key`}},
		{"no keys", Metadata{JWKS: json.RawMessage(`{"keys":[]}`)}, []string{"jwks is not a JWK set"}},
		{"not keys", Metadata{JWKS: json.RawMessage(`["canary"]`)}, []string{"jwks is not a JWK set"}},
	}
	for _, tt := range invalid {
		t.Run(tt.name, func(t *testing.T) {
			problems := tt.m.validate()
			if len(problems) != len(tt.want) {
				t.Fatalf("problems %v, want %q", problems, tt.want)
			}
			for i, want := range tt.want {
				if !strings.Contains(problems[i].Error(), want) {
					t.Errorf("problem %q, want %q in it", problems[i], want)
				}
			}
			if text := errors.Join(problems...).Error(); strings.Contains(text, "canary") {
				t.Errorf("problems repeat the input: %s", text)
			}
		})
	}
}
