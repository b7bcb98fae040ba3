package external_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/mcptokens/mcptokens/auth"
)

// A server that rejects a token has the source asked again.
func TestSourceResolve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := new(cloud)
		src := open(t, c)
		old := sourceToken(t, src)
		together(50, func(int) {
			if tok, err := refusedWith(t.Context(), src, old, ""); err != nil || tok.AccessToken != "cloud-ii" {
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

	// oauth2.ReuseTokenSource has no other token until the old one expires. At
	// first that is one request's trouble. When other requests meet it as well,
	// and nothing is accepted, it is everybody's.
	t.Run("no other token", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := new(cloud)
			src := open(t, oauth2.ReuseTokenSource(nil, c))
			tok := sourceToken(t, src)
			time.Sleep(time.Minute)
			refused := func(operation string) *auth.RejectedError {
				t.Helper()
				challenge := unauthorized
				challenge.Operation = operation
				_, err := src.Resolve(t.Context(), tok, challenge)
				return asError[*auth.RejectedError](t, err)
			}
			for i, operation := range []string{"a", "b"} {
				e := refused(operation)
				if e.Resource != cloudResource || e.Operation != operation || e.Rejections != 1 || time.Until(e.NextAttempt) != 15*time.Second {
					t.Errorf("refused %d: %+v, want it for this request, for 15 s", i, e)
				}
				if again := refused(operation); !again.NextAttempt.Equal(e.NextAttempt) {
					t.Errorf("refused at once again: %+v, want %+v", again, e)
				}
				if got := sourceToken(t, src); got != tok {
					t.Errorf("others got %v, want to try it", got)
				}
			}
			e := refused("c")
			if wait := time.Until(e.NextAttempt); e.Operation != "" || wait <= 0 || wait > 5*time.Second {
				t.Errorf("%+v, want a short bar for all", e)
			}
			_, err := src.Token(t.Context())
			if got := asError[*auth.RejectedError](t, err); !got.NextAttempt.Equal(e.NextAttempt) {
				t.Errorf("Token: %+v, want it until %v", got, e.NextAttempt)
			}
			time.Sleep(time.Until(e.NextAttempt))
			if got := sourceToken(t, src); got != tok {
				t.Errorf("afterwards: %v, want to try it again", got)
			}
			if next := refused("d"); next.Operation != "" || time.Until(next.NextAttempt) < 2*time.Second {
				t.Errorf("barred the second time: %+v, want longer", next)
			}
			time.Sleep(2 * time.Hour)
			if got := sourceToken(t, src); got.AccessToken != "cloud-ii" {
				t.Errorf("an hour later: %v", got)
			}
		})
	})

	// A token that others are accepted with is no trouble of theirs.
	t.Run("no other token, accepted elsewhere", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := new(cloud)
			src := open(t, oauth2.ReuseTokenSource(nil, c))
			tok := sourceToken(t, src)
			for i := range 20 {
				src.Accepted(tok)
				operation := fmt.Sprint("operation ", i)
				_, err := refusedWith(t.Context(), src, tok, operation)
				if e := asError[*auth.RejectedError](t, err); e.Operation != operation {
					t.Errorf("%+v", e)
				}
				if got := sourceToken(t, src); got != tok {
					t.Errorf("others got %v", got)
				}
			}
		})
	})

	// However many meet it at once, it is one rejection.
	t.Run("no other token, for a crowd", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := new(cloud)
			c.answers(&oauth2.Token{AccessToken: "a"}, nil)
			src := open(t, c)
			c.takes = time.Millisecond
			tok := sourceToken(t, src)
			together(100, func(int) {
				got, err := refusedWith(t.Context(), src, tok, "")
				if e := (*auth.RejectedError)(nil); !errors.As(err, &e) || e.Rejections != 1 {
					t.Errorf("%v, %v, want *RejectedError for the first rejection", got, err)
				}
			})
			if c.count() != 2 {
				t.Errorf("%d questions, want 2", c.count())
			}
		})
	})

	t.Run("every new token is rejected", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := new(cloud)
			src := open(t, c)
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
		synctest.Test(t, func(t *testing.T) {
			c := new(cloud)
			src := open(t, c)
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
