package finder

import (
	"cmp"
	"context"
	"errors"
	"math"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mcptokens/mcptokens/auth/discovery"
	"github.com/mcptokens/mcptokens/internal/httpx"
)

// How old metadata may be. A login looks for a resource that may have moved. A refresh goes to
// the server that issued the token, which answers 404 when its endpoints have moved. A table
// that says "moved" is checked again, unless it was filled just now.
const (
	freshMetadata  = time.Minute
	serverMetadata = time.Hour
	moveMetadata   = 5 * time.Second
	anyAge         = time.Duration(math.MaxInt64)
)

// Config says how one configuration's metadata is looked for. It is not changed after [New].
type Config struct {
	// Server is the configured authorization server; nil: discovered from the resource. With
	// a TokenEndpoint nothing is looked for; with an Issuer alone its metadata is, and what else
	// is set takes precedence over it.
	Server *discovery.AuthorizationServer
	// ClientIssuer is the only issuer that the program wants to be a client of. If it is empty,
	// the configured client ClientID is bound to the one that issued the credential in use, and
	// one that is registered on demand, with an empty ClientID, to nothing.
	ClientID, ClientIssuer string
	// HTTPClient sends the requests. Plain is the same without tracing; it is what gets
	// guarded. Nil: a client with a timeout of 30 seconds.
	HTTPClient, Plain *http.Client
	// Network is what the program allows beyond the rules for URLs and addresses; nil: nothing.
	Network *httpx.Policy
	// Wrap is put around guarded transports; HTTPClient has it already. Nil: as they are.
	Wrap func(http.RoundTripper) http.RoundTripper
	// TraceClient returns a guarded client with tracing. Nil: as it is.
	TraceClient func(*http.Client) *http.Client
	// Trace is called when a search begins, with the canonical resource and, if the issuer is
	// what is known, the issuer. The function it returns is called at the end with the issuer
	// found. Nil: nobody wants to know.
	Trace func(ctx context.Context, resource, issuer string) (context.Context, func(issuer string, err error))
}

// Query says for whom something is looked for.
type Query struct {
	Resource           string // the resource's URL as configured
	Canonical          string // and in the form of discovery.ResourceURL
	Issuer             string // of the credential in use; empty: none
	CredentialResource string // the resource indicator stored with that credential; empty: not known
	Metadata           string // resource_metadata of the challenge; empty: none
	// Stored is the server of the credential as it was stored with it, checked by the caller; nil:
	// it was not, or may not be used.
	Stored *discovery.AuthorizationServer
	// Since is what [Finder.Now] was when the token in use was obtained. A challenge may mean
	// that the resource has moved, so what was asked for before then is asked for again.
	Since uint32
}

// Place is where to get a token, and for what. Managers share what it points to: read only.
type Place struct {
	Server *discovery.AuthorizationServer
	// Resource is the resource indicator to send: what the protected resource metadata state,
	// to the letter, else the canonical URL.
	Resource string
	// Scopes are the resource's scopes_supported, without words that are no scopes; nil where
	// the resource was not asked. See [Finder.NamedScopes].
	Scopes []string
	// Looked is where metadata were looked for when there are none, so that the Server is the
	// resource itself with endpoints that are assumed; nil otherwise.
	Looked []string
	// Stored: Server is [Query.Stored], and has endpoints only. Configured: it is the program's.
	Stored, Configured bool
}

// Finder finds and remembers. It can be used by several goroutines.
type Finder struct {
	cfg   Config
	guard *httpx.Guard

	clock     atomic.Uint32 // counts requests
	resources table[resourceKey, *listed]
	servers   table[serverKey, *discovery.AuthorizationServer]

	mu    sync.Mutex
	homes map[string]*home
}

// Transport is that of the program's own client; nil if it has none.
func (f *Finder) Transport() http.RoundTripper {
	if f.cfg.Plain == nil {
		return nil
	}
	return f.cfg.Plain.Transport
}

// New returns a finder that knows nothing yet.
func New(cfg Config) *Finder {
	f := &Finder{cfg: cfg, guard: httpx.NewGuard(cfg.Network)}
	f.resources.clock, f.servers.clock = &f.clock, &f.clock
	return f
}

// Now returns a point in time for [Query.Since].
func (f *Finder) Now() uint32 { return f.clock.Load() }

// Find returns where to log in (MCP 2026-07-28, authorization server discovery). Metadata is
// at most a minute old and was asked for after q.Since.
//
// Of several authorization servers (RFC 9728 section 7.6 leaves the choice to the client) it
// takes the one that the client is bound to, else the one in use, else the first. One that
// cannot be used gives way to the next, unless the client is bound to it.
//
// The error is a *[MismatchError] if the client is bound to a server that the resource does
// not list, else of package discovery; if several servers were tried it names each and is what
// each error is.
func (f *Finder) Find(ctx context.Context, q Query) (*Place, error) {
	if p := f.configured(q); p != nil {
		return p, nil
	}
	ctx, end := f.trace(ctx, q, "")
	p, err := f.find(ctx, q)
	if err != nil {
		end("", err)
		return nil, err
	}
	end(p.Server.Issuer, nil)
	return p, nil
}

func (f *Finder) find(ctx context.Context, q Query) (*Place, error) {
	w := wanted{freshMetadata, q.Since}
	if f.cfg.Server != nil {
		srv, err := f.server(ctx, q, f.cfg.Server.Issuer, w)
		if err != nil {
			return nil, err
		}
		return &Place{Server: srv, Resource: q.Canonical}, nil
	}
	r, err := f.resource(ctx, q, w)
	if err != nil {
		return nil, err
	}
	p := &Place{Resource: cmp.Or(r.resource, q.Canonical), Scopes: r.scopes}
	switch {
	case len(r.issuers) > 0:
		p.Server, err = f.choose(ctx, q, r.issuers, w)
	case r.trouble != nil && q.Issuer != "" && !isOwnServer(q):
		err = r.trouble // the credential shows that it has had another server
	default:
		if p.Server, err = f.legacy(ctx, q, w, r.trouble); err != nil {
			return nil, r.lookedBefore(err)
		}
		if at := p.Server.Assumed(); at != "" {
			p.Looked = append(slices.Clone(r.looked), at)
		}
		err = f.checkBound(q, p.Server.Issuer)
	}
	if err != nil {
		return nil, err
	}
	return p, nil
}

// Issuer returns the server that issued the credential, since a refresh token goes there and
// nowhere else. What is known is good for an hour, and after that as long as there is no
// better. Where nothing is known q.Stored will do. Without q.Issuer it is Find.
//
// It is [ErrMoved] if that server no longer has metadata and the resource does not list it;
// a *[MismatchError] instead if the client is bound to it. Else the error is as for Find.
func (f *Finder) Issuer(ctx context.Context, q Query) (*Place, error) {
	if p := f.configured(q); p != nil {
		return p, nil
	}
	if q.Issuer == "" {
		return f.Find(ctx, q)
	}
	if q.Stored != nil && q.CredentialResource != "" && f.old(q, anyAge) == nil {
		return &Place{Server: f.set(q.Stored), Resource: q.CredentialResource, Stored: true}, nil
	}
	srv, err := f.issuer(ctx, q)
	if err != nil {
		if errors.Is(err, discovery.ErrNotFound) || isOwnServer(q) && answered5xx(err) {
			return f.stillThere(ctx, q, err)
		}
		return nil, err
	}
	p := &Place{Server: srv, Resource: q.CredentialResource}
	if p.Resource == "" {
		// Other programs that asked for tokens will have sent what the resource's metadata call it
		// (RFC 9728 section 2).
		r, err := f.resource(ctx, q, wanted{age: freshMetadata})
		switch {
		case err != nil:
			return nil, err
		case r.trouble != nil && !isOwnServer(q):
			return nil, r.trouble
		}
		p.Resource = cmp.Or(r.resource, q.Canonical)
	}
	return p, nil
}

// stillThere asks the resource about a server that has no metadata; gone is the error that
// says so.
func (f *Finder) stillThere(ctx context.Context, q Query, gone error) (*Place, error) {
	if f.cfg.Server != nil {
		if discovery.SameIssuer(f.cfg.Server.Issuer, q.Issuer) {
			return f.oldPlace(q, gone)
		}
		return nil, ErrMoved // to the server that is configured now
	}
	ctx, end := f.trace(ctx, q, "")
	p, err := f.askAbout(ctx, q, gone)
	if err != nil {
		end("", err)
		return nil, err
	}
	end(p.Server.Issuer, nil)
	return p, nil
}

func (f *Finder) askAbout(ctx context.Context, q Query, gone error) (*Place, error) {
	w := wanted{freshMetadata, q.Since}
	r, err := f.resource(ctx, q, w)
	switch {
	case err != nil:
		return f.oldPlace(q, err)
	case r.lists(q.Issuer), r.trouble != nil && !isOwnServer(q):
		return f.oldPlace(q, gone)
	case len(r.issuers) > 0:
		return nil, cmp.Or(f.checkBound(q, r.issuers...), ErrMoved)
	}
	srv, err := f.legacy(ctx, q, w, r.trouble)
	switch {
	case err != nil:
		return f.oldPlace(q, err)
	case !discovery.SameIssuer(srv.Issuer, q.Issuer):
		return nil, cmp.Or(f.checkBound(q, srv.Issuer), ErrMoved)
	}
	return &Place{Server: srv, Resource: cmp.Or(q.CredentialResource, q.Canonical)}, nil
}

// oldPlace is what was known of the credential's server, however long ago. It is err if nothing
// was, or if it is not known what the resource is called there.
func (f *Finder) oldPlace(q Query, err error) (*Place, error) {
	srv := f.old(q, anyAge)
	if srv == nil || q.CredentialResource == "" {
		return nil, err
	}
	return &Place{Server: srv, Resource: q.CredentialResource}, nil
}

// Moved asks the resource which authorization servers it trusts (MCP 2026-07-28,
// "Authorization Server Binding"): a refresh token of one that it left is worthless, and so is
// the client registered there. It returns [ErrMoved] if q.Issuer is not one of them. A
// resource that does not answer, or lists none, has not moved.
func (f *Finder) Moved(ctx context.Context, q Query) error {
	if f.cfg.Server != nil || q.Issuer == "" {
		return nil
	}
	r, err := f.resource(ctx, q, wanted{freshMetadata, q.Since})
	if err != nil || len(r.issuers) == 0 || r.lists(q.Issuer) {
		return nil
	}
	return ErrMoved
}

// configured is the configured server if nothing has to be looked for.
func (f *Finder) configured(q Query) *Place {
	if f.cfg.Server == nil || f.cfg.Server.TokenEndpoint == "" {
		return nil
	}
	return &Place{Server: f.cfg.Server, Resource: q.Canonical, Configured: true}
}

func (f *Finder) trace(ctx context.Context, q Query, issuer string) (context.Context, func(string, error)) {
	if f.cfg.Trace == nil {
		return ctx, func(string, error) {}
	}
	return f.cfg.Trace(ctx, q.Canonical, issuer)
}
