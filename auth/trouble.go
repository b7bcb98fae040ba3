package auth

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/mcptokens/mcptokens/internal/errtext"
)

// trouble is what keeps an operation that goes on: its newest attempt failed, or it
// waits for a person. Callers who leave before its end are told.
type trouble struct{ why atomic.Pointer[error] }

type troubleKey struct{}

var errUserAsked = errtext.New("the user was asked to log in and has not answered")

// noteTrouble notes what keeps the operation of ctx; nil: no longer.
func noteTrouble(ctx context.Context, why error) {
	t, ok := ctx.Value(troubleKey{}).(*trouble)
	switch {
	case !ok:
	case why == nil:
		t.why.Store(nil)
	default:
		kept := why // alone on the heap
		t.why.Store(&kept)
	}
}

// gaveUp is the error of a caller whose context ended first.
func (t *trouble) gaveUp(ctx context.Context) error {
	why := t.why.Load()
	if why == nil {
		return gaveUp(ctx)
	}
	return fmt.Errorf("auth: gave up waiting for a token: %w; so far: %s", ctx.Err(), safeCause(*why))
}

func gaveUp(ctx context.Context) error {
	return fmt.Errorf("auth: gave up waiting for a token: %w", ctx.Err())
}
