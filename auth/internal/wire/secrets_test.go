package wire

import (
	"strings"
	"testing"

	"github.com/mcptokens/mcptokens/internal/shown"
)

func TestRefusalRemovesSecrets(t *testing.T) {
	const secret = "tGzv3JOkF0XG5Qx2TlKWIA+/=="
	tests := map[string]struct{ says, want string }{
		"as it is":          {"no " + secret + " here", "no [removed] here"},
		"in a form":         {"no tGzv3JOkF0XG5Qx2TlKWIA%2B%2F%3D%3D here", "no [removed] here"},
		"in small escapes":  {"no tGzv3JOkF0XG5Qx2TlKWIA%2b%2f here", Removed},
		"capitals":          {"no " + strings.ToUpper(secret), Removed},
		"a piece":           {"no F0XG5Qx2TlKWIA+/", "no F0XG5Qx2TlKWIA+/"},
		"a telling piece":   {"no JOkF0XG5Qx2TlKWIA", Removed},
		"hidden characters": {"no tGzv\u200b3JOk\x00F0XG\n5Qx2TlKWIA", Removed},
		"base64":            {"no eDp0R3p2M0pPa0YwWEc1UXgyVGxLV0lBKy89PQ", Removed}, // of "x:" and the secret
		"hexadecimal":       {"no 7447 7A76 334A 4F6B 4630 5847 3551", Removed},
		"cut off":           {strings.Repeat("- ", shown.Max/2-4) + secret, strings.Repeat("- ", shown.Max/2-4) + "[remove…"},
		"words":             {"the refresh token is expired", "the refresh token is expired"},
		"no escapes":        {"100% of \\users &co", "100% of \\users &co"},
		"a short one":       {"user pass failed", "user pass failed"},
		"an ordinary word":  {"a Secret is needed", "a Secret is needed"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := shown.Text(removeSecrets(tt.says, []string{secret, "pass", "secret", ""})); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

func TestReadRefusalWithSecrets(t *testing.T) {
	tests := map[string]struct {
		body string
		want Refusal
	}{
		"a code that is one":      {`{"error":"abcdefgh_ij"}`, Refusal{Description: Removed, Named: true}},
		"a code with one":         {`{"error":"no_abcdefgh_ij","message":"gone"}`, Refusal{Description: "gone", Named: true}},
		"a code of the RFCs":      {`{"error":"invalid_grant"}`, Refusal{Code: "invalid_grant", Named: true}},
		"a token it gives itself": {`{"error":"invalid_grant","error_description":"not 123-456-789","access_token":"123-456-789"}`, Refusal{Code: "invalid_grant", Description: "not [removed]", Named: true}},
		"a URI":                   {`{"error":"invalid_grant","error_uri":"https://h/?t=abcdefgh_ij"}`, Refusal{Code: "invalid_grant", URI: "https://h/?t=[removed]", Named: true}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := ReadRefusal([]byte(tt.body), "abcdefgh_ij", "invalid_grant"); got != tt.want {
				t.Errorf("%+v, want %+v", got, tt.want)
			}
		})
	}
}
