package grant

import (
	"strings"

	"github.com/mcptokens/mcptokens/internal/errtext"
)

// ErrLoginRequired says that the identity provider wants the user to log in
// again before it issues anything more. It is found in an *[IDPError], and
// [IDJAG.SubjectToken] may return it when nobody is logged in.
var ErrLoginRequired = errtext.New("grant: the user has to log in at the identity provider")

// IDPError is a failure at the enterprise's identity provider, before the MCP
// server's authorization server was asked for anything. A refusal by that one is
// a plain *[auth.TokenError].
type IDPError struct {
	// IDP is the provider's issuer, or its token endpoint when the issuer is
	// not configured.
	IDP string
	// LoginRequired: a new subject token would help, so the user should log in
	// at the provider again; errors.Is(err, ErrLoginRequired) is then true. If
	// it is false and Err is a permanent refusal, the enterprise's policy does
	// not let this user, or this client, use the MCP server.
	LoginRequired bool
	// Err is the *[auth.TokenError] or *[discovery.Error] of the provider, or
	// says that its answer was no ID-JAG.
	Err error `json:"-"`
}

// Error implements error; the text holds no secret.
func (e *IDPError) Error() string {
	s := "grant: identity provider " + e.IDP + ": "
	if e.LoginRequired {
		s += "the user has to log in again: "
	}
	return s + cause(e.Err)
}

// SafeText is Error: it holds no secret.
func (e *IDPError) SafeText() string { return e.Error() }

// Unwrap returns Err.
func (e *IDPError) Unwrap() error { return e.Err }

// Is reports whether target is [ErrLoginRequired] and a login is what is
// required.
func (e *IDPError) Is(target error) bool { return e.LoginRequired && target == ErrLoginRequired }

// AssertionError says that what proves an identity, an assertion or a subject
// token, could not be had from where the configuration says. Nothing was sent.
type AssertionError struct {
	// Field is the field that says where from, such as "JWTBearer.File".
	Field string
	// File is the file's name, if it is one.
	File string
	// Err is why. What a callback returned is for errors.Is and errors.As and
	// is not quoted.
	Err error `json:"-"`
}

// Error implements error; the text holds no secret.
func (e *AssertionError) Error() string {
	s := "grant: " + e.Field
	if e.File != "" {
		s += " (" + e.File + ")"
	}
	return s + ": " + cause(e.Err)
}

// SafeText is Error: it holds no secret.
func (e *AssertionError) SafeText() string { return e.Error() }

// Unwrap returns Err.
func (e *AssertionError) Unwrap() error { return e.Err }

// cause is what may be said of err, without the name of the package in front.
func cause(err error) string {
	return strings.TrimPrefix(strings.TrimPrefix(errtext.Describe(err), "auth: "), "grant: ")
}
