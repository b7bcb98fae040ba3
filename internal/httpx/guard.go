package httpx

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/mcptokens/mcptokens/internal/errtext"
)

// ErrPrivateAddress says that a server on the Internet named a URL whose host is in the
// network of this machine.
var ErrPrivateAddress = errtext.New("address is not public")

var (
	errNotPublic  = errtext.Errorf(ErrPrivateAddress, "the MCP server leads into a private network and is not there itself; if that is right, set an HTTPClient with a Transport")
	errNotPrivate = errors.New("a public address")
)

// Home is the server whose word requests follow: its metadata and what is named there. A
// hostile one could name what only this machine reaches (MCP 2026-07-28, security best
// practices, "Server-Side Request Forgery"; RFC 9728 section 7.7), so public servers lead to
// public addresses only. A server in a private network, or on this machine, leads anywhere.
type Home struct {
	URL string

	private atomic.Bool // it has been shown to be in a private network
}

// Guard returns a client like c that follows the word of h. Addresses are judged when they are
// dialled, so that a name which changes its address in between gains nothing. A client with a
// Transport of its own comes back as it is: its dialer decides. So does one that uses a proxy,
// for the requests that it does use it for. issuer, if not empty, is a URL that the user named;
// its host may be anywhere.
func (h *Home) Guard(c *http.Client, issuer string) *http.Client {
	if c != nil && c.Transport != nil || h.private.Load() {
		return c
	}
	u, err := url.Parse(h.URL)
	if err != nil || IsLocalName(u.Hostname()) {
		return c
	}
	if addr, err := netip.ParseAddr(u.Hostname()); err == nil && !isPublic(addr) {
		return c
	}
	open, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return c // the program has put something else there
	}
	cc := clone(c)
	cc.Transport = guard{home: h, issuer: issuer, open: open, public: publicTransport()}
	return cc
}

// publicTransport is shared for its connections, like the http.DefaultTransport that it is
// made of.
var publicTransport = sync.OnceValue(func() *http.Transport {
	return newPublicTransport(http.DefaultTransport.(*http.Transport))
})

// newPublicTransport returns a copy of base without a proxy that connects to public addresses
// only.
func newPublicTransport(base *http.Transport) *http.Transport {
	t := base.Clone()
	t.Proxy = nil
	t.MaxResponseHeaderBytes = MaxBody
	t.DialContext = (&net.Dialer{Timeout: defaultTimeout, KeepAlive: defaultTimeout, Control: onlyIf(isPublic, errNotPublic)}).DialContext
	return t
}

// onlyIf makes a dialer connect to addresses that are allowed, whatever name led there.
func onlyIf(allowed func(netip.Addr) bool, otherwise error) func(network, address string, _ syscall.RawConn) error {
	return func(_, address string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(address)
		if err != nil || !allowed(at.Addr()) {
			return otherwise
		}
		return nil
	}
}

type guard struct {
	home         *Home
	issuer       string
	open, public *http.Transport
}

// RoundTrip implements http.RoundTripper.
func (g guard) RoundTrip(req *http.Request) (*http.Response, error) {
	if g.home.private.Load() || g.names(req.URL) || g.proxied(req) {
		return g.open.RoundTrip(req)
	}
	resp, err := g.public.RoundTrip(req)
	if !errors.Is(err, ErrPrivateAddress) || !g.prove(req.Context()) {
		return resp, err
	}
	again := req.Clone(req.Context())
	if req.GetBody != nil {
		if again.Body, err = req.GetBody(); err != nil {
			return nil, err
		}
	}
	return g.open.RoundTrip(again)
}

// names reports whether the user named this host.
func (g guard) names(u *url.URL) bool {
	issuer, err := url.Parse(g.issuer)
	return err == nil && issuer.Host != "" && SameOrigin(issuer, u)
}

// proxied reports whether req goes through a proxy, which is where to decide then.
func (g guard) proxied(req *http.Request) bool {
	if g.open.Proxy == nil {
		return false
	}
	proxy, err := g.open.Proxy(req)
	return proxy != nil || err != nil
}

// prove finds out whether the home is in a private network. What its name resolves to is up
// to its owner; the handshake shows that it is really there, since no server that this could
// be used against has a certificate for that name.
func (g guard) prove(ctx context.Context) bool {
	u, err := url.Parse(g.home.URL)
	if err != nil || u.Scheme != "https" {
		return false
	}
	port := u.Port()
	if port == "" {
		port = "443"
	}
	notPublic := func(a netip.Addr) bool { return !isPublic(a) }
	d := tls.Dialer{
		NetDialer: &net.Dialer{Timeout: 10 * time.Second, Control: onlyIf(notPublic, errNotPrivate)},
		Config:    g.open.TLSClientConfig.Clone(),
	}
	conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return false
	}
	_ = conn.Close()
	g.home.private.Store(true)
	return true
}

// special are the networks that netip calls global and the Internet does not (RFC 6890, and
// RFC 6598 for those behind a carrier's address translation).
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"),
	netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("64:ff9b:1::/48"),
	netip.MustParsePrefix("fec0::/10"),
}

// Networks with an IPv4 address within: NAT64 (RFC 6052) and 6to4 (RFC 3056).
var (
	nat64  = netip.MustParsePrefix("64:ff9b::/96")
	sixto4 = netip.MustParsePrefix("2002::/16")
)

// isPublic reports whether addr is one that everybody reaches.
func isPublic(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	if !addr.IsGlobalUnicast() || addr.IsPrivate() {
		return false
	}
	for _, p := range special {
		if p.Contains(addr) {
			return false
		}
	}
	b := addr.As16()
	switch {
	case nat64.Contains(addr):
		return isPublic(netip.AddrFrom4([4]byte(b[12:])))
	case sixto4.Contains(addr):
		return isPublic(netip.AddrFrom4([4]byte(b[2:6])))
	}
	return true
}
