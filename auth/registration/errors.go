package registration

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/mcptokens/mcptokens/internal/httpx"
	"github.com/mcptokens/mcptokens/internal/shown"
)

// Error says why a registration request failed.
type Error struct {
	// URL is the registration endpoint, without its query.
	URL string
	// Code is the error code of RFC 7591 section 3.2.2, empty if the server gave none or one
	// that is not a plain token.
	Code string
	// Description and URI are what the server says about it, cleaned for showing (no control,
	// bidirectional or zero-width characters, at most 300 characters). They may be empty. URI
	// was not validated: show it, do not open it.
	Description, URI string
	// StatusCode is the HTTP status; 0 if there was no answer.
	StatusCode int
	// RetryAfter is what the answer's Retry-After asks for; 0 if nothing.
	RetryAfter time.Duration
	// Hint says what to do about it, for people. It may be empty.
	Hint string
	// Err is the cause if there was no answer, or one that cannot be used; nil if the server
	// refused. It can be ErrMalformed, ErrTooLarge or ErrRedirect of package discovery, which
	// are the same values here.
	Err error `json:"-"`
}

// Error returns a text with what the server said in quotation marks.
func (e *Error) Error() string {
	s := "client registration failed"
	if e.URL != "" {
		s = "client registration at " + e.URL + " failed"
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	if e.Code != "" {
		s += ": " + shown.Text(e.Code)
	}
	if e.Description != "" {
		s += `: "` + shown.Text(e.Description) + `"`
	}
	if e.URI != "" {
		s += ` (see "` + shown.Text(e.URI) + `")`
	}
	if e.StatusCode != 0 {
		s += fmt.Sprintf(" (HTTP status %d)", e.StatusCode)
	}
	if e.Hint != "" {
		s += ": " + e.Hint
	}
	return s
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// Retryable reports whether the same registration may succeed later: the server answered 5xx,
// 429 or 408, or the request timed out or failed on the network. It is false when the caller's
// context was cancelled or the server's certificate is not trusted.
func (e *Error) Retryable() bool {
	if e.StatusCode >= 500 || e.StatusCode == http.StatusTooManyRequests || e.StatusCode == http.StatusRequestTimeout {
		return true
	}
	var transport *httpx.TransportError
	return errors.As(e.Err, &transport) && transport.Retryable()
}

// hint explains a refusal: the code if it is one of RFC 7591 section 3.2.2, else the status.
func hint(code string, status int) string {
	switch code {
	case "invalid_redirect_uri":
		return `the server does not take these redirect URIs: set Host of browser.Loopback to "localhost", which some take alone, ` +
			`or use https URLs with application_type "web", or a scheme of your own with "native"`
	case "invalid_client_metadata":
		return "the server does not take the metadata: compare grant types, scopes and token endpoint authentication " +
			"method with what its own metadata lists"
	case "invalid_software_statement", "unapproved_software_statement":
		return "the server wants a software statement it trusts: register the client with its operator and set Config.Client.ID"
	}
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return "registration is closed or needs an initial access token: register the client with the server's " +
			"operator and set Config.Client.ID"
	case status == http.StatusNotFound || status == http.StatusMethodNotAllowed || status == http.StatusNotImplemented:
		return "the server has no dynamic registration there: register a client with its operator and set Config.Client.ID, " +
			"or set Config.ClientMetadataURL if the server supports client ID metadata documents"
	case status >= 300 && status < 400:
		return "the server's metadata, or Config.Server.RegistrationEndpoint, has to name the final URL"
	}
	return ""
}
