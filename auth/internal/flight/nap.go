package flight

import (
	"context"
	"sync"
	"time"
)

const (
	// napTick is how often an operation looks whether the process slept.
	napTick = time.Second
	// slept is how late its timer is then.
	slept = time.Second
)

// nap notices that the process was suspended, or the machine asleep: a timer fires
// long after it was due.
type nap struct {
	mu    sync.Mutex
	timer *time.Timer
	due   time.Time
	slept bool
	over  bool
}

func (n *nap) begin() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.due = time.Now().Add(napTick)
	n.timer = time.AfterFunc(napTick, n.tick)
}

func (n *nap) tick() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.look(); !n.over {
		n.timer.Reset(napTick)
	}
}

// look is for a caller that holds n.mu.
func (n *nap) look() {
	now := time.Now()
	n.slept = n.slept || now.Sub(n.due) > slept
	n.due = now.Add(napTick)
}

// taken reports whether there was one since it was asked for the last time.
func (n *nap) taken() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.look()
	taken := n.slept
	n.slept = false
	return taken
}

func (n *nap) end() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.over = true
	n.timer.Stop()
}

// Awake runs do, which is the operation or a part of it, under a context that comes
// from the operation's. When the process slept meanwhile, and do failed in a way that
// passes, its time went by in sleep: it begins again, with as much as the operation
// has.
func (r Run) Awake(ctx context.Context, passes func(error) bool, do func(context.Context) error) error {
	for {
		err := do(ctx)
		if err == nil || !passes(err) || !r.nap.taken() || r.Closed() {
			return err
		}
		var end func()
		ctx, end = r.again(ctx)
		defer end()
	}
}

// again returns ctx with a new deadline.
func (r Run) again(ctx context.Context) (_ context.Context, end func()) {
	fresh, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(r.whole, func() { cancel(context.Cause(r.whole)) })
	bounded, free := context.WithTimeout(fresh, r.bound)
	return bounded, func() {
		free()
		stop()
		cancel(nil)
	}
}
