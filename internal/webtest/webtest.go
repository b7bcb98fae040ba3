// Package webtest has web logins for the tests of stores: how soon a call on one
// replica of a gateway goes on after the login that it waits for ended on another,
// and logins that nobody ends.
package webtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/weblogin"
)

const base = "https://gateway.example/oauth"

// gateway is one with a replica for each view of the store.
type gateway struct {
	t        testing.TB
	as       *authtest.Server
	resource string
	replicas []replica
}

type replica struct {
	logins  *weblogin.Logins
	pool    *auth.Pool
	handler http.Handler
}

func newGateway(t testing.TB, stores ...auth.Store) *gateway {
	t.Helper()
	g := &gateway{t: t, as: authtest.NewServerConfig(t, authtest.Config{InMemory: true})}
	g.resource = g.as.Protect(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") }), authtest.Protection{Scopes: []string{"read"}}).URL
	for _, store := range stores {
		logins, err := weblogin.New(weblogin.Config{BaseURL: base, Store: store, Subject: func(r *http.Request) (string, error) { return r.Header.Get("User"), nil }})
		if err != nil {
			t.Fatal(err)
		}
		cfg := &auth.Config{Grant: logins, HTTPClient: g.as.Client()}
		pool, err := auth.NewPool(auth.PoolConfig{Store: store, Config: func(_, _ string) (*auth.Config, error) { return cfg, nil }})
		if err != nil {
			t.Fatal(err)
		}
		g.replicas = append(g.replicas, replica{logins, pool, logins.Handler(pool)})
	}
	return g
}

func (g *gateway) close() {
	for _, r := range g.replicas {
		if err := errors.Join(r.pool.Close(), r.logins.Close()); err != nil {
			g.t.Error(err)
		}
	}
}

// Begin has users begin a login each, which nobody ends: the store then has a link and
// a login under way of each. close ends the gateway.
func Begin(t testing.TB, store auth.Store, users int) (close func()) {
	t.Helper()
	g := newGateway(t, store)
	for i := range users {
		user := fmt.Sprintf("user-%d@people.example.com", i)
		link, err := g.replicas[0].logins.Link(t.Context(), user, g.resource, "/accounts", "read")
		if err != nil {
			t.Fatal(err)
		}
		g.visit(0, user, link.URL, nil)
	}
	return g.close
}

// Waking has users log in on replica 2, whose store is there, while a call of each
// waits on replica 1, whose store is here. It returns how long after the callback's
// answer each call went on, the shortest first, and logs that. Times in which the
// machine stood still do not count.
func Waking(t testing.TB, here, there auth.Store, users int) []time.Duration {
	t.Helper()
	g := newGateway(t, here, there)
	defer g.close()
	p := startPulse()
	defer p.stop()
	var took []time.Duration
	for i := range users {
		user := fmt.Sprint("user", i)
		links, ended := make(chan string, 1), make(chan error, 1)
		src := &weblogin.Patient{
			Source: g.replicas[0].pool.Source(user, g.resource), Wait: time.Minute,
			Tell: func(_ context.Context, required *auth.LoginRequiredError) { links <- required.URL },
		}
		go func() {
			_, err := src.Resolve(t.Context(), nil, auth.Challenge{Status: 401, Scopes: []string{"read"}})
			ended <- err
		}()
		var link string
		select {
		case link = <-links:
		case err := <-ended:
			t.Fatalf("no link: %v", err)
		}
		cookies, to := g.visit(1, user, link, nil)
		resp, err := g.as.Client().Transport.RoundTrip(httptest.NewRequestWithContext(t.Context(), http.MethodGet, to, nil))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		// The login ends at each time between two looks of the replica that waits.
		<-time.After(time.Duration(i) * time.Second / time.Duration(users))
		if _, to = g.visit(1, user, resp.Header.Get("Location"), cookies); to != base+"/done" {
			t.Fatalf("the login ended at %s", to)
		}
		start, missed := time.Now(), p.missed()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		took = append(took, max(0, time.Since(start)-(p.missed()-missed)))
	}
	slices.Sort(took)
	t.Logf("a waiting call goes on after %v (median), %v at most", took[len(took)/2].Round(time.Millisecond), took[len(took)-1].Round(time.Millisecond))
	return took
}

// pulse is a goroutine that wants to run a hundred times a second. What it misses,
// all others of this machine miss about as well.
type pulse struct {
	late     atomic.Int64
	due      atomic.Int64 // of the next beat, after the first
	begun    time.Time
	end, out chan struct{}
}

const beat = 10 * time.Millisecond

func startPulse() *pulse {
	p := &pulse{begun: time.Now(), end: make(chan struct{}), out: make(chan struct{})}
	p.due.Store(int64(beat))
	go func() {
		defer close(p.out)
		for timer := time.NewTimer(beat); ; timer.Reset(beat) {
			select {
			case <-timer.C:
			case <-p.end:
				timer.Stop()
				return
			}
			now := int64(time.Since(p.begun))
			p.late.Add(max(0, now-p.due.Swap(now+int64(beat))))
		}
	}()
	return p
}

// missed is how long the machine stood still so far, the beat that is due included.
func (p *pulse) missed() time.Duration {
	return time.Duration(p.late.Load() + max(0, int64(time.Since(p.begun))-p.due.Load()))
}

func (p *pulse) stop() {
	close(p.end)
	<-p.out
}

// visit opens an address of the gateway, and returns what it redirects to.
func (g *gateway) visit(replica int, user, address string, cookies []*http.Cookie) ([]*http.Cookie, string) {
	g.t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		g.t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(g.t.Context(), http.MethodGet, u.RequestURI(), nil)
	r.Header.Set("User", user)
	for _, c := range cookies {
		r.AddCookie(c)
	}
	w := httptest.NewRecorder()
	g.replicas[replica].handler.ServeHTTP(w, r)
	to, err := w.Result().Location()
	if err != nil {
		g.t.Fatal(errors.Join(fmt.Errorf("HTTP %d: %s", w.Code, w.Body), err))
	}
	return w.Result().Cookies(), to.String()
}
