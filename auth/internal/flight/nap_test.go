package flight

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

type valueKey struct{}

// What failed because the process slept begins again with fresh time, under a context
// that has the same values and ends with the operation's. What failed otherwise does
// not.
func TestAwake(t *testing.T) {
	const bound = time.Minute
	errLasting := errors.New("lasting")
	for name, tc := range map[string]struct {
		sleeps []bool  // in which rounds
		fails  []error // in which way; nil: it goes well
		rounds int
		is     error
	}{
		"goes well":            {[]bool{true}, []error{nil}, 1, nil},
		"awake":                {[]bool{false}, []error{errTest}, 1, errTest},
		"asleep":               {[]bool{true, false}, []error{errTest, nil}, 2, nil},
		"asleep twice":         {[]bool{true, true, false}, []error{errTest, errTest, nil}, 3, nil},
		"asleep, then awake":   {[]bool{true, false}, []error{errTest, errTest}, 2, errTest},
		"asleep, but it lasts": {[]bool{true}, []error{errLasting}, 1, errLasting},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var g Group
				defer g.Close(0)
				rounds := 0
				f := Start(&g, Options{Bound: bound}, func(r Run) (int, error) {
					ctx := context.WithValue(r.Context, valueKey{}, "kept")
					return 0, r.Awake(ctx, func(err error) bool { return err == errTest }, func(ctx context.Context) error {
						end, ok := ctx.Deadline()
						if left := time.Until(end); !ok || left != bound || ctx.Err() != nil || ctx.Value(valueKey{}) != "kept" {
							t.Errorf("round %d has %v, %v, value %v", rounds, left, ctx.Err(), ctx.Value(valueKey{}))
						}
						<-ctx.Done()
						if took := context.Cause(ctx); took != context.DeadlineExceeded {
							t.Errorf("it ended by %v", took)
						}
						if tc.sleeps[rounds] {
							r.nap.mu.Lock()
							r.nap.due = time.Now().Add(-2 * slept) // as if the timer were so late
							r.nap.mu.Unlock()
						}
						rounds++
						return tc.fails[rounds-1]
					})
				}, as)
				if _, err := f.Wait(t.Context()); err != tc.is || rounds != tc.rounds {
					t.Errorf("%v after %d rounds, want %v after %d", err, rounds, tc.is, tc.rounds)
				}
			})
		})
	}
}

// The timer notices it as well, and is gone with the operation.
func TestNap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := new(nap)
		n.begin()
		time.Sleep(10*napTick + napTick/2)
		if n.taken() {
			t.Error("it slept, while timers came in time")
		}
		n.mu.Lock()
		n.due = time.Now().Add(-time.Hour)
		n.mu.Unlock()
		time.Sleep(3 * napTick)
		if !n.taken() || n.taken() {
			t.Error("a late timer says nothing, or says it twice")
		}
		n.end()
		due := n.due
		time.Sleep(time.Hour)
		if n.due != due {
			t.Error("the timer goes on")
		}
	})
}

// Close ends what has begun again, and it does not begin once more.
func TestAwakeIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Group
		rounds := 0
		f := Start(&g, Options{Bound: time.Hour}, func(r Run) (int, error) {
			return 0, r.Awake(r.Context, func(error) bool { return true }, func(ctx context.Context) error {
				r.nap.mu.Lock()
				r.nap.slept = true
				r.nap.mu.Unlock()
				if rounds++; rounds == 1 {
					return errTest
				}
				<-ctx.Done()
				return context.Cause(ctx)
			})
		}, as)
		synctest.Wait()
		g.Close(time.Second)
		if _, err := f.Wait(t.Context()); err != ErrClosed || rounds != 2 {
			t.Errorf("%v after %d rounds", err, rounds)
		}
	})
}
