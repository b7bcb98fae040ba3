package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"
	"unicode"
)

// MaxToken is how many bytes a token may have.
const MaxToken = 64 << 10

// What the [Error] of [ReadToken] can be besides those of [ReadObject].
var (
	// ErrNoAccessToken: there is no access_token, and no error either.
	ErrNoAccessToken = errors.New("no access_token")
	// ErrBadToken: a token has characters that no header can carry, or more than
	// MaxToken bytes.
	ErrBadToken = errors.New("a token cannot be used")
	// ErrTokenType: the token needs a proof that this module cannot give.
	ErrTokenType = errors.New("a token_type that needs a proof")
)

// The values of TokenAnswer.TokenType.
const (
	Bearer = "Bearer"
	DPoP   = "DPoP"
	// NotAccess says that what was issued is no access token (RFC 8693 section
	// 2.2.1). It comes only with an IssuedTokenType.
	NotAccess = "N_A"
)

// TokenAnswer is a token response (RFC 6749 section 5.1, RFC 8693 section
// 2.2.1). It holds secrets and prints none of them.
type TokenAnswer struct {
	// AccessToken is never empty. Unless TokenType is NotAccess it is printable
	// ASCII without spaces.
	AccessToken string
	// TokenType is Bearer, DPoP or NotAccess.
	TokenType string
	// RefreshToken is empty if there is none.
	RefreshToken string
	// Expiry is in wall clock time; zero: not known.
	Expiry time.Time
	// Scopes are those granted: what the answer says, else those requested.
	Scopes []string
	// ScopesSaid: the answer itself says which.
	ScopesSaid bool
	// IssuedTokenType is that of a token exchange (RFC 8693); otherwise empty.
	IssuedTokenType string
	// Extra are members that are not read, at most MaxExtra bytes; nil: there are none.
	Extra map[string]json.RawMessage
}

// Format makes every fmt verb print the answer without its secrets.
func (t TokenAnswer) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, t.shown()) }

// LogValue implements [slog.LogValuer] without the secrets.
func (t TokenAnswer) LogValue() slog.Value { return slog.StringValue(t.shown()) }

// MarshalJSON encodes the answer without its secrets: it is not for storing.
func (t TokenAnswer) MarshalJSON() ([]byte, error) { return json.Marshal(t.shown()) }

func (t TokenAnswer) shown() string { return "wire.TokenAnswer{" + t.TokenType + "}" }

// RefusedError says that an answer with a status of success refuses all the
// same, as those of GitHub and Slack do.
type RefusedError struct{ Refusal Refusal }

// Error returns a text without the server's words other than the code.
func (e *RefusedError) Error() string {
	if e.Refusal.Code == "" {
		return "the server refused"
	}
	return "the server refused: " + e.Refusal.Code
}

// The members that decide something in a token answer: any of them twice, or
// in another case, makes it unusable.
var tokenMembers = []string{"access_token", "token_type", "refresh_token", "expires_in", "scope", "issued_token_type", "error"}

// ReadToken reads the body of a token endpoint's answer with a status of
// success, which arrived at now and has the Content-Type contentType (it may be
// empty). requested are the scopes of the request. See the table of this
// package for what is read how.
//
// The error is a *[RefusedError] if there is no access token but a cause;
// otherwise an *[Error], which is [ErrPage], [ErrNotObject], [ErrAmbiguous],
// [ErrNoAccessToken], [ErrBadToken], [ErrTokenType], [ErrScopes] or
// [ErrMember].
func ReadToken(contentType string, body []byte, requested []string, now time.Time) (TokenAnswer, error) {
	o, err := readAnswer(contentType, body, tokenMembers...)
	if err != nil {
		return TokenAnswer{}, err
	}
	var t TokenAnswer
	if t.AccessToken, err = o.String("access_token"); err != nil {
		return TokenAnswer{}, err
	}
	if t.AccessToken == "" {
		if r := refusalOf(o); r.Named && (o.Has("error") || o.Has("error_code")) {
			return TokenAnswer{}, &RefusedError{r}
		}
		return TokenAnswer{}, &Error{Member: "access_token", Problem: "is missing", Is: ErrNoAccessToken}
	}
	if string(o.Raw("refresh_token")) != "0" {
		t.RefreshToken, _ = o.String("refresh_token") // false, or whatever else: none
	}
	t.IssuedTokenType, _ = o.String("issued_token_type")
	if t.TokenType, err = tokenType(o, t.IssuedTokenType != ""); err != nil {
		return TokenAnswer{}, err
	}
	if err := checkTokens(t); err != nil {
		return TokenAnswer{}, err
	}
	if t.Scopes, t.ScopesSaid, err = ReadScopes(o.Raw("scope"), requested); err != nil {
		return TokenAnswer{}, err
	}
	life := o.Seconds("expires_in")
	if !o.Has("expires_in") {
		life = facebook(o)
	}
	if life > 0 {
		t.Expiry = now.Round(0).Add(life)
	}
	t.Extra = extra(o)
	return t, nil
}

// facebook returns the lifetime that old answers of Facebook's call expires. A
// number beyond Longest is a point in time, as others use the name.
func facebook(o Object) time.Duration {
	if life := o.Seconds("expires"); life < Longest {
		return life
	}
	return 0
}

func checkTokens(t TokenAnswer) error {
	if len(t.AccessToken) > MaxToken {
		return &Error{Member: "access_token", Problem: "has more than 64 KiB", Is: ErrBadToken}
	}
	if len(t.RefreshToken) > MaxToken {
		return &Error{Member: "refresh_token", Problem: "has more than 64 KiB", Is: ErrBadToken}
	}
	if t.TokenType == NotAccess { // it goes into a form, not into a header
		return nil
	}
	for i := range len(t.AccessToken) {
		if c := t.AccessToken[i]; c <= ' ' || c >= 0x7f {
			return &Error{Member: "access_token", Problem: "has characters that no header can carry", Is: ErrBadToken}
		}
	}
	return nil
}

// tokenType returns how a token is presented. Servers write all kinds of things
// there (none at all, "bearer ", "user", "bot", "JWT", "BearerToken") and mean
// Bearer, so only types that need a proof are told apart.
func tokenType(o Object, exchanged bool) (string, error) {
	s, _ := o.String("token_type")
	s = strings.TrimSpace(s)
	switch {
	case strings.EqualFold(s, Bearer): // the usual one
	case strings.EqualFold(s, DPoP):
		return DPoP, nil
	case strings.EqualFold(s, NotAccess) && exchanged:
		return NotAccess, nil
	case strings.EqualFold(s, NotAccess):
		return "", &Error{Member: "token_type", Problem: "says that this is no access token", Is: ErrTokenType}
	case needsProof(s):
		return "", &Error{Member: "token_type", Problem: "is one that needs a proof: only Bearer and DPoP are supported", Is: ErrTokenType}
	}
	return Bearer, nil
}

// needsProof reports whether one of the words of a token type names a proof of
// possession: mac and hmac (draft-ietf-oauth-v2-http-mac), pop (RFC 9200) and
// what ends in it, hok (holder of key), and signatures of requests.
func needsProof(s string) bool {
	words := strings.FieldsFunc(strings.ToLower(s), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	for _, w := range words {
		switch w {
		case "mac", "hok", "sig", "signed", "signature", "httpsig", "proof", "holderofkey", "possession":
			return true
		}
		if strings.HasPrefix(w, "hmac") || strings.HasPrefix(w, "macsha") || strings.HasPrefix(w, "pop") || strings.HasSuffix(w, "pop") {
			return true
		}
	}
	return false
}
