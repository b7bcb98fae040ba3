package browser

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// serveOn serves h until the test ends and returns the address.
func serveOn(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := serve(ln, h)
	t.Cleanup(s.close)
	return ln.Addr().String()
}

// asked sends a request as it is and returns the whole answer.
func asked(t *testing.T, addr, request string) string {
	t.Helper()
	conn, err := net.Dial("tcp4", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	return string(answer)
}

func TestServer(t *testing.T) {
	addr := serveOn(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/panic" {
			panic("a page of the program's")
		}
		w.Header().Set("X-Odd", "a\r\nb: c")
		write(w, http.StatusTeapot, "hello "+r.URL.Path)
	})
	for name, tt := range map[string]struct {
		request string
		want    []string
		not     string
	}{
		"a page":            {"GET /x HTTP/1.1\r\nHost: a\r\n\r\n", []string{"HTTP/1.1 418 I'm a teapot\r\n", "Connection: close\r\n", "Content-Length: 8\r\n", "\r\n\r\nhello /x"}, "\nb: c"},
		"one, not two":      {"GET /x HTTP/1.1\r\nHost: a\r\n\r\nGET /y HTTP/1.1\r\nHost: a\r\n\r\n", []string{"hello /x"}, "/y"},
		"no body for HEAD":  {"HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n", []string{"Content-Length: 8\r\n"}, "hello"},
		"no HTTP":           {"\x16\x03\x01 a greeting of TLS\r\n\r\n", []string{"HTTP/1.1 400 Bad Request\r\n"}, "hello"},
		"a header too long": {"GET / HTTP/1.1\r\nX: " + strings.Repeat("a", maxRequest) + "\r\n\r\n", []string{"HTTP/1.1 431 "}, "hello"},
	} {
		t.Run(name, func(t *testing.T) {
			got := asked(t, addr, tt.request)
			for _, want := range tt.want {
				if !strings.Contains(got, want) {
					t.Errorf("answer %q lacks %q", got, want)
				}
			}
			if strings.Contains(got, tt.not) {
				t.Errorf("answer %q has %q", got, tt.not)
			}
		})
	}
	if got := asked(t, addr, "GET /panic HTTP/1.1\r\nHost: a\r\n\r\n"); got != "" {
		t.Errorf("a handler that panics answers %q", got)
	}
	if got := asked(t, addr, "GET /after HTTP/1.1\r\nHost: a\r\n\r\n"); !strings.Contains(got, "hello /after") {
		t.Errorf("after the panic: %q", got)
	}
}

// A browser that hangs up ends the context of its request.
func TestServerNoticesThatTheBrowserIsGone(t *testing.T) {
	started, ended := make(chan struct{}), make(chan struct{})
	addr := serveOn(t, func(_ http.ResponseWriter, r *http.Request) {
		close(started)
		<-r.Context().Done()
		close(ended)
	})
	conn, err := net.Dial("tcp4", addr)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-started
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	<-ended
}

// Browsers connect before they have something to ask. That holds up nothing.
func TestServerClosesIdleConnections(t *testing.T) {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := serve(ln, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { write(w, http.StatusOK, "") }))
	conn, err := net.Dial("tcp4", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	asked(t, ln.Addr().String(), "GET / HTTP/1.1\r\nHost: a\r\n\r\n") // by now conn is accepted
	s.close()
	if _, err := bufio.NewReader(conn).ReadByte(); err == nil {
		t.Error("the connection is open")
	}
}
