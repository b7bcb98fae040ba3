// Package flight runs operations that any number of callers wait for. Each
// caller leaves by its own context, and none can abort the operation for the
// others. A [Group] owns the goroutines and ends them.
package flight

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// ErrClosed is the cause of a context that [Group.Close] ended.
var ErrClosed = errors.New("closed")

// ErrAbandoned is the cause of a context that ended because nobody waited any
// longer for the operation.
var ErrAbandoned = errors.New("nobody waits for it any longer")

// PanicError is the result of an operation that panicked.
type PanicError struct {
	Value any
	Stack []byte
}

// Error shows the value that was passed to panic.
func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// Flight is an operation under way.
type Flight[T any] struct {
	member
	done  chan struct{}
	group *Group
	op    func(Run) (T, error)
	end   func(T, error) (T, error)
	bound time.Duration
	// value and err are the result, to be read once done is closed.
	value T
	err   error
	// linger is how long the operation goes on when nobody waits; 0: to its end.
	linger time.Duration

	mu      sync.Mutex // never held for long
	waiters int
	leaving *time.Timer
	left    bool // canceled because nobody waited
	over    bool
}

// Options say how an operation runs.
type Options struct {
	// Bound is how long it may take.
	Bound time.Duration
	// Linger is how long it goes on when the last caller has left. 0: to its
	// end, for whoever comes next.
	Linger time.Duration
	// Queue is where the operation waits before it begins; it has no goroutine,
	// context or timer there. nil: it begins at once.
	Queue Queue
}

// Queue lets operations begin one after the other.
type Queue interface {
	// Join has begin called once: at once, later, or when Leave is called. begin
	// returns at once.
	Join(begin func())
	// Leave ends the wait: begin is called if it was not.
	Leave()
}

// Run is what an operation is given.
type Run struct {
	// Context bounds the operation from when it began. Close ends it, after a grace.
	Context context.Context

	group  *Group
	member *member
	whole  context.Context // Context without its bound
	bound  time.Duration
	nap    *nap
}

// Closed reports whether the group was closed.
func (r Run) Closed() bool { return r.group.Closed() }

// Start runs op in a goroutine of g's, as soon as its queue lets it. end is called
// with its result before those who wait get it; a panic of op is a *[PanicError].
// The caller makes sure that g is open.
func Start[T any](g *Group, o Options, op func(Run) (T, error), end func(T, error) (T, error)) *Flight[T] {
	f := &Flight[T]{
		done: make(chan struct{}), group: g, op: op, end: end, bound: o.Bound, linger: o.Linger,
		member: member{lingers: o.Linger > 0, queue: o.Queue},
	}
	g.add(&f.member)
	g.tasks.Add(1)
	if o.Queue == nil {
		f.begin()
	} else {
		o.Queue.Join(f.begin)
	}
	if o.Linger > 0 {
		f.leave() // until somebody joins
	}
	return f
}

// begin is what a queue calls.
func (f *Flight[T]) begin() { go f.run() }

func (f *Flight[T]) run() {
	g := f.group
	defer g.tasks.Done()
	whole, n := g.context(&f.member), new(nap)
	n.begin()
	bounded, stop := context.WithTimeout(whole, f.bound)
	f.value, f.err = f.end(safely(f.op, Run{bounded, g, &f.member, whole, f.bound, n}))
	stop()
	n.end()
	g.remove(&f.member)
	f.mu.Lock()
	f.over = true
	g.Stop(f.leaving)
	f.mu.Unlock()
	close(f.done)
}

func safely[T any](op func(Run) (T, error), r Run) (v T, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &PanicError{p, debug.Stack()}
		}
	}()
	return op(r)
}

// Done is closed when the operation is over.
func (f *Flight[T]) Done() <-chan struct{} { return f.done }

// Over reports whether the operation is over.
func (f *Flight[T]) Over() bool {
	select {
	case <-f.done:
		return true
	default:
		return false
	}
}

// Result returns what came of it, once Done is closed.
func (f *Flight[T]) Result() (T, error) { return f.value, f.err }

// Left reports whether the operation was canceled because nobody waited. A
// caller that came too late to keep it alive starts another one.
func (f *Flight[T]) Left() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.left
}

// Cancel ends the operation with a cause.
func (f *Flight[T]) Cancel(cause error) {
	f.group.cancel(&f.member, cause)
	f.dequeue()
}

// Join keeps an operation that lingers alive, until leave is called.
func (f *Flight[T]) Join() (leave func()) {
	if f.linger == 0 {
		return stay
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.waiters++
	f.group.Stop(f.leaving)
	f.leaving = nil
	return func() {
		f.mu.Lock()
		f.waiters--
		f.mu.Unlock()
		f.leave()
	}
}

// stay is how one leaves an operation that goes to its end.
func stay() {}

// leave arms the timer that ends an operation without callers.
func (f *Flight[T]) leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.waiters > 0 || f.over || f.leaving != nil || f.group.Closed() {
		return
	}
	f.leaving = f.group.Arm(f.linger, func() {
		defer f.group.Done()
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.waiters == 0 {
			f.left = true
			f.Cancel(ErrAbandoned)
		}
	})
}

// Wait returns the result as [Flight.Result] does, or ctx's error if that ends first.
func (f *Flight[T]) Wait(ctx context.Context) (none T, err error) {
	select {
	case <-f.done:
		return f.value, f.err
	case <-ctx.Done():
		return none, ctx.Err()
	}
}

// Group owns the goroutines and timers of one manager. The zero value is open.
type Group struct {
	tasks  sync.WaitGroup
	closed atomic.Bool

	mu      sync.Mutex
	members *member       // a list
	closing chan struct{} // closed by Close; nil until somebody asks
}

// member is what a group knows of an operation.
type member struct {
	next         *member
	cancel       context.CancelCauseFunc // nil: it has not begun
	cause        error                   // of an end before it began
	cancelStarts context.CancelCauseFunc // may be nil
	lingers      bool
	queue        Queue // nil: none
}

// context returns that of an operation which begins.
func (g *Group) context(m *member) context.Context {
	ctx, cancel := context.WithCancelCause(context.Background())
	g.mu.Lock()
	defer g.mu.Unlock()
	m.cancel = cancel
	if m.cause != nil {
		cancel(m.cause)
	}
	return ctx
}

// cancel ends an operation, also one that has yet to begin.
func (g *Group) cancel(m *member, cause error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	m.end(cause)
}

// end is cancel for a caller that holds g.mu.
func (m *member) end(cause error) {
	switch {
	case m.cancel != nil:
		m.cancel(cause)
	case m.cause == nil:
		m.cause = cause
	}
}

// dequeue ends the wait for the beginning.
func (m *member) dequeue() {
	if m.queue != nil {
		m.queue.Leave()
	}
}

func (g *Group) add(m *member) {
	g.mu.Lock()
	defer g.mu.Unlock()
	m.next, g.members = g.members, m
}

func (g *Group) remove(m *member) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for at := &g.members; *at != nil; at = &(*at).next {
		if *at == m {
			*at = m.next
			return
		}
	}
}

// Enter makes Close wait for what the caller does, until done is called. It
// reports false when g is closed.
func (g *Group) Enter() (done func(), ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed.Load() {
		return nil, false
	}
	g.tasks.Add(1)
	return g.tasks.Done, true
}

// Arm calls f after d in a goroutine that Close waits for; f calls [Group.Done]
// as it ends. Stop it with [Group.Stop].
func (g *Group) Arm(d time.Duration, f func()) *time.Timer {
	g.tasks.Add(1)
	return time.AfterFunc(d, f)
}

// Rearm has a timer of Arm, which has fired or was stopped, call its function
// once more.
func (g *Group) Rearm(t *time.Timer, d time.Duration) {
	g.tasks.Add(1)
	t.Reset(d)
}

// Done is for functions given to [Group.Arm].
func (g *Group) Done() { g.tasks.Done() }

// Stop ends a timer of Arm; nil is none.
func (g *Group) Stop(t *time.Timer) {
	if t != nil && t.Stop() {
		g.tasks.Done()
	}
}

// Closing returns a channel that Close closes.
func (g *Group) Closing() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closing == nil {
		g.closing = make(chan struct{})
		if g.closed.Load() {
			close(g.closing)
		}
	}
	return g.closing
}

// Closed reports whether Close was called.
func (g *Group) Closed() bool { return g.closed.Load() }

// Close lets nothing new begin, gives what is under way a grace, once for all
// of it, cancels what is left and waits for the end of every goroutine. The
// owner has stopped its own timers.
func (g *Group) Close(grace time.Duration) {
	g.mu.Lock()
	if !g.closed.Swap(true) && g.closing != nil {
		close(g.closing)
	}
	for m := g.members; m != nil; m = m.next {
		m.dequeue()
		if m.cancelStarts != nil {
			m.cancelStarts(ErrClosed)
		}
		if m.lingers { // a person may take minutes
			m.end(ErrClosed)
		}
	}
	g.mu.Unlock()
	timer := time.AfterFunc(grace, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		for m := g.members; m != nil; m = m.next {
			m.end(ErrClosed)
		}
	})
	defer timer.Stop()
	g.tasks.Wait()
}
