package browser

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/mcptokens/mcptokens/auth"
)

// The person in front of the page reads what happened, in no words of OAuth and
// none of the error's.
func TestPlainReason(t *testing.T) {
	refused := func(code string) error { return &auth.AuthorizationError{Issuer: "https://as.example", Code: code} }
	discarded := func(err error) error { return &auth.AuthorizationError{Issuer: "https://as.example", Err: err} }
	for name, tc := range map[string]struct {
		err  error
		want string
	}{
		"denied":              {refused("access_denied"), "Access was denied."},
		"wrapped":             {fmt.Errorf("login: %w", refused("access_denied")), "Access was denied."},
		"server's fault":      {refused("server_error"), "Try again later."},
		"busy":                {refused("temporarily_unavailable"), "Try again later."},
		"needs a person":      {refused("login_required"), "needs you to sign in"},
		"scopes":              {refused("invalid_scope"), "the access that the application asked for"},
		"the program's fault": {refused("unauthorized_client"), "Tell the people who run the application."},
		"a code of its own":   {refused("x-odd"), "Tell the people who run the application."},
		"mix-up":              {discarded(auth.ErrIssuerParameter), "did not come from the server that you were sent to"},
		"no code":             {discarded(auth.ErrMissingCode), "incomplete"},
		"too late":            {discarded(fail("x", ErrTimeout)), "not finished in time"},
		"canceled":            {discarded(context.Canceled), "The application ended the sign-in."},
		"deadline":            {discarded(context.DeadlineExceeded), "stopped waiting"},
		"token refused":       {&auth.TokenError{Code: "invalid_client", StatusCode: 401}, "You signed in, but then the server "},
		"token endpoint down": {&auth.TokenError{StatusCode: 503}, "You signed in, but then the server had a problem"},
		"no connection":       {&auth.TokenError{Err: errors.New("dial secret-text")}, "could not be reached"},
		"anything":            {errors.New("secret-text"), "could not be finished"},
	} {
		t.Run(name, func(t *testing.T) {
			got := plainReason(tc.err)
			wantIn(t, got, tc.want)
			wantNotIn(t, got, "auth:", "browser:", "secret-text", "as.example", "token", "_")
			if !strings.HasSuffix(got, ".") {
				t.Errorf("%q is no sentence", got)
			}
		})
	}
}
