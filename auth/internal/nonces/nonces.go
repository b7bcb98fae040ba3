// Package nonces keeps the DPoP nonces of servers (RFC 9449 sections 8 and 9).
package nonces

import (
	"net/http"
	"net/url"
	"sync"

	"github.com/mcptokens/mcptokens/internal/httpx"
)

// Verifier is a server that checks proofs. Authorization server and resource have
// separate nonces, also at one origin.
type Verifier struct {
	origin   string
	resource bool
}

// At is the server that a request goes to.
func At(target string, resource bool) Verifier {
	u, err := url.Parse(target)
	if err != nil {
		return Verifier{"", resource}
	}
	return Verifier{httpx.Origin(u), resource}
}

// Nonces are the newest ones. The zero value has none; it may be used by many
// goroutines at once.
type Nonces struct {
	mu sync.Mutex
	by map[Verifier]string
}

// Of returns the nonce for the next proof; empty if the server gave none.
func (n *Nonces) Of(v Verifier) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.by[v]
}

// Observe keeps the nonce of a response and reports whether there was one.
func (n *Nonces) Observe(v Verifier, h http.Header) bool {
	nonce := h.Get("DPoP-Nonce")
	if nonce == "" {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.by == nil {
		n.by = make(map[Verifier]string)
	}
	n.by[v] = nonce
	return true
}
