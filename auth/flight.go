package auth

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// loginLinger is how long an authorization goes on when nobody waits for it
// any more: mcp-go's discovery probe gives up after 5 s and comes back, a
// caller with a short deadline tries again, while the user is still typing.
const loginLinger = 30 * time.Second

// flight is one operation that any number of callers wait for. It runs in a
// goroutine of the manager's, detached from all of them.
type flight struct {
	done   chan struct{}
	cancel context.CancelFunc

	// kind says what it is. operation is the context that a tracer's Start method
	// returned for it, to be read once hasBegun is closed; nil: there is none, or
	// nobody to tell.
	kind      Awaited
	hasBegun  chan struct{}
	operation context.Context

	// token and err are the result, to be read once done is closed.
	token *Token
	err   error

	// byGrant: a renewal used the grant. To be read once done is closed.
	byGrant bool

	// scopes are asked for beyond those granted. More may be added until the
	// flight seals them to make its request. Guarded by Manager.mu, as is
	// what follows.
	scopes []string
	sealed bool

	// revoked: what the flight gets is not wanted any more.
	revoked bool

	// gaveUp: the flight was canceled because nobody waited for it; who came
	// too late to keep it alive begins anew.
	gaveUp bool

	// lingers: the flight is canceled loginLinger after its last waiter left.
	lingers bool
	waiters int
	linger  *time.Timer // of Manager.afterFunc
}

// launch runs op in a flight with a bound and stores it in slot until it is
// over. The caller holds m.mu and has seen that the manager is open.
func (m *Manager) launch(slot **flight, f *flight, bound time.Duration, op func(ctx context.Context) (*Token, error)) *flight {
	ctx, cancel := context.WithTimeout(context.Background(), bound)
	f.done, f.cancel = make(chan struct{}), cancel
	*slot = f
	m.tasks.Go(func() {
		defer cancel()
		tok, err := op(ctx)
		m.mu.Lock()
		defer m.mu.Unlock()
		if err != nil && m.st.closed && errors.Is(err, context.Canceled) {
			err = ErrClosed
		}
		f.token, f.err = tok, err
		*slot = nil
		m.stop(&f.linger)
		m.republish(wallNow())
		close(f.done)
	})
	return f
}

// join registers a waiter with f; the caller holds m.mu.
func (m *Manager) join(f *flight) {
	f.waiters++
	m.stop(&f.linger)
}

// begin makes the operation's context known to those who wait for it.
func (f *flight) begin(operation context.Context) {
	if f.hasBegun != nil {
		f.operation = operation
		close(f.hasBegun)
	}
}

// begun returns the operation's context, which is there as soon as the flight's
// goroutine runs; an empty one if ctx ends before that.
func (f *flight) begun(ctx context.Context) context.Context {
	if f.hasBegun != nil {
		select {
		case <-f.hasBegun:
			return f.operation
		case <-f.done: // it never began
		case <-ctx.Done():
		}
	}
	return context.Background()
}

// wait waits for a flight that the caller has joined, no longer than ctx.
func (m *Manager) wait(ctx context.Context, f *flight) (*Token, error) {
	if m.cfg.trace.silent { // most programs, and herds of 10,000
		return m.await(ctx, f)
	}
	waited := m.cfg.trace.waits(ctx, f, m.canonical)
	tok, err := m.await(ctx, f)
	waited(err)
	return tok, err
}

// await is wait without telling.
func (m *Manager) await(ctx context.Context, f *flight) (*Token, error) {
	select {
	case <-f.done:
		return f.token, f.err
	case <-ctx.Done():
		m.leave(f)
		return nil, fmt.Errorf("auth: gave up waiting for a token: %w", ctx.Err())
	}
}

// leave is the opposite of join. Only an authorization cares: a refresh is
// worth finishing for whoever comes next.
func (m *Manager) leave(f *flight) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f.waiters--
	if f.waiters > 0 || !f.lingers || m.st.closed || isClosed(f.done) {
		return
	}
	f.linger = m.afterFunc(loginLinger, func(m *Manager) {
		m.mu.Lock()
		defer m.mu.Unlock()
		if f.waiters == 0 {
			f.gaveUp = true
			f.cancel()
		}
	})
}

// givenUp reports whether f was canceled for want of waiters, and not because
// the manager closed.
func (m *Manager) givenUp(f *flight) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return f.gaveUp && !m.st.closed
}

// addScopes lets a flight ask for more, if it has not asked yet.
func (f *flight) addScopes(scopes []string) bool {
	if coversScopes(f.scopes, scopes) {
		return true
	}
	if f.sealed {
		return false
	}
	f.scopes = unionScopes(f.scopes, scopes)
	return true
}

// seal ends the time for addScopes and returns what is asked for.
func (m *Manager) sealScopes(f *flight) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	f.sealed = true
	return f.scopes
}

// afterFunc arms a timer whose goroutine Close waits for; the caller holds m.mu
// and has seen that the manager is open. f gets the manager, for a closure over
// it would weigh on every idle one.
func (m *Manager) afterFunc(d time.Duration, f func(*Manager)) *time.Timer {
	m.tasks.Add(1)
	return time.AfterFunc(d, func() {
		defer m.tasks.Done()
		f(m)
	})
}

// stop ends and forgets a timer of afterFunc, if there is one.
func (m *Manager) stop(t **time.Timer) {
	if *t != nil && (*t).Stop() {
		m.tasks.Done()
	}
	*t = nil
}
