package storetest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mcptokens/mcptokens/auth"
)

// The checks of what a store can do beyond the contract, if it can.

func probe(ctx context.Context, e *env) error {
	p, ok := e.one.(auth.Prober)
	if !ok {
		return nil
	}
	// The manager calls it under the lock before a refresh, and without it before a
	// login, which several processes may need at once.
	if err := e.probedAtOnce(ctx); err != nil {
		return err
	}
	return e.locked(ctx, key, func() error {
		if err := p.Probe(ctx, key); err != nil {
			return fmt.Errorf("probe before the first Save: %w", err)
		}
		if err := e.missing(ctx, key); err != nil {
			return fmt.Errorf("after Probe: %w", err)
		}
		g, err := e.create(ctx, e.one, key, "first")
		if err != nil {
			return err
		}
		if err := p.Probe(ctx, key); err != nil {
			return fmt.Errorf("probe: %w", err)
		}
		if err := e.holds(ctx, key, g, "first"); err != nil {
			return fmt.Errorf("after Probe: %w", err)
		}
		if _, err := e.one.Save(ctx, key, with(g, "second")); err != nil {
			return fmt.Errorf("save after a Probe that found nothing wrong: %w", err)
		}
		return nil
	})
}

// probedAtOnce has both views probe many times at once.
func (e *env) probedAtOnce(ctx context.Context) error {
	const each = 10
	results := make(chan error)
	for _, s := range []auth.Store{e.one, e.two} {
		p, ok := s.(auth.Prober)
		if !ok {
			return errors.New("one view is an auth.Prober, and the other is none")
		}
		go func() {
			var err error
			for i := 0; i < each && err == nil; i++ {
				err = p.Probe(ctx, key)
			}
			results <- err
		}()
	}
	if err := errors.Join(<-results, <-results); err != nil {
		return fmt.Errorf("two probes at once: %w", err)
	}
	return nil
}

// heard calls change, again and again, until it was heard of: a call may be
// missing.
func (e *env) heard(ctx context.Context, calls <-chan struct{}, change func() error) error {
	for {
		if err := change(); err != nil {
			return err
		}
		again := time.NewTimer(never)
		select {
		case <-calls:
			again.Stop()
			return nil
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return errors.New("changed was never called, whatever changed")
		}
	}
}

// changes returns a function that changes the record of key in s: by turns it
// is saved and, if deleted is set, deleted.
func (e *env) changes(ctx context.Context, s auth.Store, deleted bool) func() error {
	var g uint64
	return func() (err error) {
		if g > 0 && deleted {
			if err := s.Delete(ctx, key, g); err != nil {
				return fmt.Errorf("delete: %w", err)
			}
			g = 0
			return nil
		}
		if g, err = s.Save(ctx, key, with(g, "watched")); err != nil {
			return fmt.Errorf("save: %w", err)
		}
		return nil
	}
}

// watch has s report the changes of key to the channel that it returns.
func watch(w auth.Watcher) (calls <-chan struct{}, stop func()) {
	c := make(chan struct{}, 1)
	stop = w.Watch(key, func() {
		select {
		case c <- struct{}{}:
		default:
		}
	})
	return c, stop
}

func watchHears(ctx context.Context, e *env) error {
	w, ok := e.one.(auth.Watcher)
	if !ok {
		return nil
	}
	for _, by := range []struct {
		who     string
		s       auth.Store
		deleted bool
	}{{"another view's saves", e.two, true}, {"its own saves", e.one, false}} {
		calls, stop := watch(w)
		change := e.changes(ctx, by.s, by.deleted)
		for range 3 {
			if err := e.heard(ctx, calls, change); err != nil {
				stop()
				return fmt.Errorf("watching %s: %w", by.who, err)
			}
		}
		stop()
		if err := e.remove(ctx); err != nil {
			return err
		}
	}
	return nil
}

// remove deletes the record of key, if there is one.
func (e *env) remove(ctx context.Context) error {
	r, err := e.one.Load(ctx, key)
	if errors.Is(err, auth.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("load: %w", err)
	}
	if err := e.one.Delete(ctx, key, r.Generation); err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	return nil
}

// A changed that takes its time must not keep anybody from saving, and stop
// waits for it.
func watchApart(ctx context.Context, e *env) error {
	w, ok := e.one.(auth.Watcher)
	if !ok {
		return nil
	}
	calls, leave := make(chan struct{}, 1), make(chan struct{})
	stop := w.Watch(key, func() {
		select {
		case calls <- struct{}{}:
		default:
		}
		<-leave
	})
	change := e.changes(ctx, e.one, false)
	err := e.within(ctx, "Save while changed is being called", func() error {
		if err := e.heard(ctx, calls, change); err != nil {
			return err
		}
		return change()
	})
	stopped := make(chan struct{})
	go func() {
		stop()
		close(stopped)
	}()
	timer := time.NewTimer(never)
	defer timer.Stop()
	select {
	case <-stopped:
		if err == nil {
			err = errors.New("stop did not wait for the call of changed that was under way")
		}
	case <-timer.C:
	}
	close(leave)
	if err != nil {
		return err
	}
	return e.within(ctx, "stop after changed has returned", func() error {
		<-stopped
		return nil
	})
}

// within runs f, but no longer than the suite waits.
func (e *env) within(ctx context.Context, what string, f func() error) error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", what, errStuck)
	}
}

func watchStops(ctx context.Context, e *env) error {
	w, ok := e.one.(auth.Watcher)
	if !ok {
		return nil
	}
	stopped, stop := watch(w)
	calls, stopOther := watch(w) // two of one key must not be in each other's way
	defer stopOther()
	change := e.changes(ctx, e.two, true)
	for _, c := range []<-chan struct{}{stopped, calls} {
		if err := e.heard(ctx, c, change); err != nil {
			return err
		}
	}
	stop()
	select {
	case <-stopped: // a call from before
	default:
	}
	for range 3 { // the first calls may be late ones from before
		if err := e.heard(ctx, calls, change); err != nil {
			return fmt.Errorf("after another watch of the key was stopped: %w", err)
		}
	}
	timer := time.NewTimer(never)
	defer timer.Stop()
	select {
	case <-stopped:
		return errors.New("changed was called after stop had returned")
	case <-timer.C:
		return nil
	}
}
