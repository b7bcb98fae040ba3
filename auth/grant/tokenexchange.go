package grant

import (
	"context"
	"net/url"
	"strings"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/registration"
)

// TokenExchange gets tokens for a user who has a token already, such as the one
// who called a gateway with it: the authorization server exchanges that, the
// subject token, for one that the MCP server takes (RFC 8693). It asks nobody. The
// client and how it authenticates are [auth.Config.Client].
//
// A manager keeps the token that it got until that expires, and no longer than the
// subject token lives, if that is a JWT with an exp. Then it exchanges what the
// next call brings. A refresh token that the server gives is not used: it would
// outlive the subject token. A subject token that is refused is an
// *[SubjectTokenError] and never a login; the next one that a call brings is tried
// at once.
//
// Use one for all users of an [auth.Pool]: its managers keep their tokens apart,
// and discover and register once. Outside of a pool a manager is for one subject;
// set [auth.Config.NoIdleRefresh] where subject tokens come with calls, since no
// call comes with a timer.
type TokenExchange struct {
	// Issuer is the authorization server that the tokens may be sent to.
	// Default: [auth.Client].Issuer or [auth.Config].Server; without any of
	// them nothing is sent.
	Issuer string

	// SubjectToken returns the token of whom the program acts for. ctx has the
	// values of the call that needs a token. Default: [SubjectTokenFrom].
	SubjectToken func(ctx context.Context) (string, error)
	// SubjectTokenType is its type, as a URN. Default: [SubjectAccessToken].
	SubjectTokenType string

	// ActorToken returns the token of who acts, such as an agent: the server
	// then names both in the token that it issues (delegation, RFC 8693 section
	// 1.1). [ActorTokenFrom] is such a function. Default: none, the token is the
	// subject's alone (impersonation).
	ActorToken func(ctx context.Context) (string, error)
	// ActorTokenType is its type, as a URN. Default: [SubjectAccessToken].
	ActorTokenType string

	// Audience are the names by which the server knows whom the token is for,
	// beside the resource (RFC 8693 section 2.1). Default: none.
	Audience []string
	// Resource is the URL by which it does. Default: that of the MCP server.
	Resource string
	// MaxScopes are the most that is asked for, whatever the MCP server or the
	// program's other settings name: a token for an agent should be able to do
	// less than its user. Default: no limit; the server's is the subject token.
	MaxScopes []string
	// RequestedTokenType is what to ask for, as a URN. It has to be a type that
	// the MCP server takes for an access token. Default: [SubjectAccessToken].
	RequestedTokenType string
}

// Type is "urn:ietf:params:oauth:grant-type:token-exchange".
func (TokenExchange) Type() string { return typeTokenExchange }

// Interactive is false.
func (TokenExchange) Interactive() bool { return false }

// Credentials says that the subject token is sent: to Issuer or
// [auth.Client].Issuer only, see [auth.Grant].
func (g TokenExchange) Credentials() (what, issuer string) { return "the subject token", g.Issuer }

// Authorize implements [auth.Grant]. Errors: *[SubjectTokenError] if the subject or
// actor token is not good; *[AssertionError] if there is none, with
// [ErrNoSubjectToken] in it if the call brought none; *[auth.ConfigError] if the
// authorization server is not Issuer; *[auth.TokenError], and those of
// [auth.Flow.Client].
func (g TokenExchange) Authorize(ctx context.Context, f *auth.Flow) (*auth.Token, error) {
	if err := checkIssuer(f, "TokenExchange.Issuer", g.Issuer); err != nil {
		return nil, err
	}
	subjects, err := g.subjects(ctx)
	if err != nil {
		return nil, err
	}
	for _, s := range subjects {
		if s.expired(time.Now()) {
			return nil, &SubjectTokenError{Issuer: f.Server.Issuer, Expired: true, Err: errExpired}
		}
	}
	client, err := f.Client(ctx, registration.Metadata{GrantTypes: []string{typeTokenExchange}})
	if err != nil {
		return nil, err
	}
	tok, err := f.Exchange(ctx, client, g.form(f, subjects))
	if err != nil {
		return nil, refused(f.Server.Issuer, err, subjects...)
	}
	return exchanged(tok, subjects...), nil
}

// form is the request of RFC 8693 section 2.1.
func (g TokenExchange) form(f *auth.Flow, subjects []subject) url.Values {
	form := url.Values{
		"grant_type":           {typeTokenExchange},
		"subject_token":        {subjects[0].token},
		"subject_token_type":   {orElse(g.SubjectTokenType, SubjectAccessToken)},
		"requested_token_type": {orElse(g.RequestedTokenType, SubjectAccessToken)},
	}
	if len(subjects) > 1 {
		form.Set("actor_token", subjects[1].token)
		form.Set("actor_token_type", orElse(g.ActorTokenType, SubjectAccessToken))
	}
	if len(g.Audience) > 0 {
		form["audience"] = g.Audience
	}
	if g.Resource != "" {
		form.Set("resource", g.Resource)
	}
	if scopes := bounded(f.Scopes, g.MaxScopes); len(scopes) > 0 {
		form.Set("scope", strings.Join(scopes, " "))
	}
	return form
}

// Input names the tokens by their hash: after a refusal others are tried at once.
func (g TokenExchange) Input(ctx context.Context) string {
	subjects, err := g.subjects(ctx)
	var all strings.Builder
	for _, s := range subjects {
		all.WriteString(s.token + " ")
	}
	return inputOf(all.String(), err)
}

// subjects are the subject token and, if there is to be one, the actor token.
func (g TokenExchange) subjects(ctx context.Context) ([]subject, error) {
	s, err := readSubject(ctx, "TokenExchange.SubjectToken", g.SubjectToken)
	if err != nil || g.ActorToken == nil {
		return []subject{s}, err
	}
	actor, err := readSubject(ctx, "TokenExchange.ActorToken", g.ActorToken)
	return []subject{s, actor}, err
}

func orElse(s, other string) string {
	if s != "" {
		return s
	}
	return other
}
