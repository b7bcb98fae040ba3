package flight

import (
	"context"
	"sync"
	"time"
)

// Starts is a context that ends when nothing new should begin: a request under
// way is worth finishing, the next one is not. Most operations wait for nothing
// under it, so what can end it is made when somebody asks for Done.
type Starts struct {
	context.Context // what it comes from
	until           time.Time
	run             Run

	mu     sync.Mutex
	made   context.Context // nil until somebody asks for Done
	cancel context.CancelCauseFunc
	over   bool // End was called
}

// Starts returns a context that comes from ctx, which comes from r's. It ends
// at until, and at once with the cause [ErrClosed] when the group is closed. An
// operation has one at a time, and calls End when nothing more begins.
func (r Run) Starts(ctx context.Context, until time.Time) *Starts {
	return &Starts{Context: ctx, until: until, run: r}
}

// End ends it.
func (s *Starts) End() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	if s.made != nil {
		s.cancel(nil)
	}
}

// Deadline implements [context.Context].
func (s *Starts) Deadline() (time.Time, bool) {
	if d, ok := s.Context.Deadline(); ok && d.Before(s.until) {
		return d, true
	}
	return s.until, true
}

// Done implements [context.Context].
func (s *Starts) Done() <-chan struct{} { return s.make().Done() }

// Err implements [context.Context].
func (s *Starts) Err() error {
	s.mu.Lock()
	ended := s.made != nil || s.over
	s.mu.Unlock()
	if !ended && !s.run.group.Closed() && s.Context.Err() == nil && time.Now().Before(s.until) {
		return nil
	}
	return s.make().Err()
}

// Value implements [context.Context]. Package context finds the cause by it, and
// the parent of contexts that come from this one.
func (s *Starts) Value(key any) any {
	s.mu.Lock()
	made := s.made
	s.mu.Unlock()
	if made != nil {
		return made.Value(key)
	}
	return s.Context.Value(key)
}

// make returns a context that can end.
func (s *Starts) make() context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.made != nil {
		return s.made
	}
	bounded, stop := context.WithDeadline(s.Context, s.until)
	made, cancel := context.WithCancelCause(bounded)
	s.made, s.cancel = made, func(cause error) {
		cancel(cause)
		stop()
	}
	if s.over {
		s.cancel(nil)
	}
	g := s.run.group
	g.mu.Lock()
	defer g.mu.Unlock()
	s.run.member.cancelStarts = s.cancel
	if g.closed.Load() {
		s.cancel(ErrClosed)
	}
	return made
}
