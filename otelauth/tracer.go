package otelauth

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/mcptokens/mcptokens/auth"
)

// tracer implements all of the core's tracer interfaces.
type tracer struct {
	tracer  trace.Tracer
	measure instruments
}

var (
	_ auth.Tracer              = (*tracer)(nil)
	_ auth.AttemptTracer       = (*tracer)(nil)
	_ auth.AuthorizationTracer = (*tracer)(nil)
	_ auth.StepUpTracer        = (*tracer)(nil)
	_ auth.DiscoveryTracer     = (*tracer)(nil)
	_ auth.RegistrationTracer  = (*tracer)(nil)
	_ auth.RevocationTracer    = (*tracer)(nil)
)

// NewTracer returns a tracer for [auth.Config]. Any number of managers may share
// it. Without options spans and metrics go to the global providers.
func NewTracer(opts ...Option) auth.Tracer {
	c := newConfig(opts)
	return &tracer{
		tracer:  c.tracers.Tracer(ScopeName, trace.WithSchemaURL(semconv.SchemaURL)),
		measure: newInstruments(c.meters),
	}
}

// operation is what the End methods need of the beginning.
type operation struct {
	span    trace.Span
	started time.Time
	// measured are the attributes of the operation's metric so far.
	measured attributes
}

type operationKey struct{}

// operationOf returns the operation that ctx was made for; nil if it was not
// made here.
func operationOf(ctx context.Context) *operation {
	op, _ := ctx.Value(operationKey{}).(*operation)
	return op
}

// start begins a span below that of ctx.
func (t *tracer) start(ctx context.Context, name string, attrs, measured attributes, opts ...trace.SpanStartOption) context.Context {
	op := &operation{started: time.Now(), measured: measured}
	ctx, op.span = t.tracer.Start(ctx, name, append(opts, trace.WithAttributes(attrs...))...)
	return context.WithValue(ctx, operationKey{}, op)
}

// startDetached begins a span of an operation that outlives caller.
func (t *tracer) startDetached(ctx, caller context.Context, name string, attrs, measured attributes) context.Context {
	opts := []trace.SpanStartOption{trace.WithNewRoot()}
	if link := trace.LinkFromContext(caller); link.SpanContext.IsValid() {
		opts = append(opts, trace.WithLinks(link))
	}
	return t.start(ctx, name, attrs, measured, opts...)
}

// end ends the span. The status has no description: error.type says all that
// may be said.
func (op *operation) end(attrs attributes, err error) {
	attrs.failure(err)
	op.span.SetAttributes(attrs...)
	if err != nil {
		op.span.SetStatus(codes.Error, "")
	}
	op.span.End()
}

// TraceAttempt implements [auth.AttemptTracer].
func (t *tracer) TraceAttempt(ctx context.Context, data auth.Attempt) {
	op := operationOf(ctx)
	if op == nil || (data.Number == 1 && data.Err == nil) {
		return
	}
	var a attributes
	a.add(AttrAttemptNumber.Int(data.Number))
	if data.Wait > 0 {
		a.add(AttrAttemptWait.Float64(data.Wait.Seconds()))
	}
	a.failure(data.Err)
	op.span.AddEvent(EventAttempt, trace.WithAttributes(a...))
}
