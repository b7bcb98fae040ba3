// Package layer lets a decorator of an MCP transport know that a RoundTripper
// below it has dealt with the challenges of a request already, so that nothing
// is resolved twice.
package layer

import (
	"context"
	"sync/atomic"
)

type key struct{}

// Below tells what happened below the decorator to one request.
type Below struct{ resolved atomic.Bool }

// Watch returns a context for one request and what will be known about it.
func Watch(ctx context.Context) (context.Context, *Below) {
	b := new(Below)
	return context.WithValue(ctx, key{}, b), b
}

// Resolved says that the layer below does all that can be done about the
// challenges of ctx's request.
func Resolved(ctx context.Context) {
	if b, ok := ctx.Value(key{}).(*Below); ok {
		b.resolved.Store(true)
	}
}

// Resolved reports whether [Resolved] was called for the request.
func (b *Below) Resolved() bool { return b.resolved.Load() }
