package otelauth

import (
	"context"
	"errors"
	"slices"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtrace"
)

func (t *tracer) refreshStart(ctx, caller context.Context, data authtrace.RefreshStart) context.Context {
	a, m := newAttributes(6), newAttributes(5)
	a.resource(data.Resource)
	a.issuer(data.Issuer)
	a.text(AttrTrigger, string(data.Trigger))
	a.scopes(AttrScopesRequired, data.Scopes)
	m.text(AttrTrigger, string(data.Trigger))
	return t.startDetached(ctx, caller, SpanRefresh, a, m)
}

func (t *tracer) refreshEnd(ctx context.Context, op *operation, data authtrace.RefreshEnd) {
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
	if data.Outcome == authtrace.OutcomeRefreshed && data.Grant == "refresh_token" {
		a.add(AttrTokenRotated.Bool(data.Rotated))
	}
	a.token(data.Expiry, data.Scopes, data.Unsaved)
	t.end(op, a, data.Err)
}

func (t *tracer) authorizationStart(ctx, caller context.Context, data authtrace.AuthorizationStart) context.Context {
	a, m := newAttributes(6), newAttributes(5)
	a.resource(data.Resource)
	a.text(AttrTrigger, string(data.Trigger))
	a.text(AttrGrantType, data.Grant)
	a.scopes(AttrScopesRequired, data.Scopes)
	m.text(AttrGrantType, knownGrant(data.Grant))
	if data.Trigger == authtrace.TriggerBegin || data.Trigger == authtrace.TriggerFinish {
		return t.stepStart(ctx, caller, data, a, m)
	}
	return t.startDetached(ctx, caller, SpanAuthorization, a, m)
}

// stepStart begins one of the two steps of a web login, which is part of a request
// to the program. The second is linked to the first, and its duration includes the
// time that the person took.
func (t *tracer) stepStart(ctx, begun context.Context, data authtrace.AuthorizationStart, a, m attributes) context.Context {
	var opts []trace.SpanStartOption
	if first := trace.SpanContextFromContext(begun); first.IsValid() {
		opts = append(opts, trace.WithLinks(t.link(first, "begin")))
	}
	ctx, op := t.start(ctx, SpanAuthorization, a, m, opts...)
	if data.Trigger == authtrace.TriggerFinish {
		op.started = op.started.Add(-data.Took)
		t.record(ctx, t.measure.user, data.Took, slices.Clone(m))
	}
	op.unmeasured = data.Trigger == authtrace.TriggerBegin
	return ctx
}

var (
	_   authtrace.Linker = (*tracer)(nil)
	w3c                  = propagation.TraceContext{}
)

// Link implements [authtrace.Linker] by a traceparent.
func (t *tracer) Link(ctx context.Context) string {
	carrier := propagation.MapCarrier{}
	w3c.Inject(ctx, carrier)
	return carrier["traceparent"]
}

// Linked implements [authtrace.Linker].
func (t *tracer) Linked(link string) context.Context {
	return w3c.Extract(context.Background(), propagation.MapCarrier{"traceparent": link})
}

func (t *tracer) authorizationEnd(ctx context.Context, op *operation, data authtrace.AuthorizationEnd) {
	m := op.measured
	m.text(semconv.ServerAddressKey, t.issuerHost(data.Issuer))
	m.errorType(data.Err)
	if !op.unmeasured {
		t.record(ctx, t.measure.authorization, time.Since(op.started), m)
	}

	a := newAttributes(8)
	a.issuer(data.Issuer)
	a.token(data.Expiry, data.Scopes, data.Unsaved)
	t.end(op, a, data.Err)
}

// below begins a part of an operation, at an authorization server.
func (t *tracer) below(ctx context.Context, name, issuer, grant string) context.Context {
	a := newAttributes(8)
	a.issuer(issuer)
	a.text(AttrGrantType, grant)
	ctx, _ = t.start(ctx, name, a, nil)
	return ctx
}

func (t *tracer) stepUpStart(ctx context.Context, data authtrace.StepUpStart) context.Context {
	a := newAttributes(8)
	a.resource(data.Resource)
	a.text(AttrMCPMethod, mcpMethod(data.Operation))
	a.scopes(AttrScopesRequired, data.Required)
	ctx, _ = t.start(ctx, SpanStepUp, a, nil)
	return ctx
}

func (t *tracer) stepUpEnd(ctx context.Context, op *operation, data authtrace.StepUpEnd) {
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

func (t *tracer) discoveryStart(ctx context.Context, data authtrace.DiscoveryStart) context.Context {
	a := newAttributes(8)
	a.resource(data.Resource)
	a.issuer(data.Issuer)
	ctx, _ = t.start(ctx, SpanDiscovery, a, nil)
	return ctx
}
