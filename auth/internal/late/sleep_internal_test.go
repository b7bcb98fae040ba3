package late

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// A process that was suspended while the answer came has time to read it: the
// timer fires long after it was due.
func TestSlept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := new(Request)
		ctx := r.Begin(t.Context(), time.Hour)
		defer r.End()
		r.Sent()
		r.due = time.Now().Add(-time.Minute) // as if the hour were over for so long
		woke := time.Now()
		r.over()
		if ctx.Err() != nil {
			t.Fatal("the answer that waits was not read")
		}
		<-ctx.Done()
		if took := time.Since(woke); took != awake || context.Cause(ctx) != context.DeadlineExceeded {
			t.Errorf("ended after %v: %v", took, context.Cause(ctx))
		}
	})
}
