package auth

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/mcptokens/mcptokens/internal/errtext"
)

// The causes in the errors below are for errors.Is and errors.As. They may quote
// foreign text, so no Error method does it for them, and encoding/json, which
// takes logged structs apart, leaves them out.

// ErrNoToken says that there is no token yet, or none any more: send the
// request without one and resolve the server's challenge.
var ErrNoToken = errtext.New("auth: no token")

// ErrClosed is returned by every method of a closed [Manager].
var ErrClosed = errtext.New("auth: manager is closed")

// ErrNoRefreshToken is why [Manager.Refresh] cannot refresh: the authorization
// server gave no refresh token and the grant needs a person.
var ErrNoRefreshToken = errtext.New("auth: no refresh token")

// ConfigError is a mistake in a [Config] or in an argument. It names the field
// and says what to do.
type ConfigError struct {
	Field, Problem string
}

// Error implements error; the text holds no secret.
func (e *ConfigError) Error() string { return "auth: " + e.Field + ": " + e.Problem }

// TokenError is a failed request to a token endpoint: either the
// authorization server refused it (Code is set, RFC 6749 section 5.2) or no
// usable answer came. Its text never quotes what the server sent.
type TokenError struct {
	// Code is the RFC 6749 error code that the server sent, such as
	// "invalid_grant"; empty when the answer was none of RFC 6749.
	Code string
	// StatusCode is the HTTP status; 0 when no answer came.
	StatusCode int
	// Issuer is the authorization server's identifier, or its token endpoint,
	// without a query, when the issuer is not known.
	Issuer string
	// GrantType is the grant_type of the request.
	GrantType string
	// RetryAfter is what the server asked for (RFC 9110 section 10.2.3), at
	// most [MaxRetryAfter]; 0 when it did not ask.
	RetryAfter time.Duration
	// NextAttempt is when the manager will try again; until then it answers
	// with this error and sends nothing. Zero: not by itself.
	NextAttempt time.Time
	// Err is the cause when no usable answer came. It is for errors.Is and
	// errors.As and may quote foreign text: do not log it.
	Err error `json:"-"`

	class retryClass
}

// Error implements error; the text holds no secret.
func (e *TokenError) Error() string {
	var b strings.Builder
	b.WriteString("auth: token request")
	if e.GrantType != "" {
		b.WriteString(" (" + shortGrant(e.GrantType) + ")")
	}
	if e.Issuer != "" {
		b.WriteString(" to " + e.Issuer)
	}
	b.WriteString(": ")
	switch {
	case e.Code != "":
		b.WriteString("refused with " + e.Code)
	case e.Err != nil && e.StatusCode == 0:
		b.WriteString(safeCause(e.Err))
	case e.Err != nil:
		fmt.Fprintf(&b, "HTTP %d: %s", e.StatusCode, safeCause(e.Err))
	default:
		fmt.Fprintf(&b, "HTTP %d", e.StatusCode)
	}
	if e.class == classAmbiguous {
		b.WriteString(" (the request may have been processed)")
	}
	if !e.NextAttempt.IsZero() {
		b.WriteString("; next attempt at " + e.NextAttempt.UTC().Format(time.RFC3339))
	}
	return b.String()
}

// Unwrap returns the cause, for errors.Is and errors.As.
func (e *TokenError) Unwrap() error { return e.Err }

// Retryable reports whether the same request can succeed later: false for the
// error codes of RFC 6749 section 5.2 other than temporarily_unavailable and
// server_error.
func (e *TokenError) Retryable() bool { return e.class != classPermanent }

// AuthorizationError is an authorization request that the user or the
// authorization server refused (RFC 6749 section 4.1.2.1), or a response to
// one that must not be trusted.
type AuthorizationError struct {
	// Code is the error code of the response, such as "access_denied". For a
	// response that was discarded it is empty.
	Code string
	// Issuer is the authorization server's identifier.
	Issuer string
	// Err says what was wrong with a discarded response, or what kept the
	// authorization from happening.
	Err error `json:"-"`
}

// Error implements error; the text holds no secret.
func (e *AuthorizationError) Error() string {
	s := "auth: authorization"
	if e.Issuer != "" {
		s += " at " + e.Issuer
	}
	if e.Code != "" {
		return s + ": refused with " + e.Code
	}
	if e.Err != nil {
		return s + ": " + safeCause(e.Err)
	}
	return s + " failed"
}

// Unwrap returns the cause, for errors.Is and errors.As.
func (e *AuthorizationError) Unwrap() error { return e.Err }

// Reasons to discard an authorization response, found in
// [AuthorizationError.Err].
var (
	// ErrIssuerParameter: the iss parameter is missing or is not the issuer
	// that the request went to (RFC 9207 section 2.4).
	ErrIssuerParameter = errtext.New("auth: the response's iss is not the expected issuer")
	// ErrNoPKCE: the server's metadata does not list S256 in
	// code_challenge_methods_supported.
	ErrNoPKCE = errtext.New("auth: the authorization server does not support PKCE with S256")
	// ErrMissingCode: the response carries neither a code nor an error.
	ErrMissingCode = errtext.New("auth: the response has no code")
)

// ReauthorizationRequiredError says that only a new authorization helps, and
// that no grant is configured that could do it. Scopes is all that it has to
// ask for: what was granted or asked for before, and what is needed now.
type ReauthorizationRequiredError struct {
	Scopes   []string
	Issuer   string
	Resource string
	// Err is why: [ErrNoToken], or the *[TokenError] that ended the last
	// refresh token.
	Err error `json:"-"`
}

// Error implements error; the text holds no secret.
func (e *ReauthorizationRequiredError) Error() string {
	s := "auth: authorization required for " + e.Resource
	if len(e.Scopes) > 0 {
		s += " with scopes " + fmt.Sprintf("%q", joinScopes(e.Scopes))
	}
	s += "; configure a Grant or call SetToken"
	if e.Err != nil {
		s += ": " + safeCause(e.Err)
	}
	return s
}

// Unwrap returns the cause, for errors.Is and errors.As.
func (e *ReauthorizationRequiredError) Unwrap() error { return e.Err }

// InsufficientScopeError says that the server goes on asking for scopes after
// as many upgrades as are allowed, or that it asks for none that could be
// named. Until RetryAt the same challenge gets this error at once.
type InsufficientScopeError struct {
	// Required is what the challenge asked for; Granted what the token has.
	Required, Granted []string
	Resource          string
	Operation         string
	// Attempts is how many upgrades were tried.
	Attempts int
	RetryAt  time.Time
	// Err is why the last upgrade failed; nil when it succeeded and did not
	// satisfy the server.
	Err error `json:"-"`
}

// Error implements error; the text holds no secret.
func (e *InsufficientScopeError) Error() string {
	s := "auth: insufficient scope at " + e.Resource
	if len(e.Required) > 0 {
		s += fmt.Sprintf(": it requires %q", joinScopes(e.Required))
	} else {
		s += ": it does not say which scopes it requires"
	}
	if e.Attempts > 0 {
		s += fmt.Sprintf("; gave up after %d upgrade(s)", e.Attempts)
	}
	if e.Err != nil {
		s += ": " + safeCause(e.Err)
	}
	return s
}

// Unwrap returns the cause, for errors.Is and errors.As.
func (e *InsufficientScopeError) Unwrap() error { return e.Err }

// RejectedError says that the server keeps rejecting tokens that are fresh
// from the authorization server, which another one would not change: its
// audience, its keys or its clock are wrong. Until RetryAt no further token is
// asked for.
type RejectedError struct {
	Resource   string
	Rejections int
	RetryAt    time.Time
}

// Error implements error; the text holds no secret.
func (e *RejectedError) Error() string {
	return fmt.Sprintf("auth: %s rejected %d fresh tokens in a row; next attempt at %s",
		e.Resource, e.Rejections, e.RetryAt.UTC().Format(time.RFC3339))
}

// StoreError is a failed operation of the configured [Store]. Tokens in use go
// on being used; see [Info.Unsaved].
type StoreError struct {
	// Op is "lock", "load", "probe", "save" or "delete".
	Op  string
	Err error `json:"-"`
}

// Error implements error; the text holds no secret.
func (e *StoreError) Error() string { return "auth: store: " + e.Op + ": " + safeCause(e.Err) }

// Unwrap returns the cause, for errors.Is and errors.As.
func (e *StoreError) Unwrap() error { return e.Err }

// IssuerError says that credentials belong to one authorization server and
// would have been sent to another (MCP 2026-07-28, client registration,
// "Authorization Server Binding").
type IssuerError struct {
	// Expected issued the credentials; Actual is what the resource names now.
	Expected, Actual string
}

// Error implements error; the text holds no secret.
func (e *IssuerError) Error() string {
	return fmt.Sprintf("auth: Client is registered with %s, but the resource's authorization server is %s; register there and configure that client",
		e.Expected, e.Actual)
}

// shortGrant keeps the last word of a URN grant type.
func shortGrant(s string) string { return s[strings.LastIndexByte(s, ':')+1:] }

// safeCause is what may be said of an error's cause: the text of an error that
// this module made, or a description of one that it did not, whose own text
// may quote a secret.
func safeCause(err error) string { return strings.TrimPrefix(errtext.Describe(err), "auth: ") }

// shownURL is what may be said of a URL: its query may hold a key, and one that
// nobody has checked yet a password.
func shownURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "(not a URL)"
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}).String()
}

// SafeText is Error: it holds no secret.
func (e *ConfigError) SafeText() string { return e.Error() }

// SafeText is Error: it holds no secret.
func (e *TokenError) SafeText() string { return e.Error() }

// SafeText is Error: it holds no secret.
func (e *AuthorizationError) SafeText() string { return e.Error() }

// SafeText is Error: it holds no secret.
func (e *ReauthorizationRequiredError) SafeText() string { return e.Error() }

// SafeText is Error: it holds no secret.
func (e *InsufficientScopeError) SafeText() string { return e.Error() }

// SafeText is Error: it holds no secret.
func (e *RejectedError) SafeText() string { return e.Error() }

// SafeText is Error: it holds no secret.
func (e *StoreError) SafeText() string { return e.Error() }

// SafeText is Error: it holds no secret.
func (e *IssuerError) SafeText() string { return e.Error() }
