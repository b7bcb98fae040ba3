package auth

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/mcptokens/mcptokens/auth/discovery"
)

// snapshot is what callers read without a lock: a token, and until when it may be
// handed out without a second thought; or else what gets the next one.
type snapshot struct {
	token   *Token
	until   int64   // wall clock, Unix nanoseconds
	renewal *flight // to wait for; nil: look at the state
}

// state is all that a manager knows. Manager.mu guards it and is never held
// across I/O. What happens over the network happens in a flight.
type state struct {
	closed bool

	// narrow: rec.Issuer was seen not to widen scopes by refresh.
	narrow bool

	// unsaved: rec's token is newer than what the store holds, which has one of
	// replaced, the refresh tokens that led to it: a save that failed may have
	// arrived all the same; nil: none. dirty: so are the step-up limits.
	unsaved, dirty bool
	// since is when this manager got its token, in the directory's time; 0: from
	// the store.
	since    uint32
	replaced *[]string // few managers have some

	// undeleted was forgotten, but the store may hold it still.
	undeleted *Token

	// rec is the credential in use: never nil, never changed in place.
	rec      *Record
	serial   uint64 // of the newest token
	loadedAt int64  // when the store was last read, as in snapshot; 0: not yet

	// window is how long before its expiry rec.Token is due for an early
	// refresh; 0: never.
	window time.Duration
	// rejected is rec.Token if a server refused it.
	rejected *Token
	// refused is why rec.Token cannot be refreshed any more.
	refused error

	// At most one flight of each kind is under way.
	load, renew, login *flight
	unwatch            func() // ends the store's hints

	// The renewal, or load that left nothing to renew, and the authorization that
	// failed last; nil once there is a new token.
	renewFailed, loginFailed *failure

	lastErr error // for Info

	// listed are the resource's metadata as this manager last saw them; nil:
	// not yet. They are the directory's.
	listed *discovery.ProtectedResource

	// wake is closed by Close, for the sleepers of Manager.sleep; nil while
	// there are none.
	wake     chan struct{}
	sleepers int32

	saveFailures            int32       // in a row
	refreshTimer, saveTimer *time.Timer // of Manager.afterFunc

	binding    *binding // see Manager.proofKey
	stepUps    map[string]*stepUp
	rejections *rejections // nil: none yet
}

func (s *state) replacedTokens() []string {
	if s.replaced == nil {
		return nil
	}
	return *s.replaced
}

// supported are the resource's scopes_supported.
func (s *state) supported() []string {
	if s.listed == nil {
		return nil
	}
	return s.listed.ScopesSupported
}

// usable reports whether the token in use may be presented at now.
func (s *state) usable(now time.Time) bool {
	return s.rec.Token.live(now) && (s.rejected == nil || !s.rejected.same(s.rec.Token))
}

// canRenew reports whether a fresh token can be had without a person: by the
// refresh token, or by a grant that needs nobody once it has worked before.
func (s *state) canRenew(g Grant) bool {
	if s.rec.Token == nil {
		return false
	}
	if s.rec.Token.RefreshToken != "" && s.refused == nil {
		return true
	}
	return g != nil && !g.Interactive()
}

// refreshAt is when the token's early refresh was planned; zero: it was not.
func (s *state) refreshAt() time.Time {
	if s.rec.Token == nil || s.window == 0 {
		return time.Time{}
	}
	return s.rec.Token.Expiry.Add(-s.window)
}

// dueAt is when the planned refresh is due, after failures as well.
func (s *state) dueAt() time.Time { return later(s.refreshAt(), s.renewFailed.pausedUntil()) }

// failure is an operation that failed and is left alone for a while: until then
// the callers are told err.
type failure struct {
	count int // in a row
	err   error
	until time.Time
	load  bool // of the store
}

// again returns the failure after f, which nil may be.
func (f *failure) again(err error, until time.Time) *failure {
	return &failure{count: f.times() + 1, err: err, until: until}
}

func (f *failure) times() int {
	if f == nil {
		return 0
	}
	return f.count
}

func (f *failure) pausedUntil() time.Time {
	if f == nil {
		return time.Time{}
	}
	return f.until
}

// at returns what the callers are told at now: nil when the next attempt is due.
func (f *failure) at(now time.Time) error {
	if f == nil || !now.Before(f.until) {
		return nil
	}
	return f.err
}

// jitteredWindow is how long before its expiry a token with lifetime (0:
// unknown) is refreshed (design invariants 7 and 9): at most half of the
// lifetime, else a token shorter-lived than the window would be refreshed at
// every call; and up to a tenth longer, drawn once per token.
func jitteredWindow(window, lifetime time.Duration) time.Duration {
	w := window
	if lifetime > 0 {
		w = min(w, lifetime/2)
	}
	return w + time.Duration(rand.Float64()*0.1*float64(w))
}

// setRecord puts rec in use at now: every number that depends on the token is
// computed here, once per token.
func (m *Manager) setRecord(rec *Record, now time.Time) {
	s := &m.st
	if rec.Token != nil {
		s.undeleted = nil
	}
	if t := rec.Token; t != nil && (t.serial == 0 || !t.same(s.rec.Token)) {
		if rec.Token.binding != nil {
			s.binding = rec.Token.binding
		}
		if rec.Token.serial == 0 {
			s.serial++
			rec.Token.serial = s.serial
		}
		s.rejected, s.loginFailed = nil, nil
		m.setRenewal(rec)
	} else if t != nil && t.RefreshToken != s.rec.Token.RefreshToken {
		m.setRenewal(rec) // what was so of the old one says nothing about this
	}
	s.narrow = s.narrow && rec.Issuer == s.rec.Issuer
	s.rec = rec
	m.republish(now)
}

// setRenewal computes what depends on how rec's token is renewed.
func (m *Manager) setRenewal(rec *Record) {
	s := &m.st
	s.refused, s.window = nil, 0
	if !rec.Token.Expiry.IsZero() {
		var life time.Duration
		if !rec.Obtained.IsZero() {
			life = rec.Token.Expiry.Sub(rec.Obtained)
		}
		s.window = jitteredWindow(m.cfg.RefreshWindow, life)
	}
	s.renewFailed, s.lastErr = nil, nil
}

// republish recomputes the snapshot and the timer from the state.
func (m *Manager) republish(now time.Time) {
	s := &m.st
	m.current.Store(m.makeSnapshot(now))
	m.stop(&s.refreshTimer)
	if m.cfg.NoIdleRefresh || s.closed || s.renew != nil || !s.usable(now) || !s.canRenew(m.cfg.Grant) || s.window == 0 {
		return
	}
	due := s.dueAt()
	if !due.Before(s.rec.Token.Expiry) {
		return // nobody asks and it is about to die: the next caller refreshes
	}
	s.refreshTimer = m.afterFunc(due.Sub(now), (*Manager).onRefreshTimer)
}

// makeSnapshot decides until when the token is handed out without a look at
// the state. Within the window the state must be looked at once, to start the
// refresh; while that runs or is not due again, it need not be.
func (m *Manager) makeSnapshot(now time.Time) *snapshot {
	s := &m.st
	if s.closed {
		return nil
	}
	var renewal *flight
	if s.canRenew(m.cfg.Grant) {
		renewal = s.renew
	}
	if !s.usable(now) {
		if renewal == nil {
			return nil
		}
		return &snapshot{renewal: renewal}
	}
	const forever = int64(1<<63 - 1)
	until := forever
	if !s.rec.Token.Expiry.IsZero() {
		until = s.rec.Token.Expiry.UnixNano()
	}
	if s.renew == nil && s.window > 0 && s.canRenew(m.cfg.Grant) {
		until = min(until, s.dueAt().UnixNano())
	}
	return &snapshot{s.rec.Token, until, renewal}
}

// onRefreshTimer refreshes the token of a manager that nobody asks.
func (m *Manager) onRefreshTimer() {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := wallNow()
	s := &m.st
	if s.closed || s.renew != nil || !s.usable(now) || !s.canRenew(m.cfg.Grant) {
		return
	}
	if now.Before(s.dueAt()) {
		m.republish(now) // the wall clock was set back: wait again
		return
	}
	m.startRenewal(context.Background(), renewal{trigger: TriggerTimer})
}

// wallNow is the time without its monotonic part: a token's life goes on while
// a laptop sleeps, the monotonic clock does not.
func wallNow() time.Time { return time.Now().Round(0) }

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
