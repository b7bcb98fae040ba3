package auth

import (
	"cmp"
	"errors"
	"net/http"
	"strings"

	"github.com/mcptokens/mcptokens/auth/discovery"
	"github.com/mcptokens/mcptokens/auth/internal/lifecycle"
	"github.com/mcptokens/mcptokens/auth/registration"
	"github.com/mcptokens/mcptokens/internal/errtext"
	"github.com/mcptokens/mcptokens/internal/httpx"
)

// refusesClient reports whether a server refused the client itself, and not what
// the client asked for or a proof.
func refusesClient(err error) bool {
	switch codeOf(err) {
	case "invalid_client", "unauthorized_client", "invalid_credentials", "incorrect_client_credentials":
		return true
	}
	return false
}

// cannotRevoke reports whether a server says that it does not revoke tokens of
// this kind: with the code of RFC 7009 section 2.2.1, or with another 400 that is
// not about the client.
func cannotRevoke(err error) bool {
	var te *TokenError
	return errors.As(err, &te) && !refusesClient(te) && (te.StatusCode == http.StatusBadRequest || te.Code == "unsupported_token_type")
}

// refusesRequest reports whether a server refused the request as a whole, as some
// do whose client is unknown.
func refusesRequest(err error) bool { return codeOf(err) == "invalid_request" }

// refusesResource reports whether a server refused the resource parameter (RFC 8707
// section 2), by its code or in words.
func refusesResource(err error) bool {
	var te *TokenError
	return errors.As(err, &te) && te.class == lifecycle.RefusedRequest &&
		(te.Code == "invalid_target" || te.Code == "invalid_request" && strings.Contains(strings.ToLower(te.Description), "resource"))
}

// refusesScopes reports whether a server refused the scopes.
func refusesScopes(err error) bool { return codeOf(err) == "invalid_scope" }

// refusesOffline reports whether it may have refused offline_access of them: it says
// so, or nothing.
func refusesOffline(err error) bool {
	said := ""
	var (
		token         *TokenError
		authorization *AuthorizationError
	)
	switch {
	case errors.As(err, &token):
		said = token.Description
	case errors.As(err, &authorization):
		said = authorization.Description
	}
	return refusesScopes(err) && (said == "" || strings.Contains(said, offlineAccess))
}

// codeOf is the error code of a token or authorization response; empty if err is
// neither.
func codeOf(err error) string {
	var (
		token         *TokenError
		authorization *AuthorizationError
	)
	switch {
	case errors.As(err, &token):
		return token.Code
	case errors.As(err, &authorization):
		return authorization.Code
	}
	return ""
}

// isTimeout reports whether a server or the user did not answer in time.
func isTimeout(err error) bool {
	var late interface{ Timeout() bool }
	return errors.As(err, &late) && late.Timeout()
}

// shortGrant keeps the last word of a URN grant type.
func shortGrant(s string) string { return s[strings.LastIndexByte(s, ':')+1:] }

// isOurs reports whether err is, or is around, an error that this package
// promises to return.
func isOurs(err error) bool {
	var (
		config          *ConfigError
		token           *TokenError
		authorization   *AuthorizationError
		reauthorization *ReauthorizationRequiredError
		scope           *InsufficientScopeError
		rejected        *RejectedError
		store           *StoreError
		issuer          *IssuerError
		found           *discovery.Error
		registered      *registration.Error
		link            *LoginRequiredError
	)
	return errors.As(err, &link) || errors.Is(err, ErrClosed) || errors.Is(err, ErrNoToken) || errors.Is(err, ErrNoRefreshToken) ||
		errors.As(err, &config) || errors.As(err, &token) || errors.As(err, &authorization) ||
		errors.As(err, &reauthorization) || errors.As(err, &scope) || errors.As(err, &rejected) ||
		errors.As(err, &store) || errors.As(err, &issuer) || errors.As(err, &found) || errors.As(err, &registered)
}

// safeCause is the text of an error's cause, cleaned and bounded.
func safeCause(err error) string { return strings.TrimPrefix(errtext.Text(err), "auth: ") }

// shownURL is the part of a URL that may be shown: its query may hold a key, and
// a URL that was not checked yet a password.
func shownURL(raw string) string { return cmp.Or(httpx.ShownURL(raw), "(not a URL)") }
