package lifecycle

import "time"

// Means is how a token can be obtained when there is no refresh token to use.
type Means uint8

const (
	Nothing Means = iota // there is no grant
	Person               // the grant needs a person
	Alone                // the grant needs nobody
)

// Policy is what all machines of one configuration have in common. It does not
// change.
type Policy struct {
	// Window is how long before its expiry a token is renewed. It shrinks for
	// tokens that live less than twice as long.
	Window time.Duration
	// Grant is what there is beside the refresh token.
	Grant Means
	// Jitter returns a number in [0,1). It is called once per token and per
	// pause.
	Jitter func() float64
	// Timed returns err with the time of the next attempt in it; nil: as it is.
	Timed func(err error, at time.Time) error
	// Idle: the timer renews a token that nobody asks for.
	Idle bool
	// Shared: others may write to the store, so it is worth a look.
	Shared bool
	// Hints: the store says when others write, so it is not polled.
	Hints bool
	// Patience is how long another process that has the lock is waited for.
	Patience time.Duration
}

// Token is what the machine knows of a token.
type Token struct {
	// ID tells tokens apart. 0: there is no token.
	ID uint32
	// Renewal tells refresh tokens apart. 0: there is none.
	Renewal uint32
	// Expiry is zero when the lifetime is unknown, Obtained when that is.
	Expiry, Obtained time.Time
	// Access: there is an access token, and not only a refresh token.
	Access bool
	// Login: a person logged in for it, in this process.
	Login bool
	// Issuer is the authorization server.
	Issuer string
	// Scopes were granted; nil: none are known. The machine keeps the pointer,
	// which takes less memory than the slice.
	Scopes *[]string
}

// Op is an operation that callers wait for.
type Op uint8

const (
	None  Op = 0
	Load  Op = 1 << iota // read the store
	Renew                // get a token without a person
	Login                // get a token with a person
	Save                 // store what could not be stored
)

// Machine is the state of one credential. Make one with [New].
type Machine struct {
	policy *Policy

	token token
	// acceptance counts how often a token was accepted for the first time, or
	// again after a rejection.
	acceptance uint32
	// running operations; owned by the caller, who tells of both ends.
	running Op
	closed  bool
	// version orders the results of operations that end at the same time.
	version uint64
	// loaded is when the store was read last; 0: not yet.
	loaded int64
	// trouble is what went wrong and is not over; nil for most machines.
	trouble *trouble
}

// token is Token in the form that takes the least memory, and the evidence.
type token struct {
	id, renewal            uint32
	expiry, obtained, seen int64         // Unix nanoseconds; 0: unknown
	window                 time.Duration // before expiry; 0: no early renewal
	scopes                 *[]string
	access, login          bool

	accepted bool // a server accepted it since it was put in use
	rejected bool // a server refused it since it was accepted last
	doomed   bool // so often that it had to be replaced
}

// trouble is the part of the state that a healthy credential does not have.
type trouble struct {
	load, renew, login, save pause
	// ended is why the refresh token can no longer be used; kept: it was not
	// refused itself.
	ended error
	kept  bool
	gone  span // the session has ended, see lost
	// elsewhere is how long another process that has the lock is waited for; zero:
	// none has it.
	elsewhere span
	// clock is when a decision was made last.
	clock int64
	// narrowAt is the authorization server that was seen not to widen the
	// scopes of a token by refresh.
	narrowAt string
	windows  windows // outlive the token
	rejections
}

// New returns a machine without a token. loaded: there is no store to read.
func New(p *Policy, loaded bool) Machine {
	m := Machine{policy: p}
	if loaded {
		m.loaded = 1
	}
	return m
}

// troubled makes the rare part of the state.
//
//go:noinline
func (m *Machine) troubled() *trouble {
	if m.trouble == nil {
		m.trouble = new(trouble)
	}
	return m.trouble
}

// tidy drops the rare part of the state when nothing is left of it.
func (m *Machine) tidy() {
	t := m.trouble
	if t != nil {
		t.windows = t.windows.current(wall(t.clock))
	}
	if t != nil && t.load.err == nil && t.renew.err == nil && t.login.err == nil && t.save.err == nil && t.ended == nil && t.elsewhere == (span{}) && t.narrowAt == "" && t.rejections.empty() && len(t.windows) == 0 {
		m.trouble = nil
	}
}

// Put brings a token into use: it was obtained, loaded, or given by the
// program. A zero Token means that there is no longer one. version orders
// results: Put reports false for one that is older than what is in use, and
// changes nothing.
func (m *Machine) Put(now time.Time, t Token, version uint64) bool {
	if version <= m.version {
		return false
	}
	m.version = version
	old := m.token
	next := token{
		id: t.ID, renewal: t.Renewal, expiry: nanos(t.Expiry), obtained: nanos(t.Obtained), seen: nanos(now),
		window: old.window, scopes: t.Scopes, access: t.Access, login: t.Login,
	}
	if t.ID == old.id {
		next.seen, next.login = old.seen, old.login
		next.accepted, next.rejected, next.doomed = old.accepted, old.rejected, old.doomed
	}
	if t.ID != old.id || t.Renewal != old.renewal || next.expiry != old.expiry {
		next.window = m.draw(t)
	}
	m.token = next
	if tr := m.trouble; tr != nil && (t.ID != old.id || t.Renewal != old.renewal) {
		tr.renew, tr.elsewhere = pause{}, span{}
		if t.ID != old.id || t.Renewal != 0 {
			tr.ended, tr.kept, tr.gone = nil, false, span{} // else it is why there is no longer a refresh token
		}
		if t.ID != old.id {
			tr.login = pause{}
			tr.rejections.bar = span{} // nothing has rejected this one [12]
		}
		if t.ID == 0 {
			tr.rejections = rejections{}
		}
	}
	if tr := m.trouble; tr != nil && tr.narrowAt != t.Issuer {
		tr.narrowAt = ""
	}
	m.tidy()
	return true
}

// Loaded notes that the store was read.
func (m *Machine) Loaded(now time.Time) {
	m.loaded = nanos(now)
	if m.trouble != nil {
		m.trouble.load = pause{}
		m.tidy()
	}
}

// Started notes that op runs; Ended that it no longer does.
func (m *Machine) Started(op Op) { m.running |= op }

// Ended is the opposite of Started.
func (m *Machine) Ended(op Op) { m.running &^= op }

// Running reports whether op runs.
func (m *Machine) Running(op Op) bool { return m.running&op != 0 }

// Close makes every decision from now on a failure.
func (m *Machine) Close() { m.closed = true }

// Closed reports whether Close was called.
func (m *Machine) Closed() bool { return m.closed }

// Forgive ends the pauses after failures: the program did something that may
// change the next outcome.
func (m *Machine) Forgive() {
	if t := m.trouble; t != nil {
		for _, p := range []*pause{&t.load, &t.renew, &t.login} {
			p.from, p.until, p.soon = 0, 0, 0 // the next one is as long as it would have been
			p.err = p.plain
		}
		t.reprieve()
		t.rejections = rejections{flakes: t.rejections.flakes}
		m.tidy()
	}
}

// reprieve lets a refresh token be tried again unless it was refused itself [6].
func (t *trouble) reprieve() {
	if t.kept {
		t.ended, t.kept = nil, false
	}
}

// live reports whether the access token can be presented at now.
func (m *Machine) live(now time.Time) bool {
	return m.token.access && (m.token.expiry == 0 || nanos(now) < m.token.expiry)
}

// Usable reports whether callers are given the token at now [5].
func (m *Machine) Usable(now time.Time) bool {
	return !m.closed && m.live(now) && !m.barred(now) && !m.lost(now)
}

// lost reports whether the session has ended: the refresh token was refused,
// and the token in use was rejected until it had to be replaced. One rejection
// of a token that was accepted is not enough: it may be about one request [8],
// and the others go on [5]. Of a token that nothing accepted it is: a revoked
// session looks like that. The token is tried again after a while, which costs
// one request [12].
func (m *Machine) lost(now time.Time) bool {
	t := m.trouble
	return t != nil && t.ended != nil && !t.kept && t.gone.holds(now) && !m.Renewable()
}

// mourn notes that the session has ended if both tokens say so.
func (m *Machine) mourn(now time.Time) {
	if t := m.trouble; t != nil && t.ended != nil && m.token.doomed {
		t.gone = lasting(now, lost)
	}
}

// Renewable reports whether a new token can be obtained without a person: by the
// refresh token, or by a grant that needs nobody once there was a token.
func (m *Machine) Renewable() bool {
	return m.token.id != 0 && (m.byRefresh() || m.policy.Grant == Alone)
}

// Narrow notes that issuer does not widen the scopes of a token by refresh:
// the grant has to.
func (m *Machine) Narrow(issuer string) { m.troubled().narrowAt = issuer }

func (m *Machine) narrow() bool { return m.trouble != nil && m.trouble.narrowAt != "" }

func (m *Machine) byRefresh() bool { return m.token.renewal != 0 && m.refused() == nil }

// Refused returns why the refresh token can no longer be used; nil if it can.
func (m *Machine) Refused() error { return m.refused() }

// refused is Refused.
//
//go:noinline
func (m *Machine) refused() error {
	if m.trouble == nil {
		return nil
	}
	return m.trouble.ended
}
