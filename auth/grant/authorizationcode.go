package grant

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"golang.org/x/oauth2"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/browser"
	"github.com/mcptokens/mcptokens/auth/discovery"
	"github.com/mcptokens/mcptokens/auth/registration"
	"github.com/mcptokens/mcptokens/internal/errtext"
	"github.com/mcptokens/mcptokens/internal/httpx"
)

// AuthorizationCode gets tokens for the user, who logs in at the authorization
// server: the authorization code grant with PKCE S256 (RFC 6749 section 4.1,
// RFC 7636), state, a resource indicator (RFC 8707) and the issuer check of
// RFC 9207. Where the server requires or offers pushed authorization requests (RFC
// 9126), the request goes that way. The zero value opens the user's browser.
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
	if err := checkServer(f); err != nil {
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

	req, client, target, err := prepare(ctx, f, session.RedirectURI(), "")
	if err != nil {
		return nil, err
	}
	// A user who pastes the answer can be asked again.
	if v, ok := session.(browser.Verifier); ok {
		v.Verify(func(answer url.Values) error {
			_, err := req.check(f, answer)
			return err
		})
	}
	userCtx, answered := f.AwaitUser(ctx)
	answer, err := session.Visit(userCtx, target, req.State)
	answered(err)
	if err != nil {
		return nil, &auth.AuthorizationError{Issuer: f.Server.Issuer, Err: err}
	}
	code, err := req.check(f, answer)
	if err != nil {
		return nil, err
	}
	return req.exchange(ctx, f, client, code)
}

// Begin is the first half of Authorize, for [auth.Manager.BeginLogin]: it returns
// the URL that the user has to visit, and in kept what Finish needs. UserAgent is
// not used. An empty state is a random one.
func (AuthorizationCode) Begin(ctx context.Context, f *auth.Flow, redirectURI, state string) (visit string, kept []byte, err error) {
	if err := checkServer(f); err != nil {
		return "", nil, err
	}
	req, _, target, err := prepare(ctx, f, redirectURI, state)
	if err != nil {
		return "", nil, err
	}
	if kept, err = json.Marshal(req); err != nil {
		return "", nil, err
	}
	return target, kept, nil
}

// Finish is the second half, for [auth.Manager.FinishLogin]: it checks the state and
// the issuer of the answer, and exchanges the code.
func (AuthorizationCode) Finish(ctx context.Context, f *auth.Flow, kept []byte, answer url.Values) (*auth.Token, error) {
	var req request
	if err := json.Unmarshal(kept, &req); err != nil || req.State == "" || req.Verifier == "" {
		return nil, &auth.AuthorizationError{Issuer: f.Server.Issuer, Err: errKept}
	}
	if states := answer["state"]; len(states) != 1 || subtle.ConstantTimeCompare([]byte(states[0]), []byte(req.State)) == 0 {
		return nil, &auth.AuthorizationError{Issuer: f.Server.Issuer, Err: auth.ErrState}
	}
	code, err := req.check(f, answer)
	if err != nil {
		return nil, err
	}
	client, err := f.Client(ctx, registration.Metadata{RedirectURIs: []string{req.RedirectURI}})
	if err != nil {
		return nil, err
	}
	return req.exchange(ctx, f, client, code)
}

var errKept = errtext.New("what was kept of the login is damaged; begin another one")

// request is an authorization request that was made, as it is kept between its
// two halves.
type request struct {
	State       string `json:"s"`
	Verifier    string `json:"v"`
	RedirectURI string `json:"r"`
	// Iss: the server said that it sends iss, which counts also when its metadata
	// are not known later.
	Iss bool `json:"i,omitempty"`
}

// prepare registers the client if need be, and makes a request. It returns the URL
// that the user has to visit.
func prepare(ctx context.Context, f *auth.Flow, redirectURI, state string) (req request, client *auth.Client, target string, err error) {
	client, err = f.Client(ctx, registration.Metadata{
		RedirectURIs:  []string{redirectURI},
		GrantTypes:    []string{"authorization_code", "refresh_token"},
		ResponseTypes: []string{"code"},
	})
	if err != nil {
		return req, nil, "", err
	}
	req = request{
		State: cmp.Or(state, rand.Text()), Verifier: oauth2.GenerateVerifier(), RedirectURI: redirectURI,
		Iss: f.Server.AuthorizationResponseIssParameterSupported,
	}
	if target, err = authorizationURL(f, client.ID, redirectURI, req.State, req.Verifier); err != nil {
		return req, nil, "", err
	}
	if f.Suspect(client) && f.Server.PushedAuthorizationRequestEndpoint == "" { // else pushing shows it
		if err := precheck(ctx, f, client, redirectURI); err != nil {
			return req, nil, "", err
		}
	}
	target, err = push(ctx, f, client, target)
	return req, client, target, err
}

// check returns the code of an answer that can be trusted.
func (r *request) check(f *auth.Flow, answer url.Values) (code string, err error) {
	return checkResponse(f, r.Iss, answer, r.State, r.Verifier)
}

func (r *request) exchange(ctx context.Context, f *auth.Flow, client *auth.Client, code string) (*auth.Token, error) {
	return f.Exchange(ctx, client, url.Values{
		"grant_type":    {"authorization_code"},
		"code":          {code},
		"redirect_uri":  {r.RedirectURI},
		"code_verifier": {r.Verifier},
	})
}

// checkServer refuses a server that this grant cannot be used with safely (MCP
// 2026-07-28, "Authorization Code Protection": no S256 in the metadata, no
// authorization).
func checkServer(f *auth.Flow) error {
	srv := f.Server
	if !srv.SupportsPKCE() {
		return &auth.AuthorizationError{Issuer: srv.Issuer, Err: auth.ErrNoPKCE}
	}
	if err := srv.Problem("authorization_endpoint"); err != nil {
		return &auth.AuthorizationError{Issuer: srv.Issuer, Err: err}
	}
	if srv.AuthorizationEndpoint == "" {
		return &auth.AuthorizationError{Issuer: srv.Issuer, Err: errNoEndpoint}
	}
	if err := f.CheckURL("authorization_endpoint", srv.AuthorizationEndpoint); err != nil {
		return &auth.AuthorizationError{Issuer: srv.Issuer, Err: err}
	}
	return nil
}

var errNoEndpoint = errtext.Errorf(discovery.ErrMalformed, "the server's metadata has no authorization_endpoint: set Config.Server.AuthorizationEndpoint, or another Config.Grant")

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
	if f.Resource != "" {
		q.Set("resource", f.Resource)
	}
	if len(f.Scopes) > 0 {
		q.Set("scope", strings.Join(f.Scopes, " "))
	}
	for _, s := range f.Scopes {
		if s == "offline_access" { // OpenID Connect Core section 11
			q.Set("prompt", "consent")
		}
	}
	add(q, f.Requests.Authorization)
	u.RawQuery = q.Encode()
	return u.String(), nil
}

// add adds the program's own parameters to a request. They take precedence over
// those that it has; an empty value leaves one out.
func add(form url.Values, extra map[string]string) {
	for name, value := range extra {
		if value == "" {
			form.Del(name)
		} else {
			form.Set(name, value)
		}
	}
}

// checkResponse applies the table of RFC 9207 section 2.4 as MCP 2026-07-28
// has it, before anything else of the response is believed, and returns the
// code. sendsIss: the server said so earlier. The state was checked before. secrets are those of the request.
func checkResponse(f *auth.Flow, sendsIss bool, answer url.Values, secrets ...string) (code string, err error) {
	srv := f.Server
	iss, sent := answer["iss"]
	if (sendsIss || srv.AuthorizationResponseIssParameterSupported || sent) && (len(iss) != 1 || iss[0] != srv.Issuer) {
		return "", &auth.AuthorizationError{Issuer: srv.Issuer, Err: issuerProblem(srv, iss)}
	}
	if answer.Has("error") {
		return "", f.Refused(answer, secrets...)
	}
	if code = answer.Get("code"); code == "" {
		return "", &auth.AuthorizationError{Issuer: srv.Issuer, Err: auth.ErrMissingCode}
	}
	return code, nil
}

// issuerProblem says what is wrong with the iss of a response, which is not the
// expected one. It may not be the server that sent it: it is compared by a person
// before it is configured.
func issuerProblem(srv *auth.Server, iss []string) error {
	switch {
	case len(iss) == 0:
		return fmt.Errorf("%w: there is none, but the server's metadata says that it sends one", auth.ErrIssuerParameter)
	case len(iss) > 1:
		return fmt.Errorf("%w: there are %d", auth.ErrIssuerParameter, len(iss))
	case srv.Issuer == "":
		return fmt.Errorf(`%w: set Config.Server.Issuer, which is empty, to the server's issuer; the response names "%s"`, auth.ErrIssuerParameter, shownIssuer(iss[0]))
	}
	return fmt.Errorf(`%w: the response names "%s" and may be an attack; if that is the same server, set Config.Server.Issuer to it`, auth.ErrIssuerParameter, shownIssuer(iss[0]))
}

// shownIssuer is an issuer as it may be shown: an origin and a path.
func shownIssuer(iss string) string {
	return cmp.Or(httpx.ShownIssuer(iss), "(not a URL)")
}
