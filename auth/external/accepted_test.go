package external_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/external"
)

// What an acceptance changes: a token that others are accepted with is sent
// again once, at once, and then replaced.
func TestAccepted(t *testing.T) {
	for name, tt := range map[string]struct {
		accepted func(src *external.Source, tok *auth.Token)
		age      time.Duration
		resends  int // of one request with the first token
		waits    time.Duration
	}{
		"never, young":       {func(*external.Source, *auth.Token) {}, 0, 3, 4250 * time.Millisecond},
		"never, old":         {func(*external.Source, *auth.Token) {}, time.Minute, 0, 0},
		"accepted, young":    {(*external.Source).Accepted, 0, 1, 0},
		"accepted, old":      {(*external.Source).Accepted, time.Minute, 1, 0},
		"another one, old":   {func(src *external.Source, _ *auth.Token) { src.Accepted(&auth.Token{AccessToken: "other"}) }, time.Minute, 0, 0},
		"no token, old":      {func(src *external.Source, _ *auth.Token) { src.Accepted(nil) }, time.Minute, 0, 0},
		"a caller's own one": {func(src *external.Source, t *auth.Token) { src.Accepted(&auth.Token{AccessToken: t.AccessToken}) }, time.Minute, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				src := open(t, new(cloud))
				tok := sourceToken(t, src)
				time.Sleep(tt.age)
				tt.accepted(src, tok)
				start := time.Now()
				got, resends := tok, -1
				for got.AccessToken == tok.AccessToken && resends < 10 {
					var err error
					if got, err = src.Resolve(t.Context(), got, unauthorized); err != nil {
						t.Fatal(err)
					}
					resends++
				}
				if resends != tt.resends || time.Since(start) != tt.waits {
					t.Errorf("sent again %d times within %s, want %d times within %s", resends, time.Since(start), tt.resends, tt.waits)
				}
			})
		})
	}

	// It is called for every response.
	t.Run("once it is known", func(t *testing.T) {
		src := open(t, new(cloud))
		tok := sourceToken(t, src)
		src.Accepted(tok)
		if n := testing.AllocsPerRun(100, func() { src.Accepted(tok) }); n != 0 {
			t.Errorf("%v allocations", n)
		}
	})

	// The copy that a request was sent again with may be kept for later ones: the
	// next refusal is another request's first.
	t.Run("the request is over", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := new(cloud)
			src := open(t, c)
			tok := sourceToken(t, src)
			src.Accepted(tok)
			for range 5 {
				again, err := src.Resolve(t.Context(), tok, unauthorized)
				if err != nil || again.AccessToken != tok.AccessToken || again == tok {
					t.Fatalf("%v, %v, want a copy to send again", again, err)
				}
				src.Accepted(again)
				tok = again
			}
			if c.count() != 1 {
				t.Errorf("%d questions, want 1", c.count())
			}
		})
	})
}

// A new token that is refused where the old one was ends the request, and no
// other [invariant 11].
func TestReplacedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := new(cloud)
		src := open(t, c)
		tok := sourceToken(t, src)
		src.Accepted(tok)
		next, err := refusedWith(t.Context(), src, tok, "GET /mcp")
		if err != nil || next.AccessToken != "cloud-ii" {
			t.Fatalf("%v, %v", next, err)
		}
		src.Accepted(sourceToken(t, src)) // by another request
		_, err = refusedWith(t.Context(), src, next, "GET /mcp")
		if e := asError[*auth.RejectedError](t, err); e.Operation != "GET /mcp" || e.Resource != cloudResource {
			t.Errorf("%+v", e)
		}
		if got := sourceToken(t, src); got.AccessToken != "cloud-ii" || c.count() != 2 {
			t.Errorf("others got %v after %d questions", got, c.count())
		}
	})
}

// A caller who waits to send again gives up with its context, or with the source.
func TestPauseEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := open(t, new(cloud))
		tok := sourceToken(t, src)
		time.AfterFunc(100*time.Millisecond, func() { _ = src.Close() })
		start := time.Now()
		if _, err := src.Resolve(t.Context(), tok, unauthorized); err != auth.ErrClosed || time.Since(start) != 100*time.Millisecond {
			t.Errorf("%v after %s", err, time.Since(start))
		}
		synctest.Wait()
	})
}

// A source whose token is the same but for an expiry that moves is asked once a
// second at most near its end, and what is known of the token stays.
func TestSameTokenWithAnotherExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := new(cloud)
		end := time.Now().Add(time.Minute)
		c.answer = func() (*oauth2.Token, error) {
			end = end.Add(time.Millisecond)
			return &oauth2.Token{AccessToken: "a", Expiry: end}, nil
		}
		src := open(t, c)
		src.Accepted(sourceToken(t, src))
		time.Sleep(52 * time.Second)
		before := c.count()
		for range 70 {
			time.Sleep(100 * time.Millisecond)
			sourceToken(t, src)
			synctest.Wait()
		}
		if n := c.count() - before; n < 2 || n > 8 {
			t.Errorf("%d questions in 7 s, want one a second at most", n)
		}
		tok := sourceToken(t, src)
		if !tok.Expiry.After(end.Add(-time.Second)) {
			t.Errorf("it expires at %v, want the newest, %v", tok.Expiry, end)
		}
		start := time.Now()
		if again, err := src.Resolve(t.Context(), tok, unauthorized); err != nil || again.AccessToken != "a" || time.Since(start) > 0 {
			t.Errorf("%v, %v after %s; want to send it again at once, since it was accepted", again, err, time.Since(start))
		}
	})
}

// What panics is the source's; the callers get an error, and Close ends.
func TestSourcePanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := new(cloud)
		c.answer = func() (*oauth2.Token, error) { panic("out of order") }
		src := open(t, c)
		_, err := src.Token(t.Context())
		if e := asError[*external.Error](t, err); e.Retryable() || e.NextAttempt.IsZero() {
			t.Errorf("%+v", e)
		}
		c.answers(&oauth2.Token{AccessToken: "a"}, nil)
		time.Sleep(time.Second)
		sourceToken(t, src)
	})
}

// Pauses after failures grow, up to 5 seconds for those that pass and up to 5
// minutes for those that do not [invariant 15]. No caller asks in between.
func TestPausesGrow(t *testing.T) {
	for name, tt := range map[string]struct {
		answer func() (*oauth2.Token, error)
		most   time.Duration
	}{
		"it passes":   {func() (*oauth2.Token, error) { return nil, context.DeadlineExceeded }, 5 * time.Second},
		"it does not": {func() (*oauth2.Token, error) { return new(oauth2.Token), nil }, 5 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := new(cloud)
				c.answer = tt.answer
				src := open(t, c)
				var last time.Duration
				for i := range 12 {
					_, err := src.Token(t.Context())
					wait := time.Until(asError[*external.Error](t, err).NextAttempt)
					if wait < last || wait > tt.most || i == 0 && wait != time.Second || i == 11 && wait != tt.most {
						t.Errorf("pause %d is %s after %s, want up to %s", i, wait, last, tt.most)
					}
					time.Sleep(wait - time.Millisecond)
					if _, again := src.Token(t.Context()); again != err || c.count() != i+1 {
						t.Errorf("pause %d: %v after %d questions", i, again, c.count())
					}
					time.Sleep(time.Millisecond)
					last = wait
				}
			})
		})
	}
}

// A manager behind the source says that it has no token yet. That is no trouble:
// it is asked by whoever needs one.
func TestNoTokenYet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := new(cloud)
		c.answers(nil, auth.ErrNoToken)
		src := open(t, c)
		for range 3 {
			if _, err := src.Token(t.Context()); err != auth.ErrNoToken {
				t.Errorf("%v, want ErrNoToken", err)
			}
		}
		c.answers(&oauth2.Token{AccessToken: "a", Expiry: time.Now().Add(time.Minute)}, nil)
		sourceToken(t, src)
		time.Sleep(52 * time.Second)
		// Near the end of a token that works it is asked once a second at most.
		c.answers(nil, auth.ErrNoToken)
		before := c.count()
		for range 20 {
			time.Sleep(100 * time.Millisecond)
			sourceToken(t, src)
			synctest.Wait()
		}
		if n := c.count() - before; n < 1 || n > 3 {
			t.Errorf("%d questions in 2 s, want one a second at most", n)
		}
	})
}
