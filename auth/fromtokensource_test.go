package auth_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
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
func external(t *testing.T, ts oauth2.TokenSource) *auth.External {
	t.Helper()
	src := auth.FromTokenSource(ts, cloudResource)
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

func TestFromTokenSource(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := new(cloud)
		src := external(t, c)
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
		bubble(t, func(t *testing.T) {
			c := new(cloud)
			c.answers(&oauth2.Token{AccessToken: "a", Expiry: time.Now().Add(15 * time.Second)}, nil)
			src := external(t, c)
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
		bubble(t, func(t *testing.T) {
			c := new(cloud)
			c.answers(&oauth2.Token{AccessToken: "a"}, nil)
			src := external(t, c)
			first := sourceToken(t, src)
			time.Sleep(1000 * time.Hour)
			if tok := sourceToken(t, src); tok != first || c.count() != 1 {
				t.Errorf("%v after %d questions", tok, c.count())
			}
		})
	})
}

// oauth2.TokenSource knows no context, its callers do.
func TestFromTokenSourceHonoursContexts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := &cloud{takes: time.Minute}
		src := external(t, c)
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
		if _, err := src.Resolve(ctx, tok, unauthorized); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Resolve: %v", err)
		}
	})
}

func TestFromTokenSourceClose(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := &cloud{takes: 2 * time.Second}
		src := external(t, c)
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
		bubble(t, func(t *testing.T) {
			c := &cloud{takes: time.Hour}
			src := external(t, c)
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

// A server that rejects a token has the source asked again.
func TestFromTokenSourceResolve(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := new(cloud)
		src := external(t, c)
		old := sourceToken(t, src)
		together(50, func(int) {
			if tok, err := src.Resolve(t.Context(), old, unauthorized); err != nil || tok.AccessToken != "cloud-ii" {
				t.Errorf("%v, %v", tok, err)
			}
		})
		if c.count() != 2 {
			t.Errorf("%d questions, want 2", c.count())
		}
		// A late 401, and late want of scopes, do nothing to the successor.
		for _, code := range []string{"invalid_token", "insufficient_scope"} {
			if tok, err := src.Resolve(t.Context(), old, auth.Challenge{Error: code}); err != nil || tok.AccessToken != "cloud-ii" || c.count() != 2 {
				t.Errorf("%v, %v after %d questions", tok, err, c.count())
			}
		}
		tok := sourceToken(t, src)
		_, err := src.Resolve(t.Context(), tok, auth.Challenge{Status: 403, Error: "insufficient_scope", Scopes: []string{"admin"}, Operation: "POST /mcp"})
		e := asError[*auth.InsufficientScopeError](t, err)
		if !slices.Equal(e.Required, []string{"admin"}) || !slices.Equal(e.Granted, []string{"read", "write"}) || e.Resource != cloudResource || e.Operation != "POST /mcp" {
			t.Errorf("%+v", e)
		}
		if got := sourceToken(t, src); got != tok || c.count() != 2 {
			t.Errorf("%v after %d questions, want the token to stay in use", got, c.count())
		}
		if got, err := src.Resolve(t.Context(), nil, unauthorized); err != nil || got != tok {
			t.Errorf("a request without a token: %v, %v", got, err)
		}
	})

	// oauth2.ReuseTokenSource has no other token until the old one expires.
	t.Run("no other token", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			c := new(cloud)
			src := external(t, oauth2.ReuseTokenSource(nil, c))
			tok := sourceToken(t, src)
			_, err := src.Resolve(t.Context(), tok, unauthorized)
			until := asError[*auth.RejectedError](t, err).RetryAt
			_, err = src.Token(t.Context())
			if e := asError[*auth.RejectedError](t, err); e.Resource != cloudResource || !e.RetryAt.Equal(until) {
				t.Errorf("%+v, want it until %v", e, until)
			}
			if wait := time.Until(until); wait <= 0 || wait > 5*time.Second {
				t.Errorf("barred for %v after the first one", wait)
			}
			_, err = src.Resolve(t.Context(), &auth.Token{AccessToken: "an older one"}, unauthorized)
			asError[*auth.RejectedError](t, err) // not the one that is known to be no good
			time.Sleep(time.Until(until))
			if got := sourceToken(t, src); got != tok {
				t.Errorf("afterwards: %v, want to try it again", got)
			}
			_, err = src.Resolve(t.Context(), tok, unauthorized)
			if next := asError[*auth.RejectedError](t, err).RetryAt; time.Until(next) <= 2*time.Second {
				t.Errorf("barred for %v the second time, want longer", time.Until(next))
			}
			time.Sleep(2 * time.Hour)
			if got := sourceToken(t, src); got.AccessToken != "cloud-ii" {
				t.Errorf("an hour later: %v", got)
			}
		})
	})

	// However many meet it at once, it is one rejection.
	t.Run("no other token, for a crowd", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			c := new(cloud)
			c.answers(&oauth2.Token{AccessToken: "a"}, nil)
			src := external(t, c)
			c.takes = time.Millisecond
			tok := sourceToken(t, src)
			together(100, func(i int) {
				var got *auth.Token
				var err error
				if i%2 == 0 {
					_, err = src.Resolve(t.Context(), tok, unauthorized)
				} else if got, err = src.Token(t.Context()); got == tok {
					return // before the others
				}
				if e := (*auth.RejectedError)(nil); !errors.As(err, &e) || e.Rejections != 1 {
					t.Errorf("%v, %v, want *RejectedError for the first rejection", got, err)
				}
			})
		})
	})

	t.Run("every new token is rejected", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			c := new(cloud)
			src := external(t, c)
			tok, err := src.Token(t.Context())
			for range 20 {
				if err != nil {
					break
				}
				tok, err = src.Resolve(t.Context(), tok, unauthorized)
			}
			asError[*auth.RejectedError](t, err)
			if c.count() > 5 {
				t.Errorf("%d questions", c.count())
			}
		})
	})

	// What was asked before the rejection says nothing about it.
	t.Run("a question under way", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			c := new(cloud)
			src := external(t, c)
			tok := sourceToken(t, src)
			time.Sleep(time.Hour - 5*time.Second)
			c.mu.Lock()
			c.takes = time.Second
			asked := 0
			c.answer = func() (*oauth2.Token, error) {
				if asked++; asked == 1 {
					return &oauth2.Token{AccessToken: tok.AccessToken, Expiry: tok.Expiry}, nil
				}
				return &oauth2.Token{AccessToken: "other"}, nil
			}
			c.mu.Unlock()
			sourceToken(t, src) // asks behind
			if got, err := src.Resolve(t.Context(), tok, unauthorized); err != nil || got.AccessToken != "other" {
				t.Errorf("%v, %v", got, err)
			}
		})
	})
}

// What the source says is kept for errors.As and never repeated.
func TestFromTokenSourceErrors(t *testing.T) {
	retrieve := func(status int, code string) error {
		return &oauth2.RetrieveError{
			Response: &http.Response{StatusCode: status, Header: http.Header{"Retry-After": {"7"}}},
			Body:     []byte("secret-of-the-cloud"), ErrorCode: code,
		}
	}
	for _, tc := range []struct {
		name      string
		tok       *oauth2.Token
		err       error
		code      string
		status    int
		retryable bool
	}{
		{"some error", nil, errors.New("secret-of-the-cloud"), "", 0, true},
		{"refused", nil, retrieve(400, "invalid_grant"), "invalid_grant", 400, false},
		{"down", nil, retrieve(503, ""), "", 503, true},
		{"overloaded", nil, retrieve(400, "temporarily_unavailable"), "temporarily_unavailable", 400, true},
		{"no response", nil, &oauth2.RetrieveError{ErrorCode: "secret-of-the-cloud <script>"}, "", 0, true},
		{"nothing", nil, nil, "", 0, false},
		{"empty", &oauth2.Token{}, nil, "", 0, false},
		{"expired", &oauth2.Token{AccessToken: "secret-of-the-cloud", Expiry: time.Unix(1, 0)}, nil, "", 0, true},
		{"not a bearer token", &oauth2.Token{AccessToken: "secret-of-the-cloud", TokenType: "DPoP"}, nil, "", 0, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				c := new(cloud)
				c.answers(tc.tok, tc.err)
				src := external(t, c)
				_, err := src.Token(t.Context())
				e := asError[*auth.TokenError](t, err)
				if e.Code != tc.code || e.StatusCode != tc.status || e.Retryable() != tc.retryable || (tc.err != nil && !errors.Is(err, tc.err)) {
					t.Errorf("%+v", e)
				}
				if strings.Contains(err.Error(), "secret") {
					t.Errorf("the error says %s", err)
				}
				for range 100 { // no storm
					if _, again := src.Token(t.Context()); again != err {
						t.Fatalf("again: %v", again)
					}
				}
				if c.count() != 1 {
					t.Errorf("%d questions", c.count())
				}
				c.answers(&oauth2.Token{AccessToken: "a"}, nil)
				time.Sleep(time.Second)
				if tok, err := src.Token(t.Context()); err != nil || tok.AccessToken != "a" {
					t.Errorf("a second later: %v, %v", tok, err)
				}
			})
		})
	}

	t.Run("a failure before the expiry costs nothing", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			c := new(cloud)
			src := external(t, c)
			tok := sourceToken(t, src)
			c.answers(nil, errors.New("down"))
			for time.Until(tok.Expiry) > time.Second {
				time.Sleep(time.Second)
				if got := sourceToken(t, src); got != tok {
					t.Fatalf("%v", got)
				}
			}
			time.Sleep(time.Second)
			asError[*auth.TokenError](t, func() error { _, err := src.Token(t.Context()); return err }())
		})
	})

	t.Run("no source", func(t *testing.T) {
		src := external(t, nil)
		_, err := src.Token(t.Context())
		if e := asError[*auth.ConfigError](t, err); e.Field != "TokenSource" {
			t.Errorf("%v", err)
		}
	})

	// There and back again, errors and all.
	t.Run("a manager's", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			k := newKit(t, authtest.Config{}, authtest.Protection{})
			m := k.manager(k.config())
			src := external(t, m.TokenSource(t.Context()))
			if _, err := src.Token(t.Context()); err != auth.ErrNoToken {
				t.Errorf("%v, want ErrNoToken", err)
			}
		})
	})
}
