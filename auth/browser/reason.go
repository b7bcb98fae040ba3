package browser

import (
	"context"
	"errors"

	"github.com/mcptokens/mcptokens/auth"
)

// plainReason says why a login failed to the person who tried: what happened
// and who can do something about it, in no words of OAuth.
func plainReason(err error) string {
	var (
		refused *auth.AuthorizationError
		token   *auth.TokenError
	)
	switch {
	case errors.Is(err, ErrTimeout):
		return "The sign-in was not finished in time."
	case errors.Is(err, context.Canceled):
		return "The application ended the sign-in."
	case errors.Is(err, context.DeadlineExceeded):
		return "The application stopped waiting for the sign-in."
	case errors.Is(err, auth.ErrIssuerParameter):
		return "The answer did not come from the server that you were sent to, so it was not used."
	case errors.As(err, &token):
		return tokenReason(token)
	case errors.As(err, &refused) && refused.Code != "":
		return refusedReason(refused.Code)
	case errors.Is(err, auth.ErrMissingCode):
		return "The server's answer was incomplete."
	}
	return "The sign-in could not be finished. The application shows more about it."
}

// refusedReason is for the error codes of an authorization response (RFC 6749
// section 4.1.2.1, OpenID Connect Core section 3.1.2.6).
func refusedReason(code string) string {
	switch code {
	case "access_denied":
		return "Access was denied. Either you did not agree, or your account may not use this application."
	case "server_error", "temporarily_unavailable":
		return "The server has a problem at the moment. Try again later."
	case "login_required", "interaction_required", "consent_required", "account_selection_required":
		return "The server needs you to sign in and to agree before it can go on."
	case "invalid_scope":
		return "The server does not give the access that the application asked for."
	}
	return "The server does not accept the application's request. Tell the people who run the application."
}

func tokenReason(err *auth.TokenError) string {
	switch {
	case err.Code != "" && !err.Retryable():
		return "You signed in, but then the server refused the application. Tell the people who run the application."
	case err.StatusCode == 0:
		return "You signed in, but then the server could not be reached. Check the network of this computer."
	}
	return "You signed in, but then the server had a problem. Try again later."
}
