package finder

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcptokens/mcptokens/internal/httpx"
)

const (
	mcp       = "https://mcp.example/mcp"
	atMCP     = "https://mcp.example/.well-known/oauth-protected-resource/mcp"
	atRoot    = "https://mcp.example/.well-known/oauth-protected-resource"
	atLegacy  = "https://mcp.example/.well-known/oauth-authorization-server"
	asOne     = "https://one.example"
	asTwo     = "https://two.example"
	asThree   = "https://three.example"
	wellKnown = "/.well-known/oauth-authorization-server"
)

// web is the Internet of a test. What has no page answers 404.
type web struct {
	mu    sync.Mutex
	pages map[string]page
	seen  []string
}

type page struct {
	status int // default 200
	body   string
	retry  string        // Retry-After
	delay  time.Duration // before the answer
	fail   error         // instead of it
}

func (w *web) RoundTrip(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	p, ok := w.pages[r.URL.String()]
	w.seen = append(w.seen, r.URL.String())
	w.mu.Unlock()
	if !ok {
		p.status = 404
	}
	select {
	case <-time.After(p.delay):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	if p.fail != nil {
		return nil, p.fail
	}
	h := http.Header{"Content-Type": {"application/json"}}
	if p.retry != "" {
		h.Set("Retry-After", p.retry)
	}
	if p.status == 0 {
		p.status = 200
	}
	return &http.Response{StatusCode: p.status, Header: h, Body: io.NopCloser(strings.NewReader(p.body)), Request: r}, nil
}

func (w *web) set(url string, p page) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pages[url] = p
}

func (w *web) gone(url string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.pages, url)
}

// requested returns the URLs asked for since the last call.
func (w *web) requested() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := w.seen
	w.seen = nil
	return seen
}

// list lets the resource list authorization servers.
func (w *web) list(issuers ...string) { w.set(atMCP, resourceDoc(issuers...)) }

func resourceDoc(issuers ...string) page {
	return page{body: fmt.Sprintf(`{"resource":%q,"authorization_servers":["%s"],"scopes_supported":["read","bad\\scope","write","read"]}`, mcp, strings.Join(issuers, `","`))}
}

func serverDoc(issuer string) page {
	return page{body: fmt.Sprintf(`{"issuer":%q,"token_endpoint":%[2]q,"authorization_endpoint":%[2]q,"registration_endpoint":%[2]q,"code_challenge_methods_supported":["S256"]}`, issuer, strings.TrimSuffix(issuer, "/")+"/token")}
}

func newWeb() *web {
	w := &web{pages: map[string]page{}}
	for _, as := range []string{asOne, asTwo, asThree} {
		w.set(as+wellKnown, serverDoc(as))
	}
	w.list(asOne)
	return w
}

func (w *web) finder(cfg Config) *Finder {
	cfg.HTTPClient = &http.Client{Transport: w}
	cfg.Plain = cfg.HTTPClient
	cfg.Network = httpx.NewPolicy(nil, nil, true) // it connects nowhere
	return New(cfg)
}

func query() Query { return Query{Resource: mcp, Canonical: mcp} }

// of is a query for a credential.
func of(issuer string) Query {
	q := query()
	q.Issuer, q.CredentialResource = issuer, mcp
	return q
}

// bubble runs a test with a clock of its own.
func bubble(t *testing.T, f func(t *testing.T, w *web)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, newWeb()) })
}

func wantIssuer(t *testing.T, p *Place, err error, want string) {
	t.Helper()
	if err != nil || p.Server.Issuer != want {
		t.Fatalf("found %s, %v, want %s", describe(p), err, want)
	}
}

func describe(p *Place) string {
	if p == nil {
		return "nothing"
	}
	return p.Server.Issuer
}

func wantRequests(t *testing.T, w *web, want ...string) {
	t.Helper()
	if got := w.requested(); !slices.Equal(got, want) {
		t.Errorf("requested %q, want %q", got, want)
	}
}

func asError[E error](t *testing.T, err error) E {
	t.Helper()
	e, ok := errors.AsType[E](err)
	if !ok {
		t.Fatalf("error %T %v, want %T", err, err, e)
	}
	return e
}

var errRefused = errors.New("connection refused")

var down = page{status: 503, retry: "60"}
