package auth

import (
	"context"
	"time"

	"github.com/mcptokens/mcptokens/auth/admission"
	"github.com/mcptokens/mcptokens/auth/authtrace"
	"github.com/mcptokens/mcptokens/auth/internal/flight"
	"github.com/mcptokens/mcptokens/auth/internal/lifecycle"
)

// loginLinger is how long an authorization goes on after its last caller has
// left: mcp-go's discovery probe gives up after 5 s and comes back, a
// caller with a short deadline tries again, while the user is still typing.
const loginLinger = 30 * time.Second

// operation is one that callers wait for.
type operation struct {
	op      lifecycle.Op
	next    *operation // of those that run
	flight  *flight.Flight[*result]
	awaited authtrace.Awaited
	wants   *wants // nil: it asks for no scopes
	path    string // what a step-up says of it
	named   bool   // a call of the program asked for it by name
	again   bool   // a read of the store, which changed meanwhile
	// begun holds the context that the tracer gave the operation, once it has
	// begun; nil: there is no tracer.
	begun  chan context.Context
	values callersValues
}

// result is what an operation returns: what is in use now, and how it went.
type result struct {
	held
	began   held // what a renewal that failed had, or found in the store
	failure lifecycle.Failure
	later   *lifecycle.Failure // there is a token, and the next renewal has to wait or cannot be; nil: it can
	saveErr error              // the token is used but not stored
	// unregistered is why a client that was registered is not stored, which
	// costs one more registration some day.
	unregistered error
	adopted      bool // another process did it
	final        bool // a grant was asked for all scopes
	narrow       bool // the server does not widen scopes by refresh
	saved        bool // a token that could not be stored now is
}

// context is that of the operation for a tracer's links, as soon as it has
// begun; an empty one if ctx ends before.
func (o *operation) context(ctx context.Context) context.Context {
	if o.begun != nil {
		select {
		case begun := <-o.begun:
			o.begun <- begun // for the others
			return begun
		case <-o.flight.Done():
		case <-ctx.Done():
		}
	}
	return context.Background()
}

// begins is what the operation calls with its context.
func (o *operation) begins(ctx context.Context) {
	if o.begun != nil {
		o.begun <- ctx
	}
}

// join returns the running operation of a kind, or starts it. ours is false if
// it does not ask for the caller's scopes. The caller holds m.mu and the
// machine is open.
func (m *Manager) join(caller context.Context, op lifecycle.Op, a asked) (_ *operation, ours bool) {
	if o := m.running(op); o != nil {
		return o, o.wants == nil || o.wants.add(a.scopes)
	}
	return m.start(caller, op, a), true
}

// start starts an operation in a goroutine of the manager. It is detached
// from the caller, whose context is for its values and for links [invariant 2].
func (m *Manager) start(caller context.Context, op lifecycle.Op, a asked) *operation {
	o := &operation{op: op, awaited: authtrace.AwaitedStore}
	var run func(flight.Run) (*result, error)
	options := flight.Options{Bound: m.cfg.obtainer.timeout}
	before := m.st.held
	switch op {
	case lifecycle.Load:
		ticket := m.cfg.store.crowd.queue(&options, "load")
		run = func(r flight.Run) (*result, error) { return m.load(r, ticket), nil }
	case lifecycle.Save:
		ticket := m.cfg.store.crowd.queue(&options, "save")
		run = func(r flight.Run) (*result, error) { return m.save(r, ticket), nil }
	case lifecycle.Renew:
		o.awaited, o.path = authtrace.AwaitedRefresh, "refresh"
		o.wants = newWants(a.scopes, a.gather)
		job := renewal{trigger: a.trigger, wants: o.wants, values: &o.values, before: before, failures: m.st.machine.Failures()}
		if a.trigger == authtrace.TriggerChallenge {
			job.challenge = a.challenge
		}
		ticket := m.ticket(before.Issuer)
		options.Queue = ticket
		run = func(r flight.Run) (*result, error) { return m.renew(r, caller, ticket, o, job), nil }
	case lifecycle.Login:
		o.awaited, o.path, o.named = authtrace.AwaitedAuthorization, "authorization", a.trigger == authtrace.TriggerExplicit
		o.wants = newWants(a.scopes, a.gather)
		job := login{trigger: a.trigger, wants: o.wants, values: &o.values, before: before, limit: m.cfg.authorization, waits: m.loginElsewhere}
		options.Bound, options.Linger = job.patience()+job.limit, loginLinger
		var ticket *admission.Ticket
		if !m.cfg.obtainer.grant.Interactive() {
			ticket = m.ticket(before.Issuer)
			options.Queue = ticket
		}
		if a.challenge != nil {
			job.challenge = *a.challenge
		}
		run = func(r flight.Run) (*result, error) { return m.logIn(r, caller, ticket, o, job), nil }
	}
	if o.awaited != authtrace.AwaitedStore && m.cfg.store.trace.Traced() {
		o.begun = make(chan context.Context, 1)
	}
	m.st.machine.Started(op)
	o.next, m.st.ops = m.st.ops, o
	o.flight = flight.Start(&m.flights, options,
		run, func(res *result, err error) (*result, error) { return m.ended(o, res, err) })
	return o
}

// ticket is for an operation's places in the queue of a server. That of a first
// token is not known yet: the resource stands for it.
func (m *Manager) ticket(issuer string) *admission.Ticket {
	return m.cfg.obtainer.gate.Ticket(orElse(issuer, m.vault.canonical))
}

// running returns the operation of a kind; nil if there is none. The caller
// holds m.mu.
func (m *Manager) running(op lifecycle.Op) *operation {
	for o := m.st.ops; o != nil; o = o.next {
		if o.op == op {
			return o
		}
	}
	return nil
}

// load reads the store. The first time it begins to watch for changes that
// others make.
func (m *Manager) load(r flight.Run, t *admission.Ticket) *result {
	defer t.Done(0, false)
	ctx := m.about(r.Context)
	m.watch()
	m.mu.Lock()
	first := !m.st.machine.Read()
	m.mu.Unlock()
	res, err := new(result), uncalled(r, t, "load")
	if res.held = m.vault.current(); err == nil {
		res.held, err = read(r, ctx, &m.vault)
	}
	if first || !m.vault.cfg.anyway {
		res.failure = failureOf(err, nil) // else what is known will do
	}
	return res
}

// save stores what could not be stored before.
func (m *Manager) save(r flight.Run, t *admission.Ticket) *result {
	defer t.Done(0, false)
	unsaved, _ := m.vault.needsSave()
	err := uncalled(r, t, "save")
	if err == nil {
		err = m.vault.saveUnsaved(m.about(r.Context))
	}
	return &result{held: m.vault.current(), saved: unsaved && err == nil, saveErr: err}
}

func (m *Manager) renew(r flight.Run, caller context.Context, t *admission.Ticket, o *operation, job renewal) *result {
	r.Context = m.about(r.Context)
	got := renewer{&m.cfg.obtainer}.run(r, caller, t, &m.vault, m.target(), job, o.begins)
	return &result{
		held: got.held, began: got.began, failure: got.failure, later: got.later, saveErr: got.saveErr, unregistered: got.unregistered, narrow: got.narrow,
		final: got.failure.Err == nil && got.grant != "refresh_token",
	}
}

func (m *Manager) logIn(r flight.Run, caller context.Context, t *admission.Ticket, o *operation, job login) *result {
	r.Context = m.about(r.Context)
	got := m.cfg.obtainer.login(r, caller, t, &m.vault, m.target(), job, o.begins)
	return &result{held: got.held, failure: got.failure, saveErr: got.saveErr, unregistered: got.unregistered, adopted: got.adopted, final: got.failure.Err == nil && !got.adopted}
}

// loginElsewhere tells subscribers that another process asks the user.
func (m *Manager) loginElsewhere() {
	var events []Event
	m.mu.Lock()
	m.note(&events, EventLoginElsewhere, nil)
	m.mu.Unlock()
	m.tell(events)
}

// watch asks the store for hints, if it gives any.
func (m *Manager) watch() {
	w, ok := m.cfg.store.store.(Watcher)
	m.mu.Lock()
	ok = ok && !m.cfg.store.private && !m.cfg.store.alone && m.st.unwatch == nil && !m.st.machine.Closed()
	m.mu.Unlock()
	if !ok {
		return
	}
	var stop func()
	if memory, ok := w.(*MemoryStore); ok {
		if memory.pooled {
			return
		}
		m.vault.watch.Store(memory.watch(m.vault.key(), m.hinted))
		stop = func() { memory.unwatch(m.vault.key(), m.vault.watch.Load()) }
	} else {
		stop = w.Watch(m.vault.key(), m.hinted)
	}
	m.mu.Lock()
	closed := m.st.machine.Closed()
	if !closed {
		m.st.unwatch = stop
	}
	m.mu.Unlock()
	if closed {
		stop()
	}
}

// hinted is called when another manager or process may have written: what it wrote is
// used before anybody has to ask for it.
func (m *Manager) hinted() {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch load := m.running(lifecycle.Load); {
	case load != nil:
		load.again = true // it may have read before the change
	case !m.st.machine.Closed() && m.running(lifecycle.Renew) == nil:
		m.join(context.Background(), lifecycle.Load, asked{})
	}
}
