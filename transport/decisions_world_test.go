package transport_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/browser"
	"github.com/mcptokens/mcptokens/auth/grant"
	"github.com/mcptokens/mcptokens/auth/store/filestore"
	"github.com/mcptokens/mcptokens/transport"
)

// The files decisions_*_test.go play exchanges that other projects have
// reported, from outside: an authorization server, an MCP server, clients of
// package transport, all in fake time. They count what an outsider can count:
// calls that failed, token requests, and logins, each of which interrupts a
// person.

// way is how a client gets its next token.
type way string

const (
	byRefresh way = "refresh token"
	byLogin   way = "no refresh token"
	byService way = "client credentials"
)

var ways = []way{byRefresh, byLogin, byService}

// logins is how many a client of this way needs to begin with.
func (w way) logins() int {
	if w == byService {
		return 0
	}
	return 1
}

// doubts is how many calls may fail until a client takes a token that was
// accepted before for dead: where that costs a login it may make sure first, as a
// server that is wrong now and then looks the same.
func (w way) doubts() int {
	if w == byLogin {
		return 2
	}
	return 0
}

// fake runs a subtest in fake time.
func fake(t *testing.T, name string, test func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { synctest.Test(t, test) })
}

// world is an authorization server and an MCP server in one fake network.
type world struct {
	t   *testing.T
	way way
	as  *authtest.Server
	mcp *authtest.Resource

	attempts counter // at the token endpoint, those included that never arrive
}

const (
	worldCallback = "http://127.0.0.1:33418/callback"
	serviceSecret = "service-secret"
)

// newWorld makes one for clients of that way.
func newWorld(t *testing.T, way way, cfg authtest.Config, p authtest.Protection) *world {
	t.Helper()
	cfg.InMemory = true
	cfg.NoRefreshToken = cfg.NoRefreshToken || way == byLogin
	as := authtest.NewServerConfig(t, cfg)
	as.AddClient("app", "", worldCallback)
	as.AddClient("service", serviceSecret)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":1,"result":{}}`)
	})
	w := &world{t: t, way: way, as: as, mcp: as.Protect(handler, p)}
	w.attempts.base, w.attempts.url = as.Transport(), as.Endpoint(authtest.TokenEndpoint)
	return w
}

// config is that of a client, which refreshes when it is asked for a token and
// not by a timer.
func (w *world) config() auth.Config {
	cfg := auth.Config{
		Resource: w.mcp.URL,
		Server: &auth.Server{
			Issuer:                w.as.Issuer,
			AuthorizationEndpoint: w.as.Endpoint(authtest.AuthorizeEndpoint),
			TokenEndpoint:         w.as.Endpoint(authtest.TokenEndpoint),
			RevocationEndpoint:    w.as.Endpoint(authtest.RevocationEndpoint),
		},
		HTTPClient:    &http.Client{Transport: &w.attempts},
		NoIdleRefresh: true,
		Client:        auth.Client{ID: "app"},
		Grant:         grant.AuthorizationCode{UserAgent: browser.Headless{Client: w.as.Client(), RedirectURI: worldCallback}},
	}
	if w.way == byService {
		cfg.Client, cfg.Grant = auth.Client{ID: "service", Secret: serviceSecret}, grant.ClientCredentials{}
	}
	return cfg
}

// manager starts one, with changes to the configuration.
func (w *world) manager(changes ...func(*auth.Config)) *auth.Manager {
	w.t.Helper()
	cfg := w.config()
	for _, change := range changes {
		change(&cfg)
	}
	m, err := auth.NewManager(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = m.Close() })
	return m
}

func inStore(s auth.Store) func(*auth.Config) { return func(cfg *auth.Config) { cfg.Store = s } }

func withoutGrant(cfg *auth.Config) { cfg.Grant = nil }

// token is one that the authorization server gave somebody.
func (w *world) token() *auth.Token {
	p := w.as.IssueToken(nil, w.mcp.URL)
	return &auth.Token{AccessToken: p.AccessToken, RefreshToken: p.RefreshToken, Expiry: p.Expiry}
}

// caller calls the MCP server with the tokens of one source.
type caller struct {
	w *world
	m *auth.Manager
	c *http.Client
}

func (w *world) caller(m *auth.Manager) *caller {
	return &caller{w, m, &http.Client{Transport: &transport.RoundTripper{Source: m, Base: w.as.Transport()}}}
}

// loggedIn is a caller whose first call succeeded.
func (w *world) loggedIn(changes ...func(*auth.Config)) *caller {
	w.t.Helper()
	c := w.caller(w.manager(changes...))
	if err := c.post(); err != nil {
		w.t.Fatalf("the first call: %v", err)
	}
	return c
}

// do sends a request and returns nil if it was answered with 200.
func (c *caller) do(ctx context.Context, method, path, body string, header ...string) error {
	req, err := http.NewRequestWithContext(ctx, method, c.w.mcp.URL+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := c.c.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return statusError(resp.StatusCode)
	}
	return nil
}

// statusError is an answer other than 200 that reached the caller.
type statusError int

func (e statusError) Error() string { return fmt.Sprint("HTTP ", int(e)) }

// post calls a harmless tool.
func (c *caller) post() error { return c.tool("read") }

// get opens a stream.
func (c *caller) get() error {
	return c.do(c.w.t.Context(), http.MethodGet, "", "", "Accept", "text/event-stream")
}

// page is a GET that is no stream.
func (c *caller) page() error { return c.do(c.w.t.Context(), http.MethodGet, "", "") }

func (c *caller) tool(name string) error {
	return c.do(c.w.t.Context(), http.MethodPost, "", toolCall(name))
}

// within is post for a caller who waits no longer than d.
func (c *caller) within(d time.Duration) error {
	ctx, cancel := context.WithTimeout(c.w.t.Context(), d)
	defer cancel()
	return c.do(ctx, http.MethodPost, "", toolCall("read"))
}

func toolCall(name string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":%q}}`, name)
}

// tally is how a series of calls went.
type tally struct {
	calls, failed int
	longest       time.Duration
	first         error
}

func (t tally) String() string {
	if t.first == nil {
		return fmt.Sprintf("all %d calls succeeded", t.calls)
	}
	return fmt.Sprintf("%d of %d calls failed, the first with: %v", t.failed, t.calls, t.first)
}

func (t *tally) add(began time.Time, err error) {
	t.calls++
	t.longest = max(t.longest, time.Since(began))
	if err != nil {
		t.failed++
		if t.first == nil {
			t.first = err
		}
	}
}

// series makes n calls, one every interval; a call that takes longer delays the
// next.
func series(n int, interval time.Duration, call func(i int) error) (t tally) {
	start := time.Now()
	for i := range n {
		time.Sleep(time.Until(start.Add(time.Duration(i) * interval)))
		began := time.Now()
		t.add(began, call(i))
	}
	return t
}

// spending is what clients cost at the authorization server.
type spending struct{ logins, tokens int }

func (w *world) spent() spending {
	c := w.as.Counts()
	return spending{c.Authorize, c.Token}
}

// since is what was spent after s.
func (w *world) since(s spending) spending {
	now := w.spent()
	return spending{now.logins - s.logins, now.tokens - s.tokens}
}

// lastShown is the token of the last request that the MCP server got.
func (w *world) lastShown() string {
	seen := w.mcp.Seen()
	return seen[len(seen)-1].Token
}

// wantNoRefreshTokenTwice fails the test if a refresh token, or a code, was sent
// more than once.
func (w *world) wantNoRefreshTokenTwice() {
	w.t.Helper()
	sent := map[string]int{}
	for _, r := range w.as.TokenRequests() {
		for _, parameter := range []string{"refresh_token", "code"} {
			if v := r.Form.Get(parameter); v != "" {
				sent[v]++
				if sent[v] == 2 {
					w.t.Errorf("a %s was sent a second time, at %v", parameter, r.Time)
				}
			}
		}
	}
}

// counter is a transport that counts the requests for one URL as they leave.
type counter struct {
	base http.RoundTripper
	url  string

	mu sync.Mutex
	n  int
}

func (c *counter) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.String() == c.url {
		c.mu.Lock()
		c.n++
		c.mu.Unlock()
	}
	return c.base.RoundTrip(r)
}

func (c *counter) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

// stores are the kinds that processes share: one that says when a record has
// changed, one that does not, and files.
var stores = []struct {
	name string
	hint time.Duration // within which a change is seen
	open func(t *testing.T) auth.Store
}{
	{"store with hints", time.Second, func(*testing.T) auth.Store { return &hinting{} }},
	{"store without hints", 5 * time.Second, func(*testing.T) auth.Store { return new(auth.MemoryStore) }},
	{"filestore", 5 * time.Second, func(t *testing.T) auth.Store { return openFiles(t, filepath.Join(t.TempDir(), "tokens")) }},
}

func openFiles(t *testing.T, dir string) auth.Store {
	t.Helper()
	s, err := filestore.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// hinting is a store in memory that is an [auth.Watcher].
type hinting struct {
	auth.MemoryStore

	mu       sync.Mutex
	watchers map[*watcher]struct{}
}

type watcher struct {
	key     auth.Key
	changed chan struct{}
	stopped chan struct{}
	done    sync.WaitGroup
}

func (h *hinting) Watch(key auth.Key, changed func()) (stop func()) {
	w := &watcher{key: key, changed: make(chan struct{}, 1), stopped: make(chan struct{})}
	h.mu.Lock()
	if h.watchers == nil {
		h.watchers = map[*watcher]struct{}{}
	}
	h.watchers[w] = struct{}{}
	h.mu.Unlock()
	w.done.Go(func() {
		for {
			select {
			case <-w.changed:
				changed()
			case <-w.stopped:
				return
			}
		}
	})
	return func() {
		h.mu.Lock()
		delete(h.watchers, w)
		h.mu.Unlock()
		close(w.stopped)
		w.done.Wait()
	}
}

func (h *hinting) tell(key auth.Key) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for w := range h.watchers {
		if w.key == key {
			select {
			case w.changed <- struct{}{}:
			default: // it will look anyway
			}
		}
	}
}

func (h *hinting) Save(ctx context.Context, key auth.Key, r *auth.Record) (uint64, error) {
	defer h.tell(key)
	return h.MemoryStore.Save(ctx, key, r)
}

func (h *hinting) Delete(ctx context.Context, key auth.Key, generation uint64) error {
	defer h.tell(key)
	return h.MemoryStore.Delete(ctx, key, generation)
}

// clock is the store as a process sees it whose clock is ahead of the others':
// all clocks of a test are one, so that what it reads looks older by as much,
// and what it writes newer.
type clock struct {
	auth.Store
	ahead time.Duration
}

func (c clock) Load(ctx context.Context, key auth.Key) (*auth.Record, error) {
	r, err := c.Store.Load(ctx, key)
	if err != nil {
		return nil, err
	}
	return moved(r, -c.ahead), nil
}

func (c clock) Save(ctx context.Context, key auth.Key, r *auth.Record) (uint64, error) {
	return c.Store.Save(ctx, key, moved(r, c.ahead))
}

// moved returns a copy of r with its times moved.
func moved(r *auth.Record, by time.Duration) *auth.Record {
	c := *r
	if !c.Obtained.IsZero() {
		c.Obtained = c.Obtained.Add(by)
	}
	if c.Token != nil {
		token := *c.Token
		if !token.Expiry.IsZero() {
			token.Expiry = token.Expiry.Add(by)
		}
		c.Token = &token
	}
	return &c
}

// nextAttempt is when an error says that the next attempt is due; zero: it does
// not. The errors of package auth have a field for it, of one name or the other,
// whatever their type.
func nextAttempt(err error) time.Time {
	for ; err != nil; err = errors.Unwrap(err) {
		v := reflect.Indirect(reflect.ValueOf(err))
		if v.Kind() != reflect.Struct {
			continue
		}
		for _, name := range []string{"NextAttempt", "RetryAt"} {
			if f := v.FieldByName(name); f.IsValid() {
				if at, ok := f.Interface().(time.Time); ok && !at.IsZero() {
					return at
				}
			}
		}
	}
	return time.Time{}
}

// throughGate lets a caller's requests go through a gate that demands DPoP.
func throughGate(c *caller, gate http.RoundTripper) http.RoundTripper {
	return &transport.RoundTripper{Source: c.m, Base: gate}
}
