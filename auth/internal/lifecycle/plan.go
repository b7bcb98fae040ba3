package lifecycle

import "time"

// When the next thing is due: the early renewal, the one timer, the next question.

// draw returns how long before its expiry a token is renewed [7, 9]: at most
// half of its life, so that a short one is not renewed at every call. A fleet
// must not renew in step: by a timer it does so anywhere in the first half of
// that time, and when it is asked for, up to a tenth earlier, both at random. A
// token without an expiry is not renewed early, and none within a second after
// it was obtained.
func (m *Machine) draw(t Token) time.Duration {
	if t.Expiry.IsZero() {
		return 0
	}
	w := m.policy.Window
	life := t.Expiry.Sub(t.Obtained)
	if t.Obtained.IsZero() || life <= 0 {
		life = forever
	}
	w = min(w, life/2)
	share := 0.1
	if m.policy.Idle {
		share = -0.5
	}
	w += time.Duration(m.policy.Jitter() * share * float64(w))
	return max(min(w, life-time.Second), 0)
}

// Planned is when the early renewal is planned; zero: it is not.
func (m *Machine) Planned() time.Time {
	if m.token.id == 0 || m.token.window == 0 || !m.Renewable() {
		return time.Time{}
	}
	return wall(m.token.expiry - int64(m.token.window))
}

// due is when the early renewal can begin, after failures too; 0: never.
func (m *Machine) due(now time.Time) int64 {
	planned := m.Planned()
	if planned.IsZero() {
		return 0
	}
	due := nanos(planned)
	if t := m.trouble; t != nil && !t.renew.rested(now) {
		due = max(due, t.renew.until)
	}
	return due
}

// Until is the time before which the token can be handed out without another
// question; zero: ask now.
func (m *Machine) Until(now time.Time) time.Time {
	m.trouble.tick(now)
	if !m.Usable(now) || m.loaded == 0 {
		return time.Time{}
	}
	until := int64(forever)
	if m.token.expiry != 0 {
		until = m.token.expiry
	}
	if due := m.due(now); due != 0 && !m.Running(Renew) {
		until = min(until, due)
	}
	if m.policy.Shared && !m.policy.Hints {
		if nanos(now) < m.loaded {
			return time.Time{} // the clock was set back
		}
		until = min(until, m.loaded+int64(lookWhileUsable))
	}
	return wall(until)
}

// Wake is when the one timer has to fire; zero: not at all.
func (m *Machine) Wake(now time.Time) time.Time {
	if m.closed {
		return time.Time{}
	}
	m.trouble.tick(now)
	var at int64
	if m.trouble != nil && m.trouble.save.err != nil && !m.Running(Save) {
		if at = m.trouble.save.until; m.trouble.save.rested(now) {
			at = nanos(now)
		}
	}
	if m.policy.Idle && !m.Running(Renew) && m.Usable(now) {
		// What would be due after the token's death is left to the next caller.
		if due := m.due(now); due != 0 && due < m.token.expiry && (at == 0 || due < at) {
			at = due
		}
	}
	return wall(at)
}

// Due returns the operations that the timer has to start at now.
func (m *Machine) Due(now time.Time) (ops Op) {
	if m.closed {
		return None
	}
	m.trouble.tick(now)
	if t := m.trouble; t != nil && t.save.err != nil && !m.Running(Save) && t.save.rested(now) {
		ops |= Save
	}
	if m.policy.Idle && !m.Running(Renew) && m.Usable(now) && m.early(now) {
		ops |= Renew
	}
	return ops
}

// early reports whether the early renewal is due.
func (m *Machine) early(now time.Time) bool {
	due := m.due(now)
	return due != 0 && nanos(now) >= due && !m.Running(Renew)
}
