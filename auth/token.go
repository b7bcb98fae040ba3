package auth

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/mcptokens/mcptokens/auth/extras"
	"github.com/mcptokens/mcptokens/internal/shown"
)

// Token is an access token and what came with it (RFC 6749 section 5.1).
//
// A token that a [Manager] handed out is shared between goroutines: treat it as
// read-only. It redacts itself in every fmt verb, in log/slog and in
// encoding/json, also inside slices, maps and exported fields, so that a stray
// log line does not become a leak. fmt cannot call methods on a value in an
// unexported field: hold a *Token there, which prints as an address. To store
// one, encode its fields yourself or use store.Encode of package auth/store.
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
	// Extra is what else the token response had, such as an id_token. Nil: nothing.
	Extra extras.Members

	// header is the Authorization value, built once by seal.
	header string
	// evidence is what is known of the token; copies share it. It is nil until
	// a manager uses the token.
	evidence *evidence
	// chain is what is known of the request that goes with this copy; nil for
	// a first try.
	chain *chain
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

// seal returns a copy of its own, with its header value built and
// its expiry stripped of the monotonic clock [invariant 7]. It has no
// serial: that of another manager, or of a token that the caller changed, would
// pass it off as one of ours.
func (t *Token) seal() *Token {
	c := *t.copy()
	c.evidence, c.chain = nil, nil
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

// evidence is what a manager knows of a token. There may be one for each of a
// hundred thousand users: it takes 16 bytes.
type evidence struct {
	// facts are wasAccepted and byPerson.
	facts atomic.Uint32
	// since is the finder's time when it was obtained; 0: by another process.
	since uint32
	// serial tells the tokens of one manager apart: an authorization server
	// may issue the same string twice. renewal does that for their refresh
	// tokens. They are 0 until a manager names the token, and do not change
	// afterwards.
	serial, renewal uint32
}

const (
	wasAccepted = 1 << iota // a server accepted the token, and none has refused it since
	byPerson                // a person logged in for it, in this process
)

func (e *evidence) accepted() bool { return e.facts.Load()&wasAccepted != 0 }
func (e *evidence) login() bool    { return e.facts.Load()&byPerson != 0 }

// note sets accepted.
func (e *evidence) note(accepted bool) {
	if accepted {
		e.facts.Or(wasAccepted)
	} else {
		e.facts.And(^uint32(wasAccepted))
	}
}

// renewed is e for a token with another refresh token.
func (e *evidence) renewed(renewal uint32) *evidence {
	c := &evidence{since: e.since, serial: e.serial, renewal: renewal}
	c.facts.Store(e.facts.Load())
	return c
}

// serial is evidence.serial; 0: no manager uses the token.
func (t *Token) serial() uint32 {
	if t.evidence == nil {
		return 0
	}
	return t.evidence.serial
}

// accept ends the request that t went with. It reports whether that is all:
// that the server accepted t was known.
func (t *Token) accept() bool {
	if t != nil && t.chain != nil {
		t.chain.over.Store(true)
	}
	return t.isKnown()
}

// isKnown reports whether the manager knows already that a server accepted t.
func (t *Token) isKnown() bool {
	return t == nil || t.evidence == nil || t.evidence.accepted()
}

func (t *Token) copy() *Token {
	c := *t
	return &c
}

// in returns a copy of t for a request of which something is known.
func (t *Token) in(c *chain) *Token {
	of := t.copy()
	of.chain = c
	return of
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

// wallNow is the time without its monotonic part: a token's life goes on while
// a laptop sleeps, the monotonic clock does not.
func wallNow() time.Time { return time.Now().Round(0) }

// same reports whether t and u are one token of a manager, or, for a token
// that no manager handed out, whether they look alike.
func (t *Token) same(u *Token) bool {
	switch {
	case t == nil || u == nil:
		return t == u
	case t.serial() != 0 && u.serial() != 0 && t.serial() != u.serial():
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
	s := "auth.Token{" + shown.Text(canonicalTokenType(t.TokenType))
	if t.AccessToken == "" {
		s += " no access token"
	}
	if t.RefreshToken != "" {
		s += " refreshable"
	}
	if !t.Expiry.IsZero() {
		s += " expires " + t.Expiry.UTC().Format(time.RFC3339)
	}
	if len(t.Scopes) > 0 {
		s += " scopes " + shown.Words(t.Scopes)
	}
	return s + "}"
}

// GoString is String: %#v shows no secret either.
func (t Token) GoString() string { return t.String() }

// Format makes every fmt verb print String.
func (t Token) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, t.String()) }

// LogValue implements [slog.LogValuer] without the secrets.
func (t Token) LogValue() slog.Value { return slog.StringValue(t.String()) }

// MarshalJSON encodes what Format prints: it is not for storing.
func (t Token) MarshalJSON() ([]byte, error) { return json.Marshal(t.String()) }
