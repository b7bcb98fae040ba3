package auth

import (
	"errors"
	"strings"

	"github.com/mcptokens/mcptokens/auth/internal/finder"
	"github.com/mcptokens/mcptokens/auth/registration"
)

// assumedError is the failure of a login at endpoints that were assumed, as no
// metadata were found (MCP 2025-03-26). Where the server is none of that revision,
// that is the cause, and the failure only its consequence.
type assumedError struct {
	err    error
	issuer string
	looked []string
}

// Error implements error.
func (e *assumedError) Error() string {
	return "auth: no authorization server metadata were found (looked at " + strings.Join(e.looked, ", ") + "), so that " + e.issuer +
		" was taken for the authorization server, with /authorize, /token and /register; check the URL in Config.Resource, or set Config.Server: " +
		strings.TrimPrefix(e.err.Error(), "auth: ")
}

// Unwrap returns the failure.
func (e *assumedError) Unwrap() error { return e.err }

// explainAssumed says in an error that the endpoints were assumed, unless the
// error shows that they are there.
func explainAssumed(place *finder.Place, err error) error {
	var (
		token         *TokenError
		authorization *AuthorizationError
		registered    *registration.Error
	)
	switch {
	case place.Looked == nil,
		errors.As(err, &token) && token.Code != "",
		errors.As(err, &registered) && registered.Code != "",
		errors.As(err, &authorization) && authorization.Code != "":
		return err
	case token == nil && registered == nil && authorization == nil:
		return err // of this side
	}
	return &assumedError{err, place.Server.Issuer, place.Looked}
}
