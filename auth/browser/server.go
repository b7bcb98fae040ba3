package browser

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// What a server bounds.
const (
	readRequest   = 10 * time.Second // until a request is there
	writeResponse = 10 * time.Second
	maxRequest    = 32 << 10 // bytes, the addresses of answers hold codes of a few KiB
	linger        = 500 * time.Millisecond
	acceptAgain   = 50 * time.Millisecond // after an error such as too many open files
)

// server answers HTTP/1.1 requests without a body, one on each connection. It
// stands in for http.Server, which speaks HTTP/2 as well and would make a program
// that logs in with a browser 0.4 MB larger. Requests and headers are read and
// written by net/http.
type server struct {
	ln      net.Listener
	handler http.Handler
	closed  chan struct{}
	running sync.WaitGroup // accept and the connections

	mu    sync.Mutex
	conns map[net.Conn]struct{} // nil once closed
}

// serve answers what comes to ln until close.
func serve(ln net.Listener, h http.Handler) *server {
	s := &server{ln: ln, handler: h, closed: make(chan struct{}), conns: map[net.Conn]struct{}{}}
	s.running.Go(s.accept)
	return s
}

// close ends the connections, whatever they do, and returns when the goroutines
// of the server have ended. It must be called once.
func (s *server) close() {
	close(s.closed)
	_ = s.ln.Close()
	s.mu.Lock()
	conns := s.conns
	s.conns = nil
	s.mu.Unlock()
	for conn := range conns {
		_ = conn.Close()
	}
	s.running.Wait()
}

func (s *server) accept() {
	for {
		conn, err := s.ln.Accept()
		switch {
		case err == nil && s.add(conn):
			s.running.Go(func() {
				defer s.remove(conn)
				s.converse(conn)
			})
		case err == nil:
			_ = conn.Close()
		case errors.Is(err, net.ErrClosed):
			return
		default:
			select {
			case <-time.After(acceptAgain):
			case <-s.closed:
			}
		}
	}
}

// add reports whether the server is open still.
func (s *server) add(conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns == nil {
		return false
	}
	s.conns[conn] = struct{}{}
	return true
}

func (s *server) remove(conn net.Conn) {
	_ = conn.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, conn)
}

// converse reads a request and answers it.
func (s *server) converse(conn net.Conn) {
	_ = conn.SetReadDeadline(time.Now().Add(readRequest))
	limited := &io.LimitedReader{R: conn, N: maxRequest}
	req, err := http.ReadRequest(bufio.NewReader(limited))
	w := &response{conn: conn, header: http.Header{}}
	var network net.Error
	switch {
	case err == nil:
		s.respond(w, req)
	case limited.N <= 0:
		write(w, http.StatusRequestHeaderFieldsTooLarge, "")
	case !errors.Is(err, io.EOF) && !errors.As(err, &network):
		write(w, http.StatusBadRequest, "")
	}
	// The browser closes first: what is sent can be lost when a connection is
	// closed that has something to read.
	if half, ok := conn.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		_ = conn.SetReadDeadline(time.Now().Add(linger))
		_, _ = io.Copy(io.Discard, conn)
	}
}

// respond has the handler answer req, whose context ends when the browser hangs
// up. As with net/http a panic of the handler, which may be the program's, ends
// the connection only.
func (s *server) respond(w *response, req *http.Request) {
	defer func() { _ = recover() }()
	w.withoutBody = req.Method == http.MethodHead
	ctx, gone := context.WithCancel(context.Background())
	defer gone()
	var watch sync.WaitGroup
	defer watch.Wait()
	defer func() { _ = w.conn.SetReadDeadline(time.Now()) }() // ends the watch
	_ = w.conn.SetReadDeadline(time.Time{})
	watch.Go(func() {
		defer gone()
		_, _ = io.Copy(io.Discard, w.conn)
	})
	s.handler.ServeHTTP(w, req.WithContext(ctx))
}

// response is sent by Flush.
type response struct {
	conn        net.Conn
	header      http.Header
	status      int
	body        []byte
	withoutBody bool
}

func (w *response) Header() http.Header { return w.header }

func (w *response) WriteHeader(status int) { w.status = status }

func (w *response) Write(data []byte) (int, error) {
	if !w.withoutBody {
		w.body = append(w.body, data...)
	}
	return len(data), nil
}

func (w *response) Flush() {
	w.header.Set("Connection", "close")
	w.header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	_ = w.conn.SetWriteDeadline(time.Now().Add(writeResponse))
	out := bufio.NewWriter(w.conn)
	_, _ = out.WriteString("HTTP/1.1 " + strconv.Itoa(w.status) + " " + http.StatusText(w.status) + "\r\n")
	_ = w.header.Write(out)
	_, _ = out.WriteString("\r\n")
	_, _ = out.Write(w.body)
	_ = out.Flush() // the error of all writes; nobody could be shown it
}
