package auth

import (
	"context"
)

// Tracer is told of every refresh. It is the least that a tracer does; what
// else it wants to know it says by implementing more of the interfaces below,
// which the manager finds by type assertion: [AttemptTracer], [StepTracer],
// [RequestTracer], [WaitTracer], [AuthorizationTracer], [UserTracer],
// [ExchangeTracer], [StepUpTracer], [DiscoveryTracer], [RegistrationTracer],
// [RevocationTracer], [ManagerTracer].
//
// Start methods return the context that the operation runs under, so that its
// HTTP requests become children. A refresh and an authorization outlive the
// call that triggered them, so their ctx is the manager's own and holds
// nothing of the caller's; caller is the context of that call, for a link to
// its span, and empty when a timer was the trigger. No data struct holds a
// secret, nor does the text of an error in it; what such an error unwraps to
// may. Methods may be called from many goroutines at once and must not block.
type Tracer interface {
	TraceRefreshStart(ctx, caller context.Context, data RefreshStart) context.Context
	TraceRefreshEnd(ctx context.Context, data RefreshEnd)
}

// AttemptTracer is told of each token request and what became of it. ctx is
// that of the operation which the attempt belongs to.
type AttemptTracer interface {
	TraceAttempt(ctx context.Context, data Attempt)
}

// StepTracer is told of what an operation did in the store. ctx is that of the
// operation, or of the caller where [Manager.SetToken] does the same.
type StepTracer interface {
	TraceStep(ctx context.Context, data Step)
}

// RequestTracer is told of every HTTP request to an authorization server and
// for metadata, with its answer read to the end. Each resend and each redirect
// that is followed is one of its own.
type RequestTracer interface {
	TraceRequestStart(ctx context.Context, data RequestStart) context.Context
	TraceRequestEnd(ctx context.Context, data RequestEnd)
}

// WaitTracer is told of every call that waits for something that it shares with
// others. ctx is the caller's. operation is the context that the Start method of
// what it waits for returned, so that each can be linked to the other; it is
// empty for a read of the store, and for what had no time to begin. The context
// that TraceWaitStart returns is for TraceWaitEnd.
type WaitTracer interface {
	TraceWaitStart(ctx, operation context.Context, data WaitStart) context.Context
	TraceWaitEnd(ctx context.Context, data WaitEnd)
}

// AuthorizationTracer is told of every use of a [Grant] from nothing to token.
type AuthorizationTracer interface {
	TraceAuthorizationStart(ctx, caller context.Context, data AuthorizationStart) context.Context
	TraceAuthorizationEnd(ctx context.Context, data AuthorizationEnd)
}

// UserTracer is told of the part of an authorization that is the user's: from
// when they are asked until they have answered. See [Flow.AwaitUser].
type UserTracer interface {
	TraceUserStart(ctx context.Context, data UserStart) context.Context
	TraceUserEnd(ctx context.Context, data UserEnd)
}

// ExchangeTracer is told of every exchange of what a grant has for a token, with
// its retries: there is more than one where a token of one server is exchanged
// for one of another (RFC 8693).
type ExchangeTracer interface {
	TraceExchangeStart(ctx context.Context, data ExchangeStart) context.Context
	TraceExchangeEnd(ctx context.Context, data ExchangeEnd)
}

// StepUpTracer is told of every scope upgrade. ctx is the caller's: a step-up
// ends when the caller stops waiting, while the refresh or the authorization
// that it started may go on.
type StepUpTracer interface {
	TraceStepUpStart(ctx context.Context, data StepUpStart) context.Context
	TraceStepUpEnd(ctx context.Context, data StepUpEnd)
}

// DiscoveryTracer is told when metadata documents are looked for.
type DiscoveryTracer interface {
	TraceDiscoveryStart(ctx context.Context, data DiscoveryStart) context.Context
	TraceDiscoveryEnd(ctx context.Context, data DiscoveryEnd)
}

// RegistrationTracer is told of dynamic client registrations.
type RegistrationTracer interface {
	TraceRegistrationStart(ctx context.Context, data RegistrationStart) context.Context
	TraceRegistrationEnd(ctx context.Context, data RegistrationEnd)
}

// RevocationTracer is told of [Manager.Revoke].
type RevocationTracer interface {
	TraceRevocationStart(ctx context.Context, data RevocationStart) context.Context
	TraceRevocationEnd(ctx context.Context, data RevocationEnd)
}

// ManagerTracer is told of every manager that uses the tracer, to look at it
// with [Manager.Info] whenever it likes. It must let go of m when that is
// closed; a program may forget to close one.
type ManagerTracer interface {
	TraceManagerOpen(m *Manager)
	TraceManagerClose(m *Manager)
}
