package auth_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/browser"
	"github.com/mcptokens/mcptokens/auth/grant"
)

const (
	clientID = "test-client"
	callback = "http://127.0.0.1:33418/callback"
)

// What Config.RefreshTimeout and TokenError.RetryAfter promise.
const (
	refreshTimeout = 30 * time.Second
	maxRetryAfter  = 5 * time.Minute
)

// mcpServer answers every request that the protection let pass.
var mcpServer = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":1,"result":{}}`)
})

// bubble runs test in a testing/synctest bubble, where an hour costs nothing.
// Start a kit inside it, never outside.
func bubble(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, test)
}

// kit is an authorization server with one MCP server behind it, both in
// memory.
type kit struct {
	t   *testing.T
	srv *authtest.Server
	res *authtest.Resource
}

// newKit starts one. Its pre-registered public client is clientID, with
// callback as its redirect URI.
func newKit(t *testing.T, cfg authtest.Config, p authtest.Protection) *kit {
	t.Helper()
	cfg.InMemory = true
	srv := authtest.NewServerConfig(t, cfg)
	srv.AddClient(clientID, "", callback)
	return &kit{t: t, srv: srv, res: srv.Protect(mcpServer, p)}
}

// config is a manager's configuration with the server and the client known and
// no grant: it refreshes what SetToken gave it, and does nothing else.
func (k *kit) config() auth.Config {
	return auth.Config{
		Resource: k.res.URL,
		Server: &auth.Server{
			Issuer:                k.srv.Issuer,
			AuthorizationEndpoint: k.srv.Endpoint(authtest.AuthorizeEndpoint),
			TokenEndpoint:         k.srv.Endpoint(authtest.TokenEndpoint),
			RegistrationEndpoint:  k.srv.Endpoint(authtest.RegistrationEndpoint),
			RevocationEndpoint:    k.srv.Endpoint(authtest.RevocationEndpoint),
		},
		Client:     auth.Client{ID: clientID},
		HTTPClient: k.srv.Client(),
	}
}

// onDemand is config without the timer: nothing happens until a token is asked
// for.
func (k *kit) onDemand() auth.Config {
	cfg := k.config()
	cfg.NoIdleRefresh = true
	return cfg
}

// discovered is a configuration with nothing known but the MCP server's URL:
// metadata are fetched, the client registers itself, the user logs in.
func (k *kit) discovered() auth.Config {
	return auth.Config{Resource: k.res.URL, HTTPClient: k.srv.Client(), Grant: k.login()}
}

// login is a grant for a user who approves at once.
func (k *kit) login() auth.Grant {
	return grant.AuthorizationCode{UserAgent: browser.Headless{Client: k.srv.Client(), RedirectURI: callback}}
}

// manager starts a manager that is closed when the test ends.
func (k *kit) manager(cfg auth.Config) *auth.Manager {
	k.t.Helper()
	m, err := auth.NewManager(cfg)
	if err != nil {
		k.t.Fatalf("NewManager: %v", err)
	}
	k.t.Cleanup(func() { _ = m.Close() }) // a test of Close looks at the error itself
	return m
}

// token is one that the server issued out of the blue.
func (k *kit) token(scopes ...string) *auth.Token {
	p := k.srv.IssueToken(scopes, k.res.URL)
	return &auth.Token{AccessToken: p.AccessToken, RefreshToken: p.RefreshToken, Expiry: p.Expiry, Scopes: p.Scopes}
}

// started is a manager with a token in use.
func (k *kit) started(cfg auth.Config, scopes ...string) (*auth.Manager, *auth.Token) {
	k.t.Helper()
	m, tok := k.manager(cfg), k.token(scopes...)
	if err := m.SetToken(k.t.Context(), tok); err != nil {
		k.t.Fatalf("SetToken: %v", err)
	}
	return m, tok
}

// call presents a token (nil: none) to the MCP server and returns the HTTP
// status.
func (k *kit) call(tok *auth.Token) int {
	k.t.Helper()
	status, err := k.present(tok)
	if err != nil {
		k.t.Fatalf("calling the MCP server: %v", err)
	}
	return status
}

// present is call for goroutines, which must not end the test.
func (k *kit) present(tok *auth.Token) (int, error) {
	req, err := http.NewRequestWithContext(k.t.Context(), http.MethodPost, k.res.URL, strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"ping"}`))
	if err != nil {
		return 0, err
	}
	if tok != nil {
		req.Header.Set("Authorization", tok.Authorization())
	}
	resp, err := k.srv.Client().Do(req)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}

// insist does what a transport does whose request with tok was refused with c:
// it sends the request again with what Resolve returns, until the server takes
// it, and says so. takes is what the server does.
func (k *kit) insist(src auth.Source, tok *auth.Token, c auth.Challenge, takes func(*auth.Token) bool) (*auth.Token, error) {
	for range 8 {
		next, err := src.Resolve(k.t.Context(), tok, c)
		if err != nil {
			return nil, err
		}
		if takes(next) {
			if a, ok := src.(auth.Accepter); ok {
				a.Accepted(next)
			}
			return next, nil
		}
		tok = next
	}
	return nil, errors.New("the server takes no token")
}

// send is a request to the MCP server that begins with tok (nil: without a
// token). It returns the token that was accepted.
func (k *kit) send(src auth.Source, tok *auth.Token) (*auth.Token, error) {
	takes := func(t *auth.Token) bool {
		status, err := k.present(t)
		return err == nil && status == http.StatusOK
	}
	if tok != nil && takes(tok) {
		if a, ok := src.(auth.Accepter); ok {
			a.Accepted(tok)
		}
		return tok, nil
	}
	return k.insist(src, tok, k.unauthorized(), takes)
}

// replace is a request to a server that takes any token but tok.
func (k *kit) replace(src auth.Source, tok *auth.Token) (*auth.Token, error) {
	return k.insist(src, tok, k.unauthorized(), func(t *auth.Token) bool { return t.AccessToken != tok.AccessToken })
}

// refreshes is how many refresh requests arrived.
func (k *kit) refreshes() int { return k.srv.Counts().Refreshes }

// wantRefreshes fails the test unless n refresh requests arrived.
func (k *kit) wantRefreshes(n int) {
	k.t.Helper()
	if got := k.refreshes(); got != n {
		k.t.Fatalf("%d refresh requests, want %d", got, n)
	}
}

// mustToken is m.Token without an error.
func mustToken(t *testing.T, m *auth.Manager) *auth.Token {
	t.Helper()
	tok, err := m.Token(t.Context())
	if err != nil {
		t.Fatalf("Token: %v", err)
	}
	return tok
}

// asError is errors.As that fails the test.
func asError[E error](t *testing.T, err error) E {
	t.Helper()
	var e E
	if !errors.As(err, &e) {
		t.Fatalf("error is %T (%v), want %T in it", err, err, e)
	}
	return e
}

// together calls f from n goroutines at once and waits for all of them.
func together(n int, f func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { f(i) })
	}
	wg.Wait()
}

// drained returns the events that wait in a subscription, without waiting for
// more.
func drained(ch <-chan auth.Event) (events []auth.Event) {
	for {
		select {
		case e, ok := <-ch:
			if !ok {
				return events
			}
			events = append(events, e)
		default:
			return events
		}
	}
}

// types are the types of events, in order.
func types(events []auth.Event) (list []auth.EventType) {
	for _, e := range events {
		list = append(list, e.Type)
	}
	return list
}

// wantEvents fails the test unless exactly these events wait in ch.
func wantEvents(t *testing.T, ch <-chan auth.Event, want ...auth.EventType) []auth.Event {
	t.Helper()
	events := drained(ch)
	if got := types(events); !slices.Equal(got, want) {
		t.Fatalf("events %v, want %v", got, want)
	}
	return events
}

// store is a [auth.MemoryStore] that fails on demand and counts.
type store struct {
	auth.MemoryStore

	mu                    sync.Mutex
	loadErr, saveErr      error
	lockErr               error
	saved                 []*auth.Record // as given to Save, the failed ones too
	loads, locks, deletes int
	onSave                func() // called in Save, without mu
}

// fail lets operations fail with these errors (nil: not) from now on.
func (s *store) fail(load, save, lock error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loadErr, s.saveErr, s.lockErr = load, save, lock
}

// Watch is not that of an [auth.Watcher]: this store gives no hints.
func (s *store) Watch() {}

// saves returns how often Save was called, and the newest record given to it.
func (s *store) saves() (int, *auth.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.saved) == 0 {
		return 0, nil
	}
	return len(s.saved), s.saved[len(s.saved)-1]
}

func (s *store) Load(ctx context.Context, key auth.Key) (*auth.Record, error) {
	s.mu.Lock()
	s.loads++
	err := s.loadErr
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return s.MemoryStore.Load(ctx, key)
}

func (s *store) Save(ctx context.Context, key auth.Key, r *auth.Record) (uint64, error) {
	c := *r
	s.mu.Lock()
	s.saved = append(s.saved, &c)
	err, hook := s.saveErr, s.onSave
	s.mu.Unlock()
	if hook != nil {
		hook()
	}
	if err != nil {
		return 0, err
	}
	return s.MemoryStore.Save(ctx, key, r)
}

func (s *store) Delete(ctx context.Context, key auth.Key, generation uint64) error {
	s.mu.Lock()
	s.deletes++
	s.mu.Unlock()
	return s.MemoryStore.Delete(ctx, key, generation)
}

func (s *store) Lock(ctx context.Context, key auth.Key) (func(), error) {
	s.mu.Lock()
	s.locks++
	err := s.lockErr
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return s.MemoryStore.Lock(ctx, key)
}
