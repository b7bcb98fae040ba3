package flight

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// What ends it is seen by whoever waits under it, by whoever only looks, and in
// contexts that come from it.
func TestStarts(t *testing.T) {
	type key struct{}
	for name, tc := range map[string]struct {
		end        func(g *Group, s *Starts, cancel func())
		err, cause error
	}{
		"time is over":            {func(*Group, *Starts, func()) { time.Sleep(time.Minute) }, context.DeadlineExceeded, context.DeadlineExceeded},
		"closed":                  {func(g *Group, _ *Starts, _ func()) { go g.Close(time.Hour); synctest.Wait() }, context.Canceled, ErrClosed},
		"ended":                   {func(_ *Group, s *Starts, _ func()) { s.End() }, context.Canceled, context.Canceled},
		"what it comes from ends": {func(_ *Group, _ *Starts, cancel func()) { cancel() }, context.Canceled, errTest},
	} {
		for how, look := range map[string]bool{"waiting": false, "looking": true} {
			t.Run(name+", "+how, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var g Group
					f := Start(&g, Options{Bound: time.Hour}, func(r Run) (int, error) {
						ctx, cancel := context.WithCancelCause(context.WithValue(r.Context, key{}, "value"))
						defer cancel(nil)
						began := time.Now()
						s := r.Starts(ctx, began.Add(time.Minute))
						defer s.End()
						if at, ok := s.Deadline(); !ok || !at.Equal(began.Add(time.Minute)) {
							t.Errorf("deadline %v", at)
						}
						if s.Err() != nil || s.Value(key{}) != "value" {
							t.Errorf("begins with %v, value %v", s.Err(), s.Value(key{}))
						}
						child := context.Context(s)
						if !look {
							var stop func()
							child, stop = context.WithCancel(s)
							defer stop()
							if s.Err() != nil || child.Err() != nil || s.Value(key{}) != "value" {
								t.Errorf("ended by who waits: %v, value %v", s.Err(), s.Value(key{}))
							}
						}
						tc.end(&g, s, func() { cancel(errTest) })
						synctest.Wait() // the timer is due at the same moment
						if err := s.Err(); err != tc.err || !errors.Is(context.Cause(s), tc.cause) {
							t.Errorf("error %v, cause %v, want %v and %v", err, context.Cause(s), tc.err, tc.cause)
						}
						select {
						case <-s.Done():
						default:
							t.Error("it is not done")
						}
						synctest.Wait()
						if err := child.Err(); err != tc.err || !errors.Is(context.Cause(child), tc.cause) {
							t.Errorf("child: error %v, cause %v", err, context.Cause(child))
						}
						return 0, r.Context.Err()
					}, as)
					if _, err := f.Wait(t.Context()); err != nil {
						t.Errorf("the operation ended with %v", err)
					}
					g.Close(0)
				})
			})
		}
	}
}

// It ends no later than what it comes from.
func TestStartsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Group
		defer g.Close(0)
		f := Start(&g, Options{Bound: time.Second}, func(r Run) (int, error) {
			s := r.Starts(r.Context, time.Now().Add(time.Hour))
			defer s.End()
			want, _ := r.Context.Deadline()
			if at, _ := s.Deadline(); !at.Equal(want) {
				t.Errorf("deadline %v, want %v", at, want)
			}
			took := since(func() { <-s.Done() })
			if took != time.Second || s.Err() != context.DeadlineExceeded {
				t.Errorf("ended with %v after %v", s.Err(), took)
			}
			return 0, nil
		}, as)
		_, _ = f.Wait(t.Context())
	})
}

// Who never waits under it makes nothing that could end it.
func TestStartsIsCheap(t *testing.T) {
	var g Group
	r := Run{Context: t.Context(), group: &g, member: &member{}}
	until := time.Now().Add(time.Hour)
	if n := testing.AllocsPerRun(100, func() {
		s := r.Starts(r.Context, until)
		if s.Err() != nil {
			t.Error(s.Err())
		}
		s.End()
	}); n > 1 {
		t.Errorf("%v allocations", n)
	}
}
