package browser

import (
	"errors"
	"fmt"
	"time"

	"github.com/mcptokens/mcptokens/internal/errtext"
)

var (
	// ErrNoBrowser: no browser could be opened, and there was no other way to
	// reach the user: no [Loopback.Prompt], no [Loopback.Ask] and no terminal.
	// The cause is wrapped as well.
	ErrNoBrowser error = unreachable{"no_browser", "browser: no browser could be opened"}

	// ErrNoTerminal: a [Paste] without Ask found no terminal to ask on.
	ErrNoTerminal error = unreachable{"no_terminal", "browser: no terminal to ask on"}

	// ErrTimeout: the user did not finish within [Loopback.Timeout] or
	// [Paste.Timeout].
	ErrTimeout error = timeout("browser: no answer from the user")

	// ErrPageShown: a [Headless] login met a page that wants a person.
	ErrPageShown = errors.New("browser: the authorization server wants a person")
)

// unreachable: there is no way to the user.
type unreachable struct{ kind, text string }

func (e unreachable) Error() string { return e.text }

// ErrorType is the attribute error.type of spans; see package otelauth.
func (e unreachable) ErrorType() string { return e.kind }

// timeout says by its method what net.Error does: the manager has to know it too.
type timeout string

func (t timeout) Error() string { return string(t) }
func (timeout) Timeout() bool   { return true }

// failure is an error with a text of our own. The text of its cause is not
// repeated: the errors of an HTTP client, or of a function that was given the
// URL to open, may quote it, state and all.
type failure struct {
	text  string
	cause []error
}

func fail(text string, cause ...error) error { return &failure{text, cause} }

func (e *failure) Error() string   { return e.text }
func (e *failure) Unwrap() []error { return e.cause }

// noBrowser reports that Open failed. Its text is read by users: what a program
// could set stands at ErrNoBrowser. The text of err may quote the URL and is
// left out.
func noBrowser(err error) error {
	return fail(ErrNoBrowser.Error()+", and there is no terminal to show the address on: run the program in a terminal, or on a computer with a browser",
		errors.Join(ErrNoBrowser, err))
}

func errNoState() error {
	return fail("browser: Visit needs a state: without one any page could answer")
}

func givenUp(err error) error {
	return fail("browser: the login was given up: "+errtext.Describe(err), err)
}

func tooLate(timeout time.Duration) error {
	return fail(fmt.Sprintf("%v within %v", ErrTimeout, timeout), ErrTimeout)
}
