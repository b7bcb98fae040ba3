// Package turn lets one of many do something once. The others wait for their turn,
// and look now and then whether it is done.
package turn

import (
	"context"
	"time"
)

const (
	// first is how long a caller waits before it says that it waits: one that
	// gets the lock at once has nothing to tell.
	first = 250 * time.Millisecond
	// look is how often a caller who waits looks whether it is done.
	look = 2 * time.Second
)

// Of is what [Take] needs.
type Of struct {
	// Lock takes the lock that only one can have, or returns an error when ctx
	// ends.
	Lock func(ctx context.Context) (unlock func(), err error)
	// Done looks whether the caller has nothing left to do.
	Done func(ctx context.Context) bool
	// Waits is called once, as soon as it is clear that another has the lock.
	Waits func()
	// Patience is how long the caller waits. A caller that has the lock for longer is
	// suspended, and the caller goes on without it.
	Patience time.Duration
}

// Turn is how the wait ended.
type Turn struct {
	// End lets the lock go. It has to be called.
	End func()
	// Waited: another had the lock. Done: there is nothing left to do.
	Waited, Done bool
}

// Take waits for the caller's turn. A lock that fails is no reason to do nothing:
// the caller goes on without it. The error is ctx's.
func Take(ctx context.Context, of Of) (Turn, error) {
	t := Turn{End: func() {}}
	patient, cancel := context.WithTimeout(ctx, of.Patience)
	defer cancel()
	for wait := first; ; wait = look {
		unlock, err := lockWithin(patient, wait, of.Lock)
		if ctx.Err() != nil {
			if err == nil {
				unlock()
			}
			return t, ctx.Err()
		}
		switch {
		case err == nil:
			t.End = unlock
			t.Done = of.Done(ctx) // it was free, perhaps because it is done
			return t, nil
		case patient.Err() != nil, err != context.DeadlineExceeded:
			return t, nil
		}
		if !t.Waited {
			t.Waited = true
			of.Waits()
		}
		if of.Done(ctx) {
			t.Done = true
			return t, nil
		}
	}
}

func lockWithin(ctx context.Context, wait time.Duration, lock func(context.Context) (func(), error)) (func(), error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	unlock, err := lock(ctx)
	if err != nil && ctx.Err() != nil {
		return nil, ctx.Err() // whatever the store calls it
	}
	return unlock, err
}
