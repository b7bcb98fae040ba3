package auth

import (
	"context"
	"fmt"
	"sync/atomic"
)

// trouble is why the newest attempt of an operation failed that goes on trying:
// callers who leave before its end are told.
type trouble struct{ why atomic.Pointer[error] }

type troubleKey struct{}

// noteTrouble notes why an attempt failed that is made again.
func noteTrouble(ctx context.Context, err error) {
	if t, ok := ctx.Value(troubleKey{}).(*trouble); ok {
		t.why.Store(&err)
	}
}

// gaveUp is the error of a caller whose context ended first.
func (t *trouble) gaveUp(ctx context.Context) error {
	why := t.why.Load()
	if why == nil {
		return gaveUp(ctx)
	}
	return fmt.Errorf("auth: gave up waiting for a token: %w; it is being tried again after: %s", ctx.Err(), safeCause(*why))
}

func gaveUp(ctx context.Context) error {
	return fmt.Errorf("auth: gave up waiting for a token: %w", ctx.Err())
}
