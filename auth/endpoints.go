package auth

import (
	"context"
	"net/url"
	"slices"

	"github.com/mcptokens/mcptokens/auth/discovery"
	"github.com/mcptokens/mcptokens/auth/internal/finder"
	"github.com/mcptokens/mcptokens/internal/clientsecret"
	"github.com/mcptokens/mcptokens/internal/httpx"
)

// Endpoints are where an authorization server is asked for tokens. A record keeps
// those of its issuer, so that a program that starts with an expired token needs
// no metadata, and starts while they cannot be fetched.
type Endpoints struct {
	// Token is the token endpoint's URL.
	Token string
	// Revocation is the revocation endpoint's URL (RFC 7009); empty: none.
	Revocation string
	// AuthMethods are how clients authenticate there (RFC 8414 section 2,
	// token_endpoint_auth_methods_supported).
	AuthMethods []string
	// ScopedRefresh: a refresh has to name its scopes there, which RFC 6749
	// section 6 makes optional.
	ScopedRefresh bool
}

// clone returns a copy that shares nothing; nil for nil.
func (e *Endpoints) clone() *Endpoints {
	if e == nil {
		return nil
	}
	c := *e
	c.AuthMethods = slices.Clone(e.AuthMethods)
	return &c
}

// endpointsOf are those of a place, to be stored. known is what the record has.
func (o *obtainer) endpointsOf(p *finder.Place, known *Endpoints) *Endpoints {
	e := Endpoints{ScopedRefresh: o.known().has(habit{of: wantsScopes, issuer: p.Server.Issuer})}
	switch {
	case p.Stored && known.ScopedRefresh == e.ScopedRefresh:
		return known
	case p.Configured && !e.ScopedRefresh:
		return nil // the program says at every start
	case p.Stored:
		e.Token, e.Revocation, e.AuthMethods = known.Token, known.Revocation, known.AuthMethods
	case !p.Configured:
		e.Token, e.Revocation, e.AuthMethods = p.Server.TokenEndpoint, p.Server.RevocationEndpoint, p.Server.TokenEndpointAuthMethodsSupported
	}
	return o.known().share(&e)
}

// find returns the server that issued the credential, as it was stored with it
// if nothing is known of it.
func (o *obtainer) find(ctx context.Context, target resource, rec *Record) (*finder.Place, error) {
	q := target.query(rec, Challenge{})
	q.Stored = o.stored(rec)
	p, err := o.finder.Issuer(ctx, q)
	return p, issuerError(err)
}

// findAgain is find by the server's metadata alone.
func (o *obtainer) findAgain(ctx context.Context, target resource, rec *Record) (*finder.Place, error) {
	p, err := o.finder.Issuer(ctx, target.query(rec, Challenge{}))
	return p, issuerError(err)
}

// stored is the record's server by its stored endpoints; nil: its metadata are
// needed.
//
// Who can write to the store can write endpoints too, but reads there already
// what a public client sends to them. A secret of the program goes to the
// origin of the issuer that the program named, and nowhere else.
func (o *obtainer) stored(rec *Record) *Server {
	e := rec.Endpoints
	if e == nil || rec.Issuer == "" {
		return nil
	}
	c := &o.clients
	secret := c.configured.Secret != "" || hasSecret(c.configured.Auth)
	byDocument := c.ours != nil && c.ours.metadataURL != "" && rec.Registration == nil
	if byDocument {
		secret = hasSecret(c.ours.metadataAuth)
	}
	if secret && !discovery.SameIssuer(c.configured.Issuer, rec.Issuer) {
		return nil
	}
	issuer, err := httpx.CheckURLIn(o.finder.Network(), "issuer", rec.Issuer)
	if err != nil {
		return nil
	}
	srv := &Server{
		Issuer: rec.Issuer, TokenEndpointAuthMethodsSupported: e.AuthMethods,
		ClientIDMetadataDocumentSupported: byDocument, // it gave the document's client a token
	}
	if srv.TokenEndpoint = o.storedURL(e.Token, issuer, secret); srv.TokenEndpoint == "" {
		return nil
	}
	srv.RevocationEndpoint = o.storedURL(e.Revocation, issuer, secret)
	return srv
}

// storedURL is raw, or empty if it may not be requested.
func (o *obtainer) storedURL(raw string, issuer *url.URL, secret bool) string {
	u, err := httpx.CheckURLIn(o.finder.Network(), "endpoint", raw)
	if err != nil || secret && !httpx.SameOrigin(u, issuer) {
		return ""
	}
	return raw
}

func hasSecret(a ClientAuth) bool { return a != nil && a.Method() != clientsecret.None }
