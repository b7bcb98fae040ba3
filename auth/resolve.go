package auth

import (
	"context"
	"time"
)

// Resolve implements [Source]. What it does depends on the challenge:
//
//   - The token in use is not rejected any more: it is returned, and a late
//     401 for an old token does nothing to its successor.
//   - insufficient_scope: the scopes are upgraded, see [Manager.UpgradeScopes].
//     One set of scopes is asked for at most [Config.StepUpLimit] times; then
//     the same challenge gets *[InsufficientScopeError] at once for a while.
//   - Otherwise the token is refreshed if it can be, else the grant is used,
//     which may involve the user.
//
// Callers that wait for the same thing share one operation, which outlives
// them: a refresh is always finished, an authorization goes on for half a
// minute after the last caller has gone.
//
// Errors: *[ReauthorizationRequiredError], *[InsufficientScopeError],
// *[RejectedError], those of [Manager.Token] and [Manager.Authorize].
func (m *Manager) Resolve(ctx context.Context, rejected *Token, c Challenge) (*Token, error) {
	if err := m.ensureLoaded(ctx); err != nil {
		return nil, err
	}
	if c.InsufficientScope() && rejected != nil {
		return m.resolveScope(ctx, rejected, c)
	}
	return m.resolveToken(ctx, rejected, c)
}

// resolveToken answers a 401.
func (m *Manager) resolveToken(ctx context.Context, rejected *Token, c Challenge) (*Token, error) {
	for counted := false; ; {
		m.mu.Lock()
		s, now := &m.st, wallNow()
		if s.closed {
			m.mu.Unlock()
			return nil, ErrClosed
		}
		if s.usable(now) && !s.rec.Token.same(rejected) {
			tok := s.rec.Token
			m.mu.Unlock()
			return tok, nil
		}
		if rejected != nil && s.rec.Token.same(rejected) && !counted {
			counted = true
			if err := m.reject(now); err != nil {
				m.mu.Unlock()
				return nil, err
			}
		}
		f, err := m.replace(ctx, c, now)
		if err != nil {
			m.mu.Unlock()
			return nil, err
		}
		renewing := f == s.renew
		m.join(f)
		m.mu.Unlock()
		tok, err := m.wait(ctx, f)
		switch {
		case err == nil && !tok.same(rejected):
			return tok, nil
		case err == nil: // a flight that was ending as the rejection came in
		case renewing && (m.renewalEnded(err) || m.hasOther(rejected)): // what is left is the grant, or somebody has used it
		case ctx.Err() == nil && m.givenUp(f): // it ended as we came
		default:
			return nil, err
		}
	}
}

// replace starts or joins what gets a token in place of the one in use. The
// caller holds m.mu.
func (m *Manager) replace(ctx context.Context, c Challenge, now time.Time) (*flight, error) {
	s := &m.st
	switch {
	case s.renew != nil:
		return s.renew, nil
	case s.rejections.barred(now) && s.login == nil:
		return nil, m.rejectedError()
	case s.canRenew(m.cfg.Grant):
		if err := s.renewFailed.at(now); err != nil {
			return nil, err
		}
		return m.startRenewal(ctx, renewal{trigger: TriggerChallenge, challenge: &c}), nil
	case m.cfg.Grant == nil:
		return nil, m.reauthorization(c.Scopes)
	case s.login != nil:
		return s.login, nil
	case s.loginFailed.at(now) != nil:
		return nil, s.loginFailed.err
	}
	return m.startLogin(ctx, login{trigger: TriggerChallenge, challenge: c, instead: s.rejected}), nil
}

// renewalEnded reports that err ended the refresh token, so that another way
// has to be taken.
func (m *Manager) renewalEnded(err error) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return !m.st.closed && !m.st.canRenew(m.cfg.Grant) && m.ended(err)
}

// hasOther reports whether a token other than rejected is in use.
func (m *Manager) hasOther(rejected *Token) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.st.usable(wallNow()) && !m.st.rec.Token.same(rejected)
}

// rejections remembers how a server treats tokens that are new. Many managers
// have one, so that its times are wall clock in Unix nanoseconds.
type rejections struct {
	inRow       int
	last, until int64
}

const (
	// A token that is rejected within freshness of the one before is young: it
	// was no good from the start.
	freshness = time.Minute
	// So many in a row are answered with another token at once, where that
	// takes a request, and where it takes a person; the next ones at growing
	// intervals.
	rejectionsRenewed = 3
	rejectionsByLogin = 1
)

// reject notes that the token in use was rejected, and refuses to get another
// if the server rejects whatever it is shown. The caller holds m.mu.
func (m *Manager) reject(now time.Time) error {
	s := &m.st
	if s.rejections == nil {
		s.rejections = new(rejections)
	}
	r := s.rejections
	if s.rejected == nil || !s.rejected.same(s.rec.Token) {
		s.rejected = s.rec.Token
		if s.rec.Token.live(now) { // else it has died on its way, as tokens do
			allowed := rejectionsRenewed
			if !s.canRenew(m.cfg.Grant) {
				allowed = rejectionsByLogin
			}
			r.note(now, allowed)
		}
		m.republish(now)
	}
	if r.barred(now) {
		return m.rejectedError()
	}
	return nil
}

// note counts a rejection; after those allowed, each one bars the next token for
// longer.
func (r *rejections) note(now time.Time, allowed int) {
	if now.UnixNano()-r.last > int64(freshness) {
		r.inRow = 0
	}
	r.inRow++
	r.last = now.UnixNano()
	if over := r.inRow - allowed; over > 0 {
		r.bar(now, over)
	}
}

func (r *rejections) bar(now time.Time, over int) {
	r.until = now.Add(min(time.Second<<min(over, 10), 5*time.Minute)).UnixNano()
	r.last = r.until
}

// barred reports whether the server had so many tokens rejected that it gets no
// other yet.
func (r *rejections) barred(now time.Time) bool { return r != nil && now.UnixNano() < r.until }

func (r *rejections) error(resource string) error {
	return &RejectedError{Resource: resource, Rejections: r.inRow, RetryAt: time.Unix(0, r.until)}
}

func (m *Manager) rejectedError() error {
	return m.st.rejections.error(m.canonical)
}
