package auth

import (
	"context"
	"log/slog"
	"time"
)

// traced holds the tracer's abilities, found once, and the logger: what a
// tracer is told the log says too, for those who have no other. The methods of
// noTracer stand for an ability that the tracer lacks.
type traced struct {
	refresh      Tracer
	attempt      AttemptTracer
	step         StepTracer
	request      RequestTracer // nil: none
	wait         WaitTracer    // nil: none
	authorize    AuthorizationTracer
	user         UserTracer
	exchange     ExchangeTracer
	stepUp       StepUpTracer
	discovery    DiscoveryTracer
	registration RegistrationTracer
	revocation   RevocationTracer
	manager      ManagerTracer

	silent  bool // nobody hears of waits
	resends bool // are counted
	log     *slog.Logger
}

func newTraced(t Tracer, log *slog.Logger) *traced {
	if t == nil {
		t = noTracer{}
	}
	tr := &traced{
		refresh: t, attempt: orNone[AttemptTracer](t), step: orNone[StepTracer](t),
		authorize: orNone[AuthorizationTracer](t), user: orNone[UserTracer](t), exchange: orNone[ExchangeTracer](t),
		stepUp: orNone[StepUpTracer](t), discovery: orNone[DiscoveryTracer](t), registration: orNone[RegistrationTracer](t),
		revocation: orNone[RevocationTracer](t), manager: orNone[ManagerTracer](t),
		log: log,
	}
	tr.request, _ = t.(RequestTracer)
	tr.wait, _ = t.(WaitTracer)
	tr.silent = tr.wait == nil && log.Handler() == slog.DiscardHandler
	return tr
}

// orNone returns t's ability A, or that of a tracer that does nothing.
func orNone[A any](t Tracer) A {
	if a, ok := t.(A); ok {
		return a
	}
	return any(noTracer{}).(A)
}

// attempted tells of one try of an operation.
func (t *traced) attempted(ctx context.Context, a Attempt) {
	t.attempt.TraceAttempt(ctx, a)
	if a.Err != nil && a.Wait > 0 {
		t.log.LogAttrs(ctx, slog.LevelInfo, "request failed and will be sent again", slog.Int("attempt", a.Number),
			slog.Duration("wait", a.Wait), slog.String("error", safeCause(a.Err)))
	}
}

// stepped tells of a step that began at start.
func (t *traced) stepped(ctx context.Context, kind StepKind, start time.Time, err error) {
	s := Step{Kind: kind, Duration: time.Since(start), Err: err}
	t.step.TraceStep(ctx, s)
	t.debug(ctx, "store", err, slog.String("step", string(kind)), slog.Duration("duration", s.Duration))
}

// beginning is flight.hasBegun for an operation that a tracer of waits is told of.
func (t *traced) beginning() chan struct{} {
	if t.wait == nil {
		return nil
	}
	return make(chan struct{})
}

// waits tells of a wait for f that begins, and by the function it returns of
// its end.
func (t *traced) waits(ctx context.Context, f *flight, resource string) func(error) {
	if t.wait == nil && !t.log.Enabled(ctx, slog.LevelDebug) {
		return func(error) {}
	}
	start := time.Now()
	if t.wait != nil {
		ctx = t.wait.TraceWaitStart(ctx, f.begun(ctx), WaitStart{For: f.kind, Resource: resource})
	}
	return func(err error) {
		took := time.Since(start)
		if t.wait != nil {
			t.wait.TraceWaitEnd(ctx, WaitEnd{For: f.kind, Duration: took, Err: err})
		}
		t.debug(ctx, "waited", err, slog.String("for", string(f.kind)), slog.Duration("duration", took))
	}
}

// debug logs what only somebody who looks for a fault wants to see.
func (t *traced) debug(ctx context.Context, msg string, err error, attrs ...slog.Attr) {
	if !t.log.Enabled(ctx, slog.LevelDebug) {
		return
	}
	if err != nil {
		attrs = append(attrs, slog.String("error", safeCause(err)))
	}
	t.log.LogAttrs(ctx, slog.LevelDebug, msg, attrs...)
}

// says logs what changes, or should have changed, what a user has.
func (t *traced) says(ctx context.Context, msg string, err error, attrs ...slog.Attr) {
	level := slog.LevelInfo
	if err != nil {
		level = slog.LevelWarn
		attrs = append(attrs, slog.String("error", safeCause(err)))
	}
	t.log.LogAttrs(ctx, level, msg, attrs...)
}

// noTracer does nothing.
type noTracer struct{}

func (noTracer) TraceRefreshStart(ctx, _ context.Context, _ RefreshStart) context.Context {
	return ctx
}
func (noTracer) TraceRefreshEnd(context.Context, RefreshEnd)                             {}
func (noTracer) TraceAttempt(context.Context, Attempt)                                   {}
func (noTracer) TraceStep(context.Context, Step)                                         {}
func (noTracer) TraceUserStart(ctx context.Context, _ UserStart) context.Context         { return ctx }
func (noTracer) TraceUserEnd(context.Context, UserEnd)                                   {}
func (noTracer) TraceExchangeStart(ctx context.Context, _ ExchangeStart) context.Context { return ctx }
func (noTracer) TraceExchangeEnd(context.Context, ExchangeEnd)                           {}
func (noTracer) TraceAuthorizationStart(ctx, _ context.Context, _ AuthorizationStart) context.Context {
	return ctx
}
func (noTracer) TraceAuthorizationEnd(context.Context, AuthorizationEnd)             {}
func (noTracer) TraceStepUpStart(ctx context.Context, _ StepUpStart) context.Context { return ctx }
func (noTracer) TraceStepUpEnd(context.Context, StepUpEnd)                           {}
func (noTracer) TraceDiscoveryStart(ctx context.Context, _ DiscoveryStart) context.Context {
	return ctx
}
func (noTracer) TraceDiscoveryEnd(context.Context, DiscoveryEnd) {}
func (noTracer) TraceRegistrationStart(ctx context.Context, _ RegistrationStart) context.Context {
	return ctx
}
func (noTracer) TraceRegistrationEnd(context.Context, RegistrationEnd) {}
func (noTracer) TraceRevocationStart(ctx context.Context, _ RevocationStart) context.Context {
	return ctx
}
func (noTracer) TraceRevocationEnd(context.Context, RevocationEnd) {}
func (noTracer) TraceManagerOpen(*Manager)                         {}
func (noTracer) TraceManagerClose(*Manager)                        {}
