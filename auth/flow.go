package auth

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/mcptokens/mcptokens/auth/discovery"
	"github.com/mcptokens/mcptokens/auth/registration"
	"github.com/mcptokens/mcptokens/internal/errtext"
)

// Flow is one use of a [Grant]: what it has to ask for and where, and the
// requests that it needs.
type Flow struct {
	// Server is the authorization server, its metadata validated.
	Server *Server
	// Resource is the resource indicator to send (RFC 8707).
	Resource string
	// Scopes to ask for; empty: none, the server decides.
	Scopes []string

	m      *Manager
	rec    *Record
	client *Client
	single bool // the caller retries
}

// Format makes every fmt verb print the flow without secrets.
func (f Flow) Format(s fmt.State, _ rune) {
	redact(s, "auth.Flow{"+f.Server.Issuer+" for "+f.Resource+"}")
}

// Client returns the client to use: the pre-registered one, or one registered
// now with the redirect URIs, grant types and response types of want. Errors:
// *[ConfigError], *[IssuerError], *[registration.Error], *[StoreError].
func (f *Flow) Client(ctx context.Context, want registration.Metadata) (*Client, error) {
	c, err := f.m.clientFor(ctx, f.Server, f.rec, want)
	if err == nil {
		f.client = c
	}
	return c, err
}

// registered is the registration of the client that the grant used, if it was
// made on demand.
func (f *Flow) registered() *registration.Client {
	if f.client == nil {
		return nil
	}
	return f.client.registration
}

// RegisteredRedirectURIs are the redirect URIs that this client is registered
// with already; using one of them saves a registration.
func (f *Flow) RegisteredRedirectURIs(ctx context.Context) []string {
	if f.m.cfg.Client.ID != "" {
		return nil
	}
	reg, _, err := f.m.storedRegistration(ctx, f.Server, f.rec)
	if err != nil || reg == nil {
		return nil
	}
	return reg.RedirectURIs
}

// Discover fetches the metadata of another authorization server that the grant
// needs, such as an enterprise's identity provider, and retries what can be
// retried. Errors: *[discovery.Error].
func (f *Flow) Discover(ctx context.Context, issuer string) (srv *Server, err error) {
	ctx = f.m.cfg.trace.discovery.TraceDiscoveryStart(ctx, DiscoveryStart{Resource: f.m.canonical, Issuer: issuer})
	err = f.try(ctx, func(ctx context.Context) (err error) {
		found := discovery.Client{HTTPClient: f.m.cfg.HTTPClient} // the user named the issuer
		srv, err = found.AuthorizationServer(ctx, issuer)
		return err
	})
	f.m.cfg.trace.discovery.TraceDiscoveryEnd(ctx, DiscoveryEnd{Issuer: issuer, Err: err})
	return srv, err
}

// Exchange sends form to the server's token endpoint, authenticated as c, with
// the resource indicator added, and retries what can be retried within
// [Config.RefreshTimeout]. A response without scope granted what the form asks
// for, or else the flow's Scopes. Errors: *[TokenError].
func (f *Flow) Exchange(ctx context.Context, c *Client, form url.Values) (tok *Token, err error) {
	trace := f.m.cfg.trace.exchange
	ctx = trace.TraceExchangeStart(ctx, ExchangeStart{Issuer: f.Server.Issuer, Grant: form.Get("grant_type")})
	defer func() { trace.TraceExchangeEnd(ctx, ExchangeEnd{Err: err}) }()
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
	if form.Get("resource") == "" {
		form = cloneForm(form)
		form.Set("resource", f.Resource)
	}
	scopes := f.Scopes
	if asked := form.Get("scope"); asked != "" {
		scopes = splitScopes(asked)
	}
	return f.m.tokenEndpoint(ctx, f.Server, c, form, scopes)
}

// AwaitUser tells the tracer that the user is being asked, and by the function
// it returns that they have answered, or why not: it is their time, not the
// server's. A grant of your own that asks a user calls both, around what waits,
// under the context that it returns.
func (f *Flow) AwaitUser(ctx context.Context) (_ context.Context, answered func(error)) {
	trace, start := f.m.cfg.trace, time.Now()
	ctx = trace.user.TraceUserStart(ctx, UserStart{Issuer: f.Server.Issuer, Grant: f.m.cfg.Grant.Type()})
	return ctx, func(err error) {
		err = f.safe(err)
		trace.user.TraceUserEnd(ctx, UserEnd{Err: err})
		trace.debug(ctx, "user asked", err, slog.Duration("duration", time.Since(start)))
	}
}

// safe makes an error of a grant's, which may quote anything, the cause of one
// that quotes nothing.
func (f *Flow) safe(err error) error {
	if _, ours := err.(errtext.Safe); err == nil || ours {
		return err
	}
	return &AuthorizationError{Issuer: f.Server.Issuer, Err: err}
}

// try runs a request with the retries that it is worth. Those of a renewal are
// the renewal's own: waits between requests are not for inside its transaction.
func (f *Flow) try(ctx context.Context, request func(ctx context.Context) error) error {
	if f.single {
		return f.once(ctx, request)
	}
	ctx, cancel := context.WithTimeout(ctx, f.m.cfg.RefreshTimeout)
	defer cancel()
	_, err := f.m.retry(ctx, 0, func(ctx context.Context) error { return f.once(ctx, request) })
	return err
}

func (f *Flow) once(ctx context.Context, request func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(f.m.cfg.trace.withResends(ctx), f.m.cfg.RefreshTimeout/2)
	defer cancel()
	return request(ctx)
}

// HTTPClient is the client for further requests to the authorization server.
// It never follows redirects.
func (f *Flow) HTTPClient() *http.Client { return f.m.poster() }

func cloneForm(form url.Values) url.Values {
	c := make(url.Values, len(form)+1)
	for k, v := range form {
		c[k] = slices.Clone(v)
	}
	return c
}
