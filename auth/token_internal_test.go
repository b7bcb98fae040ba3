package auth

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestTokenSame(t *testing.T) {
	a, b := &Token{AccessToken: "a", evidence: &evidence{serial: 1}}, &Token{AccessToken: "a", evidence: &evidence{serial: 2}}
	if a.same(b) || !a.same(a) {
		t.Error("a server may issue the same string twice: serials tell them apart")
	}
	if c := *a; !c.same(a) {
		t.Error("a copy is the same token")
	}
	if !a.same(&Token{AccessToken: "a"}) || a.same(&Token{AccessToken: "b"}) {
		t.Error("a token that no manager handed out is compared by its text")
	}
	if a.same(&Token{AccessToken: "b", evidence: &evidence{serial: 1}}) {
		t.Error("the serials of two managers may coincide, their tokens do not")
	}
	var none *Token
	if none.same(a) || a.same(nil) || !none.same(nil) {
		t.Error("nil is the same as nil only")
	}
	if a.seal().serial() != 0 {
		t.Error("seal keeps the serial of another manager")
	}
}

func TestTokenLive(t *testing.T) {
	now := time.Now()
	for _, tc := range []struct {
		name string
		tok  *Token
		want bool
	}{
		{"nil", nil, false},
		{"no access token", &Token{RefreshToken: "r"}, false},
		{"unknown lifetime", &Token{AccessToken: "a"}, true},
		{"about to die", &Token{AccessToken: "a", Expiry: now.Add(1)}, true},
		{"dead", &Token{AccessToken: "a", Expiry: now}, false},
	} {
		if got := tc.tok.live(now); got != tc.want {
			t.Errorf("%s: %t, want %t", tc.name, got, tc.want)
		}
	}
}

func TestScopeSets(t *testing.T) {
	many := strings.Fields("a b c d e f g h i j k l m n o p q r")
	for _, tc := range []struct {
		name string
		sets [][]string
		want []string
	}{
		{"nothing", nil, nil},
		{"empties", [][]string{{""}, nil, {}}, nil},
		{"order of appearance", [][]string{{"b", "a"}, {"a", "c", "b"}}, []string{"b", "a", "c"}},
		{"many", [][]string{many, many, {"", "z"}}, append(slices.Clone(many), "z")},
	} {
		if got := unionScopes(tc.sets...); !slices.Equal(got, tc.want) || (got == nil) != (tc.want == nil) {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
	given := []string{"a"}
	normalizeScopes(given)[0] = "b"
	if given[0] != "a" {
		t.Error("normalizeScopes shares its argument")
	}
	if !coversScopes([]string{"a", "b"}, []string{"b"}) || coversScopes(nil, []string{"b"}) || !coversScopes(nil, nil) {
		t.Error("coversScopes is wrong")
	}
	if got := missingScopes([]string{"b"}, []string{"a", "b", "c"}); !slices.Equal(got, []string{"a", "c"}) {
		t.Errorf("missing %v", got)
	}
	if got := splitScopes("  a b\ta "); !slices.Equal(got, []string{"a", "b"}) || joinScopes(got) != "a b" {
		t.Errorf("split %v", got)
	}
}
