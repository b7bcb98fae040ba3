package weblogin

import (
	"context"
	"errors"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/internal/errtext"
	"github.com/mcptokens/mcptokens/internal/shown"
)

// Reason says why a request to the handler did not get on.
type Reason string

// The reasons.
const (
	NoSession Reason = "no_session" // Config.Subject does not know who it is
	OtherUser Reason = "other_user" // another user is signed in than the one who began
	NoCookie  Reason = "no_cookie"  // this browser did not begin the login, or dropped its cookie
	Unknown   Reason = "unknown"    // there is no such link or login for this user: another's, too old, or made up
	Used      Reason = "used"       // the login has its answer already
	State     Reason = "state"      // the state is missing or forged
	Denied    Reason = "denied"     // the person, or the server, said no
	Failed    Reason = "failed"     // no token came of it; Err says why
)

// Error is why a request to the handler did not get on. Nothing was stored for
// anybody.
type Error struct {
	Reason Reason
	// Resource is the MCP server's URL; empty when it is not known.
	Resource string
	// Err is the cause: of package auth, or what Config.Subject returned; nil where
	// Reason says all.
	Err error `json:"-"`
}

// Error implements error; the text holds no secret.
func (e *Error) Error() string {
	s := "weblogin: " + texts[e.Reason].log
	if e.Resource != "" {
		s += " for " + shown.Text(e.Resource)
	}
	if e.Err != nil {
		s += ": " + errtext.Text(e.Err)
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// EventType says what happened.
type EventType string

// The events.
const (
	Linked   EventType = "linked"   // a link was made
	Started  EventType = "started"  // a browser was sent to the authorization server
	Finished EventType = "finished" // there is a token
	Refused  EventType = "refused"  // a request did not get on; Err says why
)

// Event is what [Config].OnEvent gets. It holds no secret and no subject.
type Event struct {
	Type     EventType
	Resource string
	Scopes   []string
	// Took is the time since the browser was sent away, for Finished.
	Took time.Duration
	// Err is an *[Error] for Refused. For Finished it is why the token is used from
	// memory and not stored, if it is not.
	Err error
}

func (l *Logins) tell(ctx context.Context, e Event) {
	if l.cfg.OnEvent != nil {
		l.cfg.OnEvent(ctx, e)
	}
}

// failure turns an error of FinishLogin, or BeginLogin, into one for the person.
func failure(resource string, err error) *Error {
	e := &Error{Reason: Failed, Resource: resource, Err: err}
	var refused *auth.AuthorizationError
	switch {
	case errors.Is(err, auth.ErrLoginExpired), errors.Is(err, auth.ErrOtherLogin):
		e.Reason = Unknown
	case errors.Is(err, auth.ErrState):
		e.Reason = State
	case errors.As(err, &refused) && refused.Code == "access_denied":
		e.Reason = Denied
	}
	return e
}
