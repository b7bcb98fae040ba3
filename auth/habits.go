package auth

import (
	"slices"
	"sync"
)

// habits is what is remembered of authorization servers, for all managers of a
// configuration.
type habits struct {
	mu   sync.Mutex
	seen map[habit]bool
	// endpoints are those stored last: most records have the same, and share them.
	endpoints *Endpoints
}

// habit is one of an issuer, or of an issuer with a resource.
type habit struct {
	of               habitOf
	issuer, resource string
}

type habitOf uint8

const (
	// wantsScopes: the scopes have to be named in a refresh, which RFC 6749 section 6
	// makes optional.
	wantsScopes habitOf = iota
	// withoutOffline: offline_access is refused although it is listed. With the resource
	// is the user.
	withoutOffline
	// withoutResource: a refresh must have no resource parameter.
	withoutResource
	// provedBy: it takes a secret in another way than it says. In place of the resource is
	// that, with the client's ID.
	provedBy
)

// maxHabits bounds what is remembered: what is forgotten is found out again.
const maxHabits = 512

// known returns what is remembered, which may be nothing yet.
func (e *endpoint) known() *habits {
	if h := e.habits.Load(); h != nil {
		return h
	}
	e.habits.CompareAndSwap(nil, new(habits))
	return e.habits.Load()
}

// set remembers whether a server has a habit.
func (h *habits) set(a habit, has bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !has {
		delete(h.seen, a)
		return
	}
	if h.seen == nil {
		h.seen = make(map[habit]bool)
	}
	if len(h.seen) >= maxHabits && !h.seen[a] {
		for other := range h.seen { // any
			delete(h.seen, other)
			break
		}
	}
	h.seen[a] = true
}

func (h *habits) has(a habit) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.seen[a]
}

// share returns e, to be stored.
func (h *habits) share(e *Endpoints) *Endpoints {
	h.mu.Lock()
	defer h.mu.Unlock()
	if l := h.endpoints; l == nil || l.Token != e.Token || l.Revocation != e.Revocation || l.ScopedRefresh != e.ScopedRefresh || !slices.Equal(l.AuthMethods, e.AuthMethods) {
		h.endpoints = e
	}
	return h.endpoints
}
