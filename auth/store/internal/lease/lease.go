// Package lease makes locks of leases, for stores on a server that does not see
// a process die: a lease ends by itself a few seconds after its holder did, and
// its holder renews it while it lives. redisstore and sqlstore share it.
package lease

import (
	"context"
	crand "crypto/rand"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/mcptokens/mcptokens/auth"
)

// Default is how long a lease runs that nobody renews.
const Default = 5 * time.Second

// A lock that another process holds is tried again after these times, jittered,
// or when a hint says that it is free.
const (
	PollFirst = 20 * time.Millisecond
	PollMax   = 500 * time.Millisecond
)

// UnlockWait is how long unlocking waits for the server; it goes on in the background, and
// each attempt has as much time again.
const UnlockWait = time.Second

// Server is where leases are kept. Its clock counts them.
type Server interface {
	// Take tries once. left is 0 if the lease of id is the holder's now, also
	// if it was before; since is the generation of its record. Else it is how
	// long another's lease runs at least.
	Take(ctx context.Context, id, holder string) (since string, left time.Duration, err error)
	// Renew extends a lease. ours is false if another holds it or nobody does.
	Renew(ctx context.Context, id, holder string) (ours bool, err error)
	// Release ends a lease, if it is the holder's.
	Release(ctx context.Context, id, holder string) error
	// Free has f called when it is announced that the lease of id is free, until
	// stop. It may do nothing.
	Free(id string, f func()) (stop func())
}

// Config is what [Locks] need of their store.
type Config struct {
	Server Server
	// Time is how long a lease runs. It is renewed every third of it.
	Time time.Duration
	// Go runs f in a goroutine that the store waits for at its end. It reports
	// false, and does not, when the store is closed.
	Go func(f func()) bool
	// Closing is closed when the store is; ErrClosed is what waiters get then.
	Closing   <-chan struct{}
	ErrClosed error
}

// Locks are the locks of a store. Goroutines of one store wait for each other,
// so that one of them alone asks the server.
type Locks struct {
	cfg   Config
	local auth.MemoryStore // only its locks are used

	mu   sync.Mutex
	held map[string]*Lease // by ID
}

// New returns the locks of a store.
func New(cfg Config) *Locks { return &Locks{cfg: cfg, held: make(map[string]*Lease)} }

// Lease is a lock that a store took. It may have lost it meanwhile; only the
// server knows.
type Lease struct {
	id string
	// Holder is unique to this lease.
	Holder string
	// Since is the generation of the record when the lease was taken.
	Since string
	// until is when the lease ends for all that is known here; Locks.mu guards
	// it. It is counted from before the request, so it is never too late.
	until time.Time
}

// Of returns the lease that is held for an ID, or an empty one.
func (l *Locks) Of(id string) Lease {
	l.mu.Lock()
	defer l.mu.Unlock()
	if h := l.held[id]; h != nil {
		return *h
	}
	return Lease{}
}

// Held reports whether the lease of an ID is held and has a fifth of its time
// left, enough to send a request within it. It asks nobody, so it is right too
// in a process that was suspended and goes on just now: time passes by the wall
// clock while a machine sleeps, and by the monotonic one whatever is done to
// that.
func (l *Locks) Held(id string) bool {
	until := l.Of(id).until
	if until.IsZero() {
		return false
	}
	latest := until.Add(-l.cfg.Time / 5)
	now := time.Now()
	return now.Before(latest) && now.Round(0).Before(latest.Round(0))
}

// Lock waits until the caller alone holds the lock of key. Errors: the
// server's, Config.ErrClosed, and ctx's own. unlock waits for the server for a
// second at most, and goes on in the background if that was not enough.
func (l *Locks) Lock(ctx context.Context, key auth.Key) (unlock func(), err error) {
	leave, err := l.local.Lock(ctx, key)
	if err != nil {
		return nil, err
	}
	h := &Lease{id: key.ID(), Holder: crand.Text()}
	if err := l.acquire(ctx, h); err != nil {
		leave()
		return nil, err
	}
	renewing, stop := context.WithCancel(context.Background())
	released := make(chan struct{})
	l.mu.Lock()
	l.held[h.id] = h
	l.mu.Unlock()
	if !l.cfg.Go(func() {
		defer close(released)
		l.renew(renewing, h)
		if renewing.Err() != nil { // unlocked; else the lease is lost, or runs out after Close
			l.release(h)
		}
	}) {
		close(released) // the store was closed just now: the lease runs out
	}
	return func() {
		l.mu.Lock()
		delete(l.held, h.id)
		l.mu.Unlock()
		stop()
		timer := time.NewTimer(UnlockWait)
		defer timer.Stop()
		select {
		case <-released:
		case <-timer.C:
		}
		leave()
	}, nil
}

// acquire waits until the lease is h's.
func (l *Locks) acquire(ctx context.Context, h *Lease) error {
	var free chan struct{}
	for wait := PollFirst; ; wait = min(2*wait, PollMax) {
		asked := time.Now()
		since, left, err := l.cfg.Server.Take(ctx, h.id, h.Holder)
		if err != nil {
			return err
		}
		if left == 0 {
			h.Since, h.until = since, asked.Add(l.cfg.Time)
			return nil
		}
		if free == nil {
			free = make(chan struct{}, 1)
			stop := l.cfg.Server.Free(h.id, func() {
				select {
				case free <- struct{}{}:
				default:
				}
			})
			defer stop()
		}
		timer := time.NewTimer(min(wait/2+rand.N(wait), left))
		select {
		case <-free:
			timer.Stop()
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-l.cfg.Closing:
			timer.Stop()
			return l.cfg.ErrClosed
		}
	}
}

// renew extends the lease every third of its time until ctx ends, the store is
// closed or the lease is lost. An attempt that failed is made again soon.
func (l *Locks) renew(ctx context.Context, h *Lease) {
	third := l.cfg.Time / 3
	timer := time.NewTimer(third)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		case <-l.cfg.Closing:
			return
		}
		asked := time.Now()
		attempt, cancel := context.WithTimeout(ctx, third)
		ours, err := l.cfg.Server.Renew(attempt, h.id, h.Holder)
		cancel()
		switch {
		case err != nil:
			timer.Reset(third / 4)
			continue
		case !ours:
			l.mu.Lock()
			h.until = time.Time{}
			l.mu.Unlock()
			return
		}
		l.mu.Lock()
		h.until = asked.Add(l.cfg.Time)
		l.mu.Unlock()
		timer.Reset(third)
	}
}

// release ends the lease, if need be by several attempts: others would have to
// wait until it runs out.
func (l *Locks) release(h *Lease) {
	end := time.Now().Add(l.cfg.Time)
	for wait := PollFirst; l.giveBack(h) != nil && time.Now().Before(end); wait = min(2*wait, PollMax) {
		timer := time.NewTimer(wait/2 + rand.N(wait))
		select {
		case <-timer.C:
		case <-l.cfg.Closing:
			timer.Stop()
			return
		}
	}
}

func (l *Locks) giveBack(h *Lease) error {
	ctx, cancel := context.WithTimeout(context.Background(), UnlockWait)
	defer cancel()
	return l.cfg.Server.Release(ctx, h.id, h.Holder)
}
