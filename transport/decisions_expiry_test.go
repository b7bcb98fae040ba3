package transport_test

import (
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
)

// Kind of report: "several CLIs on one machine, container clocks drift, random
// failures". Tokens live for less than a minute, the processes share files, and
// their clocks differ. A 401 often means that another process has replaced the
// token: the store has to be looked at before it counts as a rejection.
func TestShortLivesAndClocksThatDiffer(t *testing.T) {
	for _, life := range []time.Duration{20 * time.Second, 30 * time.Second, time.Minute} {
		for name, clocks := range map[string][]time.Duration{
			"all right":      {0, 0, 0},
			"one ahead":      {0, 0, 30 * time.Second},
			"one behind":     {0, 0, -30 * time.Second},
			"ahead, behind":  {0, 15 * time.Second, -15 * time.Second},
			"all but itself": {30 * time.Second, 30 * time.Second, 0},
		} {
			fake(t, fmt.Sprintf("lives %s/%s", life, name), func(t *testing.T) {
				w := newWorld(t, byRefresh, authtest.Config{AccessTokenTTL: life}, authtest.Protection{})
				dir := filepath.Join(t.TempDir(), "tokens")
				var processes []*caller
				for _, ahead := range clocks {
					store := clock{openFiles(t, dir), ahead}
					processes = append(processes, w.caller(w.manager(inStore(store))))
				}
				if err := processes[0].post(); err != nil {
					t.Fatalf("the first call: %v", err)
				}
				var mu sync.Mutex
				var all tally
				var running sync.WaitGroup
				for i, c := range processes {
					running.Go(func() {
						time.Sleep(time.Duration(i) * 300 * time.Millisecond)
						series(200, time.Second, func(int) error {
							began := time.Now()
							err := c.post()
							mu.Lock()
							defer mu.Unlock()
							all.add(began, err)
							if rejected := (*auth.RejectedError)(nil); errors.As(err, &rejected) && all.failed == 1 {
								t.Errorf("a good token is stored, but: %v", err)
							}
							return err
						})
					})
				}
				running.Wait()
				if all.failed > all.calls/100 {
					t.Errorf("%v", all)
				}
				if n := w.spent().logins; n != 1 {
					t.Errorf("%d logins, want 1", n)
				}
				if n := w.as.Counts().ReusedRefreshTokens; n != 0 {
					t.Errorf("%d spent refresh tokens were sent again", n)
				}
			})
		}
	}
}

// Kind of report: "the first call after a slow refresh fails with 401". The life
// of a token begins when the server makes it, and the answer may take a while:
// the client has to count from when it sent the request.
func TestExpiryCountsFromTheRequest(t *testing.T) {
	const life, answerTakes = 30 * time.Second, 8 * time.Second
	for _, way := range ways {
		fake(t, string(way), func(t *testing.T) {
			w := newWorld(t, way, authtest.Config{AccessTokenTTL: life}, authtest.Protection{})
			w.as.InjectAlways(authtest.TokenEndpoint, authtest.DelayAfter(answerTakes))
			c := w.loggedIn()
			for i := range 3 {
				tok, err := c.m.Token(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				requests := w.as.TokenRequests()
				if latest := requests[len(requests)-1].Time.Add(life); tok.Expiry.After(latest) {
					t.Errorf("token %d: expires %s after its request, want %s", i, tok.Expiry.Sub(requests[len(requests)-1].Time), life)
				}
				time.Sleep(life)
				if err := c.post(); err != nil {
					t.Errorf("after the life of token %d: %v", i, err)
				}
			}
			for _, seen := range w.mcp.Seen() {
				if seen.Verdict == authtest.Expired {
					t.Errorf("a token was shown that had expired, at %v", seen.Time)
				}
			}
		})
	}
}

// Kind of report: "the server says 403 invalid_token and the client never
// refreshes". Servers refuse a dead token with another status than 401; the
// challenge says what is meant.
//
//compat:refusal `invalid_token` with status 403 or 400
//compat:default as a 401
//compat:attack TestOtherRefusalsAreTheCallersBusiness
func TestInvalidTokenByAnotherStatus(t *testing.T) {
	for _, way := range ways {
		for _, status := range []int{http.StatusForbidden, http.StatusBadRequest} {
			for name, kill := range map[string]func(w *world){
				"revoked": func(w *world) { w.as.RevokeAccess(w.lastShown()) },
				"expired": func(*world) { time.Sleep(2 * time.Hour) },
			} {
				fake(t, fmt.Sprintf("%s/%d/%s", way, status, name), func(t *testing.T) {
					w := newWorld(t, way, authtest.Config{NoExpiresIn: true}, authtest.Protection{InvalidTokenStatus: status})
					c := w.loggedIn()
					kill(w)
					before := w.spent()
					calls := series(5, 10*time.Second, func(int) error { return c.post() })
					if calls.failed > way.doubts() {
						t.Errorf("%v", calls)
					}
					logins := 0
					if way == byLogin {
						logins = 1
					}
					if got, want := w.since(before), (spending{logins, 1}); got != want {
						t.Errorf("%+v, want %+v", got, want)
					}
				})
			}
		}
	}
}

// The neighbours: other refusals by 403 and 400 say nothing about the token. They
// reach the caller as they are, and cost nothing.
func TestOtherRefusalsAreTheCallersBusiness(t *testing.T) {
	for _, way := range ways {
		for _, refusal := range []authtest.Refusal{
			{Status: 403, NoError: true},
			{Status: 403, Error: "access_denied"},
			{Status: 400, NoError: true},
			{Status: 400, Error: "invalid_request"},
			{Status: 404},
			{Status: 500},
		} {
			fake(t, fmt.Sprintf("%s/%d %s", way, refusal.Status, refusal.Error), func(t *testing.T) {
				w := newWorld(t, way, authtest.Config{}, authtest.Protection{})
				c := w.loggedIn()
				before := w.spent()
				rule := w.mcp.Refuse(refusal)
				for range 3 {
					if err := c.post(); !errors.Is(err, statusError(refusal.Status)) {
						t.Errorf("%v, want the answer as it came", err)
					}
				}
				if got := w.since(before); got != (spending{}) || rule.Refused() != 3 {
					t.Errorf("%+v, and the request was sent %d times, want nothing, and 3", got, rule.Refused())
				}
			})
		}
	}
}
