package storetest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"

	"github.com/mcptokens/mcptokens/auth"
)

// The checks of compare-and-swap: a writer has seen what is overwritten.

// conflicts checks that saving with a generation that is not the stored one
// is refused, in both views.
func (e *env) conflicts(ctx context.Context, generation uint64) error {
	return e.views(func(name string, s auth.Store) error {
		if g, err := s.Save(ctx, key, with(generation, "intruder")); !errors.Is(err, auth.ErrConflict) {
			return fmt.Errorf("save in %s of generation %d, which is not stored: generation %d, error %w; want auth.ErrConflict", name, generation, g, orNone(err))
		}
		return nil
	})
}

// orNone lets an error that is nil be put into another.
func orNone(err error) error {
	if err == nil {
		return errNone
	}
	return err
}

var errNone = errors.New("none")

func saveCreates(ctx context.Context, e *env) error {
	for _, generation := range []uint64{1, 2, 1 << 40} {
		if err := e.conflicts(ctx, generation); err != nil {
			return err
		}
		if err := e.missing(ctx, key); err != nil {
			return fmt.Errorf("after a conflict: %w", err)
		}
	}
	g, err := e.create(ctx, e.one, key, "first")
	if err != nil {
		return err
	}
	if err := e.conflicts(ctx, 0); err != nil {
		return err
	}
	return e.holds(ctx, key, g, "first")
}

func saveReplaces(ctx context.Context, e *env) error {
	first, err := e.create(ctx, e.one, key, "first")
	if err != nil {
		return err
	}
	second, err := e.two.Save(ctx, key, with(first, "second"))
	if err != nil {
		return fmt.Errorf("save of the generation that is stored: %w", err)
	}
	for _, stale := range []uint64{first, 0, second + 1} {
		if err := e.conflicts(ctx, stale); err != nil {
			return err
		}
		if err := e.holds(ctx, key, second, "second"); err != nil {
			return fmt.Errorf("after a conflict: %w", err)
		}
	}
	return nil
}

func generationsRise(ctx context.Context, e *env) error {
	g, err := e.create(ctx, e.one, key, "0")
	if err != nil {
		return err
	}
	for i := range 20 {
		s, what := e.one, strconv.Itoa(i)
		if i%2 == 0 {
			s = e.two
		}
		next, err := s.Save(ctx, key, with(g, what))
		if err != nil {
			return fmt.Errorf("save: %w", err)
		}
		if next != g+1 {
			return fmt.Errorf("save of generation %d returned %d; want %d", g, next, g+1)
		}
		if err := e.holds(ctx, key, next, what); err != nil {
			return err
		}
		g = next
	}
	return nil
}

// If generations began again after a delete, a process that slept through it
// would take the next login for the record that it knows.
func generationsRiseAfterDelete(ctx context.Context, e *env) error {
	g, err := e.create(ctx, e.one, key, "first")
	if err != nil {
		return err
	}
	for range 3 {
		if err := e.one.Delete(ctx, key, g); err != nil {
			return fmt.Errorf("delete: %w", err)
		}
		next, err := e.create(ctx, e.two, key, "next")
		if err != nil {
			return fmt.Errorf("after Delete: %w", err)
		}
		if next <= g {
			return fmt.Errorf("generation %d was deleted and the next record has %d; want a higher one", g, next)
		}
		if err := e.conflicts(ctx, g); err != nil {
			return err
		}
		g = next
	}
	return e.holds(ctx, key, g, "next")
}

func deleteLoaded(ctx context.Context, e *env) error {
	first, err := e.create(ctx, e.one, key, "first")
	if err != nil {
		return err
	}
	g, err := e.one.Save(ctx, key, with(first, "second"))
	if err != nil {
		return fmt.Errorf("save: %w", err)
	}
	for _, stale := range []uint64{0, first, g + 1} {
		err := e.views(func(name string, s auth.Store) error {
			if err := s.Delete(ctx, key, stale); !errors.Is(err, auth.ErrConflict) {
				return fmt.Errorf("delete in %s of generation %d, which is not stored: %w; want auth.ErrConflict", name, stale, orNone(err))
			}
			return nil
		})
		if err != nil {
			return err
		}
		if err := e.holds(ctx, key, g, "second"); err != nil {
			return fmt.Errorf("after a conflict: %w", err)
		}
	}
	if err := e.two.Delete(ctx, key, g); err != nil {
		return fmt.Errorf("delete of the generation that is stored: %w", err)
	}
	if err := e.missing(ctx, key); err != nil {
		return fmt.Errorf("after Delete: %w", err)
	}
	return e.conflicts(ctx, g)
}

func deleteNothing(ctx context.Context, e *env) error {
	for _, generation := range []uint64{0, 1, 1 << 40} {
		if err := e.one.Delete(ctx, key, generation); err != nil {
			return fmt.Errorf("delete of a record that is not there: %w", err)
		}
	}
	g, err := e.create(ctx, e.one, key, "first")
	if err != nil {
		return err
	}
	for range 2 { // by the second time it is gone
		if err := e.one.Delete(ctx, key, g); err != nil {
			return fmt.Errorf("delete: %w", err)
		}
	}
	return e.missing(ctx, key)
}

// goroutines is how many compete in a check.
const goroutines = 64

// compete runs f in many goroutines at once, half of them on either view, and
// returns the first error.
func (e *env) compete(f func(i int, s auth.Store) error) error {
	var wg sync.WaitGroup
	start := make(chan struct{})
	errs := make(chan error, goroutines)
	for i := range goroutines {
		s := e.one
		if i%2 != 0 {
			s = e.two
		}
		wg.Go(func() {
			<-start
			errs <- f(i, s)
		})
	}
	close(start)
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func oneCreates(ctx context.Context, e *env) error {
	var mu sync.Mutex
	var winner string
	var generation uint64
	err := e.compete(func(i int, s auth.Store) error {
		what := strconv.Itoa(i)
		g, err := s.Save(ctx, key, with(0, what))
		if errors.Is(err, auth.ErrConflict) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("save: %w", err)
		}
		mu.Lock()
		defer mu.Unlock()
		if winner != "" {
			return errors.New("two Saves created the same record")
		}
		winner, generation = what, g
		return nil
	})
	if err != nil {
		return err
	}
	if winner == "" {
		return errors.New("every Save of the first record was refused")
	}
	return e.holds(ctx, key, generation, winner)
}

func incrementsKept(ctx context.Context, e *env) error {
	if _, err := e.create(ctx, e.one, key, "0"); err != nil {
		return err
	}
	err := e.compete(func(_ int, s auth.Store) error {
		for {
			r, err := s.Load(ctx, key)
			if err != nil {
				return fmt.Errorf("load: %w", err)
			}
			n, err := strconv.Atoi(token(r).AccessToken)
			if err != nil {
				return errors.New("load returned what nobody saved")
			}
			r.Token.AccessToken = strconv.Itoa(n + 1)
			_, err = s.Save(ctx, key, r)
			if err == nil {
				return nil
			}
			if !errors.Is(err, auth.ErrConflict) {
				return fmt.Errorf("save: %w", err)
			}
			if ctx.Err() != nil {
				return errStuck
			}
		}
	})
	if err != nil {
		return err
	}
	r, err := e.two.Load(ctx, key)
	if err != nil {
		return fmt.Errorf("load: %w", err)
	}
	if got := token(r).AccessToken; got != strconv.Itoa(goroutines) {
		return fmt.Errorf("%d increments by compare-and-swap came to %s", goroutines, got)
	}
	return nil
}
