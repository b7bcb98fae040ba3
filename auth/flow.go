package auth

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/mcptokens/mcptokens/auth/registration"
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

// Exchange sends form to the server's token endpoint, authenticated as c, with
// the resource indicator added, and retries what can be retried within
// [Config.RefreshTimeout]. A response without scope granted the flow's Scopes.
// Errors: *[TokenError].
func (f *Flow) Exchange(ctx context.Context, c *Client, form url.Values) (*Token, error) {
	if form.Get("resource") == "" {
		form = cloneForm(form)
		form.Set("resource", f.Resource)
	}
	return f.ExchangeAt(ctx, f.Server, c, form)
}

// ExchangeAt is [Flow.Exchange] at another server, such as an enterprise's
// identity provider, and with nothing added to the form.
func (f *Flow) ExchangeAt(ctx context.Context, srv *Server, c *Client, form url.Values) (*Token, error) {
	ctx, cancel := context.WithTimeout(ctx, f.m.cfg.RefreshTimeout)
	defer cancel()
	var tok *Token
	_, err := f.m.retry(ctx, 0, func(ctx context.Context) (err error) {
		ctx, cancel := context.WithTimeout(ctx, f.m.cfg.RefreshTimeout/2)
		defer cancel()
		tok, err = f.m.tokenEndpoint(ctx, srv, c, form, f.Scopes)
		return err
	})
	return tok, err
}

// HTTPClient is the client for further requests to the authorization server.
// It never follows redirects.
func (f *Flow) HTTPClient() *http.Client { return f.m.post }

func cloneForm(form url.Values) url.Values {
	c := make(url.Values, len(form)+1)
	for k, v := range form {
		c[k] = slices.Clone(v)
	}
	return c
}
