package finder

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/mcptokens/mcptokens/auth/discovery"
)

// listed is what matters of a resource's metadata. Whole documents can have a megabyte, and
// their servers choose how many there are.
type listed struct {
	resource string
	issuers  []string // authorization_servers; nil: the resource has no metadata, or lists none
	scopes   []string
	trouble  error    // why there is no document, if its places do not answer 404
	looked   []string // where there was none
}

// What is kept of one document.
const (
	maxIssuers    = 32
	maxIssuer     = 2 << 10  // bytes
	maxScopeBytes = 64 << 10 // of all together; more could not be asked for
)

func summary(doc *discovery.ProtectedResource) *listed {
	l := &listed{resource: doc.Resource, scopes: onlyScopes(doc.ScopesSupported)}
	for _, issuer := range doc.AuthorizationServers {
		if len(l.issuers) < maxIssuers && len(issuer) <= maxIssuer && !l.lists(issuer) {
			l.issuers = append(l.issuers, issuer)
		}
	}
	return l
}

// lists reports whether issuer is one of the resource's.
func (l *listed) lists(issuer string) bool { return spelling(l.issuers, issuer) != "" }

// onlyScopes returns the words that are a scope-token, once each (RFC 6749 section 3.3:
// printable ASCII without space, quotation mark and backslash). Nobody could ask for others.
func onlyScopes(words []string) []string {
	var scopes []string
	seen, size := make(map[string]bool), 0
	for _, s := range words {
		if s == "" || seen[s] || slices.ContainsFunc([]byte(s), func(c byte) bool { return c <= ' ' || c >= 0x7f || c == '"' || c == '\\' }) {
			continue
		}
		if size += len(s) + 1; size > maxScopeBytes {
			return nil
		}
		seen[s] = true
		scopes = append(scopes, s)
	}
	return scopes
}

// resourceKey is of a resource, at the address of its metadata if a challenge gave one.
type resourceKey address

// resource returns what the resource says about itself. That it fails, or does not list the
// server of the credential, is not taken from a table that may be older than the credential.
func (f *Finder) resource(ctx context.Context, q Query, w wanted) (*listed, error) {
	key := resourceKey{of: q.Resource, at: q.Metadata}
	if key.at == "" {
		key.at = f.homeOf(q.Resource).lastAddress()
	}
	for {
		l, err := f.resources.get(ctx, q.Resource, key, w, func(ctx context.Context) (*listed, error) { return f.askResource(ctx, q, key) })
		if err != nil || w.age == moveMetadata || l.trouble == nil && (q.Issuer == "" || l.lists(q.Issuer)) {
			return l, err
		}
		w.age = moveMetadata
	}
}

func (f *Finder) askResource(ctx context.Context, q Query, key resourceKey) (*listed, error) {
	home, client := f.homeOf(q.Resource), f.discover(q.Resource)
	doc, err := client.ProtectedResource(ctx, q.Resource, key.at)
	if err != nil && q.Metadata == "" && key.at != "" && ctx.Err() == nil {
		// The address is one that an earlier challenge gave.
		if doc2, err2 := client.ProtectedResource(ctx, q.Resource, ""); err2 == nil {
			doc, err = doc2, nil
		}
	}
	switch {
	case err == nil:
		home.found(key.at, doc.URL)
		return summary(doc), nil
	case errors.Is(err, discovery.ErrNotFound):
		return &listed{looked: lookedAt(err)}, nil
	case key.at == "" && home.neverAnswers(atResource, err):
		return &listed{trouble: err, looked: lookedAt(err)}, nil
	}
	return nil, err
}

// lookedAt are the addresses that a search for metadata tried.
func lookedAt(err error) (urls []string) {
	var de *discovery.Error
	if errors.As(err, &de) {
		for _, a := range de.Tried {
			urls = append(urls, a.URL)
		}
	}
	return urls
}

// lookedBefore returns err, the end of a search, with the places of the resource's metadata in
// its list: a mistake in the resource's URL shows there.
func (l *listed) lookedBefore(err error) error {
	de, ok := err.(*discovery.Error)
	if !ok || l.trouble != nil {
		return err
	}
	longer := *de
	longer.Tried = nil
	for _, at := range l.looked {
		longer.Tried = append(longer.Tried, discovery.Attempt{URL: at, Err: discovery.ErrNotFound})
	}
	longer.Tried = append(longer.Tried, de.Tried...)
	return &longer
}

// namesTime is how long a resource may take that is asked for its scopes alone.
const namesTime = 5 * time.Second

// NamedScopes are the resource's scopes_supported, for a place of this finder. The server that
// the program named is found without the resource, which is asked now; that it does not answer
// is no error, and what it said before will do. Where the endpoints are the program's too, nobody
// is asked.
func (f *Finder) NamedScopes(ctx context.Context, q Query, p *Place) []string {
	if f.cfg.Server == nil || p.Configured {
		return p.Scopes
	}
	limit := namesTime
	if end, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(end)/4) // the rest is for the token
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	q.Issuer = "" // whether the resource lists it does not matter
	if r, err := f.resource(ctx, q, wanted{freshMetadata, q.Since}); err == nil && r.trouble == nil {
		return r.scopes
	}
	return f.Scopes(q.Resource)
}

// Scopes are the resource's scopes_supported, as far as they are known. It asks nobody.
func (f *Finder) Scopes(resource string) []string {
	if l, ok := f.resources.newest(func(k resourceKey) bool { return k.of == resource }); ok {
		return l.scopes
	}
	return nil
}
