package finder

import (
	"net/http"
	"net/url"
	"sync"

	"github.com/mcptokens/mcptokens/auth/discovery"
	"github.com/mcptokens/mcptokens/internal/httpx"
)

// home is what is known of a resource apart from its documents.
type home struct {
	net   *httpx.Home
	named []string // origins of the program's choice, here because an idle manager does without

	mu         sync.Mutex
	transport  http.RoundTripper // see wrapped
	documented bool              // it has had metadata: it is no server of MCP 2025-03-26
	address    string            // where a challenge said that they are, and they were
	faults     [places]fault
}

// homeOf returns what is known of a resource.
func (f *Finder) homeOf(resource string) *home {
	f.mu.Lock()
	defer f.mu.Unlock()
	h := f.homes[resource]
	if h == nil {
		if f.homes == nil {
			f.homes = make(map[string]*home)
		}
		for other := range f.homes {
			if len(f.homes) < maxEntries {
				break
			}
			delete(f.homes, other) // it is found out again
		}
		h = &home{net: httpx.NewHome(resource), named: named(f.cfg)}
		f.homes[resource] = h
	}
	return h
}

// found takes note of a document that was at the URL at when a challenge said address; empty:
// no challenge did.
func (h *home) found(address, at string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.documented, h.faults = true, [places]fault{}
	h.address = ""
	if u, err := url.Parse(address); err == nil && address != "" && u.String() == at {
		h.address = address
	}
}

func (h *home) lastAddress() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.address
}

// Client returns the client for URLs that the resource leads to: a resource on the Internet
// does not lead into the network of this machine (RFC 9728 section 7.7). A server that the
// user configured may be anywhere.
func (f *Finder) Client(resource string) *http.Client {
	h := f.homeOf(resource)
	c := f.guard.Client(h.net, f.cfg.Plain, h.named...)
	if c == f.cfg.Plain {
		return f.cfg.HTTPClient
	}
	c.Transport = h.wrapped(c.Transport, f.cfg.Wrap)
	if f.cfg.TraceClient != nil {
		return f.cfg.TraceClient(c)
	}
	return c
}

// wrapped returns the guarded transport within wrap, which is the program's; nil: as it is.
// Wrapping can be costly, so that it is done once for each resource.
func (h *home) wrapped(guarded http.RoundTripper, wrap func(http.RoundTripper) http.RoundTripper) http.RoundTripper {
	if wrap == nil {
		return guarded
	}
	h.mu.Lock()
	known := h.transport
	h.mu.Unlock()
	if known != nil {
		return known
	}
	made := wrap(guarded)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.transport = made
	return made
}

// Guard makes c a client for URLs that the resource leads to.
func (f *Finder) Guard(resource string, c *http.Client) *http.Client {
	h := f.homeOf(resource)
	return f.guard.Client(h.net, c, h.named...)
}

// Network says which URLs may be requested beyond the rules.
func (f *Finder) Network() httpx.Network { return f.cfg.Network }

// named are the origins of the URLs that the program chose. They may be anywhere, what their
// documents name may not.
func named(cfg Config) []string {
	urls := []string{cfg.ClientIssuer}
	if s := cfg.Server; s != nil {
		urls = append(urls, s.Issuer, s.AuthorizationEndpoint, s.TokenEndpoint, s.RegistrationEndpoint,
			s.RevocationEndpoint, s.IntrospectionEndpoint, s.DeviceAuthorizationEndpoint, s.PushedAuthorizationRequestEndpoint)
	}
	return httpx.Origins(urls...)
}

// Unguarded is Poster for servers that the program itself named.
func (f *Finder) Unguarded() *http.Client { return httpx.NoRedirect(f.cfg.HTTPClient) }

// Poster is Client for requests that carry credentials: it never follows a redirect.
func (f *Finder) Poster(resource string) *http.Client { return httpx.NoRedirect(f.Client(resource)) }

// discover returns a client for metadata that the resource leads to.
func (f *Finder) discover(resource string) *discovery.Client {
	return &discovery.Client{HTTPClient: f.Client(resource), Network: f.cfg.Network}
}
