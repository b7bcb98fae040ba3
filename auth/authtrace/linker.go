package authtrace

import "context"

// Linker is what a [Tracer] implements besides to link the two steps of a login, of
// which the second may be in another process.
type Linker interface {
	// Link names the operation of ctx, in at most 200 bytes; empty if it has no name.
	// It is stored with the login. It must not have a secret in it.
	Link(ctx context.Context) string
	// Linked returns a context for the link of [Tracer].Start, which stands for the
	// operation that Link named. A link can be of another version of the program.
	Linked(link string) context.Context
}
