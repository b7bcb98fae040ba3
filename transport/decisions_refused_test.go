package transport_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/auth/authtest"
)

// Kind of report: "the optional GET stream takes the whole session down". One
// request is refused whatever the token, others are accepted with the same one.
// Every other call has to succeed, at once, and the client must not go through
// tokens, still less through logins.
func TestOneRequestThatIsAlwaysRefused(t *testing.T) {
	type refused struct {
		name    string
		rule    authtest.Refusal
		request func(c *caller) error
		// doubtful: without a refresh token one login may be worth the try, as
		// a revoked token looks the same at first.
		doubtful bool
	}
	post := func(path, body string) func(c *caller) error {
		return func(c *caller) error { return c.do(c.w.t.Context(), http.MethodPost, path, body) }
	}
	requests := []refused{
		{"GET", authtest.Refusal{Method: "GET"}, (*caller).get, false},
		{"GET without a code", authtest.Refusal{Method: "GET", NoError: true}, (*caller).get, false},
		{"GET with 403", authtest.Refusal{Method: "GET", Status: 403}, (*caller).get, false},
		{"DELETE", authtest.Refusal{Method: "DELETE"}, func(c *caller) error {
			return c.do(c.w.t.Context(), http.MethodDelete, "", "")
		}, false},
		{"GET of a page", authtest.Refusal{Method: "GET"}, (*caller).page, true},
		{"a path", authtest.Refusal{Path: "/mcp/admin"}, post("/admin", toolCall("read")), true},
		{"a tool", authtest.Refusal{Tool: "upstream"}, post("", toolCall("upstream")), true},
		{"a JSON-RPC method", authtest.Refusal{RPC: "logging/setLevel"}, post("", `{"jsonrpc":"2.0","id":1,"method":"logging/setLevel"}`), true},
	}
	for _, way := range ways {
		for _, r := range requests {
			fake(t, string(way)+"/"+r.name, func(t *testing.T) {
				w := newWorld(t, way, authtest.Config{}, authtest.Protection{})
				w.mcp.Refuse(r.rule)
				c := w.loggedIn()
				before := w.spent()
				for range 2 {
					if err := r.request(c); err == nil {
						t.Error("the request that is always refused succeeded")
					}
					if calls := series(1, 0, func(int) error { return c.post() }); calls.failed > 0 || calls.longest > time.Second {
						t.Errorf("%v, after %s", calls, calls.longest)
					}
				}
				more := 0
				if r.doubtful && way == byLogin {
					more = 1
				}
				if got := w.since(before); got.tokens > 2 || got.logins > more {
					t.Errorf("%+v more, want at most 2 token requests and %d logins", got, more)
				}
			})
		}
	}
}

// The same for half an hour: what is always refused is asked for ever less often
// at the authorization server's expense, and costs the others nothing.
func TestOneRequestThatIsAlwaysRefusedForLong(t *testing.T) {
	for _, way := range ways {
		for _, every := range []time.Duration{time.Second, time.Minute} {
			fake(t, fmt.Sprintf("%s/every %s", way, every), func(t *testing.T) {
				w := newWorld(t, way, authtest.Config{AccessTokenTTL: 24 * time.Hour}, authtest.Protection{})
				w.mcp.Refuse(authtest.Refusal{Method: "GET"})
				c := w.loggedIn()
				before := w.spent()
				var posts tally
				series(int(30*time.Minute/every), every, func(i int) error {
					if err := c.get(); err == nil {
						t.Error("a GET succeeded")
					}
					if time.Duration(i)*every%(10*time.Second) == 0 {
						posts.add(time.Now(), c.post())
					}
					return nil
				})
				if posts.failed > 0 {
					t.Errorf("%v", posts)
				}
				if got := w.since(before); got.tokens > 2 || got.logins > 0 {
					t.Errorf("%+v more, want at most 2 token requests and no login", got)
				}
			})
		}
	}
}

// The neighbour: a token that was accepted and then revoked is refused everywhere
// and replaced, without a refresh token by one login.
func TestRevokedTokenIsReplaced(t *testing.T) {
	for _, way := range ways {
		fake(t, string(way), func(t *testing.T) {
			w := newWorld(t, way, authtest.Config{}, authtest.Protection{})
			c := w.loggedIn()
			time.Sleep(10 * time.Minute)
			w.as.RevokeAccess(w.lastShown())
			before := w.spent()
			calls := series(10, 10*time.Second, func(int) error { return c.post() })
			if calls.failed > way.doubts() {
				t.Errorf("%v", calls)
			}
			logins := 0
			if way == byLogin {
				logins = 1
			}
			if got, want := w.since(before), (spending{logins, 1}); got != want {
				t.Errorf("%+v more, want %+v", got, want)
			}
		})
	}
}

// The neighbour of a refused stream: a program that is no MCP client reads pages
// with GET, and somebody revokes everything while it runs. One login helps.
func TestRevokedFamilyOfPages(t *testing.T) {
	for _, way := range ways {
		fake(t, string(way), func(t *testing.T) {
			w := newWorld(t, way, authtest.Config{}, authtest.Protection{})
			c := w.loggedIn()
			series(10, time.Second, func(int) error { return c.page() })
			w.as.RevokeAll()
			before := w.spent()
			calls := series(30, time.Second, func(int) error { return c.page() })
			if calls.failed > 0 {
				t.Errorf("%v", calls)
			}
			if got := w.since(before); got.logins > 1 || got.tokens > 2 {
				t.Errorf("%+v more, want at most one login and 2 token requests", got)
			}
		})
	}
}

// Kind of report: "401 after the server restarted, and no way back". The server
// refuses requests of a session that it does not know with 401 invalid_token
// instead of 404. A request without the session has to get through at once.
func TestUnknownSession(t *testing.T) {
	const session = "Mcp-Session-Id"
	for _, way := range ways {
		for _, tries := range []int{1, 3, 10} {
			fake(t, fmt.Sprintf("%s/%d tries", way, tries), func(t *testing.T) {
				w := newWorld(t, way, authtest.Config{}, authtest.Protection{})
				w.mcp.Refuse(authtest.Refusal{StaleSession: true})
				c := w.loggedIn()
				before := w.spent()
				for range tries {
					if err := c.do(t.Context(), http.MethodPost, "", toolCall("read"), session, "of-the-day-before"); err == nil {
						t.Error("a request in an unknown session succeeded")
					}
				}
				if calls := series(2, 0, func(int) error { return c.post() }); calls.failed > 0 || calls.longest > time.Second {
					t.Errorf("without the session: %v, after %s", calls, calls.longest)
				}
				logins := 0
				if way == byLogin {
					logins = 1
				}
				if got := w.since(before); got.tokens > 2 || got.logins > logins {
					t.Errorf("%+v more, want at most 2 token requests and %d logins", got, logins)
				}
			})
		}
	}
}

// Kind of report: "random 401s behind the load balancer lock everybody out". One
// replica of several has the wrong keys or a stale cache: it refuses good tokens,
// at random as clients see it.
func TestTwoReplicasOneOfThemWrong(t *testing.T) {
	for _, way := range ways {
		for _, tt := range []struct{ chance, failing float64 }{{0.1, 0.02}, {0.3, 0.12}} {
			for seed := range uint64(4) {
				fake(t, fmt.Sprintf("%s/%v/seed %d", way, tt.chance, seed), func(t *testing.T) {
					const n = 1000
					w := newWorld(t, way, authtest.Config{AccessTokenTTL: 24 * time.Hour}, authtest.Protection{})
					c := w.loggedIn()
					before := w.spent()
					w.mcp.Refuse(authtest.Refusal{Chance: tt.chance, Seed: seed})
					calls := series(n, 10*time.Second, func(int) error { return c.post() })
					if float64(calls.failed) > tt.failing*n {
						t.Errorf("%v; want %v at most", calls, tt.failing*n)
					}
					if got := w.since(before); got.tokens > n/10 || got.logins > 0 {
						t.Errorf("%+v more, want at most %d token requests and no login", got, n/10)
					}
				})
			}
		}
	}
}
