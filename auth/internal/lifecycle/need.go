package lifecycle

import "time"

// Kind says what a caller wants.
type Kind uint8

const (
	Fresh         Kind = iota // a token that can be presented now
	Challenged                // a token in place of one that was refused, or of none
	Scopes                    // the same, for missing scopes
	Renewal                   // a new token, whatever the age of the one in use
	Authorization             // a usable token, if need be by a login
	Upgrade                   // a token with more scopes
)

// Need is what one caller wants, and what was done about it so far.
type Need struct {
	Kind Kind
	// Token is the ID of the token that the server refused; 0: none was sent.
	Token uint32
	// Operation names the request that was refused.
	Operation string
	// NoLogin: a login does not help, since nobody waits for what the request
	// would do. Stream: nor does it when the token works for other requests.
	NoLogin, Stream bool
	// NoUser: nobody waits who could log in.
	NoUser bool
	// Scopes are needed beyond those that the token in use may have.
	Scopes []string

	// What is known of this request's earlier tries: how often it was sent
	// with Token, whether that is in place of another one, and how often tokens
	// had been accepted when the first try was refused. Again keeps them.
	Tries    uint8
	Replaced bool
	Since    uint32

	// Done is what was waited for. Err is how the last renewal or login of it
	// ended, and Class what that means.
	Done  Op
	Err   error
	Class Class
	// sent is the refresh token of the last renewal; 0: none.
	sent uint32
	// Final: a grant was asked for all of the scopes, so what it granted is
	// what there is.
	Final bool

	renewals uint8 // that were waited for
	tokens   uint8 // that were refused before Token
}

// After notes that the caller has waited for op, and how that ended (a zero
// Failure: well).
func (n *Need) After(op Op, f Failure) {
	if f.Class == Elsewhere {
		return // the caller waits on
	}
	n.Done |= op
	switch op {
	case Renew:
		n.renewals++
		n.sent = f.Renewal
		fallthrough
	case Login:
		n.Err, n.Class = f.Err, f.Class
	}
}

// Again is the need of the same request when the server refuses it with 401,
// for token this time. That it was judged with another token before does not
// get lost, however this one came.
func (n *Need) Again(token uint32) Need {
	next := Need{Kind: Challenged, Token: token, Operation: n.Operation, NoLogin: n.NoLogin, Stream: n.Stream, tokens: n.tokens}
	switch {
	case n.Kind != Challenged:
	case n.Token == token:
		next.Tries, next.Replaced, next.Since = n.Tries+1, n.Replaced, n.Since
	default:
		next.tokens++
		next.Replaced = n.Replaced || n.Tries > 0 || n.Done&(Renew|Login) != 0
	}
	return next
}

func (n *Need) did(op Op) bool { return n.Done&op != 0 }

// got reports whether the caller's own operation brought what it wanted.
func (n *Need) got() bool {
	return n.Done&(Renew|Login) != 0 && n.Err == nil && n.Kind != Scopes && n.Kind != Upgrade
}

// insists reports whether the program itself asked, and not a challenge. That
// is not held back by pauses.
func (n *Need) insists() bool {
	return n.Kind == Renewal || n.Kind == Authorization || n.Kind == Upgrade
}

// Action is what the caller does next.
type Action uint8

const (
	Fail        Action = iota // return an error: Reason and Err say which
	Use                       // hand out the token in use
	UseAndRenew               // hand it out, and start Renew behind
	Resend                    // hand it out again after Delay
	Wait                      // wait for Op, starting it if it is not running, and ask again
	Glance                    // the same, for a moment only
)

// Reason says why there is no token.
type Reason uint8

const (
	Failed            Reason = iota // Err says it; the next attempt is at RetryAt
	Closed                          // the machine is closed
	NoToken                         // there is none, and a challenge would lead to one
	NoRenewal                       // the token cannot be renewed
	Unauthorized                    // only a login helps, and there is no grant for one
	Useless                         // only a login helps, but not this request
	NoGrant                         // a login was asked for, and there is no grant for one
	Rejected                        // servers reject every token
	RejectedOperation               // the operation rejects tokens that others accept
	AskedTooOften                   // only a login helps, and a person was asked too often
	Late                            // tokens had expired when they came
	Nobody                          // only a person helps, and nobody is there
)

// Decision is what a caller has to do.
type Decision struct {
	Action  Action
	Op      Op
	Delay   time.Duration
	Reason  Reason
	Err     error
	RetryAt time.Time
	Count   int // of rejections
}
