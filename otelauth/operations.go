package otelauth

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/mcptokens/mcptokens/auth"
)

// TraceRefreshStart implements [auth.Tracer].
func (t *tracer) TraceRefreshStart(ctx, caller context.Context, data auth.RefreshStart) context.Context {
	a, m := newAttributes(6), newAttributes(5)
	a.resource(data.Resource)
	a.issuer(data.Issuer)
	a.text(AttrTrigger, string(data.Trigger))
	a.scopes(AttrScopesRequired, data.Scopes)
	m.text(AttrTrigger, string(data.Trigger))
	return t.startDetached(ctx, caller, SpanRefresh, a, m)
}

// TraceRefreshEnd implements [auth.Tracer].
func (t *tracer) TraceRefreshEnd(ctx context.Context, data auth.RefreshEnd) {
	op := operationOf(ctx)
	if op == nil {
		return
	}
	m := op.measured
	m.text(AttrRefreshOutcome, string(data.Outcome))
	m.text(AttrGrantType, knownGrant(data.Grant))
	m.text(semconv.ServerAddressKey, t.issuerHost(data.Issuer))
	m.errorType(data.Err)
	t.record(ctx, t.measure.refresh, time.Since(op.started), m)

	a := newAttributes(12)
	a.issuer(data.Issuer)
	a.text(AttrRefreshOutcome, string(data.Outcome))
	a.text(AttrGrantType, data.Grant)
	a.add(AttrRefreshAttempts.Int(data.Attempts))
	if data.Outcome == auth.OutcomeRefreshed && data.Grant == "refresh_token" {
		a.add(AttrTokenRotated.Bool(data.Rotated))
	}
	a.token(data.Expiry, data.Scopes, data.Unsaved)
	t.end(op, a, data.Err)
}

// TraceAuthorizationStart implements [auth.AuthorizationTracer].
func (t *tracer) TraceAuthorizationStart(ctx, caller context.Context, data auth.AuthorizationStart) context.Context {
	a, m := newAttributes(6), newAttributes(5)
	a.resource(data.Resource)
	a.text(AttrTrigger, string(data.Trigger))
	a.text(AttrGrantType, data.Grant)
	a.scopes(AttrScopesRequired, data.Scopes)
	m.text(AttrGrantType, knownGrant(data.Grant))
	return t.startDetached(ctx, caller, SpanAuthorization, a, m)
}

// TraceAuthorizationEnd implements [auth.AuthorizationTracer].
func (t *tracer) TraceAuthorizationEnd(ctx context.Context, data auth.AuthorizationEnd) {
	op := operationOf(ctx)
	if op == nil {
		return
	}
	m := op.measured
	m.text(semconv.ServerAddressKey, t.issuerHost(data.Issuer))
	m.errorType(data.Err)
	t.record(ctx, t.measure.authorization, time.Since(op.started), m)

	a := newAttributes(8)
	a.issuer(data.Issuer)
	a.token(data.Expiry, data.Scopes, data.Unsaved)
	t.end(op, a, data.Err)
}

// TraceUserStart implements [auth.UserTracer].
func (t *tracer) TraceUserStart(ctx context.Context, data auth.UserStart) context.Context {
	return t.below(ctx, SpanUser, data.Issuer, data.Grant)
}

// TraceUserEnd implements [auth.UserTracer].
func (t *tracer) TraceUserEnd(ctx context.Context, data auth.UserEnd) {
	t.endBelow(ctx, nil, data.Err)
}

// TraceExchangeStart implements [auth.ExchangeTracer].
func (t *tracer) TraceExchangeStart(ctx context.Context, data auth.ExchangeStart) context.Context {
	return t.below(ctx, SpanExchange, data.Issuer, data.Grant)
}

// TraceExchangeEnd implements [auth.ExchangeTracer].
func (t *tracer) TraceExchangeEnd(ctx context.Context, data auth.ExchangeEnd) {
	t.endBelow(ctx, nil, data.Err)
}

// below begins a part of an operation, at an authorization server.
func (t *tracer) below(ctx context.Context, name, issuer, grant string) context.Context {
	a := newAttributes(8)
	a.issuer(issuer)
	a.text(AttrGrantType, grant)
	ctx, _ = t.start(ctx, name, a, nil)
	return ctx
}

// endBelow ends what start began.
func (t *tracer) endBelow(ctx context.Context, a attributes, err error) {
	if op := operationOf(ctx); op != nil {
		t.end(op, a, err)
	}
}

// TraceStepUpStart implements [auth.StepUpTracer].
func (t *tracer) TraceStepUpStart(ctx context.Context, data auth.StepUpStart) context.Context {
	a := newAttributes(8)
	a.resource(data.Resource)
	a.text(AttrMCPMethod, mcpMethod(data.Operation))
	a.scopes(AttrScopesRequired, data.Required)
	ctx, _ = t.start(ctx, SpanStepUp, a, nil)
	return ctx
}

// TraceStepUpEnd implements [auth.StepUpTracer].
func (t *tracer) TraceStepUpEnd(ctx context.Context, data auth.StepUpEnd) {
	op := operationOf(ctx)
	if op == nil {
		return
	}
	outcome := data.Path
	var limit *auth.InsufficientScopeError
	if errors.As(data.Err, &limit) {
		outcome = "refused"
	} else if data.Err != nil {
		outcome = "failed"
	}
	a, m := newAttributes(6), newAttributes(5)
	m.text(AttrStepUpOutcome, outcome)
	m.errorType(data.Err)
	t.measure.stepUps.Add(ctx, 1, metric.WithAttributes(t.kept(m)...))

	a.text(AttrStepUpOutcome, outcome)
	a.scopes(AttrScopesGranted, data.Granted)
	t.end(op, a, data.Err)
}

// TraceDiscoveryStart implements [auth.DiscoveryTracer].
func (t *tracer) TraceDiscoveryStart(ctx context.Context, data auth.DiscoveryStart) context.Context {
	a := newAttributes(8)
	a.resource(data.Resource)
	a.issuer(data.Issuer)
	ctx, _ = t.start(ctx, SpanDiscovery, a, nil)
	return ctx
}

// TraceDiscoveryEnd implements [auth.DiscoveryTracer].
func (t *tracer) TraceDiscoveryEnd(ctx context.Context, data auth.DiscoveryEnd) {
	a := newAttributes(8)
	a.issuer(data.Issuer)
	t.endBelow(ctx, a, data.Err)
}

// TraceRegistrationStart implements [auth.RegistrationTracer].
func (t *tracer) TraceRegistrationStart(ctx context.Context, data auth.RegistrationStart) context.Context {
	return t.below(ctx, SpanRegistration, data.Issuer, "")
}

// TraceRegistrationEnd implements [auth.RegistrationTracer].
func (t *tracer) TraceRegistrationEnd(ctx context.Context, data auth.RegistrationEnd) {
	t.endBelow(ctx, nil, data.Err)
}

// TraceRevocationStart implements [auth.RevocationTracer].
func (t *tracer) TraceRevocationStart(ctx context.Context, data auth.RevocationStart) context.Context {
	return t.below(ctx, SpanRevocation, data.Issuer, "")
}

// TraceRevocationEnd implements [auth.RevocationTracer].
func (t *tracer) TraceRevocationEnd(ctx context.Context, data auth.RevocationEnd) {
	t.endBelow(ctx, nil, data.Err)
}
