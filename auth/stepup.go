package auth

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"
)

const (
	// stepUpGather is how long an upgrade waits for others that are needed at
	// the same moment, so that they make one request, or one login, together.
	stepUpGather = 20 * time.Millisecond

	// stepUpMemory is how long the upgrades for one set of scopes are counted,
	// and how long their challenge then fails at once.
	stepUpMemory = 5 * time.Minute

	// maxUpgrades bounds the upgrades of all sets of scopes together within
	// stepUpMemory, and so how many sets are remembered, against a server that
	// names new scopes each time.
	maxUpgrades = 16
)

// stepUp remembers the upgrades for one set of scopes.
type stepUp struct {
	rejected []*Token // that led to an upgrade, each once
	before   int      // upgrades of an earlier process
	limit    []string // the scopes, once the limit was reached: for the store
	err      error    // of the last upgrade
	until    time.Time
}

// UpgradeScopes gets a token with scopes in addition to those granted or asked
// for before: by the refresh token if there is one, checking what was granted;
// what that did not grant, by the grant. Calls at the same moment share one
// upgrade. *[InsufficientScopeError]: it was granted less. Without a grant that could do it the error is
// *[ReauthorizationRequiredError] with all scopes to ask for; other errors are
// those of [Manager.Authorize].
func (m *Manager) UpgradeScopes(ctx context.Context, scopes ...string) (*Token, error) {
	scopes = normalizeScopes(scopes)
	if len(scopes) == 0 {
		return nil, &ConfigError{"scopes", "is empty; name the scopes to add"}
	}
	if slices.ContainsFunc(scopes, func(s string) bool { return !isScope(s) }) {
		return nil, &ConfigError{"scopes", notScopes}
	}
	if err := m.ensureLoaded(ctx); err != nil {
		return nil, err
	}
	tok, err := m.upgrade(ctx, nil, Challenge{Scopes: scopes}, TriggerExplicit)
	if err == nil && !coversScopes(tok.Scopes, scopes) {
		return nil, &InsufficientScopeError{Required: scopes, Granted: tok.Scopes, Resource: m.canonical, Attempts: 1}
	}
	return tok, err
}

// resolveScope answers insufficient_scope, a limited number of times.
func (m *Manager) resolveScope(ctx context.Context, rejected *Token, c Challenge) (*Token, error) {
	m.mu.Lock()
	now := wallNow()
	key := stepUpKey(c)
	entry, err := m.admitStepUp(key, rejected, c, now)
	if m.cfg.Grant != nil && len(c.Scopes) > 0 && coversScopes(rejected.Scopes, c.Scopes) && m.st.rec.Token.same(rejected) {
		// The token is said to have them and does not: a refresh whose answer
		// left scope out did not widen it.
		m.st.narrow = true
	}
	m.mu.Unlock()
	if err != nil {
		var limit *InsufficientScopeError
		if errors.As(err, &limit) { // rather than the error of one that was traced
			_, _, ended := m.traceStepUp(ctx, c)
			ended(StepUpEnd{Err: err})
		}
		return nil, err
	}
	tok, err := m.upgrade(ctx, rejected, c, TriggerScopes)
	if err != nil && ctx.Err() == nil && !retryable(err) {
		m.mu.Lock()
		entry.err = err
		m.mu.Unlock()
	}
	return tok, err
}

// stepUpKey is what upgrades are counted by. The scopes name the operation
// best: the same ones may be asked for at many, and then every one of them
// fails for the same reason.
func stepUpKey(c Challenge) string {
	if len(c.Scopes) == 0 {
		return "operation " + c.Operation
	}
	return "scopes " + strings.Join(slices.Sorted(slices.Values(c.Scopes)), " ")
}

// admitStepUp counts upgrades by the tokens that were not enough, so that any
// number of callers with one token count once. The caller holds m.mu.
func (m *Manager) admitStepUp(key string, rejected *Token, c Challenge, now time.Time) (*stepUp, error) {
	s := &m.st
	all := 0
	for k, e := range s.stepUps {
		if !now.Before(e.until) {
			delete(s.stepUps, k)
			continue
		}
		all += e.attempts()
	}
	entry := s.stepUps[key]
	if entry == nil {
		entry = &stepUp{until: now.Add(stepUpMemory)} // kept when it counts one
	}
	refuse := func() error {
		return &InsufficientScopeError{
			Required: c.Scopes, Granted: rejected.Scopes, Resource: m.canonical, Operation: c.Operation,
			Attempts: entry.attempts(), RetryAt: entry.until, Err: entry.err,
		}
	}
	if slices.ContainsFunc(entry.rejected, rejected.same) {
		if entry.err != nil {
			return entry, entry.err
		}
		return entry, nil
	}
	if entry.attempts() >= m.cfg.StepUpLimit {
		m.storeStepUp(entry, c.Scopes)
		return entry, refuse()
	}
	_, fits := boundedScopes(unionScopes(grantedScopes(s.rec), s.rec.Requested), c.Scopes)
	if all >= maxUpgrades || !fits {
		return entry, refuse() // it asks for something else each time
	}
	if s.stepUps == nil {
		s.stepUps = make(map[string]*stepUp)
	}
	s.stepUps[key] = entry
	if len(c.Scopes) == 0 && coversScopes(rejected.Scopes, s.supported()) {
		entry.rejected = append(entry.rejected, rejected)
		entry.err = refuse()
		return entry, entry.err // nothing to ask for
	}
	entry.rejected = append(entry.rejected, rejected)
	entry.err = nil
	return entry, nil
}

func (e *stepUp) attempts() int { return e.before + len(e.rejected) }

// storeStepUp keeps a limit that was reached, for the next process; the caller
// holds m.mu.
func (m *Manager) storeStepUp(entry *stepUp, scopes []string) {
	s := &m.st
	if entry.limit != nil || len(scopes) == 0 || s.closed {
		return
	}
	entry.limit, s.dirty = scopes, true
	m.scheduleSave()
}

// stepUpLimits are the limits in force, for the store; the caller holds m.mu.
func (s *state) stepUpLimits(now time.Time) (limits []StepUpLimit) {
	for _, key := range slices.Sorted(maps.Keys(s.stepUps)) {
		if e := s.stepUps[key]; e.limit != nil && now.Before(e.until) {
			limits = append(limits, StepUpLimit{Scopes: e.limit, Attempts: e.attempts(), Until: e.until})
		}
	}
	return limits
}

// restoreStepUps takes over the limits of a stored record; the caller holds
// m.mu.
func (m *Manager) restoreStepUps(rec *Record, now time.Time) {
	s := &m.st
	for _, l := range rec.StepUps {
		key := stepUpKey(Challenge{Scopes: l.Scopes})
		if !now.Before(l.Until) || l.Until.Sub(now) > stepUpMemory || s.stepUps[key] != nil {
			continue
		}
		if s.stepUps == nil {
			s.stepUps = make(map[string]*stepUp)
		}
		s.stepUps[key] = &stepUp{before: l.Attempts, until: l.Until, limit: l.Scopes}
	}
}

// upgrade gets a token with the challenge's scopes, in place of rejected (nil:
// of any that lacks them).
func (m *Manager) upgrade(ctx context.Context, rejected *Token, c Challenge, trigger Trigger) (tok *Token, err error) {
	s, path, refreshed := &m.st, "adopted", false
	ctx, need, ended := m.traceStepUp(ctx, c)
	defer func() {
		end := StepUpEnd{Err: err}
		if err == nil {
			end.Path, end.Granted = path, tok.Scopes
		}
		ended(end)
	}()
	for {
		m.mu.Lock()
		if s.closed {
			m.mu.Unlock()
			return nil, ErrClosed
		}
		if cur := s.rec.Token; s.usable(wallNow()) && coversScopes(cur.Scopes, need) && (rejected == nil || !cur.same(rejected)) {
			m.mu.Unlock()
			return cur, nil
		}
		f, by, err := m.startUpgrade(ctx, c, need, trigger, refreshed)
		if err != nil {
			m.mu.Unlock()
			return nil, err
		}
		ours := f.addScopes(need)
		m.join(f)
		m.mu.Unlock()
		got, err := m.wait(ctx, f)
		refreshed = refreshed || (ours && by == "refresh")
		switch {
		case !ours && (err == nil || ctx.Err() == nil):
			// Somebody else's operation had to end first.
		case err == nil && (by == "authorization" || f.byGrant || coversScopes(got.Scopes, need)):
			// What a grant got is final: the server, and the user, were asked
			// for all of it. One scope may imply another, so whether it is
			// enough only the resource can say.
			path = by
			return got, nil
		case err == nil: // the refresh did not widen
		case ctx.Err() == nil && m.givenUp(f): // it ended as we came
		case by == "refresh" && ctx.Err() == nil && !f.byGrant && !retryable(err) && !m.isClosed():
			// The refresh token cannot help; the grant, not asked yet, may.
		default:
			return nil, err
		}
	}
}

// traceStepUp tells of a step-up that begins, and by the function it returns of
// its end. It needs the scopes that c names; if c does not, all that the
// resource has.
func (m *Manager) traceStepUp(ctx context.Context, c Challenge) (_ context.Context, need []string, ended func(StepUpEnd)) {
	m.mu.Lock()
	s, need := &m.st, c.Scopes
	if len(need) == 0 {
		need = s.supported()
	}
	start := StepUpStart{
		Resource: m.canonical, Operation: c.Operation, Required: need,
		Requested: unionScopes(grantedScopes(s.rec), s.rec.Requested, need),
	}
	m.mu.Unlock()
	ctx = m.cfg.trace.stepUp.TraceStepUpStart(ctx, start)
	return ctx, need, func(end StepUpEnd) {
		m.cfg.trace.stepUp.TraceStepUpEnd(ctx, end)
		m.cfg.trace.says(ctx, "step-up", end.Err, slog.Any("required", need), slog.Any("granted", end.Granted), slog.String("path", end.Path))
	}
}

// startUpgrade starts or joins the next thing that can widen the scopes. The
// caller holds m.mu.
func (m *Manager) startUpgrade(ctx context.Context, c Challenge, need []string, trigger Trigger, refreshed bool) (*flight, string, error) {
	s := &m.st
	now := wallNow()
	byRefresh := !refreshed && s.rec.Token != nil && s.canRenew(m.cfg.Grant) &&
		(s.rec.Token.RefreshToken == "" || s.refused != nil || s.rec.Issuer == "" || !s.narrow)
	switch {
	case byRefresh && s.renew != nil:
		return s.renew, "refresh", nil
	case byRefresh:
		if err := s.renewFailed.at(now); err != nil {
			return nil, "", err
		}
		return m.startRenewal(ctx, renewal{trigger: TriggerScopes, scopes: need, gather: true}), "refresh", nil
	case m.cfg.Grant == nil:
		return nil, "", m.reauthorization(need)
	case s.login != nil:
		return s.login, "authorization", nil
	case trigger != TriggerExplicit && s.loginFailed.at(now) != nil:
		return nil, "", s.loginFailed.err
	}
	return m.startLogin(ctx, login{trigger: trigger, challenge: c, scopes: need, gather: !refreshed, instead: s.rec.Token}), "authorization", nil
}

func (m *Manager) isClosed() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.st.closed
}

// retryable reports whether err goes away by itself.
func retryable(err error) bool {
	class, _ := classify(err)
	return class != classPermanent
}
