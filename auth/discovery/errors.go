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

	// ErrMalformed: the document is not a JSON object, or a member that decides something is
	// missing, unreadable or ambiguous.
	ErrMalformed = httpx.ErrMalformed
)

// Error is the error of every method of Client.
type Error struct {
	Op         string        // what was looked for, as "authorization server metadata"
	URL        string        // where, without query; empty if no request was made
	StatusCode int           // HTTP status of the answer; 0 if there was none
	RetryAfter time.Duration // what the answer's Retry-After asks for; 0 if nothing
	Err        error         `json:"-"` // why: one of the sentinels of this package, or a failed request
	Tried      []Attempt     `json:"-"` // every place that was looked at, in order, this one included
}

// Attempt is a place that was looked at for a document, and why there was none.
type Attempt struct {
	URL        string // without query; of an address that may not be requested at most the origin, or empty
	StatusCode int    // HTTP status of the answer; 0 if there was none
	Err        error  `json:"-"`
}

func (a Attempt) text() string {
	s := a.URL
	if s == "" {
		s = "an address that is not a URL"
	}
	if a.Err != nil {
		s += ": " + a.Err.Error()
	}
	if a.StatusCode != 0 && a.StatusCode != http.StatusOK {
		s += fmt.Sprintf(" (HTTP status %d)", a.StatusCode)
	}
	return s
}

// Error returns a text without anything secret. Of the server's words it has at most the issuer
// or the resource that a document names and the scheme and host of a URL that was refused, both cleaned. If
// several places were looked at it lists them all.
func (e *Error) Error() string {
	s := "discovery: " + e.Op
	if e.URL != "" {
		s += " at " + e.URL
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	if e.StatusCode != 0 && e.StatusCode != http.StatusOK {
		s += fmt.Sprintf(" (HTTP status %d)", e.StatusCode)
	}
	if advice := e.advice(); advice != "" {
		s += ": " + advice
	}
	others := "; also looked at "
	for _, a := range e.Tried {
		if a.URL != e.URL || a.Err != e.Err {
			s += others + a.text()
			others = ", "
		}
	}
	return s
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// advice is what to do about an error whose cause does not say it.
func (e *Error) advice() string {
	switch {
	case e.Op != opAuthorizationServer && e.Op != opProtectedResource:
		return ""
	case errors.Is(e.Err, ErrIssuerMismatch), errors.Is(e.Err, ErrResourceMismatch), errors.Is(e.Err, ErrInsecureURL):
		return "" // they say it
	case e.Op == opAuthorizationServer && errors.Is(e.Err, ErrNotFound):
		return "check the issuer; if the server publishes none, set its endpoints in Config.Server"
	case errors.Is(e.Err, ErrNotFound), errors.Is(e.Err, ErrMalformed), errors.Is(e.Err, ErrTooLarge), errors.Is(e.Err, ErrRedirect):
		return "the server's operator has to fix it; until then set Config.Server"
	}
	return ""
}

// Retryable reports whether the same call may succeed later: the server answered 5xx, 429 or
// 408, or a request timed out or failed on the network. It is false when the caller's context
// was cancelled or the server's certificate is not trusted.
func (e *Error) Retryable() bool {
	if retryableStatus(e.StatusCode) {
		return true
	}
	var transport *httpx.TransportError
	return errors.As(e.Err, &transport) && transport.Retryable()
}

func retryableStatus(status int) bool {
	return status >= 500 || status == http.StatusTooManyRequests || status == http.StatusRequestTimeout
}
