// Package acting names what the work under a context is for, so that all that is
// called for it can tell: client authentication, user agents, and the log.
package acting

import "context"

// For is what work is for.
type For struct {
	// Resource is the MCP server's URL.
	Resource string
	// Subject is whose token it is about. It is not for logs: Shown is what stands
	// for it there, if the program allows that.
	Subject, Shown string
	// At returns the authorization server, which may become known meanwhile; nil: that
	// is not known.
	At func() string
}

// Issuer returns the authorization server that is known now, if any.
func (f For) Issuer() string {
	if f.At == nil {
		return ""
	}
	return f.At()
}

type key struct{}

type about struct {
	context.Context
	For
}

// Value implements [context.Context].
func (a *about) Value(k any) any {
	if k == (key{}) {
		return &a.For
	}
	return a.Context.Value(k)
}

// With returns ctx with what the work under it is for.
func With(ctx context.Context, f For) context.Context { return &about{ctx, f} }

// From returns what the work under ctx is for, as far as it is known.
func From(ctx context.Context) For {
	if f, ok := ctx.Value(key{}).(*For); ok {
		return *f
	}
	return For{}
}
