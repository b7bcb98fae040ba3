package otelauth

import (
	"context"

	"go.opentelemetry.io/otel/metric"

	"github.com/mcptokens/mcptokens/auth"
)

// TraceRefreshStart implements [auth.Tracer].
func (t *tracer) TraceRefreshStart(ctx, caller context.Context, data auth.RefreshStart) context.Context {
	var a, m attributes
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
	m.text(AttrGrantType, data.Grant)
	m.host(data.Issuer)
	if data.Err != nil {
		m.add(errorType(data.Err))
	}
	since(ctx, t.measure.refresh, op.started, m)

	var a attributes
	a.issuer(data.Issuer)
	a.text(AttrRefreshOutcome, string(data.Outcome))
	a.text(AttrGrantType, data.Grant)
	a.add(AttrRefreshAttempts.Int(data.Attempts))
	if data.Outcome == auth.OutcomeRefreshed && data.Grant == "refresh_token" {
		a.add(AttrTokenRotated.Bool(data.Rotated))
	}
	a.token(data.Expiry, data.Scopes, data.Unsaved)
	op.end(a, data.Err)
}

// TraceAuthorizationStart implements [auth.AuthorizationTracer].
func (t *tracer) TraceAuthorizationStart(ctx, caller context.Context, data auth.AuthorizationStart) context.Context {
	var a, m attributes
	a.resource(data.Resource)
	a.text(AttrTrigger, string(data.Trigger))
	a.text(AttrGrantType, data.Grant)
	a.scopes(AttrScopesRequired, data.Scopes)
	m.text(AttrGrantType, data.Grant)
	return t.startDetached(ctx, caller, SpanAuthorization, a, m)
}

// TraceAuthorizationEnd implements [auth.AuthorizationTracer].
func (t *tracer) TraceAuthorizationEnd(ctx context.Context, data auth.AuthorizationEnd) {
	op := operationOf(ctx)
	if op == nil {
		return
	}
	m := op.measured
	m.host(data.Issuer)
	if data.Err != nil {
		m.add(errorType(data.Err))
	}
	since(ctx, t.measure.authorization, op.started, m)

	var a attributes
	a.issuer(data.Issuer)
	a.token(data.Expiry, data.Scopes, data.Unsaved)
	op.end(a, data.Err)
}

// TraceStepUpStart implements [auth.StepUpTracer].
func (t *tracer) TraceStepUpStart(ctx context.Context, data auth.StepUpStart) context.Context {
	var a attributes
	a.resource(data.Resource)
	a.scopes(AttrScopesRequired, data.Required)
	return t.start(ctx, SpanStepUp, a, nil)
}

// TraceStepUpEnd implements [auth.StepUpTracer].
func (t *tracer) TraceStepUpEnd(ctx context.Context, data auth.StepUpEnd) {
	op := operationOf(ctx)
	if op == nil {
		return
	}
	var a, m attributes
	m.text(AttrStepUpPath, data.Path)
	if data.Err != nil {
		m.add(errorType(data.Err))
	}
	t.measure.stepUps.Add(ctx, 1, metric.WithAttributes(m...))

	a.text(AttrStepUpPath, data.Path)
	a.scopes(AttrScopesGranted, data.Granted)
	op.end(a, data.Err)
}

// TraceDiscoveryStart implements [auth.DiscoveryTracer].
func (t *tracer) TraceDiscoveryStart(ctx context.Context, data auth.DiscoveryStart) context.Context {
	var a attributes
	a.resource(data.Resource)
	a.issuer(data.Issuer)
	return t.start(ctx, SpanDiscovery, a, nil)
}

// TraceDiscoveryEnd implements [auth.DiscoveryTracer].
func (t *tracer) TraceDiscoveryEnd(ctx context.Context, data auth.DiscoveryEnd) {
	if op := operationOf(ctx); op != nil {
		var a attributes
		a.issuer(data.Issuer)
		op.end(a, data.Err)
	}
}

// TraceRegistrationStart implements [auth.RegistrationTracer].
func (t *tracer) TraceRegistrationStart(ctx context.Context, data auth.RegistrationStart) context.Context {
	var a attributes
	a.issuer(data.Issuer)
	return t.start(ctx, SpanRegistration, a, nil)
}

// TraceRegistrationEnd implements [auth.RegistrationTracer].
func (t *tracer) TraceRegistrationEnd(ctx context.Context, data auth.RegistrationEnd) {
	if op := operationOf(ctx); op != nil {
		op.end(nil, data.Err)
	}
}

// TraceRevocationStart implements [auth.RevocationTracer].
func (t *tracer) TraceRevocationStart(ctx context.Context, data auth.RevocationStart) context.Context {
	var a attributes
	a.issuer(data.Issuer)
	return t.start(ctx, SpanRevocation, a, nil)
}

// TraceRevocationEnd implements [auth.RevocationTracer].
func (t *tracer) TraceRevocationEnd(ctx context.Context, data auth.RevocationEnd) {
	if op := operationOf(ctx); op != nil {
		op.end(nil, data.Err)
	}
}
