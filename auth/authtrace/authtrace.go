// Package authtrace lets a program watch what package auth does, as
// net/http/httptrace does for net/http. A [Tracer] in the field Tracer of
// auth.Config hears of every operation. Package otelauth has one that makes
// spans and metrics of them.
//
// # Writing a tracer
//
// A tracer has three methods. Each gets a plain struct that says what happened,
// and picks out what it wants to know with a type switch:
//
//	type printer struct{ authtrace.Nop }
//
//	func (printer) End(_ context.Context, e authtrace.End) {
//		if e, ok := e.(authtrace.RefreshEnd); ok {
//			fmt.Println("refresh:", e.Outcome)
//		}
//	}
//
// Embed [Nop] and write only the methods you need. Ignore structs that you do
// not know: later versions add more, and that breaks no tracer.
//
// # Operations
//
// An operation has a start and an end, each with a struct of its own:
//
//	RefreshStart        a new token without a person
//	AuthorizationStart  a grant, from nothing to a token
//	UserStart           the part of an authorization that is the user's time
//	ExchangeStart       one exchange at a token endpoint, with its retries
//	DiscoveryStart      metadata documents are looked for
//	RegistrationStart   a client is registered
//	RequestStart        one HTTP request
//	StepUpStart         a call needs more scopes
//	RevocationStart     a token is given back
//	WaitStart           a call waits for an operation, or for the store
//
// [Attempt] and [Step] are points in time inside an operation, [Resend] and
// [Refused] inside a call.
//
// # What a tracer never gets
//
// No struct holds a token, code, secret or assertion, and neither does the text
// of an error in it. What such an error unwraps to may: the error of a custom
// http.RoundTripper can quote anything, so print Err itself, never its cause.
package authtrace

import "context"

// Tracer hears of operations. A nil Tracer in auth.Config costs nothing; with no
// Logger either, not even the HTTP client is wrapped.
//
// Many goroutines call the methods at once, so methods must be quick, must not
// block and must not call the manager that they hear of.
type Tracer interface {
	// Start says that an operation begins. It returns the context that the
	// operation runs under: ctx, or a child of it. What happens inside the
	// operation, its HTTP requests included, is reported under that context, and so
	// is its end.
	//
	// link is the context of something that belongs to the operation without
	// being its parent; it is for links between spans and never nil:
	//
	//   - for [RefreshStart] and [AuthorizationStart] that of the call that
	//     triggered it, [context.Background] when a timer did. These two outlive
	//     the call and serve others too, so ctx holds nothing of the call's.
	//   - for [WaitStart] the one that Start returned for the operation that the
	//     call waits for; [context.Background] when that is a read of the store,
	//     or had no time to begin.
	//   - for all others [context.Background]. Their ctx is that of the
	//     operation, or the call, that they are part of.
	Start(ctx, link context.Context, s Start) context.Context

	// End says that an operation ended. ctx is the one that Start returned for it,
	// or a child of that.
	End(ctx context.Context, e End)

	// Point says what happened inside an operation. ctx is that of the
	// operation. For a [Resend] and a [Refused] it is that of the call, and so it
	// is for a [Step] outside of any operation, as in Manager.SetToken.
	Point(ctx context.Context, p Point)
}

// Start says what begins. Its types are the structs of this package whose names
// end in Start; no other package can add one.
type Start interface{ start() }

// End says how something ended. Its types are the structs of this package whose
// names end in End; no other package can add one.
type End interface{ end() }

// Point is something inside an operation or a call: an [Attempt], a [Step], a
// [Resend] or a [Refused]. No other package can add one.
type Point interface{ point() }

// Nop is a [Tracer] that does nothing, to be embedded.
type Nop struct{}

var _ Tracer = Nop{}

// Start implements [Tracer]; it returns ctx.
func (Nop) Start(ctx, _ context.Context, _ Start) context.Context { return ctx }

// End implements [Tracer].
func (Nop) End(context.Context, End) {}

// Point implements [Tracer].
func (Nop) Point(context.Context, Point) {}
