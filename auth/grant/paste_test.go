package grant_test

import (
	"context"
	"errors"
	"io"
	"net/url"
	"testing"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/browser"
)

// A user who pastes a code alone is asked for the rest where the server sends
// iss. A wrong iss is for nobody to repair.
func TestPastedAnswers(t *testing.T) {
	for name, tc := range map[string]struct {
		issSent bool
		iss     string // in the second answer; empty: there is none
		asked   int
		err     error
	}{
		"code alone":         {false, "", 1, nil},
		"server sends iss":   {true, asIssuer, 2, nil},
		"iss of a stranger":  {true, "https://evil.example", 2, auth.ErrIssuerParameter},
		"user knows no more": {true, "", 2, io.EOF},
	} {
		t.Run(name, func(t *testing.T) {
			n, asked := network{asToken: says(bearer("a1", ""))}, 0
			user := browser.Paste{Ask: func(_ context.Context, q browser.Question) (string, error) {
				asked++
				target, err := url.Parse(q.URL)
				switch {
				case err != nil || q.Problem == "" != (asked == 1):
					t.Errorf("question %d: %+v", asked, q)
				case asked == 1:
					return "the-code", nil
				case tc.iss != "":
					return q.RedirectURI + "?code=the-code&state=" + target.Query().Get("state") + "&iss=" + tc.iss, nil
				}
				return "", io.EOF
			}}
			m := start(t, codeConfig(n, user, func(s *auth.Server) { s.AuthorizationResponseIssParameterSupported = tc.issSent }))
			if _, err := m.Authorize(t.Context()); !errors.Is(err, tc.err) {
				t.Errorf("Authorize: %v, want %v", err, tc.err)
			}
			if asked != tc.asked {
				t.Errorf("asked %d times, want %d", asked, tc.asked)
			}
		})
	}
}
