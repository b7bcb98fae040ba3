package finder

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/mcptokens/mcptokens/auth/discovery"
	"github.com/mcptokens/mcptokens/internal/httpx"
)

// serverKey is of an issuer, without a slash at its end, or at the resource that is its own server.
// What was found in a private network is not for those whom a resource on the Internet sends
// there.
type serverKey address

func (f *Finder) issuerKey(q Query, issuer string) serverKey {
	return serverKey{of: strings.TrimSuffix(issuer, "/"), guarded: !f.homeOf(q.Resource).net.Private()}
}

// server returns the metadata of an authorization server. What the program set takes precedence
// over its document.
func (f *Finder) server(ctx context.Context, q Query, issuer string, w wanted) (*discovery.AuthorizationServer, error) {
	return f.servers.get(ctx, q.Resource, f.issuerKey(q, issuer), w, func(ctx context.Context) (*discovery.AuthorizationServer, error) {
		srv, err := f.discover(q.Resource).AuthorizationServer(ctx, issuer)
		if f.cfg.Server == nil || !discovery.SameIssuer(f.cfg.Server.Issuer, issuer) {
			return srv, err
		}
		if errors.Is(err, discovery.ErrNotFound) || errors.Is(err, discovery.ErrIssuerMismatch) {
			srv, err = f.elsewhere(ctx, q, issuer, err)
		}
		if err != nil {
			return nil, err
		}
		return f.set(srv), nil
	})
}

// set is srv with what the program set of that server.
func (f *Finder) set(srv *discovery.AuthorizationServer) *discovery.AuthorizationServer {
	if f.cfg.Server == nil || !discovery.SameIssuer(f.cfg.Server.Issuer, srv.Issuer) {
		return srv
	}
	return srv.With(f.cfg.Server)
}

// elsewhere looks for the documents of an issuer that the program named, and that has none at its
// own places: where the resource lists a server of the same origin, such as a tenant's path, or at
// the resource itself if it lists none, as with MCP 2025-03-26. It returns none if that has no
// document for issuer either.
func (f *Finder) elsewhere(ctx context.Context, q Query, issuer string, none error) (*discovery.AuthorizationServer, error) {
	r, err := f.resource(ctx, q, wanted{freshMetadata, q.Since})
	if err != nil {
		return nil, none
	}
	listed := r.issuers
	if len(listed) == 0 {
		listed = []string{origin(q.Resource)}
	}
	client := f.discover(q.Resource)
	for _, at := range listed[:min(len(listed), maxTried)] {
		if discovery.SameIssuer(at, issuer) || origin(at) != origin(issuer) {
			continue
		}
		if srv, err := client.AuthorizationServerAt(ctx, at, issuer); err == nil {
			return srv, nil
		}
	}
	return nil, none
}

// issuer returns the metadata of the credential's server, old ones rather than none while that
// server fails.
func (f *Finder) issuer(ctx context.Context, q Query) (*discovery.AuthorizationServer, error) {
	if srv := f.old(q, serverMetadata); srv != nil {
		return srv, nil
	}
	ctx, end := f.trace(ctx, q, q.Issuer)
	srv, err := f.server(ctx, q, q.Issuer, wanted{age: serverMetadata})
	if err != nil && !errors.Is(err, discovery.ErrNotFound) {
		if old := f.old(q, anyAge); old != nil {
			srv, err = old, nil
		}
	}
	end(q.Issuer, err)
	return srv, err
}

// old returns what is known of the credential's server, nil if nothing of that age.
func (f *Finder) old(q Query, age time.Duration) *discovery.AuthorizationServer {
	for _, key := range []serverKey{f.issuerKey(q, q.Issuer), {at: q.Resource}} {
		if srv, ok := f.servers.known(q.Resource, key, wanted{age: age}); ok && discovery.SameIssuer(srv.Issuer, q.Issuer) {
			return srv
		}
	}
	return nil
}

// Forget makes the next caller look for the server's metadata again, because an endpoint has
// moved.
func (f *Finder) Forget(srv *discovery.AuthorizationServer) {
	f.servers.forget(func(known *discovery.AuthorizationServer) bool { return discovery.SameIssuer(known.Issuer, srv.Issuer) })
}

// How many authorization servers are tried, and how long one may take while there are others.
const (
	maxTried = 5
	tryTime  = 10 * time.Second
)

// choose returns the first of the listed servers that can be used.
func (f *Finder) choose(ctx context.Context, q Query, issuers []string, w wanted) (*discovery.AuthorizationServer, error) {
	if bound := f.bound(q); bound != "" {
		if err := f.checkBound(q, issuers...); err != nil {
			return nil, err
		}
		return f.server(ctx, q, spelling(issuers, bound), w)
	}
	inUse := spelling(issuers, q.Issuer)
	if i := slices.Index(issuers, inUse); i > 0 {
		issuers = append(append([]string{inUse}, issuers[:i]...), issuers[i+1:]...)
	}
	issuers = issuers[:min(len(issuers), maxTried)]
	failed := new(triedError)
	for i, issuer := range issuers {
		srv, err := f.try(ctx, q, issuer, w, len(issuers)-i)
		if err != nil && issuer == inUse && passes(err) {
			// A login elsewhere does not help a user whose server is down for a moment.
			if old := f.old(q, serverMetadata); old != nil {
				srv, err = old, nil
			}
		}
		switch {
		case err == nil:
			return srv, nil
		case ctx.Err() != nil || len(issuers) == 1:
			return nil, err
		}
		failed.servers = append(failed.servers, tried{issuer, err})
	}
	return nil, failed
}

// try asks one of left servers, without taking all the time that ctx has.
func (f *Finder) try(ctx context.Context, q Query, issuer string, w wanted, left int) (*discovery.AuthorizationServer, error) {
	if left == 1 {
		return f.server(ctx, q, issuer, w)
	}
	limit := tryTime
	if end, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(end)/time.Duration(left))
	}
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	srv, err := f.server(bounded, q, issuer, w)
	var de *discovery.Error
	if err != nil && !errors.As(err, &de) { // the time was up while another caller asked
		err = &discovery.Error{Op: "authorization server metadata", Err: httpx.NewTransportError(err)}
	}
	return srv, err
}

// bound is the only issuer that the client may be shown to; empty: any. A configured client
// whose issuer was not configured is bound to the one that gave it a token.
func (f *Finder) bound(q Query) string {
	if f.cfg.ClientID == "" {
		return f.cfg.ClientIssuer
	}
	return cmp.Or(f.cfg.ClientIssuer, q.Issuer)
}

// checkBound returns a *[MismatchError] if the client is bound to none of issuers.
func (f *Finder) checkBound(q Query, issuers ...string) error {
	if bound := f.bound(q); bound != "" && spelling(issuers, bound) == "" {
		return &MismatchError{Expected: bound, Actual: issuers[0]}
	}
	return nil
}

// spelling returns the one of issuers that is issuer, as it is spelled there; empty: none is.
func spelling(issuers []string, issuer string) string {
	if issuer == "" {
		return ""
	}
	for _, i := range issuers {
		if discovery.SameIssuer(i, issuer) {
			return i
		}
	}
	return ""
}
