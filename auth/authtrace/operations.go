package authtrace

import "time"

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
	TriggerBegin     Trigger = "begin"     // a person is sent away to log in; the end of this is not the login's
	TriggerFinish    Trigger = "finish"    // a person came back from a login that began earlier
)

// Outcome says how a refresh ended.
type Outcome string

// The outcomes.
const (
	OutcomeRefreshed Outcome = "refreshed" // a token request succeeded
	OutcomeAdopted   Outcome = "adopted"   // another manager or process had done it already
	OutcomeFailed    Outcome = "failed"
)

// RefreshStart says that a refresh begins.
type RefreshStart struct {
	Resource, Issuer string
	Trigger          Trigger
	// Scopes are asked for beyond those granted; nil for a plain refresh.
	Scopes []string
}

// RefreshEnd says how a refresh ended.
type RefreshEnd struct {
	Outcome Outcome
	// Issuer and Grant are what was used: "refresh_token", or the type of a grant
	// that needs no person.
	Issuer, Grant string
	// Attempts is the number of token requests.
	Attempts int
	// Expiry is when the new token expires; zero: unknown, or there is none.
	Expiry time.Time
	// Scopes are those of the new token.
	Scopes []string
	// Rotated: the server gave a new refresh token. Unsaved: it could not be
	// stored, and is kept in memory.
	Rotated, Unsaved bool
	// Err is nil when the refresh succeeded.
	Err error
}

// AuthorizationStart says that a grant is used, to get a token from nothing.
type AuthorizationStart struct {
	Resource string
	// Grant is the type of the grant, such as "authorization_code".
	Grant   string
	Trigger Trigger
	Scopes  []string
	// Took is how long a person took between the two steps of a login, for
	// TriggerFinish; 0 for any other.
	Took time.Duration
}

// AuthorizationEnd says how the use of a grant ended.
type AuthorizationEnd struct {
	// Issuer is where the grant was used; empty when no server was found.
	Issuer string
	Scopes []string
	// Expiry is when the new token expires; zero: unknown, or there is none.
	Expiry time.Time
	// Unsaved: the token could not be stored, and is kept in memory.
	Unsaved bool
	// Err is nil when there is a token.
	Err error
}

// UserStart says that the user is asked. From here to its end an authorization
// takes the user's time; see Flow.AwaitUser in package auth.
type UserStart struct{ Issuer, Grant string }

// UserEnd says that the user has answered, or why not. A refusal that the server
// brings is no Err here: it is the authorization's.
type UserEnd struct{ Err error }

// ExchangeStart says that what a grant has is exchanged for a token. One
// authorization can have several: a token of one server may have to be exchanged
// for one of another (RFC 8693).
type ExchangeStart struct {
	// Issuer is the server's issuer, or its token endpoint where only that is
	// known.
	Issuer string
	// Grant is the grant_type of the request.
	Grant string
}

// ExchangeEnd says how an exchange ended, after all its retries.
type ExchangeEnd struct{ Err error }

// StepUpStart says that a call needs more scopes. A step-up ends when its call
// stops waiting; the refresh or the authorization that it started may go on.
type StepUpStart struct {
	// Operation is what the call wanted to do, such as "tools/call write_note".
	Resource, Operation string
	// Required is what is missing now, Requested the union that is asked for.
	Required, Requested []string
}

// StepUpEnd says how a step-up ended.
type StepUpEnd struct {
	Granted []string
	// Path is "refresh", "authorization" or "adopted"; empty on failure.
	Path string
	Err  error
}

// DiscoveryStart says that metadata documents are looked for.
type DiscoveryStart struct {
	Resource string
	// Issuer is set when only the authorization server's metadata is needed.
	Issuer string
}

// DiscoveryEnd says what a search for metadata found.
type DiscoveryEnd struct {
	Issuer string
	Err    error
}

// RegistrationStart says that a client is registered (RFC 7591).
type RegistrationStart struct{ Issuer string }

// RegistrationEnd says how a registration ended.
type RegistrationEnd struct {
	ClientID string
	Err      error
}

// RevocationStart says that a token is given back (RFC 7009).
type RevocationStart struct{ Issuer string }

// RevocationEnd says how a revocation ended.
type RevocationEnd struct{ Err error }

func (RefreshStart) start()       {}
func (AuthorizationStart) start() {}
func (UserStart) start()          {}
func (ExchangeStart) start()      {}
func (StepUpStart) start()        {}
func (DiscoveryStart) start()     {}
func (RegistrationStart) start()  {}
func (RevocationStart) start()    {}

func (RefreshEnd) end()       {}
func (AuthorizationEnd) end() {}
func (UserEnd) end()          {}
func (ExchangeEnd) end()      {}
func (StepUpEnd) end()        {}
func (DiscoveryEnd) end()     {}
func (RegistrationEnd) end()  {}
func (RevocationEnd) end()    {}
