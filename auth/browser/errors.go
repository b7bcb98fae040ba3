package browser

import "github.com/mcptokens/mcptokens/internal/errtext"

var (
	// ErrNoBrowser: no browser could be opened and there is no
	// [Loopback.Prompt] to fall back on. The cause is wrapped as well.
	ErrNoBrowser = errtext.New("browser: no browser could be opened")

	// ErrTimeout: the user did not finish within [Loopback.Timeout].
	ErrTimeout = errtext.New("browser: no answer from the user")

	// ErrPageShown: a [Headless] login met a page that wants a person.
	ErrPageShown = errtext.New("browser: the authorization server wants a person")
)

// failure is an error with a text of our own. The text of its cause is not
// repeated: the errors of an HTTP client or of a user's function may quote a
// URL, state and all.
type failure struct {
	text  string
	cause []error
}

func fail(text string, cause ...error) error { return &failure{text, cause} }

func (e *failure) Error() string   { return e.text }
func (e *failure) Unwrap() []error { return e.cause }

// SafeText implements errtext.Safe.
func (e *failure) SafeText() string { return e.text }
