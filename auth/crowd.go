package auth

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/mcptokens/mcptokens/auth/admission"
	"github.com/mcptokens/mcptokens/auth/internal/flight"
)

// Calls of the store wait in queues as well: when many managers are made at once, or
// hear at once that others have written, or have tokens that could not be stored, each
// would have a goroutine.

const (
	// mostCalls of a kind are made at once. A client of a database has fewer
	// connections.
	mostCalls = 256
	// storePatience is how long one waits for its place.
	storePatience = 30 * time.Second
)

// crowd is what the managers of a pool with one store have in common.
type crowd struct {
	calls  admission.Gate
	scopes atomic.Pointer[[]string] // of a token
}

func newCrowd() *crowd {
	return &crowd{calls: admission.Gate{Most: mostCalls, Patience: storePatience}}
}

// sameScopes returns scopes, in the memory of another token's if they are the same:
// those of most users of a pool are.
func (c *crowd) sameScopes(scopes []string) []string {
	if c == nil || len(scopes) == 0 {
		return scopes
	}
	if last := c.scopes.Load(); last != nil && slices.Equal(*last, scopes) {
		return *last
	}
	c.scopes.Store(&scopes)
	return scopes
}

// queue has an operation wait for its place among those that make the same call. A
// manager without a pool makes one at a time, and has no queue.
func (c *crowd) queue(o *flight.Options, call string) *admission.Ticket {
	if c == nil {
		return nil
	}
	t := c.calls.Ticket(call)
	o.Queue = t
	return t
}
