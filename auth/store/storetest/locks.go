package storetest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"

	"github.com/mcptokens/mcptokens/auth"
)

// The checks of the lock: one at a time, and nobody waits forever.

// kept checks that the lock of key cannot be taken in either view while another
// caller has it.
func (e *env) kept(ctx context.Context, key auth.Key) error {
	return e.views(func(name string, s auth.Store) error {
		ctx, cancel := context.WithTimeout(ctx, never)
		defer cancel()
		unlock, err := e.lock(ctx, s, key)
		if err == nil {
			unlock()
			return fmt.Errorf("%s gave the lock to a second caller while the first had it", name)
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("lock in %s, of a context that timed out: %w; want the context's error", name, err)
		}
		return nil
	})
}

// free checks that the lock of key can be taken in both views.
func (e *env) free(ctx context.Context, key auth.Key) error {
	return e.views(func(name string, s auth.Store) error {
		unlock, err := e.lock(ctx, s, key)
		if err != nil {
			return fmt.Errorf("lock in %s, which nobody has: %w", name, err)
		}
		unlock()
		return nil
	})
}

// locked runs f while the lock of key is held in the first view.
func (e *env) locked(ctx context.Context, key auth.Key, f func() error) error {
	unlock, err := e.lock(ctx, e.one, key)
	if err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	defer unlock()
	return f()
}

func lockExcludes(ctx context.Context, e *env) error {
	if err := e.locked(ctx, key, func() error { return e.kept(ctx, key) }); err != nil {
		return err
	}
	var inside, entered atomic.Int32
	err := e.compete(func(i int, s auth.Store) error {
		if i%8 > 1 {
			return nil // 16 of them will do: each waits for those before
		}
		for range 3 {
			unlock, err := e.lock(ctx, s, key)
			if err != nil {
				return fmt.Errorf("lock: %w", err)
			}
			n := inside.Add(1)
			for range 10 {
				runtime.Gosched() // others may come in now, if they can
			}
			entered.Add(1)
			inside.Add(-1)
			unlock()
			if n != 1 {
				return fmt.Errorf("%d goroutines had the lock at once", n)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if n := entered.Load(); n != goroutines/8*2*3 {
		return fmt.Errorf("%d of %d locks were granted", n, goroutines/8*2*3)
	}
	return e.free(ctx, key)
}

func lockContext(ctx context.Context, e *env) error {
	err := e.locked(ctx, key, func() error {
		if err := e.kept(ctx, key); err != nil { // by deadline
			return err
		}
		return e.views(func(name string, s auth.Store) error {
			ctx, cancel := context.WithCancel(ctx)
			waiting := make(chan error, 1)
			go func() {
				unlock, err := e.lock(ctx, s, key)
				if err == nil {
					unlock()
				}
				waiting <- err
			}()
			runtime.Gosched() // it may wait by now, or not yet: both have to work
			cancel()
			if err := <-waiting; !errors.Is(err, context.Canceled) {
				return fmt.Errorf("lock in %s, of a context that was canceled: %w; want the context's error", name, orNone(err))
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	for range 100 { // a caller that gave up must not get the lock later
		if err := e.free(ctx, key); err != nil {
			return fmt.Errorf("after others gave up waiting: %w", err)
		}
		runtime.Gosched()
	}
	return nil
}

func unlockNext(ctx context.Context, e *env) error {
	unlock, err := e.lock(ctx, e.one, key)
	if err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	const waiters = 8
	entered := make(chan error, waiters)
	for i := range waiters {
		s := e.one
		if i%2 != 0 {
			s = e.two
		}
		go func() {
			unlock, err := e.lock(ctx, s, key)
			if err == nil {
				unlock()
			}
			entered <- err
		}()
	}
	if err := e.kept(ctx, key); err != nil { // by now they wait
		unlock()
		return err
	}
	select {
	case err := <-entered:
		unlock()
		return fmt.Errorf("a waiter came in before the lock was let go (error: %w)", orNone(err))
	default:
	}
	unlock()
	for range waiters {
		if err := <-entered; err != nil {
			return fmt.Errorf("lock after the one before let go: %w", err)
		}
	}
	return e.free(ctx, key)
}

func locksApart(ctx context.Context, e *env) error {
	return e.locked(ctx, key, func() error {
		for _, other := range []auth.Key{
			{Resource: key.Resource, Issuer: key.Issuer, ClientID: key.ClientID, Subject: "another"},
			{Resource: key.Resource + "/", Issuer: key.Issuer, ClientID: key.ClientID, Subject: key.Subject},
			{Issuer: key.Issuer},
		} {
			if err := e.free(ctx, other); err != nil {
				return fmt.Errorf("while another key is locked: %w", err)
			}
		}
		return nil
	})
}

func lockChangesNothing(ctx context.Context, e *env) error {
	err := e.locked(ctx, key, func() error { return e.missing(ctx, key) })
	if err == nil {
		err = e.missing(ctx, key)
	}
	if err != nil {
		return fmt.Errorf("after Lock: %w", err)
	}
	g, err := e.create(ctx, e.one, key, "first")
	if err != nil {
		return err
	}
	if err := e.locked(ctx, key, func() error { return e.holds(ctx, key, g, "first") }); err != nil {
		return fmt.Errorf("after Lock: %w", err)
	}
	return e.holds(ctx, key, g, "first")
}

func saveWithoutLock(ctx context.Context, e *env) error {
	return e.locked(ctx, key, func() error {
		// The second view does not have the lock; with one view only, nobody
		// can tell, and the save has to work all the same.
		g, err := e.create(ctx, e.two, key, "first")
		if err != nil {
			return fmt.Errorf("while another view has the lock: %w", err)
		}
		next, err := e.two.Save(ctx, key, with(g, "second"))
		if err != nil {
			return fmt.Errorf("while another view has the lock: Save: %w", err)
		}
		if err := e.holds(ctx, key, next, "second"); err != nil {
			return fmt.Errorf("while another view has the lock: %w", err)
		}
		if err := e.conflicts(ctx, g); err != nil { // the lock is no licence either
			return err
		}
		if err := e.two.Delete(ctx, key, next); err != nil {
			return fmt.Errorf("while another view has the lock: Delete: %w", err)
		}
		return e.missing(ctx, key)
	})
}

// A store that takes every lease for lost would keep its holder from ever
// refreshing.
func leaseHeld(ctx context.Context, e *env) error {
	l, ok := e.one.(auth.Leaser)
	if !ok {
		return nil
	}
	for range 2 { // also when it was taken before
		err := e.locked(ctx, key, func() error {
			if !l.Held(key) {
				return errors.New("the lock is held, and Held says that it is not")
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// The lock of [auth.Key.Login] is held for minutes, while a person logs in.
// Refreshes go on meanwhile, and what they store has nothing to do with it.
func lockForLogin(ctx context.Context, e *env) error {
	l, leases := e.one.(auth.Leaser)
	return e.locked(ctx, key.Login(), func() error {
		for range 2 {
			if err := e.free(ctx, key); err != nil {
				return fmt.Errorf("while the lock of the login is held: %w", err)
			}
		}
		g, err := e.create(ctx, e.two, key, "first")
		if err != nil {
			return fmt.Errorf("while the lock of the login is held: %w", err)
		}
		if err := e.holds(ctx, key, g, "first"); err != nil {
			return fmt.Errorf("while the lock of the login is held: %w", err)
		}
		if leases && !l.Held(key.Login()) {
			return errors.New("the lock of the login is held, and after others Held says that it is not")
		}
		if err := e.kept(ctx, key.Login()); err != nil {
			return fmt.Errorf("the lock of the login: %w", err)
		}
		return e.missing(ctx, key.Login())
	})
}
