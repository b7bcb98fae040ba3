package grant

import (
	"errors"
	"io/fs"
	"strings"

	"github.com/mcptokens/mcptokens/internal/errtext"
	"github.com/mcptokens/mcptokens/internal/shown"
)

// ErrLoginRequired says that the identity provider wants the user to log in
// again before it issues anything more. It is found in an *[IDPError], and
// [IDJAG.SubjectToken] may return it when nobody is logged in.
var ErrLoginRequired = errors.New("grant: the user has to log in at the identity provider")

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
	s := "grant: identity provider " + shown.Text(e.IDP) + ": "
	if e.LoginRequired {
		s += "the user has to log in again: "
	}
	return s + cause(e.Err)
}

// Unwrap returns Err.
func (e *IDPError) Unwrap() error { return e.Err }

// Is reports whether target is [ErrLoginRequired] and a login is what is
// required.
func (e *IDPError) Is(target error) bool { return e.LoginRequired && target == ErrLoginRequired }

// AssertionError says that what proves an identity, an assertion or a subject
// token, could not be read from where the configuration says. Nothing was sent.
type AssertionError struct {
	// Field is the field that says where from, such as "JWTBearer.File".
	Field string
	// File is the file's name, if it is one.
	File string
	// Err is why: what a callback or the operating system said.
	Err error `json:"-"`
}

// Error implements error; the text holds no secret.
func (e *AssertionError) Error() string {
	if e.File == "" {
		return "grant: " + e.Field + ": " + cause(e.Err)
	}
	err := e.Err
	var file *fs.PathError // which names the file again
	if errors.As(err, &file) {
		err = file.Err
	}
	return "grant: " + e.Field + " (" + e.File + "): " + cause(err)
}

// Unwrap returns Err.
func (e *AssertionError) Unwrap() error { return e.Err }

// cause is what may be said of err, without the name of the package in front.
func cause(err error) string {
	return strings.TrimPrefix(strings.TrimPrefix(errtext.Text(err), "auth: "), "grant: ")
}
