package weblogin_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/weblogin"
)

const base = "https://gateway.example/oauth"

var errNobody = errors.New("nobody is signed in")

// gateway is a web application with some replicas that share a store, in front of
// one authorization server and one MCP server. All is in memory.
type gateway struct {
	t        *testing.T
	srv      *authtest.Server
	res      *authtest.Resource
	store    auth.Store
	replicas []*replica
	strict   bool // the session cookie has SameSite=Strict

	mu     sync.Mutex
	turn   int
	events []weblogin.Event
}

type replica struct {
	logins  *weblogin.Logins
	pool    *auth.Pool
	handler http.Handler
}

func newGateway(t *testing.T, replicas int, store auth.Store, cfg authtest.Config) *gateway {
	cfg.InMemory = true
	srv := authtest.NewServerConfig(t, cfg)
	g := &gateway{t: t, srv: srv, store: store}
	g.res = srv.Protect(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") }), authtest.Protection{Scopes: []string{"read"}})
	for range replicas {
		logins, err := weblogin.New(weblogin.Config{BaseURL: base, Store: store, Subject: g.user, OnEvent: g.note})
		if err != nil {
			t.Fatal(err)
		}
		shared := &auth.Config{Grant: logins, Store: store, HTTPClient: srv.Client()}
		pool, err := auth.NewPool(auth.PoolConfig{Store: store, Config: func(_, _ string) (*auth.Config, error) { return shared, nil }})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _, _ = pool.Close(), logins.Close() })
		g.replicas = append(g.replicas, &replica{logins, pool, logins.Handler(pool)})
	}
	return g
}

// user is the program's session: a cookie with the user's name.
func (g *gateway) user(r *http.Request) (string, error) {
	c, err := r.Cookie("session")
	if err != nil || g.strict && r.URL.Path == "/oauth/callback" && !r.URL.Query().Has("again") {
		return "", errNobody
	}
	return c.Value, nil
}

func (g *gateway) note(_ context.Context, e weblogin.Event) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.events = append(g.events, e)
}

// refused returns why requests were refused, and forgets that.
func (g *gateway) refused() (reasons []weblogin.Reason) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, e := range g.events {
		var why *weblogin.Error
		if e.Type == weblogin.Refused && errors.As(e.Err, &why) {
			reasons = append(reasons, why.Reason)
		}
	}
	g.events = nil
	return reasons
}

// RoundTrip is the network of the browsers: the gateway's replicas by turns, and
// the authorization server.
func (g *gateway) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Host != "gateway.example" {
		return g.srv.Client().Transport.RoundTrip(r)
	}
	g.mu.Lock()
	one := g.replicas[g.turn%len(g.replicas)]
	g.turn++
	g.mu.Unlock()
	w := httptest.NewRecorder()
	in := httptest.NewRequestWithContext(r.Context(), r.Method, r.URL.RequestURI(), http.NoBody)
	in.Header = r.Header
	one.handler.ServeHTTP(w, in)
	resp := w.Result()
	resp.Request = r
	return resp, nil
}

// source is a user's, at a replica.
func (g *gateway) source(replica int, user string) *auth.PoolSource {
	return g.replicas[replica].pool.Source(user, g.res.URL)
}

// call is a tool call that needs scopes; its error is nil if the user has a token.
func (g *gateway) call(ctx context.Context, src auth.Source, scopes ...string) error {
	tok, err := src.Token(ctx)
	if errors.Is(err, auth.ErrNoToken) {
		tok, err = src.Resolve(ctx, nil, auth.Challenge{Status: 401, Scopes: scopes, Operation: "tools/call x"})
	}
	if err != nil {
		return err
	}
	for _, scope := range scopes {
		if !bytes.Contains([]byte(fmt.Sprint(tok.Scopes)), []byte(scope)) {
			_, err = src.Resolve(ctx, tok, auth.Challenge{Status: 403, Error: "insufficient_scope", Scopes: scopes, Operation: "tools/call x"})
			return err
		}
	}
	return nil
}

// link is the link that a call of user's gets.
func (g *gateway) link(user string) string {
	g.t.Helper()
	err := g.call(g.t.Context(), g.source(0, user), "read")
	var required *auth.LoginRequiredError
	if !errors.As(err, &required) {
		g.t.Fatalf("got %v, want a link", err)
	}
	return required.URL
}

// connected reports whether calls of user's succeed, on all replicas.
func (g *gateway) connected(user string) bool {
	g.t.Helper()
	n := 0
	for i := range g.replicas {
		if g.call(g.t.Context(), g.source(i, user), "read") == nil {
			n++
		}
	}
	if n != 0 && n != len(g.replicas) {
		g.t.Errorf("%d of %d replicas have the token", n, len(g.replicas))
	}
	return n > 0
}

// tab is a browser: its tabs share cookies.
type tab struct {
	t      *testing.T
	client *http.Client
	jar    *cookiejar.Jar
}

func (g *gateway) browser(user string) *tab {
	jar, err := cookiejar.New(nil)
	if err != nil {
		g.t.Fatal(err)
	}
	b := &tab{g.t, &http.Client{Transport: g, Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, jar}
	b.signIn(user)
	return b
}

// signIn makes another user that of the program's session.
func (b *tab) signIn(user string) {
	at, err := url.Parse("https://gateway.example/")
	if err != nil {
		b.t.Fatal(err)
	}
	age := 0
	if user == "" {
		age = -1
	}
	b.jar.SetCookies(at, []*http.Cookie{{Name: "session", Value: user, Path: "/", MaxAge: age}})
}

// get opens one page: the status, where it redirects to, and the body.
func (b *tab) get(at string) (status int, to, body string) {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, at, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	resp, err := b.client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	if loc, err := resp.Location(); err == nil {
		to = loc.String()
	}
	return resp.StatusCode, to, string(data)
}

// walk goes from a link to the address of the callback, with its code.
func (b *tab) walk(link string) (callback string) {
	b.t.Helper()
	status, server, body := b.get(link)
	if status != http.StatusSeeOther {
		b.t.Fatalf("start: HTTP %d: %s", status, body)
	}
	status, callback, body = b.get(server)
	if status != http.StatusFound {
		b.t.Fatalf("authorization server: HTTP %d: %s", status, body)
	}
	return callback
}

func bubble(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, test)
}
