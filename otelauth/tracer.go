package otelauth

import (
	"context"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/mcptokens/mcptokens/auth"
)

// tracer implements all of the core's tracer interfaces.
type tracer struct {
	tracer   trace.Tracer
	off      bool // no spans, so that those of callers are left alone too
	keep     func(attribute.KeyValue) bool
	measure  instruments
	hosts    hosts
	managers managers
}

var (
	_ auth.Tracer              = (*tracer)(nil)
	_ auth.AttemptTracer       = (*tracer)(nil)
	_ auth.StepTracer          = (*tracer)(nil)
	_ auth.RequestTracer       = (*tracer)(nil)
	_ auth.WaitTracer          = (*tracer)(nil)
	_ auth.AuthorizationTracer = (*tracer)(nil)
	_ auth.UserTracer          = (*tracer)(nil)
	_ auth.ExchangeTracer      = (*tracer)(nil)
	_ auth.StepUpTracer        = (*tracer)(nil)
	_ auth.DiscoveryTracer     = (*tracer)(nil)
	_ auth.RegistrationTracer  = (*tracer)(nil)
	_ auth.RevocationTracer    = (*tracer)(nil)
	_ auth.ManagerTracer       = (*tracer)(nil)
)

// NewTracer returns a tracer for [auth.Config]. Without options spans and
// metrics go to the global providers. Make one for a program and let all its
// managers share it: what it observes of them lives as long as the meter
// provider does.
func NewTracer(opts ...Option) auth.Tracer {
	c := newConfig(opts)
	_, off := c.tracers.(noop.TracerProvider)
	t := &tracer{
		tracer: c.tracers.Tracer(ScopeName, trace.WithInstrumentationVersion(NamesVersion), trace.WithSchemaURL(semconv.SchemaURL)),
		off:    off,
		keep:   c.keep,
	}
	t.measure = newInstruments(c.meters, t.observe)
	return t
}

// operation is what the End methods need of the beginning.
type operation struct {
	span    trace.Span
	started time.Time
	// measured are the attributes of the operation's metric so far.
	measured attributes

	// linked are the spans that the operation's own is linked to, waiters how
	// many calls have waited. mu guards both.
	mu      sync.Mutex
	linked  []trace.SpanContext
	waiters int
}

type operationKey struct{}

// operationOf returns the operation that ctx was made for; nil if it was not
// made here.
func operationOf(ctx context.Context) *operation {
	op, _ := ctx.Value(operationKey{}).(*operation)
	return op
}

// start begins a span below that of ctx.
func (t *tracer) start(ctx context.Context, name string, attrs, measured attributes, opts ...trace.SpanStartOption) (context.Context, *operation) {
	op := &operation{started: time.Now(), measured: measured}
	ctx, op.span = t.tracer.Start(ctx, name, append(opts, trace.WithAttributes(t.kept(attrs)...))...)
	return context.WithValue(ctx, operationKey{}, op), op
}

// startDetached begins a span of an operation that outlives caller.
func (t *tracer) startDetached(ctx, caller context.Context, name string, attrs, measured attributes) context.Context {
	opts := []trace.SpanStartOption{trace.WithNewRoot()}
	trigger := trace.SpanContextFromContext(caller)
	if trigger.IsValid() {
		opts = append(opts, trace.WithLinks(t.link(trigger, "trigger")))
	}
	ctx, op := t.start(ctx, name, attrs, measured, opts...)
	if trigger.IsValid() {
		op.linked = append(op.linked, trigger)
	}
	return ctx
}

// end ends the span. The status has no description: error.type says all that
// may be said.
func (t *tracer) end(op *operation, attrs attributes, err error) {
	attrs.failure(err)
	op.mu.Lock()
	waiters := op.waiters
	op.mu.Unlock()
	if waiters > 0 {
		attrs.add(AttrWaiters.Int(waiters))
	}
	op.span.SetAttributes(t.kept(attrs)...)
	if err != nil {
		op.span.SetStatus(codes.Error, "")
	}
	op.span.End()
}

// event adds an event to a span.
func (t *tracer) event(span trace.Span, name string, attrs attributes) {
	span.AddEvent(name, trace.WithAttributes(t.kept(attrs)...))
}

// link is a link to a span, and what that is.
func (t *tracer) link(to trace.SpanContext, what string) trace.Link {
	return trace.Link{SpanContext: to, Attributes: t.kept(attributes{AttrLink.String(what)})}
}

// kept returns what the user's filter keeps. It changes attrs.
func (t *tracer) kept(attrs attributes) attributes {
	if t.keep == nil {
		return attrs
	}
	kept := attrs[:0]
	for _, a := range attrs {
		if t.keep(a) {
			kept = append(kept, a)
		}
	}
	return kept
}

// TraceAttempt implements [auth.AttemptTracer].
func (t *tracer) TraceAttempt(ctx context.Context, data auth.Attempt) {
	op := operationOf(ctx)
	if op == nil || (data.Number == 1 && data.Err == nil) {
		return
	}
	a := newAttributes(4)
	a.add(AttrAttemptNumber.Int(data.Number))
	if data.Wait > 0 {
		a.add(AttrAttemptWait.Float64(data.Wait.Seconds()))
	}
	a.failure(data.Err)
	t.event(op.span, EventAttempt, a)
}

// TraceStep implements [auth.StepTracer].
func (t *tracer) TraceStep(ctx context.Context, data auth.Step) {
	if data.Kind == auth.StepLock {
		m := newAttributes(4)
		m.errorType(data.Err)
		t.record(ctx, t.measure.lock, data.Duration, m)
	}
	op := operationOf(ctx)
	if op == nil {
		return
	}
	a := newAttributes(4)
	if data.Kind != auth.StepAdopt {
		a.add(AttrDuration.Float64(data.Duration.Seconds()))
	}
	a.failure(data.Err)
	switch data.Kind {
	case auth.StepLock:
		t.event(op.span, EventStoreLock, a)
	case auth.StepAdopt:
		t.event(op.span, EventTokenAdopted, a)
	case auth.StepSave:
		t.event(op.span, EventTokenSaved, a)
	}
}
