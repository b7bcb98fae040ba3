package discovery

import (
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// web is a net of sites for tests, by URL. What it does not list answers 404. It is an
// http.RoundTripper, so that tests can have any host, and https without certificates.
type web struct {
	pages map[string]page

	mu   sync.Mutex
	seen []string // URLs requested, in order
}

// page is one answer. The zero value is 200 with an empty body.
type page struct {
	status      int
	contentType string // default application/json
	header      map[string]string
	body        string
	err         error // instead of an answer
}

func (w *web) RoundTrip(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = append(w.seen, r.URL.String())
	p, ok := w.pages[r.URL.String()]
	if !ok {
		p = page{status: http.StatusNotFound, body: "not found"}
	}
	if p.err != nil {
		return nil, p.err
	}
	rec := httptest.NewRecorder()
	rec.Header().Set("Content-Type", "application/json")
	if p.contentType != "" {
		rec.Header().Set("Content-Type", p.contentType)
	}
	for name, value := range p.header {
		rec.Header().Set(name, value)
	}
	if p.status != 0 {
		rec.WriteHeader(p.status)
	}
	_, _ = io.WriteString(rec, p.body)
	resp := rec.Result()
	resp.Request = r
	return resp, nil
}

func newWeb(pages map[string]page) (*web, *Client) {
	w := &web{pages: pages}
	return w, &Client{HTTPClient: &http.Client{Transport: w}}
}

// requested checks which URLs were requested, in order.
func (w *web) requested(t *testing.T, want ...string) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.seen) != len(want) {
		t.Fatalf("requested %q, want %q", w.seen, want)
	}
	for i := range want {
		if w.seen[i] != want[i] {
			t.Fatalf("requested %q, want %q", w.seen, want)
		}
	}
}
