package auth

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/mcptokens/mcptokens/auth/authtrace"
	"github.com/mcptokens/mcptokens/auth/internal/lifecycle"
)

// maxRounds bounds how often one call asks the machine. Each round ends an
// operation, so it is far more than a call needs.
const maxRounds = 16

// glance is how long a caller who has a token waits for a look at the store.
const glance = 250 * time.Millisecond

// errUnmade is what a Manager says that NewManager did not return.
var errUnmade = &ConfigError{"Manager", "was not made by NewManager; check the error of NewManager and use the manager that it returns"}

// asked is why a call needs a token.
type asked struct {
	trigger   authtrace.Trigger
	challenge *Challenge
	rejected  *Token
	scopes    []string
	gather    bool
	// path notes what got the token; nil: it is not needed.
	path *string
}

// needOf is what a caller needs whose request was refused.
func needOf(c Challenge) lifecycle.Need {
	return lifecycle.Need{
		Kind: lifecycle.Challenged, Operation: c.Operation, Scopes: c.Scopes,
		NoLogin: c.Method == http.MethodDelete, Stream: c.Stream,
	}
}

// chain is what is known of one request that was refused before. It travels in
// the copy of the token that the request goes with.
type chain struct {
	need  lifecycle.Need
	begun time.Time
	over  atomic.Bool // the request was accepted
}

// longestChain is how long a request is taken to go on. A caller may keep the
// copy for later requests, about which it says nothing.
const longestChain = time.Minute

// goesOn reports whether a rejection belongs to the request that c is about.
func (c *chain) goesOn() bool {
	return c != nil && !c.over.Load() && time.Since(c.begun) < longestChain
}

// serve gets the caller a token: it asks the machine what to do, and does that,
// until there is a token or an error.
func (m *Manager) serve(ctx context.Context, n lifecycle.Need, a asked) (*Token, error) {
	if m.cfg == nil {
		return nil, errUnmade
	}
	n.NoUser = isWithoutUser(ctx)
	borrowed := false // the last operation waited for was started by another call
	tried := false    // an operation was waited for, and how it ended is the answer
	for round, rounds := 0, maxRounds; round < rounds; round++ {
		m.mu.Lock()
		if n.Kind == lifecycle.Challenged || n.Kind == lifecycle.Scopes {
			n.Token = m.idOf(a.rejected)
		}
		if round == 0 && n.Kind == lifecycle.Challenged && a.rejected != nil && a.rejected.chain.goesOn() {
			noUser := n.NoUser
			n = a.rejected.chain.need.Again(n.Token)
			n.NoUser = noUser
		}
		now := wallNow()
		d := m.st.machine.Next(now, &n)
		var op *operation
		ours, joined := true, false
		if d.Op != lifecycle.None {
			joined = m.running(d.Op) != nil
			why := a
			if d.Action == lifecycle.UseAndRenew {
				why.trigger = authtrace.TriggerEarly
			}
			op, ours = m.join(ctx, d.Op, why)
		}
		tok := m.st.held.Token
		m.publish(now)
		err := m.explain(d, n, a)
		m.mu.Unlock()
		switch d.Action {
		case lifecycle.Fail:
			if d.Err != nil && m.hasNewInput(ctx) {
				if borrowed { // what failed was another call's, and so was what it used
					n.Done, n.Err = n.Done&^(lifecycle.Renew|lifecycle.Login), nil
				}
				continue
			}
			if !tried {
				m.refused(ctx, n, d.RetryAt, err)
			}
			return nil, err
		case lifecycle.Use, lifecycle.UseAndRenew:
			if n.Kind == lifecycle.Challenged && (n.Tries > 0 || n.Replaced || n.Done&(lifecycle.Renew|lifecycle.Login) != 0) {
				tok = tok.in(&chain{need: n, begun: now})
			}
			return tok, nil
		case lifecycle.Resend:
			if err := m.pause(ctx, d.Delay); err != nil {
				return nil, err
			}
			if tok.live(wallNow()) && m.isCurrent(tok) {
				m.resent(ctx, n, d.Delay)
				return tok.in(&chain{need: n, begun: wallNow()}), nil
			}
			continue // a better one came meanwhile, or it has expired
		case lifecycle.Glance:
			m.look(ctx, op)
			n.After(d.Op, lifecycle.Failure{})
			continue
		}
		borrowed = joined
		res, err := m.wait(ctx, op)
		if err != nil {
			return nil, err
		}
		if op.flight.Left() && !m.flights.Closed() || !ours {
			continue // it ended as we came, or asked for something else
		}
		if d.Op == lifecycle.Login && res.adopted {
			continue // what another process got has to be looked at
		}
		if n.After(d.Op, res.failure); res.failure.Class == lifecycle.Elsewhere {
			rounds++ // the machine bounds these by their time
			continue
		}
		tried = tried || d.Op != lifecycle.Load || res.failure.Err != nil
		n.Final = n.Final || res.final
		if a.path != nil {
			*a.path = op.path
		}
	}
	return nil, ErrNoToken
}

// hasNewInput asks the grant, without the lock, whether the program has replaced
// what was refused, such as an assertion. The pause is over then.
func (m *Manager) hasNewInput(ctx context.Context) bool {
	input := inputOf(ctx, m.cfg.obtainer.grant)
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.st.machine.Replaced(input)
}

// idOf is the machine's name for a token. The caller holds m.mu.
func (m *Manager) idOf(t *Token) uint32 {
	switch cur := m.st.held.Token; {
	case t == nil:
		return 0
	case cur != nil && t.same(cur):
		return cur.serial()
	case t.serial() != 0 && (cur == nil || t.serial() != cur.serial()):
		return t.serial()
	}
	return 1<<32 - 1 // of another source
}

func (m *Manager) isCurrent(t *Token) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.st.held.Token == t && !m.st.machine.Closed()
}

// pause waits before a request is sent again.
func (m *Manager) pause(ctx context.Context, d time.Duration) error {
	if d == 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-m.flights.Closing():
		return ErrClosed
	case <-ctx.Done():
		return gaveUp(ctx)
	}
}

// resent tells of a request that goes again with the same token.
func (m *Manager) resent(ctx context.Context, n lifecycle.Need, delay time.Duration) {
	if m.cfg.store.trace.Silent() {
		return
	}
	m.cfg.store.trace.Resend(m.about(ctx), authtrace.Resend{
		Resource: m.vault.canonical, Operation: n.Operation, Delay: delay, Tries: int(n.Tries) + 1,
	})
}

// refused tells of a call for which nothing was sent, if there is a time at
// which something will be: herds come here during a pause [invariant 15].
func (m *Manager) refused(ctx context.Context, n lifecycle.Need, retryAt time.Time, err error) {
	if retryAt.IsZero() || m.cfg.store.trace.Silent() {
		return
	}
	m.cfg.store.trace.Refused(m.about(ctx), authtrace.Refused{Resource: m.vault.canonical, Operation: n.Operation, RetryAt: retryAt, Err: err})
}

// look waits for a read of the store, for a moment: the caller has a token.
func (m *Manager) look(ctx context.Context, op *operation) {
	ctx, cancel := context.WithTimeout(ctx, glance)
	defer cancel()
	_, _ = m.wait(ctx, op)
}

// wait waits for an operation, no longer than ctx, whose the error is.
func (m *Manager) wait(ctx context.Context, op *operation) (*result, error) {
	if m.cfg.store.trace.Silent() { // most programs, and herds of 10,000
		return m.await(ctx, op)
	}
	waited := m.cfg.store.trace.Wait(m.about(ctx), authtrace.WaitStart{For: op.awaited, Resource: m.vault.canonical}, op.context)
	res, err := m.await(ctx, op)
	if err == nil {
		waited(res.failure.Err)
	} else {
		waited(err)
	}
	return res, err
}

func (m *Manager) await(ctx context.Context, op *operation) (*result, error) {
	leave := op.flight.Join()
	defer leave()
	res, err := op.flight.Wait(ctx)
	if err != nil { // not the operation's, see ended
		return nil, op.values.trouble.gaveUp(ctx)
	}
	return res, nil
}

// renewed waits for a renewal without the lock: a herd waits here. It returns
// nil if the machine has to be asked.
func (m *Manager) renewed(ctx context.Context, op *operation) *Token {
	if !m.cfg.store.trace.Silent() {
		return nil
	}
	select {
	case <-op.flight.Done():
	case <-ctx.Done():
		return nil
	}
	if res, _ := op.flight.Result(); res.failure.Err == nil && res.Token.live(wallNow()) {
		return res.Token
	}
	return nil
}

// loaded makes sure that the store was read, and that Close waits for what the
// caller does next, until done is called.
func (m *Manager) loaded(ctx context.Context) (done func(), err error) {
	if m.cfg == nil {
		return nil, errUnmade
	}
	done, ok := m.flights.Enter()
	if !ok {
		return nil, ErrClosed
	}
	m.mu.Lock()
	var op *operation
	if !m.st.machine.Read() && !m.st.machine.Closed() {
		op, _ = m.join(ctx, lifecycle.Load, asked{})
	}
	m.mu.Unlock()
	if op == nil {
		return done, nil
	}
	res, err := m.wait(ctx, op)
	if err == nil {
		err = res.failure.Err
	}
	if err != nil {
		done()
		return nil, err
	}
	return done, nil
}

// caughtUp applies what was found in the store. It returns what subscribers
// have to hear.
func (m *Manager) caughtUp() []Event {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := wallNow()
	events := m.take(now, m.vault.current())
	m.publish(now)
	return events
}

// changed applies what the program itself did to the credential. That may end
// what kept operations from being tried [invariant 15]. It returns what
// subscribers have to hear.
func (m *Manager) changed(saveErr error) []Event {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := wallNow()
	h := m.vault.current()
	events := m.take(now, h)
	m.st.machine.Forgive()
	events = append(events, m.noteSaved(now, lifecycle.None, &result{held: h, saveErr: saveErr})...)
	m.publish(now)
	return events
}
