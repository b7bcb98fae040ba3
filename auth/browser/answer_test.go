package browser

import (
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/mcptokens/mcptokens/internal/shown"
)

// mostSaid is how many characters of a server's words are shown.
const mostSaid = shown.Max

func TestReadAnswer(t *testing.T) {
	for name, tc := range map[string]struct {
		query string
		want  url.Values
	}{
		"plain":                 {"code=c&state=st", url.Values{"code": {"c"}, "state": {"st"}}},
		"escapes":               {"%63ode=a%20b+c&state=%73t", url.Values{"code": {"a b c"}, "state": {"st"}}},
		"semicolon elsewhere":   {"x=a;b&code=c&state=st", url.Values{"x": {"a;b"}, "code": {"c"}, "state": {"st"}}},
		"semicolon as a name":   {";&code=c&state=st", url.Values{";": {""}, "code": {"c"}, "state": {"st"}}},
		"semicolon is no &":     {"code=evil;state=st", url.Values{"code": {"evil;state=st"}}},
		"percent elsewhere":     {"code=c&x=100%&y=%zz&state=st", url.Values{"code": {"c"}, "x": {"100%"}, "y": {"%zz"}, "state": {"st"}}},
		"percent at the end":    {"code=c&state=st&x=%4", url.Values{"code": {"c"}, "state": {"st"}, "x": {"%4"}}},
		"percent in a name":     {"%=1&code=c&state=st", url.Values{"%": {"1"}, "code": {"c"}, "state": {"st"}}},
		"trailing number sign":  {"code=c&state=st#", url.Values{"code": {"c"}, "state": {"st"}}},
		"fragment":              {"code=c&state=st#_=_", url.Values{"code": {"c"}, "state": {"st"}}},
		"state in the fragment": {"code=c#&state=st", url.Values{"code": {"c"}}},
		"escaped number sign":   {"code=c%23d&state=st", url.Values{"code": {"c#d"}, "state": {"st"}}},
		"twice":                 {"code=c&code=d&state=st", url.Values{"code": {"c", "d"}, "state": {"st"}}},
		"twice, once escaped":   {"state=st&%73tate=x", url.Values{"state": {"st", "x"}}},
		"empty pairs":           {"&&code=c&&state=st&", url.Values{"code": {"c"}, "state": {"st"}}},
		"no values":             {"code&state=", url.Values{"code": {""}, "state": {""}}},
		"an equals sign more":   {"code=c==&state=st", url.Values{"code": {"c=="}, "state": {"st"}}},
		"nothing":               {"", url.Values{}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := readAnswer(tc.query); !reflect.DeepEqual(got, tc.want) {
				t.Errorf("readAnswer(%q) = %q, want %q", tc.query, got, tc.want)
			}
		})
	}
}

func TestSaid(t *testing.T) {
	for in, want := range map[string]string{
		"AADSTS65001: consent is missing": "AADSTS65001: consent is missing",
		"two\r\nlines\tand \x1b[31mred":   `two lines and \u001b[31mred`,
		"a\u202eb\u200bc\u009bd\ufeffe":   `a\u202eb\u200bc\u009bd\ufeffe`,
		"caf\u00e9 \xff":                  "caf\u00e9 \\xff",
		strings.Repeat("é", 301):          strings.Repeat("é", 299) + "…",
		strings.Repeat("x", 100_000):      strings.Repeat("x", 299) + "…",
		" ":                               "",
	} {
		if got := said(in); got != want {
			t.Errorf("said(%.40q) = %.40q, want %.40q", in, got, want)
		}
	}
}

// The answer and the state can come back in the description.
func TestSaidErrorHasNoSecret(t *testing.T) {
	got := saidError(url.Values{"error": {"invalid_request"}, "error_description": {"bad s3cret and c0de"}, "code": {"c0de"}}, "s3cret", "")
	if want := "invalid_request: bad … and …"; got != want {
		t.Errorf("saidError = %q, want %q", got, want)
	}
	if got := saidError(url.Values{"error_description": {"x"}}); got != "" {
		t.Errorf("no error: %q", got)
	}
}

// What is not wrong is read as net/url reads it, and nothing is ever lost.
func FuzzReadAnswer(f *testing.F) {
	for _, seed := range []string{"code=c&state=s", "a=%zz;&b=%", "a+b=%20&a=#x", "%73tate=s&state", "=&=", "a=b=c&;"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) {
		got := readAnswer(query)
		if want, err := url.ParseQuery(query); err == nil && !strings.Contains(query, "#") && !reflect.DeepEqual(got, want) {
			t.Errorf("readAnswer(%q) = %q, net/url: %q", query, got, want)
		}
		// A parameter that cannot be read hides none of the others.
		const answer = "code=the-code&state=the-state&iss=https%3A%2F%2Fas.example"
		query, _, _ = strings.Cut(query, "#")
		around := readAnswer(query + "&" + answer + "#" + query)
		for name, want := range map[string]string{"code": "the-code", "state": "the-state", "iss": "https://as.example"} {
			if values := around[name]; len(values) != len(got[name])+1 || values[len(values)-1] != want {
				t.Errorf("%q hides %s: %q", query, name, values)
			}
		}
		if text := saidError(got); len([]rune(text)) > mostSaid || !shown.Visible(text) {
			t.Errorf("%q is shown as %q", query, text)
		}
	})
}
