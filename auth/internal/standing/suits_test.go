package standing

import (
	"testing"

	"github.com/mcptokens/mcptokens/auth/registration"
)

func TestSuits(t *testing.T) {
	const here, there = "http://127.0.0.1:7001/callback", "http://127.0.0.1:7002/callback"
	code := []string{"authorization_code", "refresh_token"}
	for name, tt := range map[string]struct {
		reg      registration.Client
		uri      string
		suitable bool
	}{
		"the same":              {registration.Client{RedirectURIs: []string{here}}, here, true},
		"another port":          {registration.Client{RedirectURIs: []string{here}}, there, false},
		"any port":              {registration.Client{RedirectURIs: []string{"http://127.0.0.1/callback"}}, there, true},
		"any port, other path":  {registration.Client{RedirectURIs: []string{"http://127.0.0.1/"}}, there, false},
		"any port, another":     {registration.Client{RedirectURIs: []string{"http://app.example/"}}, "http://app.example:1/", false},
		"any port, with a user": {registration.Client{RedirectURIs: []string{"http://127.0.0.1/"}}, "http://me@127.0.0.1:1/", false},
		"the grant":             {registration.Client{RedirectURIs: []string{here}, GrantType: code[0]}, here, true},
		"another grant":         {registration.Client{RedirectURIs: []string{here}, GrantType: "device_code"}, here, false},
	} {
		if got := Suits(&tt.reg, []string{tt.uri}, code); got != tt.suitable {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestKnowsScopes(t *testing.T) {
	reg := &registration.Client{Scopes: []string{"read"}, DeclinedScopes: []string{"root"}}
	if !KnowsScopes(reg, nil) || !KnowsScopes(reg, []string{"read", "root"}) || KnowsScopes(reg, []string{"read", "write"}) {
		t.Error("wrong for a registration that says its scopes")
	}
	if !KnowsScopes(new(registration.Client), []string{"write"}) {
		t.Error("a registration that says nothing lacks nothing")
	}
}
