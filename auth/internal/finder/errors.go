package finder

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/mcptokens/mcptokens/auth/discovery"
	"github.com/mcptokens/mcptokens/internal/errtext"
	"github.com/mcptokens/mcptokens/internal/httpx"
)

// ErrMoved says that the resource names another authorization server than the one that issued
// the credential.
var ErrMoved = errtext.New("auth: the resource has moved to another authorization server")

// MismatchError says that the client belongs to one authorization server and the resource
// names another (MCP 2026-07-28, "Authorization Server Binding").
type MismatchError struct {
	// Expected is the client's; Actual is the first that the resource names.
	Expected, Actual string
}

// Error implements error; the text holds no secret.
func (e *MismatchError) Error() string {
	return fmt.Sprintf("the client is registered with %s, but the resource's authorization server is %s; if that is right, register there and set Config.Client, with its Issuer",
		shown(e.Expected), shown(e.Actual))
}

type tried struct {
	issuer string
	err    error
}

// triedError says why none of several authorization servers can be used.
type triedError struct{ servers []tried }

// Error implements error; the text holds no secret.
func (e *triedError) Error() string {
	texts := make([]string, len(e.servers))
	for i, t := range e.servers {
		texts[i] = shown(t.issuer) + ": " + errtext.Text(t.err)
	}
	return "none of the authorization servers that the resource lists can be used: " + strings.Join(texts, "; ")
}

// Unwrap returns the errors, those first that go away by themselves: [errors.As] finds them, so
// that the whole is tried again.
func (e *triedError) Unwrap() []error {
	var soon, never []error
	for _, t := range e.servers {
		if passes(t.err) {
			soon = append(soon, t.err)
		} else {
			never = append(never, t.err)
		}
	}
	return append(soon, never...)
}

func passes(err error) bool {
	var de *discovery.Error
	return errors.As(err, &de) && de.Retryable()
}

// shown is a server's name without what a URL may hide in its query.
func shown(issuer string) string {
	return cmp.Or(httpx.ShownIssuer(issuer), "an invalid URL")
}
