package auth_test

import (
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/mcptokens/mcptokens/auth"
)

// FuzzChallenges checks that what a server puts into WWW-Authenticate is read
// within bounds, and read the same when it is written out again by the book.
func FuzzChallenges(f *testing.F) {
	for _, seed := range []string{
		`Bearer`,
		`Bearer realm="mcp", error="insufficient_scope", scope="a b", resource_metadata="https://h/.well-known/oauth-protected-resource"`,
		`Basic realm="x", Bearer error=invalid_token, DPoP algs="ES256", error="use_dpop_nonce"`,
		`Negotiate YII=, Bearer scope=`,
		`Bearer resource_metadata=https://h/a?b=c`,
		`Bearer realm="say \"hi\" \\ there"`,
		`Bearer scope="unterminated`,
		`Bearer scope="a` + "\r\nX-Injected: 1" + `"`,
		`Bearer scope=,error==`, `Bearer x="`, `,,"\`,
		",,, =\t\x00\xff", "\x00Bearer \x7f=1",
	} {
		f.Add(seed, seed)
	}
	f.Fuzz(func(t *testing.T, one, two string) {
		values := []string{one, two}
		all := auth.ParseChallenges(values)
		if len(all) > 32 {
			t.Errorf("%d challenges", len(all))
		}
		size := 0
		for _, c := range all {
			size += len(c.Scheme)
			for name, value := range c.Params {
				size += len(name) + len(value)
			}
			checkChallenge(t, c)
		}
		if size > len(one)+len(two) {
			t.Errorf("%d bytes read from %d", size, len(one)+len(two))
		}
		for _, status := range []int{400, 401, 403} {
			c, ok := auth.ResponseChallenge(status, http.Header{"Www-Authenticate": values})
			about := c.Error == "invalid_token"
			want := map[int]bool{400: about, 401: true, 403: about || c.InsufficientScope()}[status]
			if ok != want || c.Status != status {
				t.Errorf("ResponseChallenge(%d) = %+v, %v", status, c, ok)
			}
		}
	})
}

// checkChallenge checks one challenge that was read.
func checkChallenge(t *testing.T, c auth.Challenge) {
	t.Helper()
	if c.Scheme == "" || strings.ContainsAny(c.Scheme, " \t,=\"") {
		t.Errorf("scheme %q", c.Scheme)
	}
	if c.Error != c.Params["error"] || c.ResourceMetadata != c.Params["resource_metadata"] {
		t.Errorf("fields %q, %q differ from parameters %q", c.Error, c.ResourceMetadata, c.Params)
	}
	for name := range c.Params {
		if name == "" || name != strings.ToLower(name) {
			t.Errorf("parameter name %q", name)
		}
	}
	seen := make(map[string]bool)
	for _, s := range c.Scopes {
		if s == "" || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '"' || r == '\\' }) || seen[s] {
			t.Errorf("scope %q", s)
		}
		seen[s] = true
	}
	again := auth.ParseChallenges([]string{written(c)})
	if len(again) != 1 || !reflect.DeepEqual(again[0], c) {
		t.Errorf("%+v\nis written %q\nwhich is read %+v", c, written(c), again)
	}
}

// written is a challenge by the grammar of RFC 9110 section 11.6.1, every value
// as a quoted string.
func written(c auth.Challenge) string {
	params := make([]string, 0, len(c.Params))
	for _, name := range slices.Sorted(maps.Keys(c.Params)) {
		quoted := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(c.Params[name])
		params = append(params, name+`="`+quoted+`"`)
	}
	return strings.TrimSpace(c.Scheme + " " + strings.Join(params, ", "))
}
