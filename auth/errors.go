package auth

import (
	"errors"
	"fmt"
	"time"

	"github.com/mcptokens/mcptokens/auth/internal/finder"
	"github.com/mcptokens/mcptokens/auth/internal/lifecycle"
	"github.com/mcptokens/mcptokens/internal/shown"
)

// The text of every error may be shown. What net/http said is not quoted in it;
// names that a server chose, and what the program's own store, grant or callback
// says, are cleaned and bounded. The fields have them as they are. The causes are
// for errors.Is and errors.As; encoding/json, which takes logged structs apart,
// leaves them out.

// What [errors.Is] finds.
var (
	// ErrNoToken says that there is no token yet, or no longer one: send the
	// request without one and resolve the server's challenge.
	ErrNoToken = errors.New("auth: no token")
	// ErrClosed is returned by every method of a closed [Manager].
	ErrClosed = errors.New("auth: manager is closed")
	// ErrNoRefreshToken is why [Manager.Refresh] cannot refresh: the authorization
	// server gave no refresh token and the grant needs a person.
	ErrNoRefreshToken = errors.New("auth: no refresh token")
	// ErrNoRevocation is what [Manager.Revoke] returns when the authorization server
	// has no revocation endpoint: the token is forgotten here, and lives on there.
	ErrNoRevocation = errors.New("auth: the authorization server has no revocation endpoint; the token was forgotten, and lives on until it expires")
	// ErrScopeNotSeen is why there is no second login for a scope that was granted a
	// moment ago: it would grant the same. It is found in [InsufficientScopeError.Err].
	ErrScopeNotSeen = errors.New("auth: the authorization server granted these scopes a moment ago, and the resource does not see them; " +
		"fix the resource: check where it reads a token's scopes, and that it is the token's audience")
	// ErrOtherLogin is why [Manager.FinishLogin] does not go on with a login: it was
	// begun for another subject, resource or client.
	ErrOtherLogin = errors.New("auth: the login was begun for another subject, resource or client")
	// ErrLoginExpired is why a login cannot be finished: it takes ten minutes at most.
	ErrLoginExpired = errors.New("auth: the login took longer than ten minutes; begin another one")
	// ErrNonce says that a server refuses every proof because of its nonce, although
	// that is the last one it gave, or it gives none (RFC 9449 section 9). A new
	// token would not help.
	ErrNonce = errors.New("auth: the server refuses the DPoP nonces that it gives")

	// Reasons to discard an authorization response, found in
	// [AuthorizationError.Err].

	// ErrIssuerParameter: the iss parameter is missing or is not the issuer
	// that the request went to (RFC 9207 section 2.4).
	ErrIssuerParameter = errors.New("auth: the response's iss is not the expected issuer")
	// ErrNoPKCE: the server's metadata does not list S256 in
	// code_challenge_methods_supported.
	ErrNoPKCE = errors.New("auth: the authorization server does not support PKCE with S256, or does not say so; if it does, set Config.Server to its Issuer with CodeChallengeMethodsSupported [\"S256\"]")
	// ErrState: the response does not have the state of the request (RFC 6749 section
	// 10.12).
	ErrState = errors.New("auth: the response's state is not that of the request")
	// ErrMissingCode: the response carries neither a code nor an error.
	ErrMissingCode = errors.New("auth: the response has no code")
)

// errMoved says that the resource names another authorization server now.
var errMoved = finder.ErrMoved

// errNotStored is why a token is unsaved before its save has failed here.
var errNotStored = errors.New("auth: not stored yet")

// ConfigError is a mistake in a [Config] or in an argument. It names the field
// and says what to do.
type ConfigError struct {
	Field, Problem string
}

// Error implements error; the text holds no secret.
func (e *ConfigError) Error() string { return "auth: " + e.Field + ": " + e.Problem }

// TokenError is a failed request to a token endpoint: either the
// authorization server refused it (Code is set, RFC 6749 section 5.2) or no
// usable answer came. What the server says stands in its text in quotation
// marks, without the secrets that were sent.
type TokenError struct {
	// Code is the RFC 6749 error code that the server sent, such as
	// "invalid_grant"; empty when the answer was none of RFC 6749.
	Code string
	// Description and URI are what the server said about it, for people:
	// cleaned, without the secrets that were sent, at most 300 characters.
	Description, URI string
	// StatusCode is the HTTP status; 0 when no answer came.
	StatusCode int
	// Issuer is the authorization server's identifier, or its token endpoint,
	// without a query, when the issuer is not known.
	Issuer string
	// GrantType is the grant_type of the request, or what a grant calls a request
	// without one: [Post.Name].
	GrantType string
	// RetryAfter is what the server asked for (RFC 9110 section 10.2.3), at
	// most 5 minutes; 0 when it did not ask.
	RetryAfter time.Duration
	// NextAttempt is when the manager will try again; until then it answers
	// with this error and sends nothing. Zero: not by itself.
	NextAttempt time.Time
	// Err is the cause when no usable answer came.
	Err error `json:"-"`

	class lifecycle.Class
	// named: the answer names a cause in its own words. unclear: it refuses
	// without a word.
	named, unclear bool
	set            string // what to set, if the client's authentication is to blame
}

// Error implements error; the text holds no secret.
func (e *TokenError) Error() string {
	s := "auth: " + e.request()
	if e.Issuer != "" {
		s += " to " + shown.Text(e.Issuer)
	}
	s += ": "
	switch {
	case e.Code != "":
		s += "refused with " + shown.Text(e.Code)
	case e.Err != nil && e.StatusCode == 0:
		s += safeCause(e.Err)
	case e.Err != nil:
		s += fmt.Sprintf("HTTP %d: %s", e.StatusCode, safeCause(e.Err))
	default:
		s += fmt.Sprintf("HTTP %d", e.StatusCode)
	}
	if e.Description != "" {
		s += ": the server says \"" + shown.Text(e.Description) + "\""
	}
	if e.URI != "" {
		s += ", see \"" + shown.Text(e.URI) + "\""
	}
	if advice := e.advice(); advice != "" {
		s += ": " + shown.Text(advice)
	}
	if e.class == lifecycle.Ambiguous {
		s += " (the request may have been processed)"
	}
	if !e.NextAttempt.IsZero() {
		s += "; next attempt at " + e.NextAttempt.UTC().Format(time.RFC3339)
	}
	return s
}

// Unwrap returns the cause, for errors.Is and errors.As.
func (e *TokenError) Unwrap() error { return e.Err }

// Retryable reports whether the same request can succeed later: false for the
// error codes of RFC 6749 section 5.2 other than temporarily_unavailable and
// server_error.
func (e *TokenError) Retryable() bool { return e.class.Passes() }

// AuthorizationError is an authorization request that the user or the
// authorization server refused (RFC 6749 section 4.1.2.1), or a response to
// one that must not be trusted.
type AuthorizationError struct {
	// Code is the error code of the response, such as "access_denied". For a
	// response that was discarded it is empty.
	Code string
	// Description and URI are what the server said about it, for people:
	// cleaned, without secrets that it was sent, at most 300 characters each. URI
	// was not validated; show it, do not open it.
	Description, URI string
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
		s += " at " + shown.Text(e.Issuer)
	}
	switch {
	case e.Code == "" && e.Err == nil:
		return s + " failed"
	case e.Code != "":
		s += ": refused with " + shown.Text(e.Code)
	}
	if e.Description != "" {
		s += ": the server says \"" + shown.Text(e.Description) + "\""
	}
	if e.URI != "" {
		s += ", see \"" + shown.Text(e.URI) + "\""
	}
	if e.Err != nil {
		s += ": " + safeCause(e.Err)
	} else if advice := (&TokenError{Code: e.Code}).advice(); advice != "" {
		s += ": " + advice
	}
	return s
}

// Unwrap returns the cause, for errors.Is and errors.As.
func (e *AuthorizationError) Unwrap() error { return e.Err }

// ReauthorizationRequiredError says that only a new authorization helps, and
// that no grant is configured that could do it, or that the call came with
// [WithoutUser]. Scopes is all that it has to ask for: what was granted or asked
// for before, and what is needed now.
//
// With a NextAttempt there is a grant, and the user was asked too often: after five
// logins within an hour that no call of the program asked for by name there are
// pauses, which grow, and there are at most 10 within an hour and 20 within a
// day. A server that asks for other scopes each time would open browser windows
// without end. [Manager.Authorize] and [Manager.UpgradeScopes] are not limited:
// call one when the user wants to go on.
type ReauthorizationRequiredError struct {
	Scopes   []string
	Issuer   string
	Resource string
	// NextAttempt is when the next login may begin by itself, or the next refresh
	// where the server refused one without a word; zero: none does.
	NextAttempt time.Time
	// More: there is a token, which lacks scopes. The person does not log in
	// again, but allows more.
	More bool
	// Err is why: [ErrNoToken], or the *[TokenError] that ended the last
	// refresh token. It is nil if More.
	Err error `json:"-"`

	nobody bool // the call came with WithoutUser
}

// Error implements error; the text holds no secret.
func (e *ReauthorizationRequiredError) Error() string {
	s := "auth: authorization required for " + shown.Text(e.Resource)
	if e.More {
		s = "auth: a person has to allow more for " + shown.Text(e.Resource)
	}
	if len(e.Scopes) > 0 {
		s += " with scopes " + fmt.Sprintf("%q", shown.Words(e.Scopes))
	}
	switch {
	case e.nobody:
		s += "; this call came with auth.WithoutUser: make one that comes from the person"
	case e.NextAttempt.IsZero():
		s += "; configure a Grant or call SetToken"
	default:
		s += "; the user was asked too often: call Authorize or UpgradeScopes if they want to go on, the next login by itself is at " + e.NextAttempt.UTC().Format(time.RFC3339)
	}
	if e.Err != nil {
		s += ": " + safeCause(e.Err)
	}
	return s
}

// Unwrap returns the cause, for errors.Is and errors.As.
func (e *ReauthorizationRequiredError) Unwrap() error { return e.Err }

// InsufficientScopeError says that the server goes on asking for scopes after
// as many upgrades as are allowed, or that it asks for none that could be
// named. Until NextAttempt the same challenge gets this error at once.
type InsufficientScopeError struct {
	// Required is what the challenge asked for; Granted what the token has.
	Required, Granted []string
	Resource          string
	Operation         string
	// Attempts is how many upgrades were tried.
	Attempts    int
	NextAttempt time.Time
	// Err is why the last upgrade failed; nil when it succeeded and did not
	// satisfy the server.
	Err error `json:"-"`
}

// Error implements error; the text holds no secret.
func (e *InsufficientScopeError) Error() string {
	s := "auth: insufficient scope at " + shown.Text(e.Resource)
	if len(e.Required) > 0 {
		s += fmt.Sprintf(": it requires %q", shown.Words(e.Required))
	} else {
		s += ": it does not say which scopes it requires"
	}
	if e.Attempts > 0 {
		s += fmt.Sprintf("; gave up after %d upgrade(s)", e.Attempts)
	}
	if !e.NextAttempt.IsZero() {
		s += "; next attempt at " + e.NextAttempt.UTC().Format(time.RFC3339)
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
// audience, its keys or its clock are wrong. Until NextAttempt no further token is
// asked for.
type RejectedError struct {
	Resource string
	// Operation is what was rejected with a token that is accepted elsewhere,
	// or has replaced one that was: other requests go on. Empty: everything is
	// rejected.
	Operation   string
	Rejections  int
	NextAttempt time.Time
}

// Error implements error; the text holds no secret.
func (e *RejectedError) Error() string {
	at := e.NextAttempt.UTC().Format(time.RFC3339)
	if e.Operation != "" {
		return fmt.Sprintf("auth: %s rejected %q with a token that it should accept; the server may mean this request, or its audience, keys or clock are wrong. Next attempt at %s",
			shown.Text(e.Resource), shown.Text(e.Operation), at)
	}
	return fmt.Sprintf("auth: %s rejected %d fresh tokens in a row; check its audience, keys and clock. Next attempt at %s", shown.Text(e.Resource), e.Rejections, at)
}

// StoreError is a failed operation of the configured [Store]. Tokens in use go
// on being used; see [Info.Unsaved].
type StoreError struct {
	// Op is "lock", "load", "probe", "save", "delete" or "list".
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
	return fmt.Sprintf("auth: Client is registered with %s, but the resource's authorization server is %s; if that is right, register there and set Config.Client, with its Issuer",
		shown.Text(e.Expected), shown.Text(e.Actual))
}
