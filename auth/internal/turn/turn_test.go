package turn_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcptokens/mcptokens/auth/internal/turn"
)

// lock is one that its holder can keep.
type lock chan struct{}

func (l lock) take(ctx context.Context) (func(), error) {
	select {
	case l <- struct{}{}:
		return func() { <-l }, nil
	case <-ctx.Done():
		return nil, errors.New("the store says it in its own words")
	}
}

// of is a turn at l; done counts the looks, and waits the announcements.
func of(l lock, done func() bool, waits *atomic.Int32) turn.Of {
	return turn.Of{
		Lock: l.take, Done: func(context.Context) bool { return done() },
		Waits: func() { waits.Add(1) }, Patience: time.Minute,
	}
}

func never() bool { return false }

func TestTake(t *testing.T) {
	t.Run("nobody else", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var waits atomic.Int32
			l := make(lock, 1)
			got, err := turn.Take(t.Context(), of(l, never, &waits))
			if err != nil || got.Waited || got.Done || waits.Load() != 0 || len(l) != 1 {
				t.Errorf("%+v, %v", got, err)
			}
			if got.End(); len(l) != 0 {
				t.Error("the lock is still held")
			}
		})
	})

	// The one before lets go, or dies, without having done it: take over.
	t.Run("taken over", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var waits atomic.Int32
			l := make(lock, 1)
			l <- struct{}{}
			began := time.Now()
			time.AfterFunc(10*time.Second, func() { <-l })
			got, err := turn.Take(t.Context(), of(l, never, &waits))
			if err != nil || !got.Waited || got.Done || waits.Load() != 1 || len(l) != 1 || time.Since(began) != 10*time.Second {
				t.Errorf("%+v, %v after %v", got, err, time.Since(began))
			}
			got.End()
		})
	})

	t.Run("done by the one before", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var waits atomic.Int32
			var done atomic.Bool
			l := make(lock, 1)
			l <- struct{}{}
			time.AfterFunc(10*time.Second, func() { done.Store(true); <-l })
			got, err := turn.Take(t.Context(), of(l, done.Load, &waits))
			if err != nil || !got.Waited || !got.Done {
				t.Errorf("%+v, %v", got, err)
			}
			got.End()
		})
	})

	// It was done, and the lock let go, since the caller looked last.
	t.Run("done a moment ago", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var waits atomic.Int32
			got, err := turn.Take(t.Context(), of(make(lock, 1), func() bool { return true }, &waits))
			if err != nil || got.Waited || !got.Done {
				t.Errorf("%+v, %v", got, err)
			}
			got.End()
		})
	})

	// What is waited for can come from elsewhere: the lock is not needed then.
	t.Run("done while the lock is held", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var waits atomic.Int32
			l := make(lock, 1)
			l <- struct{}{}
			began := time.Now()
			done := func() bool { return time.Since(began) > 5*time.Second }
			got, err := turn.Take(t.Context(), of(l, done, &waits))
			if took := time.Since(began); err != nil || !got.Done || took > 8*time.Second {
				t.Errorf("%+v, %v after %v", got, err, took)
			}
			got.End()
			if len(l) != 1 {
				t.Error("another's lock was let go")
			}
		})
	})

	t.Run("the caller leaves", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var waits atomic.Int32
			l := make(lock, 1)
			l <- struct{}{}
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			got, err := turn.Take(ctx, of(l, never, &waits))
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%+v, %v", got, err)
			}
			got.End()
		})
	})

	// A holder that is suspended keeps a file's lock for as long as it likes.
	t.Run("patience", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var waits atomic.Int32
			l := make(lock, 1)
			l <- struct{}{}
			began := time.Now()
			got, err := turn.Take(t.Context(), of(l, never, &waits))
			if err != nil || got.Done || !got.Waited || time.Since(began) != time.Minute {
				t.Errorf("%+v, %v after %v", got, err, time.Since(began))
			}
			got.End()
		})
	})

	t.Run("no lock", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var waits atomic.Int32
			o := of(nil, never, &waits)
			o.Lock = func(context.Context) (func(), error) { return nil, errors.New("no permission") }
			began := time.Now()
			got, err := turn.Take(t.Context(), o)
			if err != nil || got.Waited || got.Done || time.Since(began) != 0 {
				t.Errorf("%+v, %v after %v", got, err, time.Since(began))
			}
			got.End()
		})
	})
}

// Of many, one at a time has its turn, and when one of them has done it the
// others have not.
func TestOneOfMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var waits, did atomic.Int32
		l := make(lock, 1)
		ended := make(chan struct{})
		for range 20 {
			go func() {
				defer func() { ended <- struct{}{} }()
				got, err := turn.Take(t.Context(), of(l, func() bool { return did.Load() > 0 }, &waits))
				if err != nil {
					t.Error(err)
				}
				defer got.End()
				if !got.Done {
					time.Sleep(5 * time.Second)
					did.Add(1)
				}
			}()
		}
		for range 20 {
			<-ended
		}
		if did.Load() != 1 || waits.Load() != 19 {
			t.Errorf("done %d times, %d waited", did.Load(), waits.Load())
		}
	})
}
