package auth

import (
	"context"
	"time"
)

// Tracer is told of every refresh. It is the least that a tracer does; what
// else it wants to know it says by implementing more of the interfaces below,
// which the manager finds by type assertion: [AttemptTracer],
// [AuthorizationTracer], [StepUpTracer], [DiscoveryTracer],
// [RegistrationTracer], [RevocationTracer].
//
// Start methods return the context that the operation runs under, so that its
// HTTP requests become children. A refresh and an authorization outlive the
// call that triggered them, so their ctx is the manager's own and holds
// nothing of the caller's; caller is the context of that call, for a link to
// its span, and empty when a timer was the trigger. No data struct holds a
// secret. Methods may be called from many goroutines at once and must not
// block.
type Tracer interface {
	TraceRefreshStart(ctx, caller context.Context, data RefreshStart) context.Context
	TraceRefreshEnd(ctx context.Context, data RefreshEnd)
}

// AttemptTracer is told of each token request and what became of it. ctx is
// that of the operation which the attempt belongs to.
type AttemptTracer interface {
	TraceAttempt(ctx context.Context, data Attempt)
}

// AuthorizationTracer is told of every use of a [Grant] from nothing to token.
type AuthorizationTracer interface {
	TraceAuthorizationStart(ctx, caller context.Context, data AuthorizationStart) context.Context
	TraceAuthorizationEnd(ctx context.Context, data AuthorizationEnd)
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

// Trigger says why a refresh or an authorization began.
type Trigger string

// The triggers.
const (
	TriggerTimer     Trigger = "timer"     // the idle manager's own timer
	TriggerEarly     Trigger = "early"     // a token was asked for inside the refresh window
	TriggerExpired   Trigger = "expired"   // a token was asked for and none was fresh
	TriggerChallenge Trigger = "challenge" // a server rejected the token or asked for one
	TriggerScopes    Trigger = "scopes"    // more scopes are needed
	TriggerExplicit  Trigger = "explicit"  // Refresh, Authorize or UpgradeScopes was called
)

// Outcome says how a refresh ended.
type Outcome string

// The outcomes.
const (
	OutcomeRefreshed Outcome = "refreshed" // a token request succeeded
	OutcomeAdopted   Outcome = "adopted"   // somebody else had done it already
	OutcomeFailed    Outcome = "failed"
)

// RefreshStart describes a refresh that begins.
type RefreshStart struct {
	Resource, Issuer string
	Trigger          Trigger
	// Scopes are asked for beyond those granted; nil for a plain refresh.
	Scopes []string
}

// RefreshEnd describes a refresh that ended.
type RefreshEnd struct {
	Outcome Outcome
	// Issuer and Grant are what was used: "refresh_token" or the type of a
	// grant that needs nobody.
	Issuer, Grant string
	Attempts      int
	Expiry        time.Time
	Scopes        []string
	// Rotated: the server gave a new refresh token. Unsaved: it could not be
	// stored, and is kept in memory.
	Rotated, Unsaved bool
	Err              error
}

// Attempt describes one request and its result.
type Attempt struct {
	// Number counts from 1 within the operation.
	Number int
	// Wait is how long the operation pauses before the next attempt; 0: there
	// is none.
	Wait time.Duration
	// Err is nil when the attempt succeeded.
	Err error
}

// AuthorizationStart describes a use of a grant that begins.
type AuthorizationStart struct {
	Resource string
	Grant    string
	Trigger  Trigger
	Scopes   []string
}

// AuthorizationEnd describes a use of a grant that ended.
type AuthorizationEnd struct {
	// Issuer is where the grant was used; empty when no server was found.
	Issuer  string
	Scopes  []string
	Expiry  time.Time
	Unsaved bool
	Err     error
}

// StepUpStart describes a scope upgrade that begins.
type StepUpStart struct {
	Resource, Operation string
	// Required is what is missing now; Requested the union that is asked for.
	Required, Requested []string
}

// StepUpEnd describes a scope upgrade that ended.
type StepUpEnd struct {
	Granted []string
	// Path is "refresh", "authorization" or "adopted"; empty on failure.
	Path string
	Err  error
}

// DiscoveryStart describes a search for metadata that begins.
type DiscoveryStart struct {
	Resource string
	// Issuer is set when only the authorization server's metadata is needed.
	Issuer string
}

// DiscoveryEnd describes a search for metadata that ended.
type DiscoveryEnd struct {
	Issuer string
	Err    error
}

// RegistrationStart describes a client registration that begins.
type RegistrationStart struct{ Issuer string }

// RegistrationEnd describes a client registration that ended.
type RegistrationEnd struct {
	ClientID string
	Err      error
}

// RevocationStart describes a revocation that begins.
type RevocationStart struct{ Issuer string }

// RevocationEnd describes a revocation that ended.
type RevocationEnd struct{ Err error }

// traced holds the tracer's abilities, found once. The methods below stand for
// an ability that it lacks.
type traced struct {
	refresh      Tracer
	attempt      AttemptTracer
	authorize    AuthorizationTracer
	stepUp       StepUpTracer
	discovery    DiscoveryTracer
	registration RegistrationTracer
	revocation   RevocationTracer
}

func newTraced(t Tracer) *traced {
	if t == nil {
		t = noTracer{}
	}
	var none noTracer
	tr := &traced{refresh: t, attempt: none, authorize: none, stepUp: none, discovery: none, registration: none, revocation: none}
	if x, ok := t.(AttemptTracer); ok {
		tr.attempt = x
	}
	if x, ok := t.(AuthorizationTracer); ok {
		tr.authorize = x
	}
	if x, ok := t.(StepUpTracer); ok {
		tr.stepUp = x
	}
	if x, ok := t.(DiscoveryTracer); ok {
		tr.discovery = x
	}
	if x, ok := t.(RegistrationTracer); ok {
		tr.registration = x
	}
	if x, ok := t.(RevocationTracer); ok {
		tr.revocation = x
	}
	return tr
}

// noTracer does nothing.
type noTracer struct{}

func (noTracer) TraceRefreshStart(ctx, _ context.Context, _ RefreshStart) context.Context {
	return ctx
}
func (noTracer) TraceRefreshEnd(context.Context, RefreshEnd) {}
func (noTracer) TraceAttempt(context.Context, Attempt)       {}
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
