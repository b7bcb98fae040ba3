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
	"github.com/mcptokens/mcptokens/auth/authtrace"
)

// tracer makes spans and metrics of what it hears.
type tracer struct {
	tracer   trace.Tracer
	off      bool // no spans, so that those of callers are left alone too
	keep     func(attribute.KeyValue) bool
	measure  instruments
	hosts    hosts
	managers managers
}

var (
	_ authtrace.Tracer   = (*tracer)(nil)
	_ auth.ManagerTracer = (*tracer)(nil)
)

// NewTracer returns a tracer for [auth.Config]. Without options spans and
// metrics go to the global providers. Make one for a program and let all its
// managers share it: what it observes of them lives as long as the meter
// provider does.
func NewTracer(opts ...Option) authtrace.Tracer {
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

// Start implements [authtrace.Tracer].
func (t *tracer) Start(ctx, link context.Context, s authtrace.Start) context.Context {
	switch s := s.(type) {
	case authtrace.RefreshStart:
		return t.refreshStart(ctx, link, s)
	case authtrace.AuthorizationStart:
		return t.authorizationStart(ctx, link, s)
	case authtrace.UserStart:
		return t.below(ctx, SpanUser, s.Issuer, s.Grant)
	case authtrace.ExchangeStart:
		return t.below(ctx, SpanExchange, s.Issuer, s.Grant)
	case authtrace.StepUpStart:
		return t.stepUpStart(ctx, s)
	case authtrace.DiscoveryStart:
		return t.discoveryStart(ctx, s)
	case authtrace.RegistrationStart:
		return t.below(ctx, SpanRegistration, s.Issuer, "")
	case authtrace.RevocationStart:
		return t.below(ctx, SpanRevocation, s.Issuer, "")
	case authtrace.RequestStart:
		return t.requestStart(ctx, s)
	case authtrace.WaitStart:
		return t.waitStart(ctx, link)
	}
	return ctx
}

// End implements [authtrace.Tracer].
func (t *tracer) End(ctx context.Context, e authtrace.End) {
	if e, ok := e.(authtrace.WaitEnd); ok {
		t.waitEnd(ctx, e)
		return
	}
	op := operationOf(ctx)
	if op == nil {
		return
	}
	switch e := e.(type) {
	case authtrace.RefreshEnd:
		t.refreshEnd(ctx, op, e)
	case authtrace.AuthorizationEnd:
		t.authorizationEnd(ctx, op, e)
	case authtrace.UserEnd:
		t.end(op, nil, e.Err)
	case authtrace.ExchangeEnd:
		t.end(op, nil, e.Err)
	case authtrace.StepUpEnd:
		t.stepUpEnd(ctx, op, e)
	case authtrace.DiscoveryEnd:
		a := newAttributes(8)
		a.issuer(e.Issuer)
		t.end(op, a, e.Err)
	case authtrace.RegistrationEnd:
		t.end(op, nil, e.Err)
	case authtrace.RevocationEnd:
		t.end(op, nil, e.Err)
	case authtrace.RequestEnd:
		t.requestEnd(ctx, op, e)
	}
}

// Point implements [authtrace.Tracer].
func (t *tracer) Point(ctx context.Context, p authtrace.Point) {
	switch p := p.(type) {
	case authtrace.Attempt:
		t.attempt(ctx, p)
	case authtrace.Step:
		t.step(ctx, p)
	case authtrace.Resend:
		t.resend(ctx, p)
	case authtrace.Refused:
		t.refused(ctx, p)
	}
}

// operation is what End needs of the beginning.
type operation struct {
	span    trace.Span
	started time.Time
	// measured are the attributes of the operation's metric so far.
	measured attributes

	// unmeasured: the operation is not in the histogram of its kind.
	unmeasured bool

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

// attempt adds an event to the operation, unless it went well at once.
func (t *tracer) attempt(ctx context.Context, data authtrace.Attempt) {
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

// step measures the wait for a lock, and adds an event to the operation.
func (t *tracer) step(ctx context.Context, data authtrace.Step) {
	if data.Kind == authtrace.StepLock {
		m := newAttributes(4)
		m.errorType(data.Err)
		t.record(ctx, t.measure.lock, data.Duration, m)
	}
	op := operationOf(ctx)
	if op == nil {
		return
	}
	a := newAttributes(4)
	if data.Kind != authtrace.StepAdopt {
		a.add(AttrDuration.Float64(data.Duration.Seconds()))
	}
	a.failure(data.Err)
	switch data.Kind {
	case authtrace.StepLock:
		t.event(op.span, EventStoreLock, a)
	case authtrace.StepAdopt:
		t.event(op.span, EventTokenAdopted, a)
	case authtrace.StepSave:
		t.event(op.span, EventTokenSaved, a)
	case authtrace.StepTurn:
		t.event(op.span, EventLoginTurn, a)
	}
}
