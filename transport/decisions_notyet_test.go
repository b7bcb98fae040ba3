package transport_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/auth/authtest"
)

var lags = []time.Duration{100 * time.Millisecond, time.Second, 3 * time.Second}

// nextStep is the longest wait between two tries of one request with a young
// token: a call may wait until the token is old enough, and for that.
const nextStep = 3 * time.Second

// tokensFor is how many tokens a client gets at most that calls all the time: a
// token of this life is replaced within the refresh window, which is five
// minutes, or half of the life, and up to a tenth longer.
func tokensFor(calling, life time.Duration) int {
	window := min(5*time.Minute, life/2)
	return 1 + int(calling/(life-window*11/10))
}

// Kind of report: "login loop right after a successful login". The MCP server's
// replicas learn of a token late, or its clock is behind: nbf lies in its
// future. A new token is refused for a moment and good afterwards.
func TestTokensThatAreNotYetValid(t *testing.T) {
	for _, way := range ways {
		for _, lag := range lags {
			for _, life := range []time.Duration{time.Hour, 10 * time.Minute} {
				if way == byLogin && life < time.Hour {
					continue // each token would cost a login, rightly
				}
				fake(t, fmt.Sprintf("%s/%s late/lives %s", way, lag, life), func(t *testing.T) {
					w := newWorld(t, way, authtest.Config{AccessTokenTTL: life}, authtest.Protection{})
					w.mcp.Refuse(authtest.Refusal{Younger: lag})
					c := w.caller(w.manager())
					calls := series(360, 10*time.Second, func(int) error { return c.post() })
					if calls.failed > 0 {
						t.Errorf("%v", calls)
					}
					if calls.longest > lag+nextStep {
						t.Errorf("a call took %s, want %s at most", calls.longest, lag+nextStep)
					}
					if got := w.spent(); got.logins != way.logins() || got.tokens > tokensFor(time.Hour, life) {
						t.Errorf("%+v, want %d logins and %d token requests at most", got, way.logins(), tokensFor(time.Hour, life))
					}
				})
			}
		}
	}
}

// Kind of report: "works until the first refresh, then never again". The lag
// begins when the client has a token that was accepted already. Tokens live for
// an hour, and the client knows it or learns it by a 401.
func TestTokensThatAreNotYetValidAfterTheFirst(t *testing.T) {
	for _, way := range ways {
		for _, unannounced := range []bool{false, true} {
			for _, lag := range lags {
				fake(t, fmt.Sprintf("%s/unannounced %t/%s late", way, unannounced, lag), func(t *testing.T) {
					w := newWorld(t, way, authtest.Config{NoExpiresIn: unannounced}, authtest.Protection{})
					c := w.loggedIn()
					time.Sleep(10 * time.Second) // the first token is old enough
					w.mcp.Refuse(authtest.Refusal{Younger: lag})
					calls := series(1440, 10*time.Second, func(int) error { return c.post() })
					mayFail := 0
					if unannounced {
						mayFail = 4 * way.doubts() // once an hour a token is found dead
					}
					if calls.failed > mayFail {
						t.Errorf("%v, want %d failures at most", calls, mayFail)
					}
					tokens, logins := tokensFor(4*time.Hour, time.Hour), way.logins()
					if way == byLogin {
						logins = tokens // there is nothing else
					}
					if got := w.spent(); got.logins > logins || got.tokens > tokens {
						t.Errorf("%+v, want at most %d logins and %d token requests", got, logins, tokens)
					}
				})
			}
		}
	}
}

// Many callers at once wait for the young token together: nobody fails, and
// nobody asks for another.
func TestManyCallersOfATokenThatIsNotYetValid(t *testing.T) {
	for _, way := range ways {
		fake(t, string(way), func(t *testing.T) {
			w := newWorld(t, way, authtest.Config{}, authtest.Protection{})
			w.mcp.Refuse(authtest.Refusal{Younger: time.Second})
			c := w.caller(w.manager())
			errs := make(chan error, 50)
			for range cap(errs) {
				go func() { errs <- c.post() }()
			}
			start := time.Now()
			var calls tally
			for range cap(errs) {
				calls.add(start, <-errs)
			}
			if calls.failed > 0 {
				t.Errorf("%v", calls)
			}
			if got, want := w.spent(), (spending{way.logins(), 1}); got != want {
				t.Errorf("%+v, want %+v", got, want)
			}
		})
	}
}

// The neighbour: a caller who has no time does not wait beyond their context.
func TestNotYetValidWithinTheCallersTime(t *testing.T) {
	for _, way := range ways {
		fake(t, string(way), func(t *testing.T) {
			w := newWorld(t, way, authtest.Config{}, authtest.Protection{})
			w.mcp.Refuse(authtest.Refusal{Younger: time.Minute})
			c := w.caller(w.manager())
			start := time.Now()
			if err := c.within(100 * time.Millisecond); err == nil {
				t.Error("the call succeeded")
			}
			if took := time.Since(start); took > 200*time.Millisecond {
				t.Errorf("it took %s", took)
			}
			time.Sleep(2 * time.Minute)
			if err := c.post(); err != nil {
				t.Errorf("two minutes later: %v", err)
			}
			if got := w.spent(); got.logins > way.logins() {
				t.Errorf("%d logins, want %d", got.logins, way.logins())
			}
		})
	}
}
