package otelauth

import (
	"context"
	"slices"

	"go.opentelemetry.io/otel/trace"

	"github.com/mcptokens/mcptokens/auth/authtrace"
)

// maxLinks bounds the links of an operation to those who wait for it. The SDK
// keeps 128 links of a span and drops the oldest, which would be the one to the
// trigger.
const maxLinks = 100

// waitStart links the span of the operation and the caller's to each other.
func (t *tracer) waitStart(ctx, operation context.Context) context.Context {
	op := operationOf(operation)
	if op == nil {
		return ctx
	}
	op.waitedForBy(t, trace.SpanContextFromContext(ctx))
	if span := trace.SpanFromContext(ctx); span.IsRecording() {
		if to := op.span.SpanContext(); to.IsValid() {
			span.AddLink(t.link(to, "operation"))
		}
	}
	return ctx
}

// waitedForBy counts a call and links to its span, once.
func (op *operation) waitedForBy(t *tracer, caller trace.SpanContext) {
	op.mu.Lock()
	defer op.mu.Unlock()
	op.waiters++
	same := func(sc trace.SpanContext) bool {
		return sc.SpanID() == caller.SpanID() && sc.TraceID() == caller.TraceID()
	}
	if !caller.IsValid() || len(op.linked) >= maxLinks || slices.ContainsFunc(op.linked, same) {
		return
	}
	op.linked = append(op.linked, caller)
	op.span.AddLink(t.link(caller, "waiter"))
}

// waitEnd adds an event to the caller's span. A wait that ended badly is not a
// failure of the caller's: that is for the caller to decide.
func (t *tracer) waitEnd(ctx context.Context, data authtrace.WaitEnd) {
	m := newAttributes(4)
	m.text(AttrWaitFor, string(data.For))
	m.errorType(data.Err)
	t.record(ctx, t.measure.wait, data.Duration, m)

	span := trace.SpanFromContext(ctx)
	if t.off || !span.IsRecording() {
		return
	}
	a := attributes{AttrWaitFor.String(string(data.For)), AttrDuration.Float64(data.Duration.Seconds())}
	a.errorType(data.Err)
	t.event(span, EventWait, a)
}
