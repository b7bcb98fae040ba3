package transport_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/mcptokens/mcptokens/transport"
)

// A body without GetBody is sent again if it is not larger than the limit. A
// larger one is sent once, and the challenge is the answer, resolved for the
// next request.
func TestBodyLimit(t *testing.T) {
	const mib = 1 << 20
	tests := []struct {
		name        string
		limit, size int
		again       bool
	}{
		{"empty", 0, 0, true},
		{"small", 0, 10, true},
		{"default limit", 0, mib, true},
		{"above the default limit", 0, mib + 1, false},
		{"limit", 8, 8, true},
		{"above the limit", 8, 9, false},
		{"far above the limit", 8, mib, false},
		{"keep nothing", -1, 1, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			src, srv := having("old", "new"), accepting("new", 401, "")
			req, body := post(t, mcpURL, strings.Repeat("x", tt.size))
			status, text := send(t, &transport.RoundTripper{Source: src, Base: srv, BodyLimit: tt.limit}, req)
			want, times := 200, 2
			if !tt.again {
				want, times = 401, 1
			}
			// A challenge that cannot be answered by sending this request again
			// is resolved for the next one.
			if status != want || len(srv.got) != times || len(src.challenges) != 1 {
				t.Errorf("got %d after %d requests and %d challenges, want %d after %d and 1", status, len(srv.got), len(src.challenges), want, times)
			}
			if !tt.again && text != "refused" {
				t.Errorf("body %q: the challenge is not whole", text)
			}
			for i, got := range srv.got {
				if len(got.body) != tt.size {
					t.Errorf("request %d: body of %d bytes, want %d", i, len(got.body), tt.size)
				}
			}
			if !body.isClosed() {
				t.Error("the request's body is open")
			}
		})
	}
}

// A server that refuses while the body is still being sent: what was kept is
// not the whole of it, so the refusal is the answer. Nothing is read ahead of
// the connection, and the body is closed.
func TestStreamingBody(t *testing.T) {
	refused := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadFull(r.Body, make([]byte, 5)); err != nil {
			t.Errorf("reading the beginning: %v", err)
		}
		w.Header().Set("Connection", "close")
		w.WriteHeader(http.StatusUnauthorized)
		close(refused)
	}))
	defer srv.Close()

	pr, pw := io.Pipe()
	written := make(chan error, 1)
	go func() {
		_, err := pw.Write([]byte("begin"))
		<-refused
		for err == nil { // until the reader is closed
			_, err = pw.Write([]byte("more and more"))
		}
		written <- err
	}()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL, pr)
	if err != nil {
		t.Fatal(err)
	}
	src := having("old", "new")
	resp, err := (&transport.RoundTripper{Source: src, Base: srv.Client().Transport}).RoundTrip(req)
	if err != nil {
		t.Fatalf("RoundTrip: %v", err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != 401 || len(src.challenges) != 1 {
		t.Errorf("status %d after %d challenges, want the 401 itself, and that resolved for the next request", resp.StatusCode, len(src.challenges))
	}
	if err := <-written; !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("writing the body ended with %v, want a closed pipe", err)
	}
}

// A base that does not read the body to its end, as HTTP/1 does when the
// answer comes early, leaves nothing that could be sent again.
func TestUnreadBody(t *testing.T) {
	calls := 0
	base := roundTripper(func(r *http.Request) (*http.Response, error) {
		calls++
		_, _ = io.ReadFull(r.Body, make([]byte, 2))
		_ = r.Body.Close()
		return response(401, "refused"), nil
	})
	req, body := post(t, mcpURL, "ping")
	status, _ := send(t, &transport.RoundTripper{Source: having("old", "new"), Base: base}, req)
	if status != 401 || calls != 1 || !body.isClosed() {
		t.Errorf("status %d after %d requests, body closed %v", status, calls, body.isClosed())
	}
}

// GetBody is called for each resend, and once for the name of what was refused,
// but never for the first request.
func TestGetBody(t *testing.T) {
	made := 0
	var bodies []*stream
	srv := accepting("new", 401, "")
	req, first := post(t, mcpURL, "ping")
	req.GetBody = func() (io.ReadCloser, error) {
		made++
		b := &stream{Reader: bytes.NewReader([]byte("ping"))}
		bodies = append(bodies, b)
		return b, nil
	}
	if status, _ := send(t, &transport.RoundTripper{Source: having("old", "new"), Base: srv, BodyLimit: 1}, req); status != 200 {
		t.Errorf("status %d", status)
	}
	if made != 2 || !first.isClosed() || !bodies[0].isClosed() || !bodies[1].isClosed() || srv.got[1].body != "ping" {
		t.Errorf("%d bodies made, closed %v; sent %+v", made, first.isClosed(), srv.got)
	}
}

// A body that breaks while it is sent is the caller's error; nothing is kept
// and nothing is sent again.
func TestBrokenBody(t *testing.T) {
	boom := errors.New("boom")
	req, _ := post(t, mcpURL, "")
	body := &stream{Reader: io.MultiReader(strings.NewReader("pi"), errReader{boom})}
	req.Body = body
	srv := accepting("new", 401, "")
	if _, err := (&transport.RoundTripper{Source: having("old", "new"), Base: srv}).RoundTrip(req); !errors.Is(err, boom) {
		t.Errorf("error %v, want %v", err, boom)
	}
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
