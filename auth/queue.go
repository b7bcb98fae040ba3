package auth

import (
	"context"

	"github.com/mcptokens/mcptokens/auth/admission"
	"github.com/mcptokens/mcptokens/auth/internal/flight"
	"github.com/mcptokens/mcptokens/auth/internal/lifecycle"
	"github.com/mcptokens/mcptokens/internal/errtext"
)

// What needs no person waits for its place in the queue of its authorization server
// before its own time begins, and without a goroutine [invariant 9].

// errQueue: nothing was sent, since the server had too much to do.
var errQueue = errtext.New("too many token requests wait for this authorization server")

// admitted runs an attempt in a place, and gives it up. Every further attempt waits
// for another one.
func admitted(ctx context.Context, t *admission.Ticket, issuer string, res *renewed, attempt func() error) (err error) {
	if t.Enter(ctx) != nil {
		return queueError(issuer, res.grant)
	}
	res.took = 0
	defer func() { t.Done(res.took, isBusy(err)) }()
	return attempt()
}

// unplaced is why an operation began without a place; nil: it has one.
func unplaced(run flight.Run, t *admission.Ticket, issuer, grantType string) error {
	switch {
	case t == nil || t.Placed():
		return nil
	case run.Closed():
		return ErrClosed
	}
	return queueError(issuer, grantType)
}

func queueError(issuer, grantType string) error {
	e := newTokenError(&Server{Issuer: issuer}, grantType)
	e.Err, e.class = errQueue, lifecycle.Transient
	return e
}

// errCalls: the store was not asked.
var errCalls = errtext.New("too many calls wait for it")

// uncalled is why a call of the store begins without a place; nil: it has one.
func uncalled(run flight.Run, t *admission.Ticket, op string) error {
	switch {
	case t == nil || t.Placed():
		return nil
	case run.Closed():
		return ErrClosed
	}
	return &StoreError{Op: op, Err: errCalls}
}

// read reads v's record.
func read(run flight.Run, ctx context.Context, v *vault) (h held, err error) {
	err = run.Awake(ctx, isBlameless, func(ctx context.Context) error {
		h, err = v.read(ctx)
		return err
	})
	return h, err
}
