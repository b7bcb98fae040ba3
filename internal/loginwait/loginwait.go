// Package loginwait says in a context how long a call may wait for a person who is
// logging in right now.
package loginwait

import (
	"context"
	"time"
)

type key struct{}

// With returns a context for a call that may wait for d.
func With(ctx context.Context, d time.Duration) context.Context {
	return context.WithValue(ctx, key{}, d)
}

// From returns how long that is; 0: nobody said.
func From(ctx context.Context) time.Duration {
	d, _ := ctx.Value(key{}).(time.Duration)
	return d
}
