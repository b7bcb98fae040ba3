package auth

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"
)

// Token is an access token and what came with it (RFC 6749 section 5.1).
//
// A token that a [Manager] handed out is shared between goroutines: treat it as
// read-only. It redacts itself in every fmt verb and in log/slog, so that a
// stray log line does not become a leak; encoding/json does not go through
// those, so do not marshal it into logs.
type Token struct {
	AccessToken string
	// TokenType is "Bearer" or "DPoP"; empty means "Bearer".
	TokenType string
	// RefreshToken is empty when the authorization server gave none.
	RefreshToken string
	// Expiry is the wall-clock time at which the access token dies. Zero: the
	// server did not say, so the token is used until a server rejects it.
	Expiry time.Time
	// Scopes are the scopes granted. Nil: unknown.
	Scopes []string

	// header is the Authorization value, built once by seal.
	header string
	// serial tells the tokens of one manager apart: an authorization server
	// may issue the same string twice. A copy keeps it.
	serial uint64
	// binding is the key that the token was requested with; a DPoP token is
	// bound to it, and so may be the refresh token beside a bearer token (RFC
	// 9449 section 5). A copy keeps it.
	binding *binding
}

// Authorization returns the value of the Authorization header that presents
// the token, such as "Bearer …" (RFC 6750 section 2.1). It is built once per
// token, not once per request.
func (t *Token) Authorization() string {
	if t.header != "" {
		return t.header
	}
	return canonicalTokenType(t.TokenType) + " " + t.AccessToken
}

// seal returns a copy that nobody else holds, with its header value built and
// its expiry stripped of the monotonic clock (design invariant 7). It has no
// serial: that of another manager, or of a token that the caller changed, would
// pass it off as one of ours.
func (t *Token) seal() *Token {
	c := *t
	c.serial = 0
	c.TokenType = canonicalTokenType(t.TokenType)
	c.Expiry = t.Expiry.Round(0)
	c.Scopes = normalizeScopes(t.Scopes)
	c.header = ""
	if c.AccessToken != "" {
		c.header = c.TokenType + " " + c.AccessToken
		c.AccessToken = c.header[len(c.TokenType)+1:] // one string in memory, not two
	}
	return &c
}

// presentable reports whether an Authorization header can carry the access
// token s: visible ASCII characters only. RFC 6750 section 2.1 allows fewer,
// RFC 6749 appendix A.12 a space as well, which would end it.
func presentable(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// live reports whether the access token can still be presented at now.
func (t *Token) live(now time.Time) bool {
	return t != nil && t.AccessToken != "" && (t.Expiry.IsZero() || now.Before(t.Expiry))
}

// same reports whether t and u are one token of a manager, or, for a token
// that no manager handed out, whether they look alike.
func (t *Token) same(u *Token) bool {
	switch {
	case t == nil || u == nil:
		return t == u
	case t.serial != 0 && u.serial != 0 && t.serial != u.serial:
		return false
	}
	return t.AccessToken == u.AccessToken // also of two managers, whose serials may coincide
}

// canonicalTokenType spells the known types as their RFCs do; the type is
// compared without case (RFC 6749 section 5.1).
func canonicalTokenType(s string) string {
	switch {
	case s == "", strings.EqualFold(s, "Bearer"):
		return "Bearer"
	case strings.EqualFold(s, "DPoP"):
		return "DPoP"
	}
	return s
}

// String describes the token without its secrets.
func (t Token) String() string {
	var b strings.Builder
	b.WriteString("auth.Token{" + canonicalTokenType(t.TokenType))
	if t.AccessToken == "" {
		b.WriteString(" no access token")
	}
	if t.RefreshToken != "" {
		b.WriteString(" refreshable")
	}
	if !t.Expiry.IsZero() {
		b.WriteString(" expires " + t.Expiry.UTC().Format(time.RFC3339))
	}
	if len(t.Scopes) > 0 {
		b.WriteString(" scopes " + strings.Join(t.Scopes, " "))
	}
	return b.String() + "}"
}

// GoString is String: %#v shows no secret either.
func (t Token) GoString() string { return t.String() }

// Format makes every fmt verb print String.
func (t Token) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, t.String()) }

// LogValue implements [slog.LogValuer] without the secrets.
func (t Token) LogValue() slog.Value { return slog.StringValue(t.String()) }
