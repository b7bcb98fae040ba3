package transport_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/auth/authtest"
)

// Kind of report: "still down minutes after the incident was over". The MCP
// server answers 401 to everything for five minutes, then is well. Tokens are not
// to blame: the newest one is good, and has to be tried before another is got.
func TestAfterTrouble(t *testing.T) {
	const trouble = 5 * time.Minute
	for _, way := range ways {
		for _, every := range []time.Duration{time.Second, 10 * time.Second, time.Minute} {
			fake(t, fmt.Sprintf("%s/every %s", way, every), func(t *testing.T) {
				w := newWorld(t, way, authtest.Config{}, authtest.Protection{})
				c := w.loggedIn()
				start, before := time.Now(), w.spent()
				rule := w.mcp.Refuse(authtest.Refusal{For: trouble})
				during := series(int(trouble/every), every, func(int) error { return c.post() })
				if during.failed < during.calls-1 || rule.Refused() == 0 {
					t.Errorf("the trouble did not happen: %v", during)
				}
				if got := w.since(before); got.tokens > int(trouble/(10*time.Second)) || got.logins > 1 {
					t.Errorf("%+v during the trouble, want one token request in ten seconds and one login at most", got)
				}
				time.Sleep(time.Until(start.Add(trouble + 30*time.Second)))
				newest, before := w.lastShown(), w.spent()
				if err := c.post(); err != nil {
					t.Errorf("30 s after it: %v", err)
				}
				if got := w.since(before); got != (spending{}) {
					t.Errorf("%+v for the first call after it, want none", got)
				}
				if w.lastShown() != newest {
					t.Error("the first call after it did not show the newest token")
				}
			})
		}
	}
}

// Who goes on calling gets through no later.
func TestAfterTroubleWhileCallsGoOn(t *testing.T) {
	for _, way := range ways {
		for _, trouble := range []time.Duration{30 * time.Second, 5 * time.Minute, time.Hour} {
			fake(t, fmt.Sprintf("%s/%s", way, trouble), func(t *testing.T) {
				w := newWorld(t, way, authtest.Config{AccessTokenTTL: 24 * time.Hour}, authtest.Protection{})
				c := w.loggedIn()
				w.mcp.Refuse(authtest.Refusal{For: trouble})
				start := time.Now()
				series(int((trouble+30*time.Second)/(10*time.Second)), 10*time.Second, func(int) error { _ = c.post(); return nil })
				time.Sleep(time.Until(start.Add(trouble + 30*time.Second)))
				before := w.spent()
				if calls := series(30, 10*time.Second, func(int) error { return c.post() }); calls.failed > 0 {
					t.Errorf("from 30 s after it: %v", calls)
				}
				if got := w.since(before); got != (spending{}) {
					t.Errorf("%+v after it, want none", got)
				}
			})
		}
	}
}

// outages are ways for an authorization server to be away.
var outages = []struct {
	name  string
	begin func(w *world, d time.Duration)
}{
	{"connection refused", func(w *world, d time.Duration) { w.as.Down(d) }},
	{"everything refused", func(w *world, d time.Duration) { w.as.Down(d); w.mcp.Down(d) }},
	{"500", func(w *world, d time.Duration) { w.as.InjectFor(authtest.TokenEndpoint, d, authtest.Status(500)) }},
	{"502 with a page", func(w *world, d time.Duration) { w.as.InjectFor(authtest.TokenEndpoint, d, authtest.HTMLStatus(502)) }},
	{"503 without Retry-After", func(w *world, d time.Duration) { w.as.InjectFor(authtest.TokenEndpoint, d, authtest.Status(503)) }},
	{"reset", func(w *world, d time.Duration) { w.as.InjectFor(authtest.TokenEndpoint, d, authtest.ResetBefore()) }},
}

// Kind of report: "the identity provider was away for 20 s, our client for a
// minute". The token expired meanwhile, callers go on asking; a call made 5 s
// after the server is back succeeds, and nobody made a storm in between.
func TestAfterAnOutage(t *testing.T) {
	for _, way := range []way{byRefresh, byService} {
		for _, outage := range outages {
			for _, lasts := range []time.Duration{5 * time.Second, 20 * time.Second, 5 * time.Minute} {
				fake(t, fmt.Sprintf("%s/%s/%s", way, outage.name, lasts), func(t *testing.T) {
					w := newWorld(t, way, authtest.Config{}, authtest.Protection{})
					c := w.loggedIn()
					time.Sleep(2 * time.Hour) // it has expired
					start, before := time.Now(), w.attempts.count()
					outage.begin(w, lasts)
					var callers sync.WaitGroup
					series(int(lasts/time.Second), time.Second, func(int) error {
						callers.Go(func() { _ = c.within(10 * time.Second) })
						return nil
					})
					time.Sleep(time.Until(start.Add(lasts)))
					if n, most := w.attempts.count()-before, 6+int(lasts/(5*time.Second)); n > most {
						t.Errorf("%d token requests during the outage, want %d at most", n, most)
					}
					time.Sleep(time.Until(start.Add(lasts + 5*time.Second)))
					began := time.Now()
					if err := c.within(5 * time.Second); err != nil {
						t.Errorf("5 s after it: %v", err)
					}
					if took := time.Since(began); took > 2*time.Second {
						t.Errorf("5 s after it the call took %s", took)
					}
					callers.Wait()
					if n := w.spent().logins; n != way.logins() {
						t.Errorf("%d logins, want %d", n, way.logins())
					}
				})
			}
		}
	}
}

// The neighbour: what the server asks for by Retry-After is kept to.
func TestAfterThrottling(t *testing.T) {
	for _, way := range []way{byRefresh, byService} {
		fake(t, string(way), func(t *testing.T) {
			w := newWorld(t, way, authtest.Config{}, authtest.Protection{})
			c := w.loggedIn()
			time.Sleep(2 * time.Hour)
			before := w.spent()
			w.as.Inject(authtest.TokenEndpoint, authtest.RetryAfter(429, time.Minute))
			series(59, time.Second, func(int) error { _ = c.within(500 * time.Millisecond); return nil })
			if got := w.since(before); got.tokens != 1 {
				t.Errorf("%d token requests within the minute that the server asked for, want 1", got.tokens)
			}
			time.Sleep(10 * time.Second)
			if err := c.post(); err != nil {
				t.Errorf("after it: %v", err)
			}
		})
	}
}

// Kind of report: "closing the client opens a browser". What ends a session is
// not worth a login: not when the token has expired, not when it was revoked, and
// not when there never was one.
func TestClosingAsksNobody(t *testing.T) {
	for _, way := range []way{byRefresh, byLogin} {
		for name, end := range map[string]func(w *world) *caller{
			"expired": func(w *world) *caller { c := w.loggedIn(); time.Sleep(2 * time.Hour); return c },
			"revoked": func(w *world) *caller { c := w.loggedIn(); w.as.RevokeAll(); return c },
			"always refused": func(w *world) *caller {
				c := w.loggedIn()
				w.mcp.Refuse(authtest.Refusal{Method: http.MethodDelete})
				return c
			},
			"never had one": func(w *world) *caller { return w.caller(w.manager()) },
		} {
			fake(t, string(way)+"/"+name, func(t *testing.T) {
				w := newWorld(t, way, authtest.Config{}, authtest.Protection{})
				c := end(w)
				before, began := w.spent(), time.Now()
				err := c.do(t.Context(), http.MethodDelete, "", "")
				if got := w.since(before); got.logins != 0 {
					t.Errorf("%d logins, want none (the request: %v)", got.logins, err)
				}
				if took := time.Since(began); took > 5*time.Second {
					t.Errorf("it took %s", took)
				}
				if renewed := way == byRefresh && name == "expired"; renewed != (err == nil) {
					t.Errorf("the request: %v", err)
				}
				if name == "always refused" {
					if err := c.post(); err != nil {
						t.Errorf("a call after it: %v", err)
					}
				}
			})
		}
	}
}
