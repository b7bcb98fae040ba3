// Package late keeps a request waiting for its answer once it was sent. The answer
// may be the only copy of a refresh token, and to send the old one again while the
// first answer is on its way looks like theft to a server.
package late

import (
	"context"
	"sync"
	"time"
)

const (
	// slept is how late a timer has to fire to show that the process was
	// suspended, or the machine asleep.
	slept = time.Second
	// awake is how long such a process has to read the answer that waited for it.
	awake = 5 * time.Second
)

// Request is one that is about to be sent.
type Request struct {
	limit  time.Duration
	cancel context.CancelCauseFunc
	stop   func() bool

	mu    sync.Mutex
	timer *time.Timer // nil: it was not sent
	due   time.Time
	ended bool
}

// Begin returns a context for the request. Until [Request.Sent] it ends with ctx, and
// from then on when limit is over, whoever has left. It is called once, and End when
// the answer was read.
func (r *Request) Begin(ctx context.Context, limit time.Duration) context.Context {
	inner, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	r.limit, r.cancel = limit, cancel
	r.stop = context.AfterFunc(ctx, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.timer == nil {
			cancel(ctx.Err())
		}
	})
	return inner
}

// Sent notes that the server may have the request from now on.
func (r *Request) Sent() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.timer == nil && !r.ended {
		r.due = time.Now().Add(r.limit)
		r.timer = time.AfterFunc(r.limit, r.over)
	}
}

// over ends the wait, unless the process slept through it.
func (r *Request) over() {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	switch {
	case r.ended:
	case now.Sub(r.due) > slept:
		r.due = now.Add(awake)
		r.timer.Reset(awake)
	default:
		r.cancel(context.DeadlineExceeded)
	}
}

// End releases what the request holds.
func (r *Request) End() {
	r.stop()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = true
	if r.timer != nil {
		r.timer.Stop()
	}
	r.cancel(nil)
}
