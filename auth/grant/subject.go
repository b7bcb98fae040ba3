package grant

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/discovery"
	"github.com/mcptokens/mcptokens/internal/errtext"
)

// A program learns with every call whom it acts for, for instance from the access
// token that a user's request to a gateway came with. [TokenExchange] and
// [OnBehalfOf] turn that into a token for the MCP server.

type (
	subjectKey struct{}
	actorKey   struct{}
)

// WithSubjectToken returns a context whose calls of an [auth.Source] act for the
// subject of token: requests that carry it are sent with a token that was obtained
// in exchange. The manager has to be that subject's, as those of an [auth.Pool] are: a
// manager hands the same token to everybody who asks.
func WithSubjectToken(ctx context.Context, token string) context.Context {
	return context.WithValue(ctx, subjectKey{}, token)
}

// WithActorToken is [WithSubjectToken] for who acts (RFC 8693 section 1.1):
// [ActorTokenFrom] finds it.
func WithActorToken(ctx context.Context, token string) context.Context {
	return context.WithValue(ctx, actorKey{}, token)
}

// ErrNoSubjectToken says that the call's context has no subject token, or no
// actor token: nobody said whom the call is for. It is found in an
// *[AssertionError].
var ErrNoSubjectToken = errors.New("grant: the call's context has none; make the call with a context of WithSubjectToken or WithActorToken")

// SubjectTokenFrom returns the token of [WithSubjectToken], else
// [ErrNoSubjectToken].
func SubjectTokenFrom(ctx context.Context) (string, error) { return tokenFrom(ctx, subjectKey{}) }

// ActorTokenFrom returns the token of [WithActorToken], else [ErrNoSubjectToken].
func ActorTokenFrom(ctx context.Context) (string, error) { return tokenFrom(ctx, actorKey{}) }

func tokenFrom(ctx context.Context, key any) (string, error) {
	if token, ok := ctx.Value(key).(string); ok {
		return token, nil
	}
	return "", ErrNoSubjectToken
}

// SubjectTokenError says that the authorization server, or the token's own expiry,
// refused a subject or actor token. Nothing but another token helps: the manager
// tries one as soon as a call brings it, and asks nobody to log in.
type SubjectTokenError struct {
	// Issuer is the authorization server's identifier.
	Issuer string
	// Expired: the token's own exp has passed. If the server was not asked for
	// that reason Err says so.
	Expired bool
	// Err is the *[auth.TokenError] of the server.
	Err error `json:"-"`
}

// Error implements error; the text holds no secret.
func (e *SubjectTokenError) Error() string {
	why := "is not accepted"
	if e.Expired {
		why = "has expired"
	}
	return "grant: the subject token " + why + "; make the call with a new one: " + cause(e.Err)
}

// Unwrap returns Err.
func (e *SubjectTokenError) Unwrap() error { return e.Err }

var errExpired = errtext.New("its exp has passed, so that it was not sent")

// subject is a token that stands for somebody.
type subject struct {
	token  string
	expiry time.Time // zero: not known
}

// readSubject gets a token from a callback. field names it in errors.
func readSubject(ctx context.Context, field string, get func(context.Context) (string, error)) (subject, error) {
	if get == nil {
		get = SubjectTokenFrom
	}
	token, err := callAssertion(ctx, field, get)
	return subject{token, jwtExpiry(token)}, err
}

// expired reports whether it is of no use at now.
func (s subject) expired(now time.Time) bool { return !s.expiry.IsZero() && !now.Before(s.expiry) }

// checkIssuer keeps tokens from a server that the program did not mean. want is
// what it configured in field; empty: any server.
func checkIssuer(f *auth.Flow, field, want string) error {
	if want == "" || discovery.SameIssuer(f.Server.Issuer, want) {
		return nil
	}
	return &auth.ConfigError{Field: field, Problem: "is " + want + ", but the authorization server is " +
		orElse(f.Server.Issuer, "one without a known issuer") + "; nothing was sent to it. Set Config.Server.Issuer too, or correct the field if you trust that server"}
}

// bounded returns the scopes to ask for: no more than most, if that is set. Where
// nothing is left, or the server would decide, it is most.
func bounded(asked, most []string) []string {
	if len(most) == 0 {
		return asked
	}
	allowed := make(map[string]bool, len(most))
	for _, s := range most {
		allowed[s] = true
	}
	var scopes []string
	for _, s := range asked {
		if allowed[s] {
			scopes = append(scopes, s)
		}
	}
	if len(scopes) == 0 {
		return most
	}
	return scopes
}

// exchanged is what may be used of a token that was obtained for subjects: it lives no
// longer than they do, and is replaced by another exchange, never by a refresh,
// which would outlive them.
func exchanged(tok *auth.Token, subjects ...subject) *auth.Token {
	tok.RefreshToken = ""
	for _, s := range subjects {
		if !s.expiry.IsZero() && (tok.Expiry.IsZero() || s.expiry.Before(tok.Expiry)) {
			tok.Expiry = s.expiry
		}
	}
	return tok
}

// refused returns err as a *SubjectTokenError if it is about the subjects rather
// than about the client or what it asks for.
func refused(issuer string, err error, subjects ...subject) error {
	var te *auth.TokenError
	if !errors.As(err, &te) {
		return err
	}
	expired := false
	for _, s := range subjects {
		expired = expired || s.expired(time.Now())
	}
	switch te.Code {
	case "invalid_grant", "invalid_token", "login_required", "interaction_required", "insufficient_user_authentication":
	case "invalid_request": // RFC 8693 section 2.2.2 has this for the tokens, and for all else
		if !expired && !namesSubject(te.Description) {
			return err
		}
	default:
		return err
	}
	return &SubjectTokenError{Issuer: issuer, Expired: expired, Err: err}
}

// namesSubject reports whether a server's words are about a token and not about
// its type: "subject_token is invalid".
func namesSubject(description string) bool {
	d := strings.ToLower(description)
	for _, of := range []string{"subject", "actor"} {
		d = strings.ReplaceAll(d, of+" token", of+"_token")
		d = strings.ReplaceAll(d, of+"_token_type", "")
		d = strings.ReplaceAll(d, of+"_token type", "")
		if strings.Contains(d, of+"_token") {
			return true
		}
	}
	return false
}

// jwtExpiry reads exp without verifying anything; zero: there is none that could
// be read. It is the program's own token.
func jwtExpiry(token string) time.Time {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return time.Time{}
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil {
		return time.Time{}
	}
	var claims struct {
		Exp float64 `json:"exp"`
	}
	const year10000 = 253402300800
	if json.Unmarshal(payload, &claims) != nil || claims.Exp <= 0 || claims.Exp >= year10000 {
		return time.Time{}
	}
	whole, part := math.Modf(claims.Exp)
	return time.Unix(int64(whole), int64(part*float64(time.Second)))
}
