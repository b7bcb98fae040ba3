package challenge

import (
	"strings"
	"testing"
)

// parsed writes challenges in one line: scheme{name=value name=value}.
func parsed(values ...string) string {
	var out []string
	for _, c := range Parse(values) {
		var params []string
		for _, name := range []string{"realm", "error", "error_description", "scope", "resource_metadata", "x"} {
			if v, ok := c.Params[name]; ok {
				params = append(params, name+"=<"+v+">")
			}
		}
		out = append(out, c.Scheme+"{"+strings.Join(params, " ")+"}")
	}
	return strings.Join(out, " ")
}

// What servers write that the grammar does not know.
func TestParseLenient(t *testing.T) {
	for value, want := range map[string]string{
		`Bearer error='invalid_token', scope='a'`:                                   `Bearer{error=<invalid_token> scope=<a>}`,
		`Bearer scope='a b', error='insufficient_scope'`:                            `Bearer{error=<insufficient_scope> scope=<a b>}`,
		`Bearer scope='a b'`:                                                        `Bearer{scope=<a b>}`,
		`Bearer resource_metadata='https://h/.well-known/x?a=b,c', scope=a`:         `Bearer{scope=<a> resource_metadata=<https://h/.well-known/x?a=b,c>}`,
		`Bearer error='invalid_token' scope='a b'`:                                  `Bearer{error=<invalid_token> scope=<a b>}`,
		`Bearer error_description='The token is old, get another', scope='a'`:       `Bearer{error_description=<The token is old, get another> scope=<a>}`,
		`Bearer error_description='it can't be read', scope=a`:                      `Bearer{error_description=<it can't be read> scope=<a>}`,
		`Bearer realm='', scope=a`:                                                  `Bearer{realm=<> scope=<a>}`,
		`Bearer error = 'invalid_token' , scope	=	'a b'`:                            `Bearer{error=<invalid_token> scope=<a b>}`,
		`Bearer realm = "x" , error = invalid_token`:                                `Bearer{realm=<x> error=<invalid_token>}`,
		`Bearer realm ="x",error= "invalid_token"`:                                  `Bearer{realm=<x> error=<invalid_token>}`,
		`Basic realm='x', Bearer scope='a b', DPoP error='invalid_token'`:           `Basic{realm=<x>} Bearer{scope=<a b>} DPoP{error=<invalid_token>}`,
		`Basic realm = "x", Bearer scope = "a"`:                                     `Basic{realm=<x>} Bearer{scope=<a>}`,
		`Bearer scope='a b`:                                                         `Bearer{scope=<'a>} b{}`,
		`Bearer resource_metadata='https://h/a'https://evil.example/', scope='s t'`: `Bearer{scope=<s t> resource_metadata=<https://h/a'https://evil.example/>}`,
	} {
		if got := parsed(value); got != want {
			t.Errorf("%s\n got %s\nwant %s", value, got, want)
		}
	}
}

// A single quote is a character of a token (RFC 9110 section 5.6.2). A header
// that the grammar reads means what the grammar says, whatever its quotes look
// like: one that reaches over a comma would swallow the parameters there.
func TestParseKeepsWhatTheGrammarReads(t *testing.T) {
	for value, want := range map[string]string{
		`Bearer realm='x, error="invalid_token", scope='y`:        `Bearer{realm=<'x> error=<invalid_token> scope=<'y>}`,
		`Bearer realm='x, error=invalid_token, x='`:               `Bearer{realm=<'x> error=<invalid_token> x=<'>}`,
		`Bearer realm=', resource_metadata="https://h/m", x='`:    `Bearer{realm=<'> resource_metadata=<https://h/m> x=<'>}`,
		`Bearer realm='a', scope="b"`:                             `Bearer{realm=<a> scope=<b>}`,
		`Bearer realm='a'b', scope="c"`:                           `Bearer{realm=<a'b> scope=<c>}`,
		`Bearer realm=it's, scope="it's"`:                         `Bearer{realm=<it's> scope=<it's>}`,
		`Bearer realm="'", scope="a 'b' c", x="'"`:                `Bearer{realm=<'> scope=<a 'b' c> x=<'>}`,
		`Bearer realm="a=b, scope = 'c'", scope=d`:                `Bearer{realm=<a=b, scope = 'c'> scope=<d>}`,
		`Basic realm='a, Bearer error="invalid_token", x='b'`:     `Basic{realm=<'a>} Bearer{error=<invalid_token> x=<b>}`,
		`Bearer realm='a b, resource_metadata="https://h/m", x='`: `Bearer{realm=<'a>} b{resource_metadata=<https://h/m> x=<'>}`,
	} {
		if got := parsed(value); got != want {
			t.Errorf("%s\n got %s\nwant %s", value, got, want)
		}
	}
}

// Whatever a stranger writes, the work is bounded, and no parameter has a value that is not there.
func FuzzParse(f *testing.F) {
	f.Add(`Bearer realm="x", scope='a b', error = 'invalid_token'`)
	f.Add(`Negotiate abc==, Bearer realm='x, scope="y"`)
	f.Fuzz(func(t *testing.T, value string) {
		got := Parse([]string{value})
		if len(got) > maxCount {
			t.Fatalf("%d challenges", len(got))
		}
		for _, c := range got {
			for name, v := range c.Params {
				if name == "" || strings.ContainsAny(name, " ,=\"") || !strings.Contains(strings.ReplaceAll(value, `\`, ""), strings.ReplaceAll(v, `\`, "")) {
					t.Fatalf("parameter %q with value %q is not in %q", name, v, value)
				}
			}
		}
	})
}
