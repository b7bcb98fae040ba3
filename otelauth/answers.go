package otelauth

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/mcptokens/mcptokens/auth/authtrace"
)

// An answer that no operation stands behind is an event in the call's span. The
// status of that is left alone, as after a wait: that is for the caller to decide.

// resend counts a request that goes again with the same token.
func (t *tracer) resend(ctx context.Context, data authtrace.Resend) {
	t.measure.resends.Add(ctx, 1)

	span := trace.SpanFromContext(ctx)
	if t.off || !span.IsRecording() {
		return
	}
	a := attributes{AttrResendDelay.Float64(data.Delay.Seconds()), AttrResendTries.Int(data.Tries)}
	a.text(AttrMCPMethod, mcpMethod(data.Operation))
	t.event(span, EventResend, a)
}

// refused counts a call for which nothing was sent.
func (t *tracer) refused(ctx context.Context, data authtrace.Refused) {
	m := newAttributes(1)
	m.errorType(data.Err)
	t.measure.refusals.Add(ctx, 1, metric.WithAttributes(t.kept(m)...))

	span := trace.SpanFromContext(ctx)
	if t.off || !span.IsRecording() {
		return
	}
	a := attributes{AttrRefusedRetryIn.Float64(time.Until(data.RetryAt).Seconds())}
	a.errorType(data.Err)
	a.text(AttrMCPMethod, mcpMethod(data.Operation))
	t.event(span, EventRefused, a)
}
