package grant

import (
	"context"
	"net/url"
	"strings"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/registration"
)

// OnBehalfOf gets tokens for a user who called the program with an access token
// that is meant for it, in the way of Microsoft Entra ID: the JWT bearer grant with
// requested_token_use=on_behalf_of
// (learn.microsoft.com/entra/identity-platform/v2-oauth2-on-behalf-of-flow). It is
// what [TokenExchange] is elsewhere, and keeps, bounds and refuses tokens as that
// does. [auth.Config.Client] is the program's own registration there, which needs a
// secret or a key, and [auth.Config.Scopes] names what the MCP server wants, such as
// "api://the-mcp-server/.default". No resource indicator is sent: Entra ID refuses
// it.
type OnBehalfOf struct {
	// Issuer is the authorization server that the token may be sent to, such as
	// "https://login.microsoftonline.com/{tenant}/v2.0". Default:
	// [auth.Client].Issuer or [auth.Config].Server; without any of them nothing
	// is sent.
	Issuer string

	// Assertion returns the access token that the user called the program with.
	// ctx has the values of the call that needs a token. Default:
	// [SubjectTokenFrom].
	Assertion func(ctx context.Context) (string, error)

	// MaxScopes are the most that is asked for, as in [TokenExchange]. Default:
	// no limit.
	MaxScopes []string
}

// Type is "urn:ietf:params:oauth:grant-type:jwt-bearer".
func (OnBehalfOf) Type() string { return typeJWTBearer }

// Interactive is false.
func (OnBehalfOf) Interactive() bool { return false }

// Credentials says that the user's token is sent: to Issuer or
// [auth.Client].Issuer only, see [auth.Grant].
func (g OnBehalfOf) Credentials() (what, issuer string) { return "the user's token", g.Issuer }

// Authorize implements [auth.Grant]. Errors: *[auth.ConfigError] if there is no
// scope to ask for, and those of [TokenExchange.Authorize].
func (g OnBehalfOf) Authorize(ctx context.Context, f *auth.Flow) (*auth.Token, error) {
	if err := checkIssuer(f, "OnBehalfOf.Issuer", g.Issuer); err != nil {
		return nil, err
	}
	scopes := bounded(f.Scopes, g.MaxScopes)
	if len(scopes) == 0 {
		return nil, &auth.ConfigError{Field: "Config.Scopes", Problem: `is empty, but a token on behalf of a user is for scopes; name those of the MCP server, such as "api://the-mcp-server/.default"`}
	}
	user, err := g.assertion(ctx)
	if err != nil {
		return nil, err
	}
	if user.expired(time.Now()) {
		return nil, &SubjectTokenError{Issuer: f.Server.Issuer, Expired: true, Err: errExpired}
	}
	client, err := f.Client(ctx, registration.Metadata{GrantTypes: []string{typeJWTBearer}})
	if err != nil {
		return nil, err
	}
	tok, err := f.Exchange(ctx, client, url.Values{
		"grant_type":          {typeJWTBearer},
		"requested_token_use": {"on_behalf_of"},
		"assertion":           {user.token},
		"scope":               {strings.Join(scopes, " ")},
		"resource":            nil, // none is sent
	})
	if err != nil {
		return nil, refused(f.Server.Issuer, err, user)
	}
	return exchanged(tok, user), nil
}

// Input names the user's token by its hash: after a refusal another is tried at
// once.
func (g OnBehalfOf) Input(ctx context.Context) string {
	user, err := g.assertion(ctx)
	return inputOf(user.token, err)
}

func (g OnBehalfOf) assertion(ctx context.Context) (subject, error) {
	return readSubject(ctx, "OnBehalfOf.Assertion", g.Assertion)
}
