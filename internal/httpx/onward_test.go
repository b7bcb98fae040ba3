package httpx

import (
	"errors"
	"net/http"
	"strings"
	"testing"
)

// Where a POST may be sent again, with its credentials, and what is said otherwise.
func TestOnward(t *testing.T) {
	const from = "https://as.example/token"
	for name, tt := range map[string]struct {
		status   int
		location string
		to, text string
	}{
		"a slash more":       {307, "/token/", "https://as.example/token/", `to "https://as.example/token/", the second redirect in a row`},
		"for ever":           {308, "https://AS.example:443/t?a=b", "https://AS.example:443/t?a=b", `to "https://as.example/t", the second`},
		"another host":       {307, "https://evil.example/secret?s=secret", "", `to another origin, "https://evil.example", which`},
		"a host below":       {308, "https://a.as.example/token", "", "another origin"},
		"without TLS":        {308, "http://as.example/token", "", "another origin"},
		"another port":       {308, "https://as.example:8443/token", "", "another origin"},
		"no scheme":          {307, "//evil.example/token", "", "another origin"},
		"a name in front":    {307, "https://as.example@evil.example/", "", "another origin"},
		"a user":             {307, "https://secret@as.example/token", "", "not with 307 or 308"},
		"found":              {302, "/token/", "", "not with 307 or 308"},
		"see other":          {303, "/login", "", `to "https://as.example/login", but not`},
		"moved":              {301, "/token/", "", "not with 307 or 308"},
		"nowhere":            {307, "", "", "without saying where to"},
		"no URL":             {307, "https://as.example:secret/", "", "without saying where to"},
		"success":            {200, "/token/", "", ""},
		"a refusal":          {400, "/token/", "", ""},
		"a document in hand": {304, "", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			req, _ := http.NewRequest(http.MethodPost, from, nil)
			resp := &http.Response{StatusCode: tt.status, Header: http.Header{}, Request: req}
			if tt.location != "" {
				resp.Header.Set("Location", tt.location)
			}
			got := ""
			if u := Onward(resp); u != nil {
				got = u.String()
			}
			if got != tt.to {
				t.Errorf("Onward = %q, want %q", got, tt.to)
			}
			err := Redirected(resp, func(s string) string { return s })
			if tt.text == "" {
				if err != nil {
					t.Errorf("Redirected = %v", err)
				}
				return
			}
			if !errors.Is(err, ErrRedirect) || !strings.Contains(err.Error(), tt.text) || !strings.Contains(err.Error(), from) || strings.Contains(err.Error(), "secret") {
				t.Errorf("Redirected = %v, want %q", err, tt.text)
			}
		})
	}
}
