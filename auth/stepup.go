package auth

import (
	"context"
	"errors"
	"log/slog"

	"github.com/mcptokens/mcptokens/auth/authtrace"
	"github.com/mcptokens/mcptokens/auth/internal/lifecycle"
)

// stepUp answers insufficient_scope, a limited number of times [invariant 16].
// named is what the server named, c has what is to be asked for.
func (m *Manager) stepUp(ctx context.Context, rejected *Token, c Challenge, named []string) (*Token, error) {
	done, err := m.loaded(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	if declined(named, c.Scopes, rejected) {
		return nil, &InsufficientScopeError{Required: named, Granted: rejected.Scopes, Resource: m.vault.canonical, Operation: c.Operation, Err: errDeclined}
	}
	ask, v := m.admit(rejected, c)
	if v.Granted {
		v.Err = ErrScopeNotSeen
	}
	switch {
	case v.Repeat:
		return nil, v.Err
	case !v.Allowed:
		err := &InsufficientScopeError{
			Required: c.Scopes, Granted: rejected.Scopes, Resource: m.vault.canonical, Operation: c.Operation,
			Attempts: v.Attempts, NextAttempt: v.Until, Err: v.Err,
		}
		_, ended := m.traceStepUp(ctx, c, c.Scopes)
		ended("", nil, err)
		return nil, err
	}
	tok, err := m.upgrade(ctx, needOf(c), rejected, c, authtrace.TriggerScopes)
	var (
		limit *ReauthorizationRequiredError // says itself until when
		link  *LoginRequiredError
	)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.st.stepUps.Ended(ask)
	switch {
	case err == nil:
	case errors.As(err, &link), errors.As(err, &limit) && limit.nobody:
		m.st.stepUps.Pending(ask)
	case ctx.Err() == nil && !passes(err) && (limit == nil || limit.NextAttempt.IsZero()):
		m.st.stepUps.Failed(ask, err)
	}
	return tok, err
}

// remember keeps scopes that a call lacked which nobody waits for, here and in the
// store, so that the next login asks for them. The caller holds m.mu.
func (m *Manager) remember(scopes []string) {
	rec := m.st.held.Record
	have := unionScopes(grantedScopes(rec), rec.Requested)
	if _, fits := boundedScopes(have, scopes); !fits || coversScopes(have, scopes) || m.st.machine.Closed() {
		return
	}
	if m.vault.want(scopes) {
		now := wallNow()
		m.st.machine.SaveFailed(now, errNotStored)
		m.publish(now)
	}
}

// admit asks whether the upgrade may begin.
func (m *Manager) admit(rejected *Token, c Challenge) (lifecycle.StepUp, lifecycle.Verdict) {
	supported := m.cfg.obtainer.supported(m.Resource())
	m.mu.Lock()
	defer m.mu.Unlock()
	rec := m.st.held.Record
	_, fits := boundedScopes(unionScopes(grantedScopes(rec), rec.Requested), c.Scopes)
	ask := lifecycle.StepUp{
		Scopes: c.Scopes, Operation: c.Operation, Token: m.idOf(rejected), Granted: rejected.Scopes,
		Hopeless: !fits || len(c.Scopes) == 0 && coversScopes(rejected.Scopes, supported),
		Limit:    m.cfg.stepUpLimit,
	}
	if t := m.st.held.Token; t.same(rejected) && t.evidence.login() {
		ask.LoggedIn = rec.Obtained
	}
	now := wallNow()
	v := m.st.stepUps.Admit(now, ask)
	if v.Limit && !m.st.machine.Closed() {
		limits := m.st.stepUps.Limits(now)
		stored := make([]StepUpLimit, len(limits))
		for i, l := range limits {
			stored[i] = StepUpLimit(l)
		}
		m.vault.setLimits(stored)
		m.st.machine.SaveFailed(now, errNotStored)
		m.publish(now)
	}
	if !v.Granted && m.cfg.obtainer.grant != nil && len(c.Scopes) > 0 && coversScopes(rejected.Scopes, c.Scopes) && m.st.held.Token.same(rejected) {
		// The token lacks scopes that it should have: a refresh answered without
		// scope, and did not widen it.
		m.st.machine.Narrow(rec.Issuer)
	}
	return ask, v
}

// upgrade gets a token with the challenge's scopes, in place of rejected (nil:
// of any that lacks them). It needs the scopes that the challenge names; if it
// names none, all that the resource has.
func (m *Manager) upgrade(ctx context.Context, n lifecycle.Need, rejected *Token, c Challenge, trigger authtrace.Trigger) (*Token, error) {
	if n.Kind != lifecycle.Upgrade {
		n.Kind = lifecycle.Scopes
	}
	if len(n.Scopes) == 0 {
		n.Scopes = m.cfg.obtainer.supported(m.Resource())
	}
	path := "adopted"
	ctx, ended := m.traceStepUp(ctx, c, n.Scopes)
	tok, err := m.serve(ctx, n, asked{trigger: trigger, challenge: &c, rejected: rejected, scopes: n.Scopes, gather: true, path: &path})
	ended(path, tok, err)
	return tok, err
}

// traceStepUp tells the tracer that a step-up begins, and by the function it
// returns that it ended.
func (m *Manager) traceStepUp(ctx context.Context, c Challenge, need []string) (context.Context, func(path string, tok *Token, err error)) {
	m.mu.Lock()
	rec := m.st.held.Record
	m.mu.Unlock()
	ctx = m.cfg.store.trace.Start(m.about(ctx), authtrace.StepUpStart{
		Resource: m.vault.canonical, Operation: c.Operation, Required: need,
		Requested: unionScopes(grantedScopes(rec), rec.Requested, need),
	})
	return ctx, func(path string, tok *Token, err error) {
		end := authtrace.StepUpEnd{Err: err}
		if err == nil {
			end.Path, end.Granted = path, tok.Scopes
		}
		m.cfg.store.trace.End(ctx, end)
		m.cfg.store.trace.Ended(ctx, "step-up", "step-up failed", err, slog.Any("required", need), slog.Any("granted", end.Granted), slog.String("path", end.Path))
	}
}
