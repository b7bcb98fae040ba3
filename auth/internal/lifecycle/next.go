package lifecycle

import (
	"slices"
	"time"
)

const (
	// look is how often the store is read for callers who cannot be served:
	// another process may have logged in.
	look = time.Second
	// lookWhileUsable is how often it is read for callers who can, in stores
	// that give no hints: another process may have logged out.
	lookWhileUsable = 4 * time.Second

	// maxTokens is how many tokens one request is refused with at the most.
	maxTokens = 4
)

// Next decides what the caller with need n does. It may note in n what has to
// be known when the same request fails again.
func (m *Machine) Next(now time.Time, n *Need) Decision {
	m.trouble.tick(now)
	switch {
	case m.closed && n.got() && m.live(now) && (n.Token == 0 || n.Token != m.token.id):
		return Decision{Action: Use} // its operation was worth finishing
	case m.closed:
		return Decision{Reason: Closed}
	case m.loaded == 0:
		if d, decided := m.unread(now, n); decided {
			return d
		}
	}
	switch n.Kind {
	case Fresh:
		return m.fresh(now, n)
	case Challenged:
		return m.challenged(now, n)
	case Renewal:
		return m.renewal(now, n)
	case Authorization:
		return m.authorization(now, n)
	}
	return m.upgrade(now, n)
}

// unread decides while the store has not been read. It does not when that
// fails but the program has given a token.
func (m *Machine) unread(now time.Time, n *Need) (Decision, bool) {
	switch t := m.trouble; {
	case t == nil || t.load.err == nil:
	case !n.did(Load) && (t.load.over(now) || n.insists() || m.Running(Load)):
	case m.token.id != 0:
		return Decision{}, false
	default:
		return failed(&t.load), true
	}
	return Decision{Action: Wait, Op: Load}, true
}

// fresh decides for a request that is about to be sent.
func (m *Machine) fresh(now time.Time, n *Need) Decision {
	switch {
	case m.barred(now) && m.live(now):
		if m.lookDue(now, n, 0) {
			return Decision{Action: Wait, Op: Load} // [15]
		}
		return m.bar()
	case m.Usable(now) && m.lookDue(now, n, lookWhileUsable) && !m.policy.Hints && !m.Running(Load) && !n.got():
		return Decision{Action: Glance, Op: Load}
	case m.Usable(now) && m.early(now):
		return Decision{Action: UseAndRenew, Op: Renew}
	case m.Usable(now):
		return Decision{Action: Use}
	}
	return m.replace(now, n)
}

// challenged decides for a request that was refused with 401.
func (m *Machine) challenged(now time.Time, n *Need) Decision {
	ours := n.Token != 0 && n.Token == m.token.id
	switch {
	case !ours && m.Usable(now) && (n.tokens < maxTokens || n.Done&(Renew|Login) != 0):
		return Decision{Action: Use} // a late answer does nothing to the successor [8]
	case !ours && m.Usable(now):
		return m.refuse(now, n) // others bring new tokens faster than this request fails
	case !ours && m.barred(now) && m.live(now):
		if m.lookDue(now, n, 0) {
			return Decision{Action: Wait, Op: Load} // [15]
		}
		return m.bar()
	case ours && m.live(now):
		m.token.rejected = true
		if o := m.refusal(n); o.hold.holds(now) {
			if m.lookDue(now, n, 0) {
				return Decision{Action: Wait, Op: Load} // [15]
			}
			if m.flaky() && m.token.accepted && int(n.Tries) < len(m.patience(now, n)) {
				return m.resend(m.patience(now, n), n) // it costs no token
			}
			return Decision{Reason: RejectedOperation, Count: int(o.count), RetryAt: wall(o.hold.until)}
		}
		if m.lookDue(now, n, 0) {
			return Decision{Action: Wait, Op: Load} // another process may know better
		}
		if m.barred(now) {
			return m.bar()
		}
		if n.Done&(Renew|Login) != 0 && n.Err == nil {
			return m.refuse(now, n) // it was given out again
		}
		if n.Done&(Renew|Login) == 0 {
			if d, decided := m.judge(now, n); decided {
				return d
			}
			// A stream, or a request that nobody waits for, may be refused where others are not.
			if !n.NoLogin && !n.Stream && (!m.token.accepted || n.Since == m.acceptance) {
				m.token.doomed = true
				m.mourn(now)
			}
		}
	}
	if (n.Replaced && ours || n.tokens >= maxTokens) && n.Done&(Renew|Login) == 0 {
		if m.lookDue(now, n, look) {
			return Decision{Action: Wait, Op: Load} // [15]
		}
		return m.refuse(now, n) // tokens do not live long enough to reach the server
	}
	return m.replace(now, n)
}

// replace gets a token in place of one that is of no use.
func (m *Machine) replace(now time.Time, n *Need) Decision {
	if n.did(Login) && n.Err != nil {
		if m.lookDue(now, n, look) {
			return Decision{Action: Wait, Op: Load} // another process may have logged in meanwhile
		}
		return m.ownError(now, n, Login)
	}
	if m.Renewable() {
		switch t := m.trouble; {
		case m.failedToRenew(n):
			return m.ownError(now, n, Renew)
		case n.renewals > 1 && n.Err == nil && !m.late(now, n):
			return Decision{Reason: m.stillborn(now)}
		case m.Running(Renew) || n.insists():
		case t != nil && !t.renew.over(now):
			if m.lookDue(now, n, look) {
				return Decision{Action: Wait, Op: Load} // [15]
			}
			return failed(&t.renew)
		}
		return Decision{Action: Wait, Op: Renew}
	}
	if m.lookDue(now, n, m.lookEvery(now)) {
		return Decision{Action: Wait, Op: Load}
	}
	if t := m.trouble; t != nil && t.load.err != nil { // the store may have what is missing
		if t.load.over(now) && !n.did(Load) {
			return Decision{Action: Wait, Op: Load}
		}
		return failed(&t.load)
	}
	if n.Kind == Fresh {
		if m.policy.Grant == Nothing && m.token.id != 0 {
			return Decision{Reason: Unauthorized}
		}
		return Decision{Reason: NoToken}
	}
	return m.logIn(now, n)
}

// failedToRenew reports whether the caller's own renewal failed. What a refresh token
// met says nothing about one that came since [6], by a login for example.
func (m *Machine) failedToRenew(n *Need) bool {
	superseded := n.sent != 0 && n.sent != m.token.renewal && m.byRefresh() && n.renewals < maxLate
	return n.did(Renew) && n.Err != nil && !superseded
}

// maxLate is how many renewals one caller waits for whose tokens have expired when
// they come.
const maxLate = 8

// late reports whether another renewal is worth it, since the token had expired when
// it came. The server took longer for it than its tokens live, so this is no storm.
func (m *Machine) late(now time.Time, n *Need) bool {
	return m.stillborn(now) == Late && m.token.obtained-m.token.expiry >= int64(time.Second) && n.renewals < maxLate
}

// stillborn says why a token that was just renewed is of no use.
func (m *Machine) stillborn(now time.Time) Reason {
	if m.token.access && !m.live(now) {
		return Late
	}
	return NoToken // it was revoked as soon as it was there
}

// canLogIn reports whether a login would help the request [13].
func (m *Machine) canLogIn(now time.Time, n *Need) bool {
	switch {
	case n.NoLogin:
		return false
	case n.Kind == Scopes:
		return true // the server says itself what is missing, also of a stream
	}
	if works := n.Token != 0 && n.Token == m.token.id && m.token.accepted && m.Usable(now); works {
		return !n.Stream && m.dead(now, m.refusal(n))
	}
	return !n.Stream || m.refusal(n).count == 0
}

// logIn uses the grant, which may involve a person.
func (m *Machine) logIn(now time.Time, n *Need) Decision {
	t := m.trouble
	switch {
	case n.did(Login) && n.Err != nil:
		return m.ownError(now, n, Login)
	case n.did(Login):
		return Decision{Reason: NoToken} // it was revoked as soon as it was there
	case m.policy.Grant == Nothing && n.Kind == Authorization:
		return Decision{Reason: NoGrant}
	case m.policy.Grant == Nothing:
		return Decision{Reason: Unauthorized}
	case n.NoUser && m.policy.Grant == Person:
		return Decision{Reason: Nobody}
	case n.insists() || m.Running(Login) && !n.NoLogin:
	case !m.canLogIn(now, n) && m.Usable(now) && n.Kind == Challenged:
		return m.refuse(now, n)
	case !m.canLogIn(now, n):
		return Decision{Reason: Useless}
	case t != nil && t.rejections.dud == m.token.id && m.token.id != 0 && t.rejections.relogin.holds(now):
		return Decision{Reason: Rejected, Count: int(t.rejections.duds), RetryAt: wall(t.rejections.relogin.until)}
	case t != nil && !t.login.over(now) && t.login.answers(n):
		return failed(&t.login)
	case t != nil && m.policy.Grant == Person && t.windows.next(now) != 0:
		return Decision{Reason: AskedTooOften, RetryAt: wall(t.windows.next(now))}
	}
	return Decision{Action: Wait, Op: Login}
}

// renewal decides for a program that wants a new token now.
func (m *Machine) renewal(now time.Time, n *Need) Decision {
	switch {
	case m.failedToRenew(n) && m.Renewable():
		return m.ownError(now, n, Renew)
	case n.did(Renew) && n.Err == nil && m.token.access && m.live(now):
		return Decision{Action: Use}
	case n.renewals > 1 && n.Err == nil && !m.late(now, n):
		return Decision{Reason: m.stillborn(now)}
	case !m.Renewable() && m.lookDue(now, n, look):
		return Decision{Action: Wait, Op: Load}
	case m.token.id == 0:
		return Decision{Reason: NoToken}
	case m.refused() != nil && !m.Renewable() && m.policy.Grant == Nothing:
		return Decision{Reason: Unauthorized}
	case m.refused() != nil && !m.Renewable():
		return Decision{Reason: NoToken}
	case !m.Renewable():
		return Decision{Reason: NoRenewal}
	}
	return Decision{Action: Wait, Op: Renew}
}

// authorization decides for a program that wants a token before the first
// request.
func (m *Machine) authorization(now time.Time, n *Need) Decision {
	if m.Usable(now) && (!m.token.rejected || n.got()) {
		return Decision{Action: Use}
	}
	return m.replace(now, n)
}

// upgrade decides for a caller who needs more scopes [16]: by refresh first,
// then by the grant.
func (m *Machine) upgrade(now time.Time, n *Need) Decision {
	refused := n.Token != 0 && n.Token == m.token.id
	switch {
	case m.Usable(now) && !refused && (n.Final || m.covers(n.Scopes)):
		return Decision{Action: Use}
	case n.Final && n.Err == nil && m.Usable(now):
		return Decision{Action: Use} // one scope may imply another: only the resource can say
	}
	switch {
	case m.Renewable() && !n.did(Renew) && !(m.byRefresh() && m.narrow()):
		if t := m.trouble; t != nil && !t.renew.over(now) && !m.Running(Renew) {
			if m.lookDue(now, n, look) {
				return Decision{Action: Wait, Op: Load} // [15]
			}
			return failed(&t.renew)
		}
		return Decision{Action: Wait, Op: Renew}
	case n.did(Renew) && n.Err != nil && m.Renewable() && (n.Class.blocksLogin() || m.policy.Grant == Alone):
		return m.ownError(now, n, Renew)
	case m.lookDue(now, n, m.lookEvery(now)):
		return Decision{Action: Wait, Op: Load} // another process may have asked already
	}
	// The refresh token cannot help; the grant, not asked yet, may.
	return m.logIn(now, n)
}

// lookDue reports whether the store is worth a look that this caller has not
// had yet. One that cannot be read is left alone for a while.
func (m *Machine) lookDue(now time.Time, n *Need, every time.Duration) bool {
	if !m.policy.Shared || n.did(Load) || m.trouble != nil && !m.trouble.load.over(now) {
		return false
	}
	age := nanos(now) - m.loaded
	return age < 0 || age >= int64(every)
}

// lookEvery is how often the store is read for callers without a token. Who is about
// to get a link looks first: the person may have followed it, and come to another
// process.
func (m *Machine) lookEvery(now time.Time) time.Duration {
	if t := m.trouble; t != nil && t.login.link && !t.login.over(now) {
		return 0
	}
	return look
}

// ownError is the decision for a caller whose own renewal or login failed.
func (m *Machine) ownError(now time.Time, n *Need, op Op) Decision {
	d := Decision{Err: m.Timed(n.Err)}
	if t := m.trouble; t != nil {
		p := &t.renew
		if op == Login {
			p = &t.login
		}
		if !p.over(now) {
			d.RetryAt = wall(p.soon)
		}
	}
	return d
}

// failed is the decision to return the error of an operation that is left
// alone.
func failed(p *pause) Decision { return Decision{Err: p.err, RetryAt: wall(p.soon)} }

// covers reports whether the token in use has the scopes.
func (m *Machine) covers(wanted []string) bool {
	return !slices.ContainsFunc(wanted, func(s string) bool {
		return m.token.scopes == nil || !slices.Contains(*m.token.scopes, s)
	})
}
