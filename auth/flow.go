package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/mcptokens/mcptokens/auth/authtrace"
	"github.com/mcptokens/mcptokens/auth/discovery"
	"github.com/mcptokens/mcptokens/auth/internal/wire"
	"github.com/mcptokens/mcptokens/auth/registration"
	"github.com/mcptokens/mcptokens/internal/errtext"
	"github.com/mcptokens/mcptokens/internal/httpx"
	"github.com/mcptokens/mcptokens/internal/shown"
)

// Flow is one use of a [Grant]: what it has to ask for and where, and the
// requests that it needs.
type Flow struct {
	// Server is the authorization server, its metadata validated.
	Server *Server
	// Resource is the resource indicator to send (RFC 8707); empty: none.
	Resource string
	// Requests is what the program adds to requests: [Config.Requests]. Exchange
	// adds its Token by itself.
	Requests Requests
	// Scopes to ask for; empty: none, the server decides.
	Scopes []string
	// MCPServer is the URL of the MCP server, as the program has it.
	MCPServer string
	// Subject is whom the token is for: [Config.Subject], or that of a [Pool]'s
	// source. It is not for servers.
	Subject string

	use *use
}

// Format makes every fmt verb print the flow without secrets.
func (f Flow) Format(s fmt.State, _ rune) { redact(s, f.redacted()) }

// LogValue implements [slog.LogValuer] without secrets.
func (f Flow) LogValue() slog.Value { return slog.StringValue(f.redacted()) }

// MarshalJSON encodes what Format prints.
func (f Flow) MarshalJSON() ([]byte, error) { return json.Marshal(f.redacted()) }

func (f Flow) redacted() string {
	issuer := ""
	if f.Server != nil {
		issuer = shown.Text(f.Server.Issuer)
	}
	return "auth.Flow{" + issuer + " for " + shownURL(f.Resource) + "}"
}

// Client returns the client to use: the pre-registered one, or one registered
// now with the redirect URIs, grant types and response types of want, for the
// scopes that are asked for and those that the resource lists. Where a registration
// says that its client may not ask for all of them, there is another one. Where the server
// registers clients without offline_access, it is taken out of Scopes. Errors:
// *[ConfigError], *[IssuerError], *[registration.Error], *[StoreError].
func (f *Flow) Client(ctx context.Context, want registration.Metadata) (*Client, error) {
	if f.use.resumed {
		return f.use.client, nil // the one that the login was begun with
	}
	want.Scope = joinScopes(unionScopes(splitScopes(want.Scope), f.Scopes, f.use.registers))
	c, unsaved, err := f.use.clients.get(ctx, f.use.resource.url, f.Server, f.use.rec, want, f.Scopes)
	if err != nil {
		return nil, err
	}
	f.use.client, f.use.unsaved = c, unsaved
	if reg := c.registration; reg != nil && hasOffline(reg.DeclinedScopes) {
		f.Scopes = lessOffline(f.Scopes)
	}
	return c, nil
}

// Suspect reports whether the server may refuse the client c, which [Flow.Client]
// returned: it was registered on demand some time ago, and nothing has shown since that
// the server knows it; or it is a metadata document that the server has not taken yet. A
// grant that opens a window finds out first. If the server refuses, Authorize returns an
// *[AuthorizationError] with the code "invalid_client": the manager drops the
// registration, or registers a client in place of the document, and calls Authorize once
// more.
func (f *Flow) Suspect(c *Client) bool {
	return f.use.suspect(f.Server, c)
}

// RegisteredRedirectURIs are the redirect URIs that this client is registered
// with already; using one of them saves a registration.
func (f *Flow) RegisteredRedirectURIs(ctx context.Context) []string {
	if f.use.clients.configured.ID != "" {
		return nil
	}
	reg, _, err := f.use.clients.stored(ctx, f.Server, f.use.rec)
	if err != nil || reg == nil {
		return nil
	}
	return reg.RedirectURIs
}

// Discover fetches the metadata of another authorization server that the grant
// needs, such as an enterprise's identity provider, and retries what can be
// retried. Errors: *[discovery.Error].
func (f *Flow) Discover(ctx context.Context, issuer string) (srv *Server, err error) {
	ctx = f.use.trace.Start(ctx, authtrace.DiscoveryStart{Resource: f.use.resource.canonical, Issuer: issuer})
	err = f.try(ctx, func(ctx context.Context) (err error) {
		found := discovery.Client{HTTPClient: f.use.endpoint.open, Network: f.use.finder.Network()} // the user named the issuer
		srv, err = found.AuthorizationServer(ctx, issuer)
		return err
	})
	f.use.trace.End(ctx, authtrace.DiscoveryEnd{Issuer: issuer, Err: err})
	return srv, err
}

// Exchange sends form to the server's token endpoint, authenticated as c, with
// the resource indicator added unless form has one (no values: none is sent), and
// the Requests.Token that it does not have, and retries what can be retried within [Config.RefreshTimeout]. A response
// without scope granted what the form asks for, or else the flow's Scopes.
// Errors: *[TokenError].
func (f *Flow) Exchange(ctx context.Context, c *Client, form url.Values) (tok *Token, err error) {
	trace := f.use.trace
	ctx = trace.Start(ctx, authtrace.ExchangeStart{Issuer: f.Server.Issuer, Grant: form.Get("grant_type")})
	defer func() { trace.End(ctx, authtrace.ExchangeEnd{Err: err}) }()
	err = f.try(ctx, func(ctx context.Context) (err error) {
		tok, err = f.exchange(ctx, c, form)
		return err
	})
	return tok, err
}

// ExchangeOnce is [Flow.Exchange] without any retry: for a grant that polls and
// has its own schedule (RFC 8628 section 3.5).
func (f *Flow) ExchangeOnce(ctx context.Context, c *Client, form url.Values) (tok *Token, err error) {
	err = f.once(ctx, func(ctx context.Context) (err error) {
		tok, err = f.exchange(ctx, c, form)
		return err
	})
	return tok, err
}

func (f *Flow) exchange(ctx context.Context, c *Client, form url.Values) (*Token, error) {
	extra := cloneForm(form)
	addTo(extra, f.Requests.Token)
	maps.Copy(extra, form) // what the grant sets by itself is its business
	if form = extra; f.Resource != "" && !form.Has("resource") {
		form.Set("resource", f.Resource)
	}
	scopes := f.Scopes
	if asked := form.Get("scope"); asked != "" {
		scopes = splitScopes(asked)
	}
	return f.use.endpoint.token(ctx, f.use.resource.url, f.Server, c, form, scopes, f.use.vault)
}

// AwaitUser tells the tracer that the user is being asked, and by the function
// it returns that they have answered, or why not: it is their time, not the
// server's. A grant of your own that asks a user calls both, around what waits,
// under the context that it returns.
func (f *Flow) AwaitUser(ctx context.Context) (_ context.Context, answered func(error)) {
	trace, start := f.use.trace, time.Now()
	noteTrouble(ctx, errUserAsked)
	ctx = trace.Start(ctx, authtrace.UserStart{Issuer: f.Server.Issuer, Grant: f.use.grant.Type()})
	return httpx.WithGuard(ctx, f.use.guard(), f.use.finder.Network()), func(err error) {
		f.use.silent = isTimeout(err)
		noteTrouble(ctx, nil)
		err = f.explained(err)
		trace.End(ctx, authtrace.UserEnd{Err: err})
		trace.Debug(ctx, "user asked", err, slog.Duration("duration", time.Since(start)))
	}
}

// errNotRegistered is why scopes are refused that the client was not registered
// for.
var errNotRegistered = errtext.New("not registered for these scopes")

// errConsent is why an authorization may be refused although the person did not
// say no: see Requests.after.
var errConsent = errtext.New(`the request had prompt=consent, which goes with offline_access; where only an administrator may consent, set Config.Requests.Authorization["prompt"] to ""`)

// askedForConsent reports whether the grant added a prompt of its own.
func (f *Flow) askedForConsent() bool {
	_, set := f.Requests.Authorization["prompt"]
	return !set && f.use.grant.Type() == "authorization_code" && hasOffline(f.Scopes)
}

// explained returns an error of a grant that says which step failed as it is,
// and any other as the cause of an *AuthorizationError.
func (f *Flow) explained(err error) error {
	var refused *AuthorizationError
	if errors.As(err, &refused) && refused.Code == "invalid_scope" {
		if reg := f.use.registered(); reg != nil && len(reg.DeclinedScopes) > 0 {
			said := *refused
			said.Err = errtext.Errorf(errNotRegistered, "the server registered the client without the scopes %q; leave them out of Config.Scopes, or configure a client that may ask for them", joinScopes(reg.DeclinedScopes))
			return &said
		}
	}
	if refused != nil && refused.Code == "access_denied" && refused.Err == nil && f.askedForConsent() {
		said := *refused
		said.Err = errConsent
		return &said
	}
	if err == nil || isOurs(err) {
		return err
	}
	return &AuthorizationError{Issuer: f.Server.Issuer, Err: err}
}

// refusal is what to tell other processes of err: that the person said no, or
// nothing; nil for anything else.
func (f *Flow) refusal(err error) *LoginRefusal {
	var said *AuthorizationError
	r := &LoginRefusal{At: wallNow(), Issuer: f.Server.Issuer, Scopes: f.Scopes}
	switch {
	case errors.As(err, &said) && said.Code == "access_denied":
		r.Code = said.Code
	case !f.use.silent:
		return nil
	}
	return r
}

// Refused returns the error for an authorization response with an error (RFC 6749
// section 4.1.2.1): its parameters error, error_description and error_uri, without
// the secrets that the server was sent, of which secrets are the grant's own. Check
// state and iss before you believe the response.
func (f *Flow) Refused(answer url.Values, secrets ...string) *AuthorizationError {
	secrets = append(secrets, f.use.vault.secrets()...)
	if c := f.use.client; c != nil {
		secrets = append(secrets, c.Secret)
	}
	return &AuthorizationError{
		Issuer:      f.Server.Issuer,
		Code:        orElse(httpx.ErrorCode(answer.Get("error")), "unknown_error"),
		Description: wire.Shown(answer.Get("error_description"), secrets...),
		URI:         wire.Shown(answer.Get("error_uri"), secrets...),
	}
}

// try runs a request with the retries that it is worth. Those of a renewal are
// the renewal's own: waits between requests are not for inside its transaction.
func (f *Flow) try(ctx context.Context, request func(ctx context.Context) error) error {
	if f.use.single {
		return f.use.confirm(f.Server.Issuer, f.once(ctx, request))
	}
	ctx, cancel := context.WithTimeout(ctx, f.use.timeout)
	defer cancel()
	_, err := retry(ctx, f.use.trace, 0, func(ctx context.Context) error {
		return f.use.confirm(f.Server.Issuer, f.once(ctx, request))
	})
	return err
}

func (f *Flow) once(ctx context.Context, request func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(f.use.trace.CountResends(ctx), f.use.timeout/2)
	defer cancel()
	return request(ctx)
}

// HTTPClient is the client for further requests to the authorization server.
// It never follows redirects.
func (f *Flow) HTTPClient() *http.Client { return f.use.finder.Poster(f.use.resource.url) }

// CheckURL says why raw, which a server named in field, may not be requested or
// shown to a user; nil if it may: it is https, or http to this machine or to a
// host of [Network.PlainHTTP].
func (f *Flow) CheckURL(field, raw string) error {
	_, err := httpx.CheckURLIn(f.use.finder.Network(), field, raw)
	return err
}

func cloneForm(form url.Values) url.Values {
	c := make(url.Values, len(form)+1)
	for k, v := range form {
		c[k] = slices.Clone(v)
	}
	return c
}
