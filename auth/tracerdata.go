package auth

import (
	"net/url"
	"time"
)

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

// StepKind says what a [Step] was.
type StepKind string

// The steps.
const (
	StepLock  StepKind = "lock"  // the credential's lock in the store was taken
	StepAdopt StepKind = "adopt" // what somebody else had stored was put in use
	StepSave  StepKind = "save"  // a token was stored
)

// Step describes something that was done, or failed.
type Step struct {
	Kind StepKind
	// Duration is how long it took: for a lock, the wait for others.
	Duration time.Duration
	Err      error
}

// RequestStart describes an HTTP request that begins.
type RequestStart struct {
	Method string
	// URL is without user information, query and fragment.
	URL *url.URL
	// Resend counts the requests of this operation to the same URL before it,
	// and the redirects that led here: 0 for the first.
	Resend int
}

// RequestEnd describes an HTTP request whose answer was read, or that failed.
type RequestEnd struct {
	// StatusCode is 0 if no answer came.
	StatusCode int
	// Err is why there is no answer, or not all of it. It is nil for any status.
	Err error
}

// Awaited says what a call waits for.
type Awaited string

// What calls wait for.
const (
	AwaitedStore         Awaited = "store" // the first read of the store, or a look for what others stored
	AwaitedRefresh       Awaited = "refresh"
	AwaitedAuthorization Awaited = "authorization"
)

// WaitStart describes a wait that begins.
type WaitStart struct {
	For      Awaited
	Resource string
}

// WaitEnd describes a wait that ended.
type WaitEnd struct {
	For      Awaited
	Duration time.Duration
	// Err is what was waited for ended with, or ctx's.
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

// UserStart describes a user who is asked.
type UserStart struct{ Issuer, Grant string }

// UserEnd describes a user who has answered, or did not. A refusal is no Err
// where it is the server that brings it.
type UserEnd struct{ Err error }

// ExchangeStart describes an exchange that begins. Grant is its grant type.
type ExchangeStart struct{ Issuer, Grant string }

// ExchangeEnd describes an exchange that ended.
type ExchangeEnd struct{ Err error }

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
