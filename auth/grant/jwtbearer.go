package grant

import (
	"context"
	"net/url"
	"strings"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/registration"
)

// typeJWTBearer is the grant type of RFC 7523 section 2.1.
const typeJWTBearer = "urn:ietf:params:oauth:grant-type:jwt-bearer"

// JWTBearer gets tokens for a workload that its platform vouches for: it
// presents a JWT that the platform issued, such as a Kubernetes service account
// token or the identity token of a CI job, so that the workload keeps no secret
// (RFC 7523 section 2.1; MCP extension "Workload Identity Federation",
// SEP-1933). It needs nobody: the manager uses it ahead of expiry as it would
// use a refresh token. A refusal is not repeated, and no other grant is tried.
//
// The JWT's audience has to be the authorization server: that is for the
// platform's configuration. The JWT is sent to [auth.Client].Issuer only, or to
// [auth.Config].Server. Set either Assertion or File.
type JWTBearer struct {
	// Assertion returns the JWT to present. It is called for each token, so it
	// should return a JWT that is good now.
	Assertion func(ctx context.Context) (string, error)

	// File holds the JWT and is read for each token, as platforms replace it
	// before it expires. White space around the JWT is ignored.
	File string
}

// Type is "urn:ietf:params:oauth:grant-type:jwt-bearer".
func (JWTBearer) Type() string { return typeJWTBearer }

// Interactive is false.
func (JWTBearer) Interactive() bool { return false }

// Credentials says that the workload's token is sent: to [auth.Client].Issuer
// only, see [auth.Grant].
func (JWTBearer) Credentials() (what, issuer string) { return "the workload's token", "" }

// Check is called by [auth.NewManager]. Its error is an *[auth.ConfigError] if
// not exactly one of the fields is set.
func (g JWTBearer) Check() error {
	switch {
	case g.Assertion == nil && g.File == "":
		return &auth.ConfigError{Field: "JWTBearer", Problem: "has neither Assertion nor File; set the one that has the workload's JWT"}
	case g.Assertion != nil && g.File != "":
		return &auth.ConfigError{Field: "JWTBearer", Problem: "has both Assertion and File; set one"}
	}
	return nil
}

// Authorize implements [auth.Grant]. Errors: *[auth.ConfigError] if not exactly
// one of the fields is set, *[AssertionError], *[auth.TokenError], and those of
// [auth.Flow.Client].
func (g JWTBearer) Authorize(ctx context.Context, f *auth.Flow) (*auth.Token, error) {
	if err := g.Check(); err != nil {
		return nil, err
	}
	assertion, err := g.assertion(ctx)
	if err != nil {
		return nil, err
	}
	client, err := f.Client(ctx, registration.Metadata{GrantTypes: []string{typeJWTBearer}})
	if err != nil {
		return nil, err
	}
	return presentAssertion(ctx, f, client, assertion, f.Scopes)
}

// Input names the JWT by its hash: after a refusal another JWT is tried at once.
func (g JWTBearer) Input(ctx context.Context) string {
	if g.Check() != nil {
		return ""
	}
	assertion, err := g.assertion(ctx)
	return inputOf(assertion, err)
}

func (g JWTBearer) assertion(ctx context.Context) (string, error) {
	if g.File != "" {
		return readAssertion("JWTBearer.File", g.File)
	}
	return callAssertion(ctx, "JWTBearer.Assertion", g.Assertion)
}

// presentAssertion is the access token request of RFC 7523 section 2.1.
func presentAssertion(ctx context.Context, f *auth.Flow, client *auth.Client, assertion string, scopes []string) (*auth.Token, error) {
	form := url.Values{"grant_type": {typeJWTBearer}, "assertion": {assertion}}
	if len(scopes) > 0 {
		form.Set("scope", strings.Join(scopes, " "))
	}
	return f.Exchange(ctx, client, form)
}
