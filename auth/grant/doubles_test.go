package grant_test

import (
	"cmp"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/auth"
)

const (
	mcpServer    = "https://mcp.example/mcp"
	asIssuer     = "https://as.example"
	asToken      = asIssuer + "/token"
	asDevice     = asIssuer + "/device"
	idpIssuer    = "https://idp.example"
	idpToken     = idpIssuer + "/token"
	typeBearer   = "urn:ietf:params:oauth:grant-type:jwt-bearer"
	typeExchange = "urn:ietf:params:oauth:grant-type:token-exchange"
)

// network is servers without sockets, by URL. Nothing in it blocks, so that it
// works in a testing/synctest bubble.
type network map[string]*endpoint

// endpoint gives its answers in order, the last one again and again.
type endpoint struct {
	mu      sync.Mutex
	answers []answer
	seen    []request
}

// request is one that arrived.
type request struct {
	at     time.Time
	body   string
	form   url.Values
	header http.Header
}

// answer is what an endpoint says; status 0 is 200.
type answer struct {
	status int
	header http.Header
	body   string
	lost   bool // processed, and the connection broken
	down   bool // the connection refused
	hang   bool // no answer before the client gives up
}

func says(bodies ...string) *endpoint {
	e := new(endpoint)
	for _, b := range bodies {
		e.answers = append(e.answers, answer{body: b})
	}
	return e
}

func refuses(code string) answer { return answer{status: 400, body: `{"error":"` + code + `"}`} }

// then adds answers.
func (e *endpoint) then(answers ...answer) *endpoint {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.answers = append(e.answers, answers...)
	return e
}

// requests returns what arrived so far.
func (e *endpoint) requests() []request {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.seen)
}

func (e *endpoint) next(r request) answer {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.seen = append(e.seen, r)
	a := e.answers[0]
	if len(e.answers) > 1 {
		e.answers = e.answers[1:]
	}
	return a
}

func (n network) RoundTrip(req *http.Request) (*http.Response, error) {
	var body []byte
	if req.Body != nil {
		body, _ = io.ReadAll(req.Body)
		_ = req.Body.Close()
	}
	a := answer{status: 404}
	if e := n[req.URL.String()]; e != nil {
		form, _ := url.ParseQuery(string(body))
		a = e.next(request{at: time.Now(), body: string(body), form: form, header: req.Header.Clone()})
	}
	switch {
	case a.down:
		return nil, &net.OpError{Op: "dial", Err: errors.New("connection refused, secret-in-transport-error")}
	case a.lost:
		return nil, io.ErrUnexpectedEOF
	case a.hang:
		<-req.Context().Done()
	}
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	header := http.Header{"Content-Type": {"application/json"}}
	for k, v := range a.header {
		header[k] = v
	}
	return &http.Response{
		StatusCode: cmp.Or(a.status, 200), ProtoMajor: 1, ProtoMinor: 1,
		Header: header, Body: io.NopCloser(strings.NewReader(a.body)), Request: req,
	}, nil
}

// config is a configuration that needs no discovery, for a public client.
func config(n network, g auth.Grant) auth.Config {
	return auth.Config{
		Resource:   mcpServer,
		Server:     &auth.Server{Issuer: asIssuer, TokenEndpoint: asToken, DeviceAuthorizationEndpoint: asDevice},
		Client:     auth.Client{ID: "mcp-client"},
		Grant:      g,
		HTTPClient: &http.Client{Transport: n},
		Network:    auth.Network{AnyAddress: true}, // n connects nowhere
	}
}

// start starts a manager that is closed when the test ends.
func start(t *testing.T, cfg auth.Config) *auth.Manager {
	t.Helper()
	m, err := auth.NewManager(cfg)
	if err != nil {
		t.Fatalf("NewManager: %v", err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return m
}

// wantConfigError fails the test unless the grant's field is refused when the
// manager is made, and by the grant itself where something around it hides its
// Check.
func wantConfigError(t *testing.T, cfg auth.Config, field string) {
	t.Helper()
	_, err := auth.NewManager(cfg)
	if e := as[*auth.ConfigError](t, err); e.Field != field {
		t.Errorf("NewManager: %v, want one about %s", err, field)
	}
	cfg.Grant = struct{ auth.Grant }{cfg.Grant}
	_, err = start(t, cfg).Authorize(t.Context())
	if e := as[*auth.ConfigError](t, err); e.Field != field {
		t.Errorf("Authorize: %v, want one about %s", err, field)
	}
}

// wantForm fails the test unless form is exactly want: names and values in
// turn.
func wantForm(t *testing.T, form url.Values, want ...string) {
	t.Helper()
	expected := url.Values{}
	for i := 0; i < len(want); i += 2 {
		expected.Set(want[i], want[i+1])
	}
	if got := form.Encode(); got != expected.Encode() {
		t.Errorf("form\n%s, want\n%s", got, expected.Encode())
	}
}

// wantRequests fails the test unless n requests arrived at e.
func wantRequests(t *testing.T, name string, e *endpoint, n int) []request {
	t.Helper()
	got := e.requests()
	if len(got) != n {
		t.Fatalf("%d requests at %s, want %d", len(got), name, n)
	}
	return got
}

// as is errors.As that fails the test.
func as[E error](t *testing.T, err error) E {
	t.Helper()
	var e E
	if !errors.As(err, &e) {
		t.Fatalf("error is %T (%v), want %T in it", err, err, e)
	}
	return e
}

// wantNoSecret fails the test if the text holds anything that was planted.
func wantNoSecret(t *testing.T, text string) {
	t.Helper()
	if strings.Contains(text, "secret") {
		t.Errorf("%q quotes a secret", text)
	}
}

func bearer(access, more string) string {
	return `{"access_token":"` + access + `","token_type":"Bearer"` + more + `}`
}
