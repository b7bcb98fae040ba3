package auth

import (
	"slices"
	"sync"
)

// habits is what is remembered of authorization servers, for all managers of a
// configuration.
type habits struct {
	mu sync.Mutex
	// scoped are the issuers that want the scopes named in a refresh, which RFC
	// 6749 section 6 makes optional.
	scoped map[string]bool
	// online are the issuers that refuse offline_access although they list it.
	online map[string]bool
	// bare are those that take no resource parameter in a refresh, with the resource.
	bare map[string]bool
	// endpoints are those stored last: most records have the same, and share them.
	endpoints *Endpoints
}

// maxScoped bounds what is remembered: what is forgotten is found out again.
const maxScoped = 256

// known returns what is remembered, which may be nothing yet.
func (o *obtainer) known() *habits {
	if h := o.habits.Load(); h != nil {
		return h
	}
	o.habits.CompareAndSwap(nil, new(habits))
	return o.habits.Load()
}

// setWantsScope remembers whether issuer wants the scopes named.
func (h *habits) setWantsScope(issuer string, wants bool) {
	h.set(&h.scoped, issuer, wants)
}

// setSparesOffline remembers whether issuer is asked for no offline_access.
func (h *habits) setSparesOffline(issuer string, spares bool) {
	h.set(&h.online, issuer, spares)
}

// setRefusesResource remembers whether a refresh goes without the resource parameter.
func (h *habits) setRefusesResource(of string, refuses bool) { h.set(&h.bare, of, refuses) }

func (h *habits) refusesResource(of string) bool { return h.has(&h.bare, of) }

func (h *habits) set(of *map[string]bool, issuer string, has bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !has {
		delete(*of, issuer)
		return
	}
	if *of == nil || len(*of) >= maxScoped {
		*of = make(map[string]bool)
	}
	(*of)[issuer] = true
}

func (h *habits) sparesOffline(issuer string) bool { return h.has(&h.online, issuer) }

func (h *habits) has(of *map[string]bool, name string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return (*of)[name]
}

func (h *habits) wantsScope(issuer string) bool { return h.has(&h.scoped, issuer) }

// share returns e, to be stored.
func (h *habits) share(e *Endpoints) *Endpoints {
	h.mu.Lock()
	defer h.mu.Unlock()
	if l := h.endpoints; l == nil || l.Token != e.Token || l.Revocation != e.Revocation || l.ScopedRefresh != e.ScopedRefresh || !slices.Equal(l.AuthMethods, e.AuthMethods) {
		h.endpoints = e
	}
	return h.endpoints
}
