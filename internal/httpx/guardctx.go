package httpx

import (
	"context"
	"net/http"
	"net/url"
)

type guardKey struct{}

// userAgent is what a user agent has to know of the login that it serves.
type userAgent struct {
	guard   func(*http.Client) *http.Client
	network Network
}

// WithGuard returns a context that carries guard to code which sends requests with a client of
// its own where a server's word leads, such as a user agent, and n to [CheckURLFor].
func WithGuard(ctx context.Context, guard func(*http.Client) *http.Client, n Network) context.Context {
	return context.WithValue(ctx, guardKey{}, userAgent{guard, n})
}

// Guarded returns a client like c with the guard that ctx carries. A context without one is that
// of a caller who chose first: c follows the word of first, see [Home].
func Guarded(ctx context.Context, c *http.Client, first string) *http.Client {
	if a, ok := ctx.Value(guardKey{}).(userAgent); ok {
		return a.guard(c)
	}
	return internet.Client(NewHome(first), c)
}

// CheckURLFor is CheckURLIn with the network that ctx carries.
func CheckURLFor(ctx context.Context, field, raw string) (*url.URL, error) {
	a, _ := ctx.Value(guardKey{}).(userAgent)
	return CheckURLIn(a.network, field, raw)
}

// IsForeignLoopback reports whether u is on this machine and first, which leads there, is not,
// and the program did not allow it.
func IsForeignLoopback(ctx context.Context, u, first *url.URL) bool {
	a, _ := ctx.Value(guardKey{}).(userAgent)
	return IsLoopback(u.Hostname()) && !IsLoopback(first.Hostname()) && (a.network == nil || !a.network.Private(u))
}
