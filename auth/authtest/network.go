package authtest

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"

	"github.com/mcptokens/mcptokens/internal/httpx"
)

// network is where servers listen and clients dial.
type network interface {
	listen() (net.Listener, error)
	dial(ctx context.Context, network, addr string) (net.Conn, error)
}

func newNetwork(cfg Config) network {
	switch {
	case cfg.Peer != nil:
		return cfg.Peer.net
	case cfg.InMemory:
		return &memoryNetwork{listeners: map[string]*memoryListener{}}
	}
	return loopback{}
}

// loopback is the machine's own.
type loopback struct{}

func (loopback) listen() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") }

func (loopback) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, network, addr)
}

// memoryNetwork hands out loopback addresses that no socket stands behind, which
// auth.NewManager knows. Its connections are
// net.Pipe: they block on channels only, which is what testing/synctest needs to advance time.
type memoryNetwork struct {
	mu        sync.Mutex
	listeners map[string]*memoryListener // by host:port
	opened    int
}

// firstPort is where the in-memory ports begin. No client may learn to rely on it.
const firstPort = 49152

func (n *memoryNetwork) listen() (net.Listener, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := &memoryListener{
		net:    n,
		addr:   &net.TCPAddr{IP: net.ParseIP(httpx.InMemory), Port: firstPort + n.opened},
		conns:  make(chan net.Conn),
		closed: make(chan struct{}),
	}
	n.opened++
	n.listeners[l.addr.String()] = l
	return l, nil
}

func (n *memoryNetwork) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	n.mu.Lock()
	l := n.listeners[addr]
	n.mu.Unlock()
	if l == nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: fmt.Errorf("nothing listens at %s in this in-memory network", addr)}
	}
	client, server := net.Pipe()
	from := &net.TCPAddr{IP: net.ParseIP(httpx.InMemory), Port: firstPort - 1}
	select {
	case l.conns <- &memoryConn{Conn: server, local: l.addr, remote: from}:
		return &memoryConn{Conn: client, local: from, remote: l.addr}, nil
	case <-l.closed:
		return nil, &net.OpError{Op: "dial", Net: network, Addr: l.addr, Err: net.ErrClosed}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

type memoryListener struct {
	net    *memoryNetwork
	addr   *net.TCPAddr
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func (l *memoryListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *memoryListener) Close() error {
	l.once.Do(func() {
		close(l.closed)
		l.net.mu.Lock()
		delete(l.net.listeners, l.addr.String())
		l.net.mu.Unlock()
	})
	return nil
}

func (l *memoryListener) Addr() net.Addr { return l.addr }

// memoryConn gives a pipe the addresses of a TCP connection: handlers parse them.
type memoryConn struct {
	net.Conn
	local, remote net.Addr
}

func (c *memoryConn) LocalAddr() net.Addr  { return c.local }
func (c *memoryConn) RemoteAddr() net.Addr { return c.remote }

// hosts owns the HTTP servers and every goroutine they start.
type hosts struct {
	stop context.CancelFunc // ends the context of every request
	base func(net.Listener) context.Context

	mu      sync.Mutex
	closed  bool
	servers []*http.Server
	running sync.WaitGroup // accept loops, connections and requests
}

func (h *hosts) init() {
	ctx, stop := context.WithCancel(context.Background())
	h.stop = stop
	h.base = func(net.Listener) context.Context { return ctx }
}

// serve serves handler at l until close. After close it closes l.
func (h *hosts) serve(l net.Listener, handler http.Handler) {
	srv := &http.Server{
		BaseContext: h.base,
		ConnState: func(_ net.Conn, s http.ConnState) {
			switch s {
			case http.StateNew:
				h.running.Add(1)
			case http.StateClosed, http.StateHijacked:
				h.running.Done()
			}
		},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			// Counted apart from its connection, which it leaves by hijacking it.
			h.running.Add(1)
			defer h.running.Done()
			handler.ServeHTTP(w, r)
		}),
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		_ = l.Close()
		return
	}
	h.servers = append(h.servers, srv)
	h.running.Go(func() { _ = srv.Serve(l) }) // always ends with http.ErrServerClosed
}

func (h *hosts) close() {
	h.mu.Lock()
	h.closed = true
	servers := h.servers
	h.mu.Unlock()
	for _, srv := range servers {
		_ = srv.Close()
	}
	h.stop() // after the connections are cut, or a handler that gives up would answer an empty 200
	h.running.Wait()
}
