package external_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/external"
	"github.com/mcptokens/mcptokens/transport"
)

// The tests of this file play what servers do, from outside: an authorization
// server, an MCP server, and a client whose tokens golang.org/x/oauth2 gets. They
// count calls that failed and token requests. transport/decisions_*_test.go has
// the same exchanges for a manager.

// keeping is how the oauth2.TokenSource behaves.
type keeping string

const (
	byReuse  keeping = "keeps its token" // as oauth2.ReuseTokenSource does
	byAsking keeping = "asks each time"
)

var sources = []keeping{byReuse, byAsking}

// eachTime is an oauth2.TokenSource that keeps nothing.
type eachTime struct {
	config clientcredentials.Config
	ctx    context.Context
}

func (e eachTime) Token() (*oauth2.Token, error) { return e.config.Token(e.ctx) }

// counting counts the questions to an oauth2.TokenSource.
type counting struct {
	oauth2.TokenSource
	asked *atomic.Int32
}

func (c counting) Token() (*oauth2.Token, error) {
	c.asked.Add(1)
	return c.TokenSource.Token()
}

// world is an authorization server, an MCP server and a client in one fake
// network.
type world struct {
	t      *testing.T
	as     *authtest.Server
	mcp    *authtest.Resource
	client *http.Client
	asked  atomic.Int32 // the oauth2.TokenSource
}

func newWorld(t *testing.T, source keeping, cfg authtest.Config) *world {
	t.Helper()
	cfg.InMemory = true
	as := authtest.NewServerConfig(t, cfg)
	as.AddClient("service", "service-secret")
	w := &world{t: t, as: as, mcp: as.Protect(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":1,"result":{}}`)
	}), authtest.Protection{AllowUnbound: true})}
	config := clientcredentials.Config{ClientID: "service", ClientSecret: "service-secret", TokenURL: as.Endpoint(authtest.TokenEndpoint)}
	ctx := context.WithValue(t.Context(), oauth2.HTTPClient, as.Client())
	var ts oauth2.TokenSource = eachTime{config, ctx}
	if source == byReuse {
		ts = config.TokenSource(ctx)
	}
	src := external.FromTokenSource(counting{ts, &w.asked}, w.mcp.URL)
	t.Cleanup(func() { _ = src.Close() })
	w.client = &http.Client{Transport: &transport.RoundTripper{Source: src, Base: as.Transport()}}
	return w
}

// call sends a request and returns nil if it was answered with 200.
func (w *world) call(ctx context.Context, method, tool string) error {
	body := fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":%q}}`, tool)
	req, err := http.NewRequestWithContext(ctx, method, w.mcp.URL, strings.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := w.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("HTTP %d", resp.StatusCode)
	}
	return nil
}

func (w *world) post() error { return w.call(w.t.Context(), http.MethodPost, "read") }

// tokens is how many token requests there were.
func (w *world) tokens() int { return w.as.Counts().Token }

// tally is how a series of calls went.
type tally struct {
	failed  int
	longest time.Duration
	first   error
}

// add makes one more call.
func (t *tally) add(call func() error) {
	began := time.Now()
	err := call()
	t.longest = max(t.longest, time.Since(began))
	if err != nil {
		t.failed++
		t.first = cmp.Or(t.first, err)
	}
}

// series makes n calls, one every interval.
func series(n int, interval time.Duration, call func() error) (t tally) {
	start := time.Now()
	for i := range n {
		time.Sleep(time.Until(start.Add(time.Duration(i) * interval)))
		t.add(call)
	}
	return t
}

// fake runs a subtest for each kind of source, in fake time.
func fake(t *testing.T, name string, test func(t *testing.T, source keeping)) {
	t.Helper()
	for _, source := range sources {
		t.Run(fmt.Sprintf("%s/%s", source, name), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, source) })
		})
	}
}

// The MCP server's replicas learn of a token late, or its clock is behind. No
// call fails, and no token is replaced for it [invariant 10].
func TestTokensThatAreNotYetValid(t *testing.T) {
	for _, lag := range []time.Duration{100 * time.Millisecond, time.Second, 3 * time.Second} {
		for _, life := range []time.Duration{time.Hour, 10 * time.Minute} {
			fake(t, fmt.Sprintf("%s late/lives %s", lag, life), func(t *testing.T, source keeping) {
				w := newWorld(t, source, authtest.Config{AccessTokenTTL: life})
				w.mcp.Refuse(authtest.Refusal{Younger: lag})
				calls := series(360, 10*time.Second, w.post)
				if calls.failed > 0 {
					t.Errorf("%d calls failed: %v", calls.failed, calls.first)
				}
				if most := lag + 3*time.Second; calls.longest > most {
					t.Errorf("a call took %s, want %s at most", calls.longest, most)
				}
				if got, most := w.tokens(), 1+int(time.Hour/(life-11*time.Second)); got > most {
					t.Errorf("%d token requests, want %d at most", got, most)
				}
			})
		}
	}
}

// Many callers at once wait for the young token together.
func TestManyCallersOfATokenThatIsNotYetValid(t *testing.T) {
	fake(t, "all at once", func(t *testing.T, source keeping) {
		w := newWorld(t, source, authtest.Config{})
		w.mcp.Refuse(authtest.Refusal{Younger: time.Second})
		together(50, func(int) {
			if err := w.post(); err != nil {
				t.Error(err)
			}
		})
		if got := w.tokens(); got != 1 {
			t.Errorf("%d token requests, want 1", got)
		}
	})
}

// The neighbour: a caller who has no time does not wait beyond their context.
func TestNotYetValidWithinTheCallersTime(t *testing.T) {
	fake(t, "no time", func(t *testing.T, source keeping) {
		w := newWorld(t, source, authtest.Config{})
		w.mcp.Refuse(authtest.Refusal{Younger: time.Minute})
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		start := time.Now()
		if err := w.call(ctx, http.MethodPost, "read"); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 100*time.Millisecond {
			t.Errorf("%v after %s", err, time.Since(start))
		}
		time.Sleep(2 * time.Minute)
		if err := w.post(); err != nil || w.tokens() != 1 {
			t.Errorf("two minutes later: %v, %d token requests", err, w.tokens())
		}
	})
}

// One request is refused whatever the token. Every other call succeeds at once,
// and the source is asked ever less often [invariant 11].
func TestOneRequestThatIsAlwaysRefused(t *testing.T) {
	for name, rule := range map[string]authtest.Refusal{
		"GET":                {Method: "GET"},
		"GET without a code": {Method: "GET", NoError: true},
		"DELETE":             {Method: "DELETE"},
		"a tool":             {Tool: "upstream"},
	} {
		fake(t, name, func(t *testing.T, source keeping) {
			w := newWorld(t, source, authtest.Config{AccessTokenTTL: 24 * time.Hour})
			rule := w.mcp.Refuse(rule)
			if err := w.post(); err != nil {
				t.Fatal(err)
			}
			method := http.MethodPost
			if name != "a tool" {
				method, _, _ = strings.Cut(name, " ")
			}
			var others tally
			for range 180 {
				time.Sleep(10 * time.Second)
				err := w.call(t.Context(), method, "upstream")
				if rejected := (*auth.RejectedError)(nil); !errors.As(err, &rejected) || rejected.Operation == "" {
					t.Errorf("the request that is refused: %v", err)
				}
				others.add(w.post)
			}
			if others.failed > 0 || others.longest > 0 {
				t.Errorf("%d other calls failed, the longest took %s: %v", others.failed, others.longest, others.first)
			}
			if got := w.tokens(); got > 3 {
				t.Errorf("%d token requests, want 3 at most", got)
			}
			if got := w.asked.Load(); got > 12 {
				t.Errorf("%d questions in half an hour, want 12 at most", got)
			}
			if n := rule.Refused(); n > 3*180+10 {
				t.Errorf("it was sent %d times", n)
			}
		})
	}
}

// The same before anything was accepted, and with a token that the source does
// not replace: the first request of all is the one that is refused.
func TestFirstRequestIsRefused(t *testing.T) {
	fake(t, "GET", func(t *testing.T, source keeping) {
		w := newWorld(t, source, authtest.Config{})
		w.mcp.Refuse(authtest.Refusal{Method: "GET"})
		err := w.call(t.Context(), http.MethodGet, "")
		if rejected := (*auth.RejectedError)(nil); !errors.As(err, &rejected) {
			t.Errorf("GET: %v", err)
		}
		if err := w.post(); err != nil {
			t.Errorf("POST: %v", err)
		}
	})
}

// One replica of several refuses good tokens, at random as clients see it.
func TestTwoReplicasOneOfThemWrong(t *testing.T) {
	for _, tt := range []struct{ chance, failing float64 }{{0.1, 0.02}, {0.3, 0.12}} {
		for seed := range uint64(2) {
			fake(t, fmt.Sprintf("%v/seed %d", tt.chance, seed), func(t *testing.T, source keeping) {
				const n = 1000
				w := newWorld(t, source, authtest.Config{AccessTokenTTL: 24 * time.Hour})
				if err := w.post(); err != nil {
					t.Fatal(err)
				}
				w.mcp.Refuse(authtest.Refusal{Chance: tt.chance, Seed: seed})
				calls := series(n, 10*time.Second, w.post)
				if float64(calls.failed) > tt.failing*n {
					t.Errorf("%d calls failed, want %v at most", calls.failed, tt.failing*n)
				}
				if got := w.tokens(); got > n/10 {
					t.Errorf("%d token requests, want %d at most", got, n/10)
				}
			})
		}
	}
}

// The neighbour: a token that was accepted and then revoked is replaced, by a
// source that has another one, within the same call.
func TestRevokedTokenIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, byAsking, authtest.Config{})
		for range 3 {
			if err := w.post(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Minute)
			seen := w.mcp.Seen()
			w.as.RevokeAccess(seen[len(seen)-1].Token)
		}
		if calls := series(5, 0, w.post); calls.failed > 0 || calls.longest > 0 {
			t.Errorf("%d calls failed, the longest took %s: %v", calls.failed, calls.longest, calls.first)
		}
		if got := w.tokens(); got != 4 {
			t.Errorf("%d token requests, want 4", got)
		}
	})
}
