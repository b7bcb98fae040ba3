package auth

import (
	"context"
	"fmt"
	"time"

	"github.com/mcptokens/mcptokens/internal/shown"
)

// LoginRequiredError says where a person can log in, or allow more. A call that
// waits for nobody gets it at once: show URL to the person whom the call is for,
// and to nobody else. The same error comes until the login is done, or URL gets
// old and another one takes its place. Calls that come after the login succeed,
// on every replica.
//
// It comes from a grant that does not wait for a person, such as that of package
// auth/weblogin.
type LoginRequiredError struct {
	// URL is where the person has to go. It is good until Expires. It is not in what
	// is printed, logged or encoded of the error.
	URL     string `json:"-"`
	Expires time.Time
	// Scopes are what the login asks for.
	Scopes []string
	// Resource is the MCP server's URL.
	Resource string
	// More: there is a token, which has fewer scopes. The person does not connect
	// to the resource, but allows more. The manager sets it.
	More bool
}

// Format makes every fmt verb print the error's text.
func (e LoginRequiredError) Format(f fmt.State, _ rune) { redact(f, e.Error()) }

// Error implements error. The text does not have the URL, which is for one person
// and not for logs.
func (e *LoginRequiredError) Error() string {
	what := "a person has to log in for "
	if e.More {
		what = "a person has to allow more for "
	}
	s := "auth: " + what + shown.Text(e.Resource)
	if len(e.Scopes) > 0 {
		s += fmt.Sprintf(" with scopes %q", shown.Words(e.Scopes))
	}
	return s + "; show them the URL of this error, which is good until " + e.Expires.UTC().Format(time.RFC3339)
}

type withoutUser struct{}

// WithoutUser returns a context for calls that nobody waits for, such as those of
// a background job. Where only a person helps they get
// *[ReauthorizationRequiredError] at once, with the scopes to ask for, and do not
// wait for a login that is under way. The next login asks for these scopes too.
func WithoutUser(ctx context.Context) context.Context {
	return context.WithValue(ctx, withoutUser{}, true)
}

func isWithoutUser(ctx context.Context) bool {
	without, _ := ctx.Value(withoutUser{}).(bool)
	return without
}
