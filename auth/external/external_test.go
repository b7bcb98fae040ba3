package external_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/external"
)

// cloud is an oauth2.TokenSource under a test's control.
type cloud struct {
	mu    sync.Mutex
	asked int
	// answer is what is returned; nil: a new token each time.
	answer func() (*oauth2.Token, error)
	takes  time.Duration
}

func (c *cloud) Token() (*oauth2.Token, error) {
	c.mu.Lock()
	c.asked++
	n, answer, takes := c.asked, c.answer, c.takes
	c.mu.Unlock()
	time.Sleep(takes)
	if answer != nil {
		return answer()
	}
	tok := &oauth2.Token{AccessToken: "cloud-" + strings.Repeat("i", n), RefreshToken: "the source's own", Expiry: time.Now().Add(time.Hour)}
	return tok.WithExtra(map[string]any{"scope": "read write"}), nil
}

func (c *cloud) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.asked
}

// answers lets c answer this from now on.
func (c *cloud) answers(tok *oauth2.Token, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answer = func() (*oauth2.Token, error) { return tok, err }
}

const cloudResource = "https://mcp.example.com/mcp"

var unauthorized = auth.Challenge{Status: 401, Scheme: "Bearer", Error: "invalid_token"}

// external is a Source over c that ends with the test.
func open(t *testing.T, ts oauth2.TokenSource) *external.Source {
	t.Helper()
	src := external.FromTokenSource(ts, cloudResource)
	t.Cleanup(func() { _ = src.Close() })
	return src
}

func sourceToken(t *testing.T, src auth.Source) *auth.Token {
	t.Helper()
	tok, err := src.Token(t.Context())
	if err != nil {
		t.Fatalf("Token: %v", err)
	}
	return tok
}

func TestSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := new(cloud)
		src := open(t, c)
		first := sourceToken(t, src)
		if first.Authorization() != "Bearer cloud-i" || first.RefreshToken != "" || !slices.Equal(first.Scopes, []string{"read", "write"}) || time.Until(first.Expiry) != time.Hour {
			t.Errorf("got %v", first)
		}
		if text := fmt.Sprintf("%v %+v %#v", src, src, src); strings.Contains(text, "cloud-i") || !strings.Contains(text, cloudResource) {
			t.Errorf("it prints as %s", text)
		}
		if src.Resource() != cloudResource {
			t.Errorf("Resource = %q", src.Resource())
		}
		time.Sleep(time.Hour - 11*time.Second)
		if n := testing.AllocsPerRun(100, func() { _, _ = src.Token(t.Context()) }); n != 0 {
			t.Errorf("%v allocations for a token that is there", n)
		}
		if tok := sourceToken(t, src); tok != first || c.count() != 1 {
			t.Errorf("%v after %d questions, want the same token", tok, c.count())
		}
		// Shortly before the end the next one is asked for, behind the caller.
		time.Sleep(2 * time.Second)
		c.takes = time.Second
		if tok := sourceToken(t, src); tok != first {
			t.Errorf("%v, want the old one without waiting", tok)
		}
		time.Sleep(2 * time.Second)
		if tok := sourceToken(t, src); tok.AccessToken != "cloud-ii" || c.count() != 2 {
			t.Errorf("%v after %d questions", tok, c.count())
		}
		// All who come too late wait for one answer.
		time.Sleep(2 * time.Hour)
		together(50, func(int) {
			if tok, err := src.Token(t.Context()); err != nil || tok.AccessToken != "cloud-iii" {
				t.Errorf("%v, %v", tok, err)
			}
		})
		if c.count() != 3 {
			t.Errorf("%d questions, want 3", c.count())
		}
	})

	t.Run("unchanged", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := new(cloud)
			c.answers(&oauth2.Token{AccessToken: "a", Expiry: time.Now().Add(15 * time.Second)}, nil)
			src := open(t, c)
			first := sourceToken(t, src)
			for range 80 { // every 100 ms from 6 s to 14 s
				if time.Until(first.Expiry) > 9*time.Second {
					time.Sleep(6 * time.Second)
				}
				time.Sleep(100 * time.Millisecond)
				synctest.Wait()
				if tok := sourceToken(t, src); tok != first {
					t.Fatalf("%v, want the very same", tok)
				}
			}
			if n := c.count(); n < 2 || n > 10 {
				t.Errorf("%d questions in 8 s, want one a second at most", n)
			}
		})
	})

	t.Run("no expiry", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := new(cloud)
			c.answers(&oauth2.Token{AccessToken: "a"}, nil)
			src := open(t, c)
			first := sourceToken(t, src)
			time.Sleep(1000 * time.Hour)
			if tok := sourceToken(t, src); tok != first || c.count() != 1 {
				t.Errorf("%v after %d questions", tok, c.count())
			}
		})
	})
}

// oauth2.TokenSource knows no context, its callers do.
func TestSourceHonoursContexts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &cloud{takes: time.Minute}
		src := open(t, c)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if _, err := src.Token(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		tok := sourceToken(t, src) // who stayed gets the answer to the same question
		if time.Since(start) != time.Minute || c.count() != 1 {
			t.Errorf("%v after %v and %d questions", tok, time.Since(start), c.count())
		}
		c.takes = 2 * time.Second
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := refusedWith(ctx, src, tok, ""); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Resolve: %v", err)
		}
	})
}

func TestSourceClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &cloud{takes: 2 * time.Second}
		src := open(t, c)
		var waiter error
		var wg sync.WaitGroup
		wg.Go(func() { _, waiter = src.Token(t.Context()) })
		synctest.Wait()
		start := time.Now()
		if err := src.Close(); err != nil || time.Since(start) != 2*time.Second {
			t.Errorf("Close: %v after %v, want it to wait for the question", err, time.Since(start))
		}
		wg.Wait()
		if waiter != auth.ErrClosed {
			t.Errorf("who waited got %v", waiter)
		}
		if _, err := src.Token(t.Context()); err != auth.ErrClosed {
			t.Errorf("Token: %v", err)
		}
		if _, err := src.Resolve(t.Context(), &auth.Token{AccessToken: "a"}, auth.Challenge{Error: "insufficient_scope"}); err != auth.ErrClosed {
			t.Errorf("Resolve: %v", err)
		}
	})

	t.Run("it does not return", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := &cloud{takes: time.Hour}
			src := open(t, c)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, _ = src.Token(ctx)
			start := time.Now()
			if err := src.Close(); err == nil || time.Since(start) > 10*time.Second {
				t.Errorf("Close: %v after %v, want an error after a few seconds", err, time.Since(start))
			}
			time.Sleep(time.Hour)
			if err := src.Close(); err != nil {
				t.Errorf("Close, once it has returned: %v", err)
			}
		})
	})
}

// refusedWith is what a request does that the server refuses with tok, however
// often: it goes again until there is another token, or an error.
func refusedWith(ctx context.Context, src *external.Source, tok *auth.Token, operation string) (*auth.Token, error) {
	challenge := unauthorized
	challenge.Operation = operation
	for range 10 {
		next, err := src.Resolve(ctx, tok, challenge)
		if err != nil || next.AccessToken != tok.AccessToken {
			return next, err
		}
		tok = next
	}
	return nil, errors.New("it is sent again and again")
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
