package external

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/internal/lifecycle"
	"github.com/mcptokens/mcptokens/internal/errtext"
	"github.com/mcptokens/mcptokens/internal/httpx"
)

// Why a source's answer was of no use, found in [Error.Err].
var (
	errNoAnswer = errors.New("it returned neither a token nor an error")
	errNoBearer = errors.New("it returned a token of a type other than Bearer")
	errExpired  = errors.New("it returned a token that has expired")
)

// errTooShort is for a caller who got tokens that died before they could be
// used.
var errTooShort = &Error{Err: errors.New("its tokens expire before they can be used"), retryable: true}

// maxRetryAfter caps what a server can ask for.
const maxRetryAfter = 5 * time.Minute

// Error says that the oauth2.TokenSource gave no token that can be used.
type Error struct {
	// Code is the error code of RFC 6749 section 5.2 and StatusCode the HTTP
	// status, if the source was refused by a token endpoint and says so with an
	// *[oauth2.RetrieveError]; else empty and 0.
	Code       string
	StatusCode int
	// RetryAfter is what that endpoint asked for, at most 5 minutes; 0 when it
	// did not ask.
	RetryAfter time.Duration
	// NextAttempt is when the source will be asked again, and no earlier than
	// RetryAfter. Until then all who need a token get this error.
	NextAttempt time.Time
	// Err is what the source returned, or says what was wrong with its token.
	Err error `json:"-"`

	retryable bool
}

// Error implements error. What the source says is shown, cleaned and bounded,
// without the answer of a server inside it.
func (e *Error) Error() string {
	s := "external: oauth2.TokenSource: "
	var answered *oauth2.RetrieveError // its text has the whole answer
	switch {
	case e.Code != "":
		s += "refused with " + e.Code
	case e.StatusCode != 0:
		s += fmt.Sprintf("HTTP %d", e.StatusCode)
	case errors.As(e.Err, &answered):
		s += "it was refused a token"
	default:
		s += errtext.Text(e.Err)
	}
	return s + "; next attempt at " + e.NextAttempt.UTC().Format(time.RFC3339)
}

// Unwrap returns the cause, for errors.Is and errors.As.
func (e *Error) Unwrap() error { return e.Err }

// Retryable reports whether the source may have a token later.
func (e *Error) Retryable() bool { return e.retryable }

// answerError says what is wrong with an answer that arrived at now.
func answerError(raw *oauth2.Token, err error, now time.Time) error {
	var required *auth.ReauthorizationRequiredError // which may be around ErrNoToken
	switch {
	case errors.Is(err, auth.ErrNoToken) && !errors.As(err, &required): // of Manager.TokenSource
		return auth.ErrNoToken
	case err != nil:
		return failure(err)
	case raw == nil || raw.AccessToken == "":
		return &Error{Err: errNoAnswer}
	case raw.Type() != "Bearer":
		return &Error{Err: errNoBearer}
	case !raw.Expiry.IsZero() && !now.Before(raw.Expiry.Round(0)):
		return &Error{Err: errExpired, retryable: true}
	}
	return nil
}

// failure says what came of a question. What does not say that it is for good
// passes.
func failure(err error) *Error {
	e := &Error{Err: err, retryable: true}
	var says interface{ Retryable() bool }
	if errors.As(err, &says) {
		e.retryable = says.Retryable()
	}
	var answered *oauth2.RetrieveError
	if !errors.As(err, &answered) {
		return e
	}
	e.Code = httpx.ErrorCode(answered.ErrorCode)
	e.retryable = e.Code == "" || e.Code == "temporarily_unavailable" || e.Code == "server_error"
	if answered.Response != nil {
		e.StatusCode = answered.Response.StatusCode
		e.RetryAfter = min(httpx.RetryAfter(answered.Response.Header, time.Now()), maxRetryAfter)
		e.retryable = e.retryable || e.StatusCode >= 500 || e.StatusCode == http.StatusTooManyRequests || e.StatusCode == http.StatusRequestTimeout
	}
	return e
}

// failureOf says what an error of a question means for the next one. Errors of
// other types are panics of the source.
func failureOf(err error) lifecycle.Failure {
	switch e := err.(type) {
	case *auth.ConfigError:
		return lifecycle.Failure{Err: e, Class: lifecycle.Ours}
	case *Error:
		f := lifecycle.Failure{Err: e, Class: lifecycle.Ours, RetryAfter: e.RetryAfter}
		switch {
		case e.retryable:
			f.Class = lifecycle.Transient
		case e.StatusCode != 0 || e.Code != "":
			f.Class = lifecycle.RefusedClient
		}
		return f
	}
	return lifecycle.Failure{Err: &Error{Err: err}, Class: lifecycle.Ours}
}

// withNextAttempt says in an error when the next attempt is due.
func withNextAttempt(err error, at time.Time) error {
	e, ok := err.(*Error)
	if !ok {
		return err
	}
	timed := *e
	timed.NextAttempt = at
	return &timed
}

// tokenOf is the token as package auth has it. Its refresh token stays with the
// source, which may rotate it.
func tokenOf(raw *oauth2.Token) *auth.Token {
	t := &auth.Token{AccessToken: raw.AccessToken, TokenType: "Bearer", Expiry: raw.Expiry.Round(0)}
	if scope, ok := raw.Extra("scope").(string); ok {
		t.Scopes = strings.Fields(scope)
	}
	return t
}
