package authtest

import (
	"cmp"
	"context"
	"crypto/tls"
	"net"
	"net/url"
	"os"
	"sync"
	"syscall"
	"time"
)

// Down takes the authorization server off the network for d, from now: its connections are cut, and
// new ones refused, as of a process that is not there. A resource with Protection.SameOrigin goes
// with it. Another call replaces the first one; 0 brings the server back at once. Only clients of
// [Server.Client] and [Server.Transport] notice. For an outage behind a gateway that answers 502 or
// 503 see [Server.InjectFor].
func (s *Server) Down(d time.Duration) { s.wires.down(s.URL, d) }

// Down is [Server.Down] for the resource's address.
func (res *Resource) Down(d time.Duration) { res.srv.wires.down(res.URL, d) }

// wires are the connections of clients, by the address they were dialled at. Servers that share a
// network share them.
type wires struct {
	net network

	mu     sync.Mutex
	names  map[string]string // where hosts that are not in the DNS listen
	downTo map[string]time.Time
	open   map[string]map[*wire]struct{}
}

func newWires(n network) *wires {
	return &wires{net: n, names: map[string]string{}, downTo: map[string]time.Time{}, open: map[string]map[*wire]struct{}{}}
}

// wire is one connection.
type wire struct {
	net.Conn
	wires *wires
	addr  string
}

func (w *wire) Close() error {
	w.wires.mu.Lock()
	delete(w.wires.open[w.addr], w)
	w.wires.mu.Unlock()
	return w.Conn.Close()
}

// down begins an outage at the host of a URL.
func (w *wires) down(rawURL string, d time.Duration) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return // the kit's own URLs can be parsed
	}
	addr := w.address(hostOf(u.String()))
	w.mu.Lock()
	w.downTo[addr] = time.Now().Add(d)
	var cut []*wire
	if d > 0 {
		for c := range w.open[addr] {
			cut = append(cut, c)
		}
	}
	w.mu.Unlock()
	for _, c := range cut {
		_ = c.Close() // cut, not ended in order
	}
}

func (w *wires) isDown(addr string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now().Before(w.downTo[addr])
}

// name lets hosts be dialled that listen at addr.
func (w *wires) name(addr string, hosts ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, host := range hosts {
		w.names[host] = addr
	}
}

// address returns where a host listens.
func (w *wires) address(host string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return cmp.Or(w.names[host], host)
}

// dialTLS dials for an https URL. The kit's own hosts have no TLS.
func (w *wires) dialTLS(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := w.dial(ctx, network, addr)
	if err != nil || w.address(addr) != addr {
		return conn, err
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	secure := tls.Client(conn, &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12})
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return secure, nil
}

func (w *wires) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	addr = w.address(addr)
	if w.isDown(addr) {
		return nil, refused(network)
	}
	conn, err := w.net.dial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	c := &wire{Conn: conn, wires: w, addr: addr}
	w.mu.Lock()
	if w.open[addr] == nil {
		w.open[addr] = map[*wire]struct{}{}
	}
	w.open[addr][c] = struct{}{}
	w.mu.Unlock()
	if w.isDown(addr) { // since it was dialled
		_ = c.Close()
		return nil, refused(network)
	}
	return c, nil
}

func refused(network string) error {
	return &net.OpError{Op: "dial", Net: network, Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
}
