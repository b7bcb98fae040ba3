package grant

import (
	"context"
	"crypto/rand"
	"errors"
	"net/url"
	"strings"

	"golang.org/x/oauth2"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/browser"
	"github.com/mcptokens/mcptokens/auth/registration"
	"github.com/mcptokens/mcptokens/internal/httpx"
)

// AuthorizationCode gets tokens for the user, who logs in at the authorization
// server: the authorization code grant with PKCE S256 (RFC 6749 section 4.1,
// RFC 7636), state, a resource indicator (RFC 8707) and the issuer check of
// RFC 9207. The zero value opens the user's browser.
type AuthorizationCode struct {
	// UserAgent takes the user there and back. Default: [browser.Loopback],
	// the user's own browser.
	UserAgent auth.UserAgent
}

// Type is "authorization_code".
func (AuthorizationCode) Type() string { return "authorization_code" }

// Interactive is true.
func (AuthorizationCode) Interactive() bool { return true }

// Authorize implements [auth.Grant]. Errors: *[auth.AuthorizationError] when
// the user or the server refused or the response cannot be trusted,
// *[auth.TokenError], those of [auth.Flow.Client] and of the user agent.
func (g AuthorizationCode) Authorize(ctx context.Context, f *auth.Flow) (tok *auth.Token, err error) {
	if err := checkServer(f.Server); err != nil {
		return nil, err
	}
	agent := g.UserAgent
	if agent == nil {
		agent = browser.Loopback{}
	}
	session, err := agent.Start(ctx, f.RegisteredRedirectURIs(ctx))
	if err != nil {
		return nil, &auth.AuthorizationError{Issuer: f.Server.Issuer, Err: err}
	}
	// The page in the browser waits for the code to have been exchanged, so
	// that it tells the user the truth.
	defer func() { session.Finish(err) }()

	redirectURI := session.RedirectURI()
	client, err := f.Client(ctx, registration.Metadata{
		RedirectURIs:  []string{redirectURI},
		GrantTypes:    []string{"authorization_code", "refresh_token"},
		ResponseTypes: []string{"code"},
	})
	if err != nil {
		return nil, err
	}
	state, verifier := rand.Text(), oauth2.GenerateVerifier()
	target, err := authorizationURL(f, client.ID, redirectURI, state, verifier)
	if err != nil {
		return nil, err
	}
	userCtx, answered := f.AwaitUser(ctx)
	answer, err := session.Visit(userCtx, target, state)
	answered(err)
	if err != nil {
		return nil, &auth.AuthorizationError{Issuer: f.Server.Issuer, Err: err}
	}
	code, err := checkResponse(f.Server, answer)
	if err != nil {
		return nil, err
	}
	return f.Exchange(ctx, client, url.Values{
		"grant_type":    {"authorization_code"},
		"code":          {code},
		"redirect_uri":  {redirectURI},
		"code_verifier": {verifier},
	})
}

// checkServer refuses a server that this grant cannot be used with safely (MCP
// 2026-07-28, "Authorization Code Protection": no S256 in the metadata, no
// authorization).
func checkServer(srv *auth.Server) error {
	if !srv.SupportsPKCE() {
		return &auth.AuthorizationError{Issuer: srv.Issuer, Err: auth.ErrNoPKCE}
	}
	if _, err := httpx.CheckURL("authorization_endpoint", srv.AuthorizationEndpoint); err != nil {
		return &auth.AuthorizationError{Issuer: srv.Issuer, Err: err}
	}
	return nil
}

// authorizationURL builds the authorization request (RFC 6749 section 4.1.1).
// Parameters that the endpoint's URL has already are kept (section 3.1).
func authorizationURL(f *auth.Flow, clientID, redirectURI, state, verifier string) (string, error) {
	u, err := url.Parse(f.Server.AuthorizationEndpoint)
	if err != nil {
		return "", &auth.AuthorizationError{Issuer: f.Server.Issuer, Err: errors.New("authorization_endpoint is not a URL")}
	}
	q := u.Query()
	q.Set("response_type", "code")
	q.Set("client_id", clientID)
	q.Set("redirect_uri", redirectURI)
	q.Set("state", state)
	q.Set("code_challenge", oauth2.S256ChallengeFromVerifier(verifier))
	q.Set("code_challenge_method", "S256")
	q.Set("resource", f.Resource)
	if len(f.Scopes) > 0 {
		q.Set("scope", strings.Join(f.Scopes, " "))
	}
	for _, s := range f.Scopes {
		if s == "offline_access" { // OpenID Connect Core section 11
			q.Set("prompt", "consent")
		}
	}
	u.RawQuery = q.Encode()
	return u.String(), nil
}

// checkResponse applies the table of RFC 9207 section 2.4 as MCP 2026-07-28
// has it, before anything else of the response is believed, and returns the
// code. The state was checked by the user agent.
func checkResponse(srv *auth.Server, answer url.Values) (code string, err error) {
	iss, sent := answer["iss"]
	if (srv.AuthorizationResponseIssParameterSupported || sent) && (len(iss) != 1 || iss[0] != srv.Issuer) {
		return "", &auth.AuthorizationError{Issuer: srv.Issuer, Err: auth.ErrIssuerParameter}
	}
	if answer.Has("error") {
		if code := httpx.ErrorCode(answer.Get("error")); code != "" {
			return "", &auth.AuthorizationError{Issuer: srv.Issuer, Code: code}
		}
		return "", &auth.AuthorizationError{Issuer: srv.Issuer, Code: "unknown_error"}
	}
	if code = answer.Get("code"); code == "" {
		return "", &auth.AuthorizationError{Issuer: srv.Issuer, Err: auth.ErrMissingCode}
	}
	return code, nil
}
