package auth

import (
	"net/http"

	"github.com/mcptokens/mcptokens/auth/internal/challenge"
)

// Challenge is what a server said when it refused a request: an HTTP 401 or
// 403 with its WWW-Authenticate header (RFC 6750 section 3, RFC 9728 section
// 5.1), or the same in the terms of another transport. The zero value is a
// refusal without any explanation; resolving it leads to discovery by
// well-known URIs.
type Challenge struct {
	// Status is the HTTP status, 401 or 403; 0 when the transport has none.
	Status int
	// Method is the HTTP method of the request, such as "POST"; empty when the
	// transport has none. No login starts for a DELETE.
	Method string
	// Stream says that the request listens for what the server sends by itself.
	// No login starts for it if its token works for other requests.
	Stream bool
	// Scheme is the authentication scheme, such as "Bearer"; empty if none was
	// named.
	Scheme string
	// Error is the error code, such as "invalid_token" or "insufficient_scope".
	Error string
	// Scopes are the scopes that the request needs.
	Scopes []string
	// ResourceMetadata is the URL of the protected resource metadata.
	ResourceMetadata string
	// Operation names what was refused, such as "tools/call" and the tool's
	// name. It is the caller's, and bounds step-ups: see [Manager.Resolve].
	Operation string
	// Params are all parameters of the challenge by lower-case name. They are
	// the server's words: check them before you show them.
	Params map[string]string
}

// InsufficientScope reports whether the server asks for more scopes (RFC 6750
// section 3.1) rather than for another token. A 403 that names scopes and no
// error does, too: the official Go SDK's server answers so.
func (c Challenge) InsufficientScope() bool {
	return c.Error == "insufficient_scope" || c.Status == http.StatusForbidden && c.Error == "" && len(c.Scopes) > 0
}

// Granted reports whether the challenge names no error and only scopes that t
// has. There is nothing to ask for then: the server refuses for another reason.
func (c Challenge) Granted(t *Token) bool {
	return c.Status == http.StatusForbidden && c.Error == "" && t != nil && t.Scopes != nil && coversScopes(t.Scopes, c.Scopes)
}

// ResponseChallenge returns the challenge of a response, and whether it is one
// that [Source.Resolve] can answer: any 401; a 403 whose Bearer or DPoP
// challenge asks for scopes; and a 403 or 400 whose challenge says that the
// token is invalid, as some servers answer instead of with a 401. No other answer
// is a challenge.
//
// Several challenges may stand in one header, several headers in one response,
// other schemes beside Bearer (RFC 9110 section 11.6.1). Of those that can be
// answered the one that says most wins.
func ResponseChallenge(status int, header http.Header) (Challenge, bool) {
	if status != http.StatusUnauthorized && status != http.StatusForbidden && status != http.StatusBadRequest {
		return Challenge{}, false
	}
	best, bestScore := Challenge{}, -1
	for _, c := range ParseChallenges(header.Values("WWW-Authenticate")) {
		if !challenge.TokenScheme(c.Scheme) {
			continue
		}
		score := 0
		if c.Error == "insufficient_scope" {
			score += 8
		}
		if c.ResourceMetadata != "" {
			score += 4
		}
		if len(c.Scopes) > 0 {
			score += 2
		}
		if c.Error != "" {
			score++
		}
		if score > bestScore {
			best, bestScore = c, score
		}
	}
	best.Status = status
	switch {
	case status == http.StatusUnauthorized, best.Error == "invalid_token":
		return best, true
	case status == http.StatusForbidden:
		return best, best.InsufficientScope()
	}
	return best, false
}

// ParseChallenges parses WWW-Authenticate field values by the grammar of RFC
// 9110 section 11.6.1: challenges and their parameters are both separated by
// commas, values are tokens or quoted strings, names are compared without
// case. Spaces around the equals sign, single quotes and bare URLs are read as
// what they are meant to be where the grammar reads nothing else. What cannot be
// parsed is passed over, never guessed at.
func ParseChallenges(values []string) []Challenge {
	var out []Challenge
	for _, c := range challenge.Parse(values) {
		out = append(out, Challenge{
			Scheme: c.Scheme, Params: c.Params,
			Error: c.Params["error"], Scopes: splitScopes(c.Params["scope"]), ResourceMetadata: c.Params["resource_metadata"],
		})
	}
	return out
}
