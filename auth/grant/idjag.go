package grant

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/registration"
	"github.com/mcptokens/mcptokens/internal/httpx"
	"github.com/mcptokens/mcptokens/internal/shown"
)

// Token types for [IDJAG] and [TokenExchange] (RFC 8693 section 3).
const (
	SubjectAccessToken  = "urn:ietf:params:oauth:token-type:access_token"
	SubjectJWT          = "urn:ietf:params:oauth:token-type:jwt"
	SubjectIDToken      = "urn:ietf:params:oauth:token-type:id_token"
	SubjectSAML2        = "urn:ietf:params:oauth:token-type:saml2"
	SubjectRefreshToken = "urn:ietf:params:oauth:token-type:refresh_token"
)

const typeIDJAG = "urn:ietf:params:oauth:token-type:id-jag"

// IDJAG gets tokens for a user whom the enterprise's identity provider vouches
// for: MCP extension "Enterprise-Managed Authorization" (SEP-990). What the
// user's login at the provider gave is exchanged there for an identity assertion
// JWT authorization grant, the ID-JAG, which is presented to the MCP server's
// authorization server as [JWTBearer] presents its JWT
// (draft-ietf-oauth-identity-assertion-authz-grant). The enterprise's policy
// decides; the user is asked nothing, so the manager uses this grant ahead of
// expiry as it would use a refresh token. [auth.Config.Client] is the client's
// registration at the MCP server's authorization server, and its Issuer names
// that.
//
// It remembers ID-JAGs while they live. Use it by pointer; one for each user,
// shared by the managers for that user's MCP servers.
type IDJAG struct {
	// IDPIssuer is the identity provider's issuer. Its token endpoint is
	// discovered from there unless IDPTokenEndpoint is set. Either is required.
	IDPIssuer string
	// IDPTokenEndpoint is the identity provider's token endpoint. Default:
	// discovered.
	IDPTokenEndpoint string
	// IDPClient is the client's registration at the identity provider, the one
	// that the subject token was issued to. Required.
	IDPClient auth.Client

	// SubjectToken returns what the user's login at the identity provider gave:
	// the ID token, or what SubjectTokenType says. It is called each time a
	// token is needed, so another user's login and a logout count at once.
	// Return [ErrLoginRequired] if nobody is logged in. Required.
	SubjectToken func(ctx context.Context) (string, error)
	// SubjectTokenType is the type of what SubjectToken returns, as a URN.
	// Default: [SubjectIDToken]. A SAML assertion ([SubjectSAML2]) has to be
	// base64url-encoded (RFC 8693 section 3).
	SubjectTokenType string

	mu     sync.Mutex
	issued map[target]*idJAG // that live
}

// Format makes every fmt verb print the grant without the ID-JAGs it remembers.
func (g *IDJAG) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, g.describe()) }

// LogValue implements [slog.LogValuer] without secrets.
func (g *IDJAG) LogValue() slog.Value { return slog.StringValue(g.describe()) }

// MarshalJSON encodes what Format prints.
func (g *IDJAG) MarshalJSON() ([]byte, error) { return json.Marshal(g.describe()) }

func (g *IDJAG) describe() string {
	return "grant.IDJAG{" + shown.Text(g.IDPIssuer) + " client " + shown.Text(g.IDPClient.ID) + "}"
}

// Type is "urn:ietf:params:oauth:grant-type:jwt-bearer".
func (*IDJAG) Type() string { return typeJWTBearer }

// Interactive is false.
func (*IDJAG) Interactive() bool { return false }

// Credentials says that an assertion about the user is sent: to
// [auth.Client].Issuer only, see [auth.Grant].
func (*IDJAG) Credentials() (what, issuer string) { return "the ID-JAG of the user", "" }

// Authorize implements [auth.Grant]. Errors: *[auth.ConfigError] for a field
// that cannot be used; *[AssertionError] if SubjectToken failed; *[IDPError] if
// the identity provider did not issue an ID-JAG, which is [ErrLoginRequired] if
// a login there would help; *[auth.TokenError] if the MCP server's
// authorization server refused; and those of [auth.Flow.Client].
func (g *IDJAG) Authorize(ctx context.Context, f *auth.Flow) (*auth.Token, error) {
	if err := g.CheckURLs(f.CheckURL); err != nil {
		return nil, err
	}
	if f.Server.Issuer == "" {
		return nil, &auth.ConfigError{Field: "Config.Server.Issuer", Problem: "is empty; set it, an ID-JAG is issued for it"}
	}
	subject, err := callAssertion(ctx, "IDJAG.SubjectToken", g.SubjectToken)
	if err != nil {
		return nil, err
	}
	client, err := f.Client(ctx, registration.Metadata{GrantTypes: []string{typeJWTBearer}})
	if err != nil {
		return nil, err
	}
	want := order{
		target:  target{audience: f.Server.Issuer, resource: f.Resource},
		subject: subject, client: client.ID, scope: strings.Join(f.Scopes, " "),
	}
	jag := g.remembered(want)
	for fresh := jag == nil; ; fresh = true {
		if fresh {
			if jag, err = g.exchange(ctx, f, want); err != nil {
				return nil, err
			}
			g.remember(want.target, jag) // also for a retry of what follows
		}
		tok, err := presentAssertion(ctx, f, client, jag.assertion, jag.scopes)
		var te *auth.TokenError
		if !errors.As(err, &te) || te.Code != "invalid_grant" {
			return tok, err
		}
		// An old one may be revoked, used up, or too old for this server, which
		// says nothing about a new one.
		g.forget(want.target, jag)
		if fresh {
			return nil, err
		}
	}
}

// Check is called by [auth.NewManager]. Its error is an *[auth.ConfigError] for
// the first field that cannot be used.
func (g *IDJAG) Check() error {
	return g.CheckURLs(func(field, raw string) error {
		_, err := httpx.CheckURL(field, raw)
		return err
	})
}

// CheckURLs is Check with the caller's rules for URLs; [auth.NewManager] calls
// it with those of auth.Config.Network.
func (g *IDJAG) CheckURLs(check func(field, raw string) error) error {
	switch {
	case g.SubjectToken == nil:
		return &auth.ConfigError{Field: "IDJAG.SubjectToken", Problem: "is nil; set a function that returns the user's ID token"}
	case g.IDPIssuer == "" && g.IDPTokenEndpoint == "":
		return &auth.ConfigError{Field: "IDJAG.IDPIssuer", Problem: "is empty, and so is IDPTokenEndpoint; set one to the enterprise's identity provider"}
	case g.IDPClient.ID == "":
		return &auth.ConfigError{Field: "IDJAG.IDPClient.ID", Problem: "is empty; set the client that the subject token was issued to"}
	case g.IDPClient.Issuer != "" && g.IDPClient.Issuer != g.IDPIssuer:
		return &auth.ConfigError{Field: "IDJAG.IDPClient.Issuer", Problem: "is not IDPIssuer; set the client that is registered with the identity provider"}
	}
	for _, u := range []struct{ field, url string }{{"IDJAG.IDPIssuer", g.IDPIssuer}, {"IDJAG.IDPTokenEndpoint", g.IDPTokenEndpoint}} {
		if u.url == "" {
			continue
		}
		if err := check(u.field, u.url); err != nil {
			problem := strings.TrimPrefix(err.Error(), httpx.ErrInsecureURL.Error()+": ")
			return &auth.ConfigError{Field: u.field, Problem: strings.TrimPrefix(problem, u.field+" ")}
		}
	}
	return nil
}

var errIssuedType = errors.New("grant: the token exchange response is no ID-JAG: its issued_token_type is another")

// exchange gets an ID-JAG from the identity provider (RFC 8693; MCP extension
// section 4).
func (g *IDJAG) exchange(ctx context.Context, f *auth.Flow, want order) (*idJAG, error) {
	fail := &IDPError{IDP: g.IDPIssuer}
	if fail.IDP == "" {
		fail.IDP = g.IDPTokenEndpoint
	}
	idp := &auth.Server{Issuer: g.IDPIssuer, TokenEndpoint: g.IDPTokenEndpoint}
	if idp.TokenEndpoint == "" {
		found, err := f.Discover(ctx, g.IDPIssuer)
		if err != nil {
			fail.Err = err
			return nil, fail
		}
		idp = found
	}
	subjectType := g.SubjectTokenType
	if subjectType == "" {
		subjectType = SubjectIDToken
	}
	form := url.Values{
		"requested_token_type": {typeIDJAG},
		"audience":             {want.audience},
		"subject_token":        {want.subject},
		"subject_token_type":   {subjectType},
	}
	if want.resource != "" {
		form.Set("resource", want.resource)
	}
	if want.scope != "" {
		form.Set("scope", want.scope)
	}
	got, err := exchangeToken(ctx, f, idp, &g.IDPClient, form)
	if err != nil {
		fail.Err, fail.LoginRequired = err, loginHelps(err, want.subject, time.Now())
		return nil, fail
	}
	// What is no ID-JAG may be an access token of the provider's own, and is for
	// no other server to see.
	if got.IssuedTokenType != typeIDJAG {
		fail.Err = errIssuedType
		return nil, fail
	}
	return &idJAG{order: want.hashed(), assertion: got.AccessToken, scopes: got.Scopes, expiry: got.Expiry}, nil
}
