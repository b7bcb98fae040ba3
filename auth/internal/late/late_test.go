package late_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcptokens/mcptokens/auth/internal/late"
)

const limit = time.Minute

func TestRequest(t *testing.T) {
	for name, tc := range map[string]struct {
		callers time.Duration // time of theirs
		sent    time.Duration // 0: never
		ends    time.Duration
		because error
	}{
		"not sent in time":                 {callers: 10 * time.Second, ends: 10 * time.Second, because: context.DeadlineExceeded},
		"sent, and all callers have left":  {callers: 10 * time.Second, sent: 9 * time.Second, ends: 9*time.Second + limit, because: context.DeadlineExceeded},
		"sent, and the callers wait":       {callers: time.Hour, sent: time.Second, ends: time.Second + limit, because: context.DeadlineExceeded},
		"sent as it ended: it is too late": {callers: 10 * time.Second, sent: 11 * time.Second, ends: 10 * time.Second, because: context.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				callers, cancel := context.WithTimeout(t.Context(), tc.callers)
				defer cancel()
				began := time.Now()
				r := new(late.Request)
				ctx := r.Begin(callers, limit)
				defer r.End()
				if tc.sent > 0 {
					time.AfterFunc(tc.sent, func() { r.Sent(); r.Sent() }) // a second connection takes the body once more
				}
				<-ctx.Done()
				if took := time.Since(began); took != tc.ends || !errors.Is(context.Cause(ctx), tc.because) {
					t.Errorf("ended after %v: %v", took, context.Cause(ctx))
				}
				time.Sleep(2 * limit)
			})
		})
	}
}

// A caller who gives up before anything was sent ends the request at once.
func TestGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		callers, cancel := context.WithCancel(t.Context())
		r := new(late.Request)
		ctx := r.Begin(callers, limit)
		defer r.End()
		cancel()
		synctest.Wait()
		if !errors.Is(context.Cause(ctx), context.Canceled) {
			t.Errorf("%v", context.Cause(ctx))
		}
	})
}

// The values of the callers' context, and no time of theirs.
func TestValues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		callers, cancel := context.WithTimeout(context.WithValue(t.Context(), key{}, 1), time.Second)
		defer cancel()
		r := new(late.Request)
		ctx := r.Begin(callers, limit)
		r.End()
		if _, has := ctx.Deadline(); has || ctx.Value(key{}) != 1 || ctx.Err() == nil {
			t.Errorf("%v", ctx)
		}
		r.Sent() // comes too late, and arms nothing
	})
}
