package httpx

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mcptokens/mcptokens/internal/errtext"
)

var (
	// ErrPrivateAddress says that a server on the Internet named a URL whose host is in the
	// network of this machine.
	ErrPrivateAddress = errtext.New("address is not public")

	// ErrUnseenAddress says that a server named a URL and that nobody here can tell which
	// address the program's transport would connect to.
	ErrUnseenAddress = errtext.New("address cannot be checked")
)

// Home is the server whose word requests follow: its metadata and what is named there. A
// hostile one could name what only this machine reaches (MCP 2026-07-28, security best
// practices, "Server-Side Request Forgery"; RFC 9728 section 7.7), so public servers lead to
// public addresses only. A server in a private network, or on this machine, leads anywhere.
type Home struct {
	url    *url.URL
	origin string
	local  bool // the URL alone says that it is not on the Internet

	mu     sync.Mutex
	proven string // the addresses that its name had when it was shown to be private; empty: never
}

// NewHome returns the home at a URL.
func NewHome(raw string) *Home {
	u, err := url.Parse(raw)
	if err != nil {
		return &Home{url: new(url.URL)} // it is nowhere, and leads to public addresses
	}
	return &Home{url: u, origin: Origin(u), local: isLocalLiteral(u.Hostname())}
}

// Private reports whether the home is known to be in a private network. It asks nobody.
func (h *Home) Private() bool {
	if h.local {
		return true
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.proven != ""
}

// Guard makes clients that keep to public addresses and to what a policy allows, by putting a
// check in front of the dialer that a transport has. Addresses are judged when they are
// dialled, so that a name which changes its address in between gains nothing.
//
// A transport that is no *http.Transport does not show its dialer: it serves what the program
// named, and all else is ErrUnseenAddress. Requests that go through a proxy are dialled there;
// what is judged then is what the URL itself says.
type Guard struct {
	policy *Policy

	mu   sync.Mutex
	made map[*http.Transport]*guarded
}

// NewGuard returns the guard for a policy.
func NewGuard(p *Policy) *Guard {
	if p == nil {
		return &internet
	}
	return &Guard{policy: p}
}

// internet is the guard without exceptions. All who use it share its connections, like those
// of the http.DefaultTransport that they are made of.
var internet Guard

// Client returns a client like c that follows the word of h, and goes to the origins named,
// which are the program's choice (see [Origins]), wherever they are. It is c itself if h leads
// anywhere.
func (g *Guard) Client(h *Home, c *http.Client, named ...string) *http.Client {
	if g.policy != nil && g.policy.anyAddress || h.local {
		return c
	}
	base := http.DefaultTransport
	if c != nil && c.Transport != nil {
		base = c.Transport
	}
	cc := clone(c)
	r := &guard{home: h, policy: g.policy, named: named}
	if t, ok := base.(*http.Transport); ok {
		r.guarded = g.transport(t)
	} else {
		r.opaque = base
	}
	cc.Transport = r
	return cc
}

// maxTransports bounds how many transports of a program are remembered. More than a few are a
// sign that it makes them for single requests.
const maxTransports = 16

// transport returns what is made of t, once.
func (g *Guard) transport(t *http.Transport) *guarded {
	g.mu.Lock()
	defer g.mu.Unlock()
	if made := g.made[t]; made != nil {
		return made
	}
	if g.made == nil {
		g.made = make(map[*http.Transport]*guarded)
	}
	for old, made := range g.made {
		if len(g.made) < maxTransports {
			break
		}
		delete(g.made, old)
		made.open.CloseIdleConnections()
		made.public.CloseIdleConnections()
	}
	made := newGuarded(t, g.policy)
	g.made[t] = made
	return made
}

// guarded are two transports like one of the program's. They do not share connections.
type guarded struct {
	open   *http.Transport // goes anywhere, and through proxies
	public *http.Transport // connects to public addresses only
	dialer *dialer
}

func newGuarded(t *http.Transport, p *Policy) *guarded {
	g := &guarded{open: cloneTransport(t), public: cloneTransport(t), dialer: newDialer(t, p)}
	if g.open.OnProxyConnectResponse == nil {
		g.open.OnProxyConnectResponse = proxyRefused
	}
	g.public.Proxy = nil
	g.public.DialContext = g.dialer.dial
	if g.dialer.tls != nil {
		g.public.DialTLSContext = g.dialer.dialTLS
	}
	return g
}

func cloneTransport(t *http.Transport) *http.Transport {
	t = t.Clone()
	if t.MaxResponseHeaderBytes <= 0 || t.MaxResponseHeaderBytes > MaxBody {
		t.MaxResponseHeaderBytes = MaxBody
	}
	if t.IdleConnTimeout == 0 {
		t.IdleConnTimeout = 90 * time.Second // nobody closes them
	}
	// An HTTP/2 that was set up by hand, or by net/http as nobody had a dialer, is one with the
	// connections of the original.
	if len(t.TLSNextProto) > 0 || t.TLSClientConfig != nil && slices.Contains(t.TLSClientConfig.NextProtos, "h2") {
		t.TLSNextProto, t.ForceAttemptHTTP2 = nil, true
	}
	return t
}

// proxyRefused makes an error of a proxy's answer to CONNECT. net/http has but the words that
// the proxy put beside the status.
func proxyRefused(_ context.Context, _ *url.URL, _ *http.Request, resp *http.Response) error {
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	return errtext.ProxyRefused(resp.StatusCode)
}

// guard is the transport of a guarded client.
type guard struct {
	home   *Home
	policy *Policy
	named  []string
	*guarded
	opaque http.RoundTripper // instead of guarded
}

// RoundTrip implements http.RoundTripper.
func (g *guard) RoundTrip(req *http.Request) (*http.Response, error) {
	origin := Origin(req.URL)
	programs := slices.Contains(g.named, origin)
	switch {
	case g.opaque != nil && (programs || origin == g.home.origin || g.policy.reaches(req.URL.Hostname(), port(req.URL))):
		return g.opaque.RoundTrip(req)
	case g.opaque != nil:
		return refuse(req, errtext.Errorf(ErrUnseenAddress, "the HTTP client's Transport, a %T, does not show where it connects to: "+
			"use an *http.Transport and set Config.Network.Wrap to what is around it, or set Config.Network.AnyAddress", g.opaque))
	case programs:
		return g.open.RoundTrip(req)
	case g.proxied(req):
		if host := req.URL.Hostname(); isLocalLiteral(host) && !g.policy.reaches(host, port(req.URL)) && !g.home.isPrivate(req.Context(), g.dialer, g.open.TLSClientConfig) {
			return refuse(req, refused(host, "an address that is not public"))
		}
		return g.open.RoundTrip(req)
	}
	resp, err := g.public.RoundTrip(req)
	if !errors.Is(err, ErrPrivateAddress) || !g.home.isPrivate(req.Context(), g.dialer, g.open.TLSClientConfig) {
		return resp, err
	}
	again := req.WithContext(req.Context()) // a copy: its header is only read
	if req.Body != nil && req.Body != http.NoBody {
		if req.GetBody == nil {
			return nil, err // the body is gone
		}
		if again.Body, err = req.GetBody(); err != nil {
			return nil, err
		}
	}
	return g.open.RoundTrip(again)
}

// CloseIdleConnections is what [http.Client.CloseIdleConnections] looks for.
func (g *guard) CloseIdleConnections() {
	if g.guarded != nil {
		g.open.CloseIdleConnections()
		g.public.CloseIdleConnections()
	} else if c, ok := g.opaque.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

func refuse(req *http.Request, err error) (*http.Response, error) {
	if req.Body != nil {
		_ = req.Body.Close()
	}
	return nil, err
}

// Origins returns the origins of those URLs that have one.
func Origins(urls ...string) []string {
	var origins []string
	for _, raw := range urls {
		if u, err := url.Parse(raw); err == nil && u.Host != "" {
			origins = append(origins, Origin(u))
		}
	}
	return origins
}

// proxied reports whether req goes through a proxy, which is what is dialled then.
func (g *guard) proxied(req *http.Request) bool {
	if g.open.Proxy == nil {
		return false
	}
	proxy, err := g.open.Proxy(req)
	return proxy != nil || err != nil
}

// isLocalLiteral reports whether host says by itself that it is not on the Internet.
func isLocalLiteral(host string) bool {
	addr, err := netip.ParseAddr(host)
	return IsLocalName(host) || err == nil && !isPublic(addr)
}

// isPrivate finds out whether the home is in a private network, and remembers it until its
// name has other addresses. What those are is up to its owner; the handshake shows that the
// home is really there, since no server that this could be used against has a certificate for
// that name.
func (h *Home) isPrivate(ctx context.Context, d *dialer, config *tls.Config) bool {
	u := h.url
	if u.Scheme != "https" {
		return false
	}
	addrs, err := d.lookup(ctx, u.Hostname())
	if err != nil {
		return false
	}
	now := joined(addrs)
	h.mu.Lock()
	known := h.proven == now
	h.mu.Unlock()
	if known {
		return true
	}
	proven := ""
	if d.answers(ctx, u.Hostname(), port(u), addrs, config) {
		proven = now
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.proven = proven
	return proven != ""
}

func joined(addrs []netip.Addr) string {
	texts := make([]string, len(addrs))
	for i, a := range addrs {
		texts[i] = a.Unmap().String()
	}
	slices.Sort(texts)
	return strings.Join(texts, " ")
}

// those are the addresses that are wanted.
func those(addrs []netip.Addr, wanted func(netip.Addr) bool) (list []netip.Addr) {
	for _, a := range addrs {
		if wanted(a) {
			list = append(list, a)
		}
	}
	return list
}

// proofTime bounds the handshake that shows where a home is.
const proofTime = 10 * time.Second

// answers reports whether a server with a certificate for name is at one of these addresses
// that is not public.
func (d *dialer) answers(ctx context.Context, name, port string, addrs []netip.Addr, config *tls.Config) bool {
	private := those(addrs, func(a netip.Addr) bool { return !isPublic(a) })
	if len(private) == 0 {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, proofTime)
	defer cancel()
	if d.tls != nil {
		conn, err := d.tls(ctx, "tcp", net.JoinHostPort(name, port))
		if err != nil {
			return false
		}
		_ = conn.Close()
		at, err := netip.ParseAddrPort(conn.RemoteAddr().String())
		return err == nil && !isPublic(at.Addr())
	}
	conn, err := race(ctx, private, func(ctx context.Context, a netip.Addr) (net.Conn, error) {
		return d.plain(ctx, "tcp", net.JoinHostPort(a.String(), port))
	})
	if err != nil {
		return false
	}
	defer conn.Close()
	strict := &tls.Config{}
	if config != nil {
		strict = config.Clone()
	}
	strict.ServerName, strict.InsecureSkipVerify = name, false // whoever answers here has to prove it
	return tls.Client(conn, strict).HandshakeContext(ctx) == nil
}
