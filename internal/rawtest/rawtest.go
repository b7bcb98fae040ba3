// Package rawtest has servers that say whatever bytes a test wants, at whatever pace, on a
// network in memory, so that they also work in a testing/synctest bubble:
//
//	n := rawtest.New(t)
//	n.Serve("127.0.0.1:1", rawtest.SlowBody)
//	resp, err := n.Client().Get("http://127.0.0.1:1/")
package rawtest

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// Handler answers one request by what it writes to conn, and ends when that fails. The
// connection is closed afterwards. The request's body has been read already.
type Handler func(conn io.Writer, r *http.Request)

// Request is one that arrived.
type Request struct {
	Host, Path, Authorization, Body string
}

// Net is the network.
type Net struct {
	mu       sync.Mutex
	hosts    map[string]Handler
	requests []Request

	client  *http.Client
	serving sync.WaitGroup
}

// New returns a network that is gone, with its connections and goroutines, when the test ends.
func New(t *testing.T) *Net {
	n := &Net{hosts: make(map[string]Handler)}
	// As much of a header as a manager's own client reads; net/http reads ten times that.
	tr := &http.Transport{DialContext: n.dial, MaxResponseHeaderBytes: 1 << 20}
	n.client = &http.Client{Transport: tr}
	t.Cleanup(func() {
		tr.CloseIdleConnections()
		n.serving.Wait()
	})
	return n
}

// Serve lets h answer at a host with its port.
func (n *Net) Serve(host string, h Handler) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hosts[host] = h
}

// Client reaches the network, and nothing else does. It has no timeout.
func (n *Net) Client() *http.Client { return n.client }

// Requests returns what arrived so far.
func (n *Net) Requests() []Request {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]Request(nil), n.requests...)
}

func (n *Net) dial(_ context.Context, _, addr string) (net.Conn, error) {
	n.mu.Lock()
	h := n.hosts[addr]
	n.mu.Unlock()
	if h == nil {
		return nil, fmt.Errorf("nobody is at %s", addr)
	}
	client, server := net.Pipe()
	n.serving.Go(func() {
		defer server.Close()
		r, err := http.ReadRequest(bufio.NewReader(server))
		if err != nil {
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		n.mu.Lock()
		n.requests = append(n.requests, Request{r.Host, r.URL.Path, r.Header.Get("Authorization"), string(body)})
		n.mu.Unlock()
		h(server, r)
	})
	return client, nil
}

// Answer says status, header lines and a body by the book.
func Answer(status int, header, body string) Handler {
	return func(conn io.Writer, _ *http.Request) {
		_, _ = fmt.Fprintf(conn, "HTTP/1.1 %d %s\r\nConnection: close\r\nContent-Length: %d\r\n%s\r\n%s", status, http.StatusText(status), len(body), lines(header), body)
	}
}

// JSON says 200 and a document.
func JSON(body string) Handler { return Answer(200, "Content-Type: application/json", body) }

// Paths picks a handler by the request's path; others get a 404.
func Paths(by map[string]Handler) Handler {
	return func(conn io.Writer, r *http.Request) {
		h := by[r.URL.Path]
		if h == nil {
			h = Answer(404, "", "")
		}
		h(conn, r)
	}
}

// Raw says exactly these bytes.
func Raw(s string) Handler {
	return func(conn io.Writer, _ *http.Request) { _, _ = io.WriteString(conn, s) }
}

// Endless says status and header lines, then a JSON string that never ends.
func Endless(status int, header string) Handler {
	return func(conn io.Writer, _ *http.Request) {
		_, err := fmt.Fprintf(conn, "HTTP/1.1 %d %s\r\n%s\r\n{\"padding\":\"", status, http.StatusText(status), lines(header))
		for chunk := bytes.Repeat([]byte("x"), 64<<10); err == nil; {
			_, err = conn.Write(chunk)
		}
	}
}

// EndlessHeader says header lines without end.
func EndlessHeader(conn io.Writer, _ *http.Request) {
	_, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\n")
	for line := []byte("X-Padding: " + strings.Repeat("x", 32<<10) + "\r\n"); err == nil; {
		_, err = conn.Write(line)
	}
}

// pace is how long the slow ones wait between two bytes.
const pace = 5 * time.Second

// SlowHeader says one byte of a header every few seconds, forever.
func SlowHeader(conn io.Writer, _ *http.Request) {
	_, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\nX-Padding: ")
	dribble(conn, err)
}

// SlowBody says one byte of a JSON document every few seconds, forever.
func SlowBody(status int, header string) Handler {
	return func(conn io.Writer, _ *http.Request) {
		_, err := fmt.Fprintf(conn, "HTTP/1.1 %d %s\r\n%s\r\n{\"padding\":\"", status, http.StatusText(status), lines(header))
		dribble(conn, err)
	}
}

func dribble(conn io.Writer, err error) {
	for err == nil {
		time.Sleep(pace)
		_, err = conn.Write([]byte("x"))
	}
}

// Bomb says status, header lines and a few KiB that unpack to 256 MiB of JSON.
func Bomb(status int, header string) Handler {
	return Answer(status, header+"\nContent-Encoding: gzip", bomb())
}

var bomb = sync.OnceValue(func() string {
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestSpeed) // the level exists
	_, _ = io.WriteString(z, `{"padding":"`)        // a buffer takes everything
	for chunk, i := bytes.Repeat([]byte("x"), 1<<20), 0; i < 256; i++ {
		_, _ = z.Write(chunk)
	}
	_ = z.Close()
	return b.String()
})

// lines are header lines, each given with a newline or none, as they are sent.
func lines(header string) string {
	var b strings.Builder
	for line := range strings.SplitSeq(header, "\n") {
		if line != "" {
			b.WriteString(line + "\r\n")
		}
	}
	return b.String()
}
