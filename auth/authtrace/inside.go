package authtrace

import (
	"net/url"
	"time"
)

// RequestStart says that an HTTP request is sent: to an authorization server, or
// for metadata. Each resend, and each redirect that is followed, is a request of
// its own.
type RequestStart struct {
	Method string
	// URL has no user information, query or fragment. Do not change it.
	URL *url.URL
	// Resend counts the requests of this operation to the same URL before this
	// one, and the redirects that led here: 0 for the first.
	Resend int
}

// RequestEnd says that the answer was read to its end, or that the request
// failed.
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

// WaitStart says that a call waits for something that it shares with other
// calls. Its ctx is the call's, and the link of [Tracer].Start is the context of
// the operation that the call waits for.
type WaitStart struct {
	For      Awaited
	Resource string
}

// WaitEnd says that a call waits no longer.
type WaitEnd struct {
	For      Awaited
	Duration time.Duration
	// Err is what the operation ended with, or why the call left before its end.
	Err error
}

// Attempt is a [Point]: one try of an operation, and its result.
type Attempt struct {
	// Number counts from 1 within the operation.
	Number int
	// Wait is how long the operation pauses before the next attempt; 0: there is
	// none.
	Wait time.Duration
	// Err is nil when the attempt succeeded.
	Err error
}

// StepKind says what a [Step] was.
type StepKind string

// The steps.
const (
	StepLock  StepKind = "lock"  // the credential's lock in the store was taken
	StepAdopt StepKind = "adopt" // a token that another process stored was put in use
	StepSave  StepKind = "save"  // a token was stored
	StepTurn  StepKind = "turn"  // it is this process's turn to ask the user, or another process has done that
)

// Step is a [Point]: something that was done in the store, or failed.
type Step struct {
	Kind StepKind
	// Duration is how long it took: for a lock, the wait for others.
	Duration time.Duration
	// Err is nil when the step succeeded.
	Err error
}

// Resend is a [Point]: after a 401 a call gets the token that was rejected once
// more, and its request goes again. The token was seconds old, or works for
// other requests.
type Resend struct {
	// Operation is what was rejected, such as "tools/call write_note"; empty when
	// the transport did not say.
	Resource, Operation string
	// Delay is how long the call has waited for this; 0: not at all.
	Delay time.Duration
	// Tries is how often the request was rejected with this token, from 1.
	Tries int
}

// Refused is a [Point]: a call gets an error at once, and nothing is sent for
// it. An earlier failure has led to a pause, servers reject every token, or this
// operation was given up.
type Refused struct {
	// Operation is empty when the call has none, or the transport did not say.
	Resource, Operation string
	// RetryAt is when the next attempt is due, by the wall clock.
	RetryAt time.Time
	// Err is what the call gets.
	Err error
}

func (RequestStart) start() {}
func (WaitStart) start()    {}

func (RequestEnd) end() {}
func (WaitEnd) end()    {}

func (Attempt) point() {}
func (Step) point()    {}
func (Resend) point()  {}
func (Refused) point() {}
