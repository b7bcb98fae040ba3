package auth

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/mcptokens/mcptokens/auth/authtrace"
	"github.com/mcptokens/mcptokens/auth/internal/acting"
	"github.com/mcptokens/mcptokens/auth/internal/lifecycle"
)

// ended applies what an operation returned. It is the only way by which
// results of operations reach the machine.
func (m *Manager) ended(o *operation, res *result, err error) (*result, error) {
	if err != nil { // a panic in the program's code
		res = &result{held: m.vault.current(), failure: lifecycle.Failure{Err: err, Class: lifecycle.Ours, Asked: true}}
		m.cfg.store.trace.Say(m.about(context.Background()), "operation panicked", err)
	}
	m.mu.Lock()
	closed := m.st.machine.Closed()
	if closed && res.failure.Err != nil && errors.Is(res.failure.Err, context.Canceled) {
		res.failure.Err = ErrClosed
	}
	m.remove(o)
	now := wallNow()
	if o.op == lifecycle.Renew {
		res.failure = m.st.machine.Patient(now, res.failure)
	}
	events := m.apply(now, o, res)
	if o.again && !closed {
		m.join(context.Background(), lifecycle.Load, asked{})
	}
	m.publish(now)
	m.mu.Unlock()
	m.tell(events)
	return res, nil
}

// remove notes that an operation is over; the caller holds m.mu.
func (m *Manager) remove(o *operation) {
	m.st.machine.Ended(o.op)
	for at := &m.st.ops; *at != nil; at = &(*at).next {
		if *at == o {
			*at = o.next
			return
		}
	}
}

// apply gives the machine the facts, and returns what subscribers hear. The
// caller holds m.mu.
func (m *Manager) apply(now time.Time, o *operation, res *result) (events []Event) {
	machine, f := &m.st.machine, res.failure
	ended := machine.Refused() != nil || !machine.Renewable()
	if res.unregistered != nil {
		m.note(&events, EventSaveFailed, res.unregistered)
	}
	unrenewed := f
	if f.Err == nil && res.later != nil {
		unrenewed = *res.later
	}
	if o.op == lifecycle.Renew && unrenewed.Err != nil {
		events = append(events, m.take(now, res.began)...)
		machine.RenewFailed(now, unrenewed) // before what it left behind is in use
	}
	events = append(events, m.take(now, res.held)...)
	switch o.op {
	case lifecycle.Load:
		if f.Err != nil {
			machine.LoadFailed(now, f.Err)
		} else {
			machine.Loaded(now)
		}
	case lifecycle.Renew:
		if res.narrow || f.Class == lifecycle.RefusedScopes {
			machine.Narrow(res.Issuer)
		}
		if f.Err != nil && f.Class != lifecycle.Elsewhere {
			m.note(&events, EventRefreshFailed, machine.Timed(f.Err))
		}
		if !ended && machine.Refused() != nil && !machine.Renewable() {
			m.note(&events, EventReauthorizationRequired, unrenewed.Err)
		}
	case lifecycle.Login:
		if f.Err != nil && !o.flight.Left() && !errors.Is(f.Err, ErrClosed) && !errors.Is(f.Err, ErrNoToken) {
			machine.LoginFailed(now, f)
		}
		if f.Asked && !o.named {
			if until, limit := machine.Asked(now); limit {
				m.note(&events, EventLoginLimit, m.askedTooOften(lifecycle.Need{}, until))
			}
		}
	}
	return append(events, m.noteSaved(now, o.op, res)...)
}

// take brings a credential into use that is newer than the one that is, and
// returns what subscribers hear. The caller holds m.mu.
func (m *Manager) take(now time.Time, h held) (events []Event) {
	old := m.st.held
	if h.Record == nil || !h.newer(old) {
		return nil
	}
	if !m.st.machine.Put(now, factsOf(h.Record), uint64(h.version)) {
		return nil
	}
	m.st.held = h
	if o := m.running(lifecycle.Login); o != nil && helps(h.Token, old.Token, o.wants.asked(), len(o.wants.asked()) > 0) {
		o.flight.Cancel(errElsewhere) // its callers need not wait for the person
	}
	if h.StepUps != nil {
		m.st.stepUps.Restore(now, limitsOf(h.Record))
	}
	switch {
	case h.Token != nil && (old.Token == nil || h.Token.serial() != old.Token.serial() || h.Token.evidence.renewal > old.Token.evidence.renewal):
		m.note(&events, EventTokenUpdated, nil)
	case h.Token == nil && old.Token != nil:
		m.note(&events, EventForgotten, nil)
	}
	return events
}

// note adds an event with the token's data, which is large; the caller holds m.mu.
//
//go:noinline
func (m *Manager) note(events *[]Event, t EventType, err error) {
	e := Event{Type: t, Err: err}
	if tok := m.st.held.Token; tok != nil {
		e.Expiry, e.Scopes = tok.Expiry, tok.Scopes
	}
	*events = append(*events, e)
}

// noteSaved tells the machine whether there is something to store.
func (m *Manager) noteSaved(now time.Time, op lifecycle.Op, res *result) (events []Event) {
	switch {
	case res.saveErr != nil:
		m.st.machine.SaveFailed(now, res.saveErr)
		if op != lifecycle.Save { // else it was reported before
			m.note(&events, EventSaveFailed, res.saveErr)
		}
	case m.st.held.unsaved && res.version == m.st.held.version:
		m.st.machine.SaveFailed(now, errNotStored) // found out by reading
	case res.version == m.st.held.version:
		if _, limits := m.vault.needsSave(); !limits {
			m.st.machine.Saved()
		}
	}
	if res.saved {
		m.note(&events, EventSaved, nil)
	}
	return events
}

// tell hands events out and logs what an operator has to see. The caller does
// not hold m.mu.
func (m *Manager) tell(events []Event) {
	for _, e := range events {
		e.Time, e.Resource, e.Issuer, e.Subject = wallNow(), m.vault.canonical, orElse(e.Issuer, m.vault.issuer()), m.shown()
		if h := m.hub.Load(); h != nil {
			h.Publish(e)
		}
		if p := m.cfg.pooled; p != nil {
			p.hub.Publish(e)
		}
		switch e.Type {
		case EventSaveFailed:
			m.cfg.store.trace.Log(m.about(context.Background()), slog.LevelError, "token not stored; it is used from memory and saving is retried", e.Err)
		case EventLoginLimit:
			m.cfg.store.trace.Log(m.about(context.Background()), slog.LevelWarn, "no more logins by themselves for a while", e.Err)
		}
	}
}

// shown is what stands for the subject in events and the log.
func (m *Manager) shown() string {
	if p := m.cfg.pooled; p != nil && p.subject != nil {
		return p.subject(m.vault.subject)
	}
	return ""
}

// about returns ctx with what the manager's work is for.
func (m *Manager) about(ctx context.Context) context.Context {
	if m.vault.subject == "" && m.cfg.store.trace.Silent() {
		return ctx // nobody asks
	}
	return acting.With(ctx, acting.For{
		Resource: m.vault.canonical, Subject: m.vault.subject, Shown: m.shown(), At: m.vault.issuer,
	})
}

// publish makes what the machine says visible: the snapshot that callers read
// without the lock, and the one timer. The caller holds m.mu.
func (m *Manager) publish(now time.Time) {
	switch s, old := m.snapshot(now), m.current.Load(); {
	case s == snapshot{}:
		if old != nil {
			m.current.Store(nil)
		}
	case old == nil || *old != s:
		next := s // only this one is on the heap
		m.current.Store(&next)
	}
	machine := &m.st.machine
	if tok := m.st.held.Token; tok != nil && tok.evidence.accepted() != machine.Known() {
		tok.evidence.note(machine.Known())
	}
	var wake int64
	at := machine.Wake(now)
	if !at.IsZero() {
		wake = at.UnixNano()
	}
	if wake == m.st.wake {
		return
	}
	m.flights.Stop(m.st.timer)
	m.st.wake = wake
	switch {
	case wake == 0:
	case m.st.timer == nil:
		m.st.timer = m.flights.Arm(at.Sub(now), m.onTimer)
	default:
		m.flights.Rearm(m.st.timer, at.Sub(now))
	}
}

// snapshot decides until when the token is handed out without a question.
func (m *Manager) snapshot(now time.Time) snapshot {
	machine := &m.st.machine
	if until := machine.Until(now); !until.IsZero() {
		return snapshot{token: m.st.held.Token, until: until.UnixNano()}
	}
	if op := m.running(lifecycle.Renew); op != nil && !machine.Usable(now) && machine.Renewable() {
		return snapshot{renewal: op}
	}
	return snapshot{}
}

// onTimer starts what is due.
func (m *Manager) onTimer() {
	defer m.flights.Done()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.flights.Stop(m.st.timer) // set again before this call got the lock
	m.st.wake = 0
	now := wallNow()
	due := m.st.machine.Due(now)
	for _, op := range []lifecycle.Op{lifecycle.Save, lifecycle.Renew} {
		if due&op != 0 {
			m.join(context.Background(), op, asked{trigger: authtrace.TriggerTimer})
		}
	}
	m.publish(now) // also if the wall clock was set back: wait again
}

// factsOf is what the machine knows of a credential.
func factsOf(rec *Record) lifecycle.Token {
	t := rec.Token
	if t == nil {
		return lifecycle.Token{Issuer: rec.Issuer}
	}
	return lifecycle.Token{
		ID: t.serial(), Renewal: t.evidence.renewal, Expiry: t.Expiry, Obtained: rec.Obtained,
		Access: t.AccessToken != "", Login: t.evidence.login(), Issuer: rec.Issuer, Scopes: &t.Scopes,
	}
}

func limitsOf(rec *Record) []lifecycle.Limit {
	limits := make([]lifecycle.Limit, len(rec.StepUps))
	for i, l := range rec.StepUps {
		limits[i] = lifecycle.Limit(l)
	}
	return limits
}
