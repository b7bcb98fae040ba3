package auth_test

import (
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/mcptokens/mcptokens/auth"
)

// The grammar is that of RFC 9110 section 11.6.1 with the parameters of RFC
// 6750 section 3 and RFC 9728 section 5.1, and what servers make of it.
//
//compat:reading `WWW-Authenticate` with single quotation marks, spaces around =, several schemes
//compat:default read
//compat:attack TestParseChallengesBounds
func TestParseChallenges(t *testing.T) {
	params := func(kv ...string) map[string]string {
		m := make(map[string]string)
		for i := 0; i < len(kv); i += 2 {
			m[kv[i]] = kv[i+1]
		}
		return m
	}
	tests := []struct {
		name   string
		values []string
		want   []auth.Challenge
	}{
		{"nothing", nil, nil},
		{"empty value", []string{""}, nil},
		{"only separators", []string{" , ,\t,"}, nil},
		{"scheme alone", []string{"Bearer"}, []auth.Challenge{{Scheme: "Bearer"}}},
		{"scheme and space", []string{"Bearer "}, []auth.Challenge{{Scheme: "Bearer"}}},
		{"tab after the scheme", []string{"Bearer\terror=invalid_token"}, []auth.Challenge{
			{Scheme: "Bearer", Error: "invalid_token", Params: params("error", "invalid_token")}}},
		{
			"all that a resource says",
			[]string{`Bearer realm="mcp", error="insufficient_scope", scope="a b", resource_metadata="https://h/.well-known/oauth-protected-resource"`},
			[]auth.Challenge{{
				Scheme: "Bearer", Error: "insufficient_scope", Scopes: []string{"a", "b"},
				ResourceMetadata: "https://h/.well-known/oauth-protected-resource",
				Params: params("realm", "mcp", "error", "insufficient_scope", "scope", "a b",
					"resource_metadata", "https://h/.well-known/oauth-protected-resource"),
			}},
		},
		{"names without case", []string{`Bearer ERROR="invalid_token", Scope=a`}, []auth.Challenge{
			{Scheme: "Bearer", Error: "invalid_token", Scopes: []string{"a"}, Params: params("error", "invalid_token", "scope", "a")}}},
		{"spaces around the equals sign", []string{`Bearer error = "invalid_token" , scope	=	a`}, []auth.Challenge{
			{Scheme: "Bearer", Error: "invalid_token", Scopes: []string{"a"}, Params: params("error", "invalid_token", "scope", "a")}}},
		{"comma and equals sign in a quoted string", []string{`Bearer realm="a, b=c", scope=d`}, []auth.Challenge{
			{Scheme: "Bearer", Scopes: []string{"d"}, Params: params("realm", "a, b=c", "scope", "d")}}},
		{"escapes in a quoted string", []string{`Bearer realm="say \"hi\" \\ there"`}, []auth.Challenge{
			{Scheme: "Bearer", Params: params("realm", `say "hi" \ there`)}}},
		{"empty quoted string", []string{`Bearer scope="", error="invalid_token"`}, []auth.Challenge{
			{Scheme: "Bearer", Error: "invalid_token", Params: params("scope", "", "error", "invalid_token")}}},
		{"empty unquoted value", []string{`Bearer scope=, error=invalid_token`}, []auth.Challenge{
			{Scheme: "Bearer", Error: "invalid_token", Params: params("scope", "", "error", "invalid_token")}}},
		{"URL without quotes", []string{`Bearer resource_metadata=https://h/a?b=c, error=invalid_token`}, []auth.Challenge{
			{Scheme: "Bearer", Error: "invalid_token", ResourceMetadata: "https://h/a?b=c",
				Params: params("resource_metadata", "https://h/a?b=c", "error", "invalid_token")}}},
		{"parameters separated by spaces", []string{`Bearer error="invalid_token" scope="a"`}, []auth.Challenge{
			{Scheme: "Bearer", Error: "invalid_token", Scopes: []string{"a"}, Params: params("error", "invalid_token", "scope", "a")}}},
		{"the first of a repeated parameter", []string{`Bearer error="invalid_token", error="insufficient_scope"`}, []auth.Challenge{
			{Scheme: "Bearer", Error: "invalid_token", Params: params("error", "invalid_token")}}},
		{"spaces and repetitions in scope", []string{`Bearer scope="  b a  b "`}, []auth.Challenge{
			{Scheme: "Bearer", Scopes: []string{"b", "a"}, Params: params("scope", "  b a  b ")}}},
		{"several in one value", []string{`Basic realm="x", Bearer error="invalid_token", DPoP algs="ES256"`}, []auth.Challenge{
			{Scheme: "Basic", Params: params("realm", "x")},
			{Scheme: "Bearer", Error: "invalid_token", Params: params("error", "invalid_token")},
			{Scheme: "DPoP", Params: params("algs", "ES256")}}},
		{"schemes without parameters", []string{"Negotiate, Bearer"}, []auth.Challenge{{Scheme: "Negotiate"}, {Scheme: "Bearer"}}},
		{"several values", []string{`Basic realm="x"`, `Bearer scope=a`}, []auth.Challenge{
			{Scheme: "Basic", Params: params("realm", "x")},
			{Scheme: "Bearer", Scopes: []string{"a"}, Params: params("scope", "a")}}},
		{"token68", []string{"Negotiate YIIabc/+9==, Bearer scope=a"}, []auth.Challenge{
			{Scheme: "Negotiate"},
			{Scheme: "Bearer", Scopes: []string{"a"}, Params: params("scope", "a")}}},
		{"token68 at the end", []string{"Negotiate YIIabc= "}, []auth.Challenge{{Scheme: "Negotiate"}}},
		{"parameters of another scheme", []string{`Digest realm="x", nonce=abc`}, []auth.Challenge{
			{Scheme: "Digest", Params: params("realm", "x", "nonce", "abc")}}},
		{"no comma between challenges", []string{`Bearer scope=a Basic realm="x"`}, []auth.Challenge{
			{Scheme: "Bearer", Scopes: []string{"a"}, Params: params("scope", "a")},
			{Scheme: "Basic", Params: params("realm", "x")}}},
		{"characters that no scheme has", []string{`"@ Bearer scope=a`}, []auth.Challenge{
			{Scheme: "Bearer", Scopes: []string{"a"}, Params: params("scope", "a")}}},
		{"quoted string without end", []string{`Bearer scope=a, realm="x, error=b`}, []auth.Challenge{
			{Scheme: "Bearer", Scopes: []string{"a"}, Params: params("scope", "a")},
		}},
		{"escape at the end", []string{`Bearer realm="x\`}, []auth.Challenge{{Scheme: "Bearer"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := auth.ParseChallenges(tt.values); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("ParseChallenges(%q)\n got %#v\nwant %#v", tt.values, got, tt.want)
			}
		})
	}
}

// A header is a stranger's: neither its size nor the number of challenges in
// it may cost more than a bounded amount of work.
func TestParseChallengesBounds(t *testing.T) {
	many := strings.TrimSuffix(strings.Repeat("Bearer scope=a,", 1000), ",")
	if got := len(auth.ParseChallenges([]string{many, many})); got != 32 {
		t.Errorf("%d challenges, want 32", got)
	}
	huge := "Bearer realm=\"" + strings.Repeat("x", 64<<10) + "\""
	got := auth.ParseChallenges([]string{huge, "Bearer scope=a"})
	if len(got) != 1 || len(got[0].Scopes) != 1 {
		t.Errorf("after a value of 64 KiB: %d challenges, want the one that is small", len(got))
	}
}

//compat:asking a 403 that names scopes without `error` (the official Go SDK)
//compat:default a step-up
//compat:attack transport.TestResourceThatAlwaysWantsOtherScopes
func TestResponseChallenge(t *testing.T) {
	tests := []struct {
		name   string
		status int
		values []string
		ok     bool
		want   auth.Challenge // but for Params
	}{
		{"200 with a challenge", 200, []string{`Bearer error="invalid_token"`}, false, auth.Challenge{}},
		{"400", 400, []string{`Bearer error="invalid_request"`}, false, auth.Challenge{Status: 400, Scheme: "Bearer", Error: "invalid_request"}},
		{"400 about the token", 400, []string{`Bearer error="invalid_token"`}, true, auth.Challenge{Status: 400, Scheme: "Bearer", Error: "invalid_token"}},
		{"401 without header", 401, nil, true, auth.Challenge{Status: 401}},
		{"401 of another scheme", 401, []string{`Basic realm="x", scope="a"`}, true, auth.Challenge{Status: 401}},
		{"401", 401, []string{`bearer error="invalid_token"`}, true, auth.Challenge{Status: 401, Scheme: "bearer", Error: "invalid_token"}},
		{"403 without header", 403, nil, false, auth.Challenge{Status: 403}},
		{"403 of another kind", 403, []string{`Bearer error="access_denied"`}, false, auth.Challenge{Status: 403, Scheme: "Bearer", Error: "access_denied"}},
		{"403 about the token", 403, []string{`Bearer error="invalid_token"`}, true, auth.Challenge{Status: 403, Scheme: "Bearer", Error: "invalid_token"}},
		{"403 insufficient_scope of another scheme", 403, []string{`Basic error="insufficient_scope"`}, false, auth.Challenge{Status: 403}},
		{"403 insufficient_scope", 403, []string{`DPoP error="insufficient_scope", scope="a"`}, true,
			auth.Challenge{Status: 403, Scheme: "DPoP", Error: "insufficient_scope", Scopes: []string{"a"}}},
		{"the first of equals", 401, []string{`Bearer realm="1"`, `DPoP realm="2"`}, true, auth.Challenge{Status: 401, Scheme: "Bearer"}},
		{"an error before none", 401, []string{`Bearer realm="1"`, `DPoP error="invalid_token"`}, true,
			auth.Challenge{Status: 401, Scheme: "DPoP", Error: "invalid_token"}},
		{"scopes before an error", 401, []string{`Bearer error="invalid_token"`, `Bearer scope="a"`}, true,
			auth.Challenge{Status: 401, Scheme: "Bearer", Scopes: []string{"a"}}},
		{"metadata before scopes and an error", 401, []string{`Bearer error="invalid_token", scope="a"`, `Bearer resource_metadata="https://h/x"`}, true,
			auth.Challenge{Status: 401, Scheme: "Bearer", ResourceMetadata: "https://h/x"}},
		{"insufficient_scope before all", 403, []string{`Bearer error="x", scope="a", resource_metadata="https://h/x", DPoP error="insufficient_scope"`}, true,
			auth.Challenge{Status: 403, Scheme: "DPoP", Error: "insufficient_scope"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := auth.ResponseChallenge(tt.status, http.Header{"Www-Authenticate": tt.values})
			got.Params = nil
			if ok != tt.ok || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %#v, %v\nwant %#v, %v", got, ok, tt.want, tt.ok)
			}
		})
	}
}
