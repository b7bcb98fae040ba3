package lifecycle

import "time"

// What a rejection means [8, 10-12]. A 401 says something about one request
// with one token. Whether it says something about the token is decided by
// evidence: was the token ever accepted, how old is it, was it refused again
// when the request was sent again, and did anything accept it meanwhile.

// youth are the waits before a young token that nothing has accepted yet is
// sent again [10]. Replication lag and clocks that differ are the usual reason
// for its rejection.
var youth = [...]time.Duration{250 * time.Millisecond, time.Second, 3 * time.Second}

const (
	// young is how long ago such a token was put in use at the most, and aged
	// how long ago it was obtained: by another machine's clock, perhaps.
	young = 10 * time.Second
	aged  = time.Minute

	// maxDuds is how many tokens in a row that nothing accepts are replaced at
	// once.
	maxDuds = 2

	// A bar is short: the newest token is tried again after it, which costs one
	// request. Another token is obtained more rarely, another login most rarely.
	firstBar, longestBar         = time.Second, 15 * time.Second
	firstAnother, longestAnother = 30 * time.Second, 5 * time.Minute
	firstRelogin, longestRelogin = 5 * time.Minute, 2 * time.Hour

	// lost is how long the token of a session that has ended is not tried.
	lost = 30 * time.Second

	// An operation that was given up fails at once for so long.
	firstRefusal, longestRefusal = 15 * time.Second, 5 * time.Minute
	// It is remembered for refusalMemory after that, and so many at the most:
	// their names come from callers. All others then count as one.
	refusalMemory = time.Hour
	maxRefusals   = 64
	theRest       = "\x00"
)

// rejections is what is remembered of them.
type rejections struct {
	// duds counts tokens in a row that nothing accepted; dud is the last one.
	duds int32
	dud  uint32
	// bars counts the bars in a row; while bar holds callers get an error.
	bars int32
	bar  span
	// While another holds no token is obtained in place of dud without a
	// person, and while relogin holds no person is asked. others and logins
	// count how often that was put off.
	another, relogin span
	others, logins   int32
	// flakes counts tokens that were accepted after they were rejected.
	flakes int32
	// operations that were refused with a token that was accepted elsewhere,
	// and with its successor.
	operations map[string]refusal
}

type refusal struct {
	count int32
	hold  span // the operation fails at once
	// While stay holds, or when a token was accepted after acceptance, the
	// refusals say nothing about the token: a login does not help. logins counts
	// those that did not.
	stay       span
	acceptance uint32
	logins     int32
}

// dead reports whether the refusals of an operation can mean that the token is dead:
// nothing has accepted it for long.
func (m *Machine) dead(now time.Time, o refusal) bool {
	return o.count == 0 || o.acceptance == m.acceptance && !o.stay.holds(now)
}

func (r *rejections) empty() bool {
	return r.duds == 0 && r.bar == span{} && r.flakes == 0 && len(r.operations) == 0
}

// barred reports whether the tokens are so bad that callers get an error.
func (m *Machine) barred(now time.Time) bool {
	return m.trouble != nil && m.trouble.rejections.bar.holds(now)
}

// Accepted notes that a server accepted the token with id. It reports whether
// that was news.
func (m *Machine) Accepted(id uint32) bool {
	t := &m.token
	if id == 0 || id != t.id || (t.accepted && !t.rejected) {
		return false
	}
	m.acceptance++
	if t.rejected && t.accepted {
		r := &m.troubled().rejections
		r.flakes = min(r.flakes+1, 100)
	}
	t.accepted, t.rejected, t.doomed = true, false, false
	if m.trouble != nil {
		m.trouble.gone = span{}
		r := &m.trouble.rejections
		*r = rejections{flakes: r.flakes, operations: r.operations}
		m.tidy()
	}
	return true
}

// Known reports whether the machine needs to hear of no further acceptance of
// the token in use.
func (m *Machine) Known() bool { return m.token.accepted && !m.token.rejected }

// judge looks at the token in use, which a server refused for one request. It
// decides unless the token has to be replaced.
func (m *Machine) judge(now time.Time, n *Need) (Decision, bool) {
	t := &m.token
	switch {
	case t.accepted && n.Replaced:
		// Others accept it: the server means this request.
		return m.refuse(now, n), true
	case t.accepted:
		if waits := m.patience(now, n); int(n.Tries) < len(waits) {
			return m.resend(waits, n), true
		}
		if n.Since != m.acceptance && !m.Renewable() {
			return m.refuse(now, n), true // it was accepted while this request was refused
		}
		if o := m.refusal(n); o.count > 0 && o.acceptance != m.acceptance {
			return m.refuse(now, n), true // another token did not help before, and others go on
		}
		return Decision{}, false
	case int(n.Tries) < len(youth) && m.young(now):
		return m.resend(youth[:], n), true
	case n.Replaced:
		return m.refuse(now, n), true
	}
	return m.condemn(now)
}

// resend is the decision to send the token again after the next of waits.
func (m *Machine) resend(waits []time.Duration, n *Need) Decision {
	if n.Tries == 0 {
		n.Since = m.acceptance
	}
	return Decision{Action: Resend, Delay: waits[n.Tries]}
}

// young reports whether the token is so new that a server may not know it yet.
func (m *Machine) young(now time.Time) bool {
	t := &m.token
	if t.obtained == 0 || nanos(now)-t.obtained > int64(aged) {
		return false // from the store, or given by the program
	}
	return span{t.seen, t.seen + int64(young+youth[0]+youth[1]+youth[2])}.holds(now)
}

// patience are the waits before a token that was accepted elsewhere is sent
// again with the same request. Where a replacement costs a token request one
// more try will do; where it costs a person's time it takes more. A server that
// is known to refuse good tokens, since one of its replicas is wrong, gets more
// of both.
func (m *Machine) patience(now time.Time, n *Need) []time.Duration {
	waits := []time.Duration{0, youth[0], youth[1], youth[2], youth[2], youth[2], youth[2]}
	switch byPerson := !m.Renewable() && m.canLogIn(now, n); {
	case byPerson && m.flaky():
		return waits
	case byPerson:
		return waits[:4]
	case m.flaky() && !n.NoLogin:
		return waits[:2]
	}
	return waits[:1]
}

// flaky reports whether a server accepted a token again that was refused before.
func (m *Machine) flaky() bool { return m.trouble != nil && m.trouble.flakes > 0 }

// condemn notes that nothing accepts the token in use [12]. It decides unless
// the token may be replaced.
func (m *Machine) condemn(now time.Time) (Decision, bool) {
	r, t := &m.troubled().rejections, &m.token
	if r.dud != t.id {
		r.dud = t.id
		r.duds++
		if r.duds > maxDuds {
			r.another = lasting(now, step(firstAnother, longestAnother, r.others))
			r.others++
		}
		if t.login {
			// A person has just logged in for it: another login would bring
			// the same.
			r.relogin = lasting(now, step(firstRelogin, longestRelogin, r.logins))
			r.logins++
		}
	}
	if m.Renewable() && !r.another.holds(now) || !m.Renewable() && !r.relogin.holds(now) {
		return Decision{}, false
	}
	r.bar = lasting(now, step(firstBar, longestBar, r.bars))
	r.bars++
	return m.bar(), true
}

// bar is the decision for everybody after too many rejections.
func (m *Machine) bar() Decision {
	r := &m.trouble.rejections
	return Decision{Action: Fail, Reason: Rejected, Count: int(r.duds), RetryAt: wall(r.bar.until)}
}

// refuse gives up on one operation [11]: the token is good elsewhere, or has
// replaced one that was. It fails at once for a while, and all others go on.
func (m *Machine) refuse(now time.Time, n *Need) Decision {
	r := &m.troubled().rejections
	for op, old := range r.operations {
		if !(span{old.hold.from, old.hold.until + int64(refusalMemory)}).holds(now) {
			delete(r.operations, op)
		}
	}
	op := r.operation(n)
	last := r.operations[op]
	if stale := last.acceptance != m.acceptance; stale || !last.stay.holds(now) {
		if last.count > 0 && !stale {
			last.logins++
		}
		last.stay, last.acceptance = lasting(now, step(firstRelogin, longestRelogin, last.logins)), m.acceptance
	}
	last.hold = lasting(now, step(firstRefusal, longestRefusal, last.count))
	last.count++
	if r.operations == nil {
		r.operations = make(map[string]refusal)
	}
	r.operations[op] = last
	return Decision{Action: Fail, Reason: RejectedOperation, Count: int(last.count), RetryAt: wall(last.hold.until)}
}

// refusal returns what is remembered of the operation.
func (m *Machine) refusal(n *Need) refusal {
	if m.trouble == nil {
		return refusal{}
	}
	r := &m.trouble.rejections
	return r.operations[r.operation(n)]
}

// operation is the name that the operation of n is remembered by.
func (r *rejections) operation(n *Need) string {
	if _, known := r.operations[n.Operation]; !known && len(r.operations) >= maxRefusals {
		return theRest
	}
	return n.Operation
}
