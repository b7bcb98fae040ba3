package httpx

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"reflect"
	"time"

	"github.com/mcptokens/mcptokens/internal/errtext"
)

// dialFunc is what DialContext and DialTLSContext of an http.Transport are.
type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// dialer is how a transport of the program connects, with the guard in front of it.
type dialer struct {
	policy *Policy
	plain  dialFunc
	tls    dialFunc // nil: the transport does TLS itself
	// own: the program wrote it. It may know names that this machine does not, as one that
	// goes through a tunnel does.
	own bool
}

func newDialer(t *http.Transport, p *Policy) *dialer {
	d := &dialer{policy: p, plain: t.DialContext, tls: t.DialTLSContext}
	//lint:ignore SA1019 the program may use it
	if dial := t.Dial; d.plain == nil && dial != nil {
		d.plain = ignoreContext(dial)
	}
	//lint:ignore SA1019 the program may use it
	if dial := t.DialTLS; d.tls == nil && dial != nil {
		d.tls = ignoreContext(dial)
	}
	if d.plain == nil {
		d.plain = (&net.Dialer{Timeout: defaultTimeout, KeepAlive: defaultTimeout}).DialContext
	}
	d.own = d.tls != nil || reflect.ValueOf(d.plain).Pointer() != reflect.ValueOf(dialFunc((&net.Dialer{}).DialContext)).Pointer()
	return d
}

func ignoreContext(dial func(network, address string) (net.Conn, error)) dialFunc {
	return func(_ context.Context, network, address string) (net.Conn, error) { return dial(network, address) }
}

// dial connects to what the policy allows of a name's addresses. The program's dialer gets
// addresses, not the name, so that nothing can change in between.
func (d *dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if d.policy.reaches(host, port) {
		return d.plain(ctx, network, address)
	}
	addrs, err := d.lookup(ctx, host)
	if err != nil {
		return nil, err
	}
	allowed := those(addrs, func(a netip.Addr) bool { return d.policy.mayDial(a, port) })
	if len(allowed) == 0 {
		return nil, refused(host, "an address that is not public")
	}
	return race(ctx, allowed, func(ctx context.Context, a netip.Addr) (net.Conn, error) {
		return d.plain(ctx, network, net.JoinHostPort(a.String(), port))
	})
}

// dialTLS is dial for a dialer that does TLS: it needs the name for that, so what it connected
// to is judged as well, before anything is sent.
func (d *dialer) dialTLS(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if d.policy.reaches(host, port) {
		return d.tls(ctx, network, address)
	}
	addrs, err := d.lookup(ctx, host)
	if err != nil {
		return nil, err
	}
	for _, a := range addrs {
		if !d.policy.mayDial(a, port) {
			return nil, refused(host, "an address that is not public")
		}
	}
	conn, err := d.tls(ctx, network, address)
	if err != nil {
		return nil, err
	}
	at, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	switch {
	case err != nil:
		err = errtext.Errorf(ErrUnseenAddress, "DialTLSContext of the Transport does not say where it connected to for %s; set Config.Network.Private to include that host, or Config.Network.AnyAddress", shownHost(host))
	case !d.policy.mayDial(at.Addr(), port):
		err = refused(host, "where DialTLSContext of the Transport connected to an address that is not public")
	default:
		return conn, nil
	}
	_ = conn.Close()
	return nil, err
}

// lookup returns the addresses of a host, which may be one.
func (d *dialer) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{addr}, nil
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	var dns *net.DNSError
	if d.own && errors.As(err, &dns) && dns.IsNotFound {
		return nil, errtext.Errorf(ErrUnseenAddress, "%s has none on this machine; if it has one where the Transport's own dialer leads, set Config.Network.Private to include it", shownHost(host))
	}
	return addrs, err
}

// headStart is how long one address has before the next is tried beside it (RFC 8305 section 5).
const headStart = 250 * time.Millisecond

// race connects to the first address that answers. An attempt that lost is cancelled and closes
// its connection if it gets one all the same.
func race(ctx context.Context, addrs []netip.Addr, dial func(context.Context, netip.Addr) (net.Conn, error)) (net.Conn, error) {
	if len(addrs) == 1 {
		return dial(ctx, addrs[0])
	}
	ctx, lost := context.WithCancel(ctx)
	defer lost()
	type result struct {
		conn net.Conn
		err  error
	}
	results, next := make(chan result), time.NewTimer(0)
	defer next.Stop()
	var first error
	for running := 0; running > 0 || len(addrs) > 0; {
		select {
		case <-next.C:
			if len(addrs) == 0 {
				continue
			}
			addr := addrs[0]
			addrs = addrs[1:]
			running++
			go func() {
				conn, err := dial(ctx, addr)
				select {
				case results <- result{conn, err}:
				case <-ctx.Done():
					if conn != nil {
						_ = conn.Close()
					}
				}
			}()
			next.Reset(headStart)
		case r := <-results:
			if r.err == nil {
				return r.conn, nil
			}
			running--
			if first == nil {
				first = r.err
			}
			next.Reset(0)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return nil, first
}
