package lifecycle

import (
	"reflect"
	"slices"
	"time"
)

// Class says what a failure means for the next try [14].
type Class uint8

const (
	// Unclassified: nobody knows. It is treated like Transient.
	Unclassified Class = iota
	// Transient: nothing came of it; the same request may work later.
	Transient
	// Throttled: the server is busy, and may have said for how long.
	Throttled
	// Elsewhere: nothing was sent, since another process has the credential's lock.
	// It may wait for an answer that comes late.
	Elsewhere
	// Ambiguous: the request was sent and its answer was lost. A refresh token
	// that rotates may be spent.
	Ambiguous
	// RefusedToken: the server refused the refresh token that was sent, and no
	// other process has stored a newer one.
	RefusedToken
	// RefusedRequest: the server refused the request. The refresh token may be
	// good, but this request does not work with it.
	RefusedRequest
	// RefusedScopes: the server refused the scopes that were asked for. That
	// says nothing about the refresh token.
	RefusedScopes
	// RefusedClient: the server refused the client or its proof. A login would
	// meet the same refusal.
	RefusedClient
	// Ours: the request was not sent because something in this program is
	// wrong: the configuration, the store, a callback.
	Ours
)

// Passes reports whether the failure goes away by itself.
func (c Class) Passes() bool { return c <= Ambiguous }

// blocksLogin reports whether a login would meet the same failure, or is not
// worth a person's time since the failure passes [13].
func (c Class) blocksLogin() bool { return c.Passes() || c == RefusedClient || c == Ours }

// Failure is how an operation ended.
type Failure struct {
	Class Class
	// Err is what callers get until the next attempt is due.
	Err error
	// RetryAfter is what the server asked for.
	RetryAfter time.Duration
	// Renewal is the refresh token that was sent; 0: none.
	Renewal uint32
	// Asked: a person was asked.
	Asked bool
	// Input names what the grant used, such as an assertion. It is no secret.
	// Empty: nothing that the program could replace.
	Input string
	// Until is when the link gets useless that Err has for a person, who can log
	// in there for Scopes; zero: it has none.
	Until  time.Time
	Scopes []string
}

const (
	// needed is the longest pause after a transient failure while somebody
	// needs a token: one request in so many seconds is no storm.
	needed = 5 * time.Second
	// unneeded is the same while the old token still works.
	unneeded = 30 * time.Second
	// stubborn bounds the pause after a failure that only a person can fix: the
	// operator of the server, or the author of the configuration.
	stubborn = 5 * time.Minute

	// maxJitter bounds how much longer than what a server asked for a pause is.
	maxJitter = time.Second

	// longestFloor bounds what a server can ask for, whatever the caller allows.
	longestFloor = 24 * time.Hour

	loginPause    = 30 * time.Second
	maxLoginPause = 30 * time.Minute
)

// pause is an operation that failed and is left alone for a while [15]. The
// zero value is no pause.
type pause struct {
	err   error // what callers get
	plain error // the same without the time of the next attempt
	// input is what the grant used, and replaced whether it was another one
	// than the time before.
	input    string
	replaced bool
	// count is how many failures there were in a row, and hard how many of them
	// do not pass by themselves, or cost the refresh token or a person's time:
	// what a long outage left behind must not make their pauses long.
	count, hard int32
	// link: err has a link for a person, who can log in there for scopes.
	link   bool
	scopes []string
	// until is when the operation may begin again, soon when it may because a
	// caller has no token to use. from is when the pause began.
	from, until, soon int64
}

// over reports whether a caller who needs the operation may begin it.
//
//go:noinline
func (p *pause) over(now time.Time) bool { return p.err == nil || !span{p.from, p.soon}.holds(now) }

// rested reports the same for an operation that nobody needs yet.
func (p *pause) rested(now time.Time) bool { return p.err == nil || !span{p.from, p.until}.holds(now) }

// span is a stretch of time by the wall clock. It is over as well when the
// clock was set back to before its beginning: nobody waits for hours because a
// clock was wrong.
type span struct{ from, until int64 }

// slack is how far before its beginning a span holds: callers read the clock
// before they take the lock, and clocks are corrected by a little all the time.
const slack = time.Minute

// holds reports whether now is in the span.
//
//go:noinline
func (s span) holds(now time.Time) bool {
	at := nanos(now)
	return s.from-int64(slack) <= at && at < s.until
}

// before reports whether now is before the beginning.
func (s span) before(now time.Time) bool { return nanos(now) < s.from-int64(slack) }

// tick ends for good what is over because the clock was set back: it does not
// come back when the clock reaches that time again.
func (t *trouble) tick(now time.Time) {
	if t == nil {
		return
	}
	at := nanos(now)
	back := at < t.clock-int64(slack)
	t.clock = at
	if !back {
		return
	}
	for _, p := range []*pause{&t.load, &t.renew, &t.login, &t.save} {
		if (span{p.from, p.until}).before(now) {
			p.from, p.until, p.soon = 0, 0, 0
		}
	}
	for _, s := range []*span{&t.gone, &t.bar, &t.another, &t.relogin} {
		if s.before(now) {
			*s = span{}
		}
	}
	for name, o := range t.operations {
		if o.hold.before(now) {
			o.hold = span{}
		}
		if o.stay.before(now) {
			o.stay = span{}
		}
		t.operations[name] = o
	}
}

// lasting returns a span that begins at now.
func lasting(now time.Time, d time.Duration) span {
	return span{nanos(now), nanos(now) + int64(d)}
}

// step is the n-th wait (from 0) of a series that begins with first and
// doubles up to most.
//
//go:noinline
func step(first, most time.Duration, n int32) time.Duration {
	return min(first<<min(n, 20), most)
}

// fail makes of p the pause after it. A try in between does not shorten what a
// server asked for.
func (m *Machine) fail(p *pause, now time.Time, f *Failure, wait, soon time.Duration) {
	// Up to a fifth longer at random: clients that failed in the same second
	// must not come back in the same second. What the server asked for is a
	// floor.
	longer := func(d, most time.Duration) time.Duration {
		return d + time.Duration(m.policy.Jitter()*float64(min(d/5, most)))
	}
	m.trouble.tick(now)
	at := nanos(now)
	asked := min(f.RetryAfter, longestFloor)
	next := pause{err: f.Err, count: p.count + 1, hard: p.hard, from: at, until: at + int64(longer(wait, wait)), soon: at + int64(soon)}
	if asked > 0 {
		floor := at + int64(longer(asked, maxJitter))
		next.until, next.soon = max(next.until, floor), max(next.soon, floor)
	}
	if f.Class >= Ambiguous || f.Asked {
		next.hard++
	}
	if !p.over(now) { // begun by hand in the middle of a pause
		next.until, next.soon = max(next.until, p.until), max(next.soon, p.soon)
	}
	next.plain, next.input = f.Err, f.Input
	next.replaced = p.replaced && p.from == 0
	if m.policy.Timed != nil {
		next.err = m.policy.Timed(f.Err, wall(next.soon))
	}
	*p = next
}

// Timed returns err as callers get it while the operation that it ended is left
// alone.
func (m *Machine) Timed(err error) error {
	if t := m.trouble; t != nil {
		for _, p := range []*pause{&t.renew, &t.login} {
			if p.err != nil && same(p.plain, err) {
				return p.err
			}
		}
	}
	return err
}

// same reports whether a and b are one error. Errors come from programs too, and
// some cannot be compared.
func same(a, b error) bool {
	return a == nil && b == nil || reflect.ValueOf(a).Comparable() && reflect.ValueOf(b).Comparable() && a == b
}

// Patient returns what the failure of a renewal means by now: another process that
// has the lock is waited for, without an error and without a pause, as long as it
// may wait for an answer. After that it is a failure like others.
func (m *Machine) Patient(now time.Time, f Failure) Failure {
	t := m.trouble
	switch {
	case f.Class == Elsewhere:
		if t = m.troubled(); t.elsewhere == (span{}) || t.elsewhere.before(now) {
			t.elsewhere = lasting(now, m.policy.Patience)
		}
		if !t.elsewhere.holds(now) {
			f.Class = Transient
		}
	case t != nil:
		t.elsewhere = span{}
	}
	return f
}

// RenewFailed notes how a renewal failed. A failure that belongs to a refresh
// token that is no longer in use changes nothing [6].
func (m *Machine) RenewFailed(now time.Time, f Failure) {
	if f.Renewal != m.token.renewal || m.token.id == 0 {
		return
	}
	t := m.troubled()
	switch f.Class {
	case RefusedScopes, Elsewhere:
		m.tidy()
		return
	case RefusedToken, RefusedRequest:
		// The request may work again some day. Where nothing else can be tried
		// it is, in pauses.
		given := f.Class == RefusedToken || m.policy.Grant != Nothing
		if given && f.Renewal != 0 && t.ended == nil {
			t.ended, t.kept = f.Err, f.Class == RefusedRequest
			m.mourn(now)
		}
		if given && m.policy.Grant != Alone {
			m.tidy()
			return // what is left is a login, which this says nothing about
		}
	}
	n, hard := t.renew.count, t.renew.hard
	switch f.Class {
	case RefusedToken, RefusedRequest, RefusedClient, Ours:
		wait := step(time.Second, stubborn, hard)
		m.fail(&t.renew, now, &f, wait, wait)
	case Ambiguous:
		// Sending the refresh token on and on is what servers look for to
		// detect stolen ones. A caller without another token has nothing to lose.
		m.fail(&t.renew, now, &f, step(needed, stubborn, hard), needed)
	default:
		m.fail(&t.renew, now, &f, step(time.Second, unneeded, n), step(time.Second, needed, n))
	}
}

// LoginFailed notes how a login failed. After one that asked a person it takes
// long until another window opens by itself.
func (m *Machine) LoginFailed(now time.Time, f Failure) {
	t := m.troubled()
	t.reprieve() // the login did not help either
	if !f.Until.IsZero() {
		t.login = linked(now, f)
		return
	}
	wait := step(time.Second, needed, t.login.count)
	switch {
	case f.Asked:
		wait = step(loginPause, maxLoginPause, t.login.hard)
	case f.Class > Ambiguous:
		wait = step(time.Second, stubborn, t.login.hard)
	}
	m.fail(&t.login, now, &f, wait, wait)
}

// Replaced ends the pauses if input is not what the operation that failed used:
// the program has replaced it [15]. It reports whether it did. A pause after such
// an attempt is not ended again: some programs use another input each time.
func (m *Machine) Replaced(input string) bool {
	t := m.trouble
	if t == nil || input == "" {
		return false
	}
	for _, p := range []*pause{&t.renew, &t.login} {
		if p.err != nil && p.input != "" && p.input != input && !p.replaced {
			m.Forgive()
			p.input, p.replaced = "", true
			return true
		}
	}
	return false
}

// linked returns the pause for as long as callers get the same link. It ends early
// enough for a person to follow the link that the last caller got.
func linked(now time.Time, f Failure) pause {
	at := nanos(now)
	soon := at + (nanos(f.Until)-at)/2
	return pause{err: f.Err, plain: f.Err, link: true, scopes: f.Scopes, from: at, until: soon, soon: soon}
}

// answers reports whether the error of the pause is one for n: a link for other
// scopes is not.
func (p *pause) answers(n *Need) bool {
	return !p.link || !slices.ContainsFunc(n.Scopes, func(s string) bool { return !slices.Contains(p.scopes, s) })
}

// LoadFailed notes that the store could not be read. Reading costs little, and
// a person may just have unlocked the keyring, so the pause is short.
func (m *Machine) LoadFailed(now time.Time, err error) {
	t := m.troubled()
	wait := step(time.Second, needed, t.load.count)
	m.fail(&t.load, now, &Failure{Err: err}, wait, wait)
}

// SaveFailed notes that the token in use is not stored; Saved that it is.
func (m *Machine) SaveFailed(now time.Time, err error) {
	t := m.troubled()
	wait := step(250*time.Millisecond, unneeded, t.save.count)
	m.fail(&t.save, now, &Failure{Err: err}, wait, wait)
}

// Saved is the opposite of SaveFailed.
func (m *Machine) Saved() {
	if m.trouble != nil {
		m.trouble.save = pause{}
		m.tidy()
	}
}

// RetryAt is when a renewal that failed, or else a login, may begin again by
// itself, or because of callers if they have no token; zero: nothing is held
// back.
func (m *Machine) RetryAt(now time.Time) time.Time {
	if t := m.trouble; t != nil {
		for _, p := range []*pause{&t.renew, &t.login, &t.load} {
			switch {
			case !m.live(now) && !p.over(now):
				return wall(p.soon)
			case m.live(now) && !p.rested(now):
				return wall(p.until)
			}
		}
		if m.barred(now) {
			return wall(t.rejections.bar.until)
		}
	}
	return time.Time{}
}

// LastErr is why the last operation failed; nil after a success.
func (m *Machine) LastErr() error {
	t := m.trouble
	if t == nil {
		return nil
	}
	for _, err := range []error{t.ended, t.renew.err, t.login.err, t.load.err, t.save.err} {
		if err != nil {
			return err
		}
	}
	return nil
}
