package registration

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/mcptokens/mcptokens/internal/httpx"
)

// Error says why a registration request failed.
type Error struct {
	// Code is the error code of RFC 7591 section 3.2.2, empty if the server gave none or one
	// that is not a plain token.
	Code string
	// Status is the HTTP status; 0 if there was no answer.
	Status int
	// RetryAfter is what the answer's Retry-After asks for; 0 if nothing.
	RetryAfter time.Duration
	// Hint says what to do about it, for people. It may be empty.
	Hint string
	// Err is the cause if there was no answer, or one that cannot be used; nil if the server
	// refused. It can be ErrMalformed, ErrTooLarge or ErrRedirect of package discovery, which
	// are the same values here.
	Err error `json:"-"`
}

// Error returns a text without anything secret and without the server's own words.
func (e *Error) Error() string {
	s := "client registration failed"
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	if e.Code != "" {
		s += ": " + e.Code
	}
	if e.Status != 0 {
		s += fmt.Sprintf(" (HTTP status %d)", e.Status)
	}
	if e.Hint != "" {
		s += ": " + e.Hint
	}
	return s
}

// SafeText is Error: it quotes nobody.
func (e *Error) SafeText() string { return e.Error() }

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// Temporary reports whether the same registration may succeed later: the server answered 5xx,
// 429 or 408, or the request timed out or failed on the network. It is false when the caller's
// context was cancelled or the server's certificate is not trusted.
func (e *Error) Temporary() bool {
	if e.Status >= 500 || e.Status == http.StatusTooManyRequests || e.Status == http.StatusRequestTimeout {
		return true
	}
	var transport *httpx.TransportError
	return errors.As(e.Err, &transport) && transport.Temporary()
}

// hint explains a refusal: the code if it is one of RFC 7591 section 3.2.2, else the status.
func hint(code string, status int) string {
	switch code {
	case "invalid_redirect_uri":
		return `the server does not take these redirect URIs: use https URLs with application_type "web", ` +
			`or http://127.0.0.1 or a scheme of your own with "native"`
	case "invalid_client_metadata":
		return "the server does not take the metadata: compare grant types, scopes and token endpoint authentication " +
			"method with what its own metadata lists"
	case "invalid_software_statement", "unapproved_software_statement":
		return "the server wants a software statement it trusts: register the client with its operator and configure the client ID"
	}
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return "registration is closed or needs an initial access token: register the client with the server's " +
			"operator and configure the client ID"
	case status == http.StatusNotFound || status == http.StatusMethodNotAllowed || status == http.StatusNotImplemented:
		return "the server has no dynamic registration there: configure a client ID, or a Client ID Metadata Document " +
			"if the server supports those"
	case status >= 300 && status < 400:
		return "registration requests are not redirected: the server's metadata has to name the final URL"
	}
	return ""
}
