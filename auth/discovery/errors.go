package discovery

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/mcptokens/mcptokens/internal/httpx"
)

// What an Error can be, for errors.Is.
var (
	// ErrNotFound: no document at any of the URLs tried. They answered with a client error
	// such as 404 or with a web page.
	ErrNotFound = errors.New("no metadata document")

	// ErrIssuerMismatch: the document speaks for another issuer than the one asked for
	// (RFC 8414 section 3.3).
	ErrIssuerMismatch = errors.New("issuer mismatch")

	// ErrResourceMismatch: the document speaks for another resource than the MCP server
	// (RFC 9728 section 3.3).
	ErrResourceMismatch = errors.New("resource mismatch")

	// ErrInsecureURL: a URL, given or found in a document, is not one that requests may be
	// sent to. The error names the field and the rule.
	ErrInsecureURL = httpx.ErrInsecureURL

	// ErrTooLarge: the document exceeds 1 MiB.
	ErrTooLarge = httpx.ErrTooLarge

	// ErrRedirect: a redirect left the origin, or there were more than five.
	ErrRedirect = httpx.ErrRedirect

	// ErrMalformed: the document is not a JSON object, a required member is missing, or one
	// has the wrong type.
	ErrMalformed = httpx.ErrMalformed
)

// Error is the error of every method of Client.
type Error struct {
	Op         string        // what was looked for, as "authorization server metadata"
	URL        string        // where, without query; empty if no request was made
	Status     int           // HTTP status of the answer; 0 if there was none
	RetryAfter time.Duration // what the answer's Retry-After asks for; 0 if nothing
	Err        error         `json:"-"` // why: one of the sentinels of this package, or a failed request
}

// Error returns a text without anything secret and without text from the server other than
// the scheme and host of a URL that was refused.
func (e *Error) Error() string {
	s := "discovery: " + e.Op
	if e.URL != "" {
		s += " at " + e.URL
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	if e.Status != 0 && e.Status != http.StatusOK {
		s += fmt.Sprintf(" (HTTP status %d)", e.Status)
	}
	return s
}

// SafeText is Error: it quotes nobody.
func (e *Error) SafeText() string { return e.Error() }

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// Temporary reports whether the same call may succeed later: the server answered 5xx, 429 or
// 408, or a request timed out or failed on the network. It is false when the caller's context
// was cancelled or the server's certificate is not trusted.
func (e *Error) Temporary() bool {
	if temporaryStatus(e.Status) {
		return true
	}
	var transport *httpx.TransportError
	return errors.As(e.Err, &transport) && transport.Temporary()
}

func temporaryStatus(status int) bool {
	return status >= 500 || status == http.StatusTooManyRequests || status == http.StatusRequestTimeout
}
