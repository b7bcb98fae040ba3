package auth

import (
	"context"
	"net/http"
	"net/url"
	"sync"
)

// ProofKeys makes the keys that tokens are bound to (RFC 9449, DPoP; MCP
// SEP-1932). Package auth/dpop has the implementation. The manager makes one
// key, binds every token to it and stores it with the token, so that a restart
// keeps the binding.
type ProofKeys interface {
	// New makes a key.
	New() (ProofKey, error)
	// Load restores a key from what [ProofKey.Marshal] returned.
	Load(data []byte) (ProofKey, error)
}

// ProofKey signs proofs of possession. It may be used by many goroutines at
// once.
type ProofKey interface {
	// Proof returns the value of the DPoP header for one request (RFC 9449
	// section 4.2). Each call makes a new proof.
	Proof(ctx context.Context, p Proof) (string, error)
	// Marshal returns the private key for the [Store].
	Marshal() ([]byte, error)
}

// Proof says what a proof is for.
type Proof struct {
	// Method and URL are the request's; query and fragment are left out of
	// the proof.
	Method, URL string
	// AccessToken goes along with the request; empty at a token endpoint.
	AccessToken string
	// Nonce is what the server gave last; empty: nothing yet (section 8).
	Nonce string
}

// binding is a key and the nonces of the servers that have seen its proofs.
// Authorization server and resource have nonces of their own (section 9).
type binding struct {
	key  ProofKey
	data []byte // key, for the store

	mu     sync.Mutex
	nonces map[string]string // by origin
}

func (b *binding) proof(ctx context.Context, method, target, accessToken string) (string, error) {
	origin := originOf(target)
	b.mu.Lock()
	nonce := b.nonces[origin]
	b.mu.Unlock()
	return b.key.Proof(ctx, Proof{Method: method, URL: target, AccessToken: accessToken, Nonce: nonce})
}

// observe keeps the nonce of a response and reports whether it is a new one.
func (b *binding) observe(target string, h http.Header) bool {
	nonce := h.Get("DPoP-Nonce")
	if nonce == "" {
		return false
	}
	origin := originOf(target)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.nonces[origin] == nonce {
		return false
	}
	if b.nonces == nil {
		b.nonces = make(map[string]string)
	}
	b.nonces[origin] = nonce
	return true
}

func originOf(target string) string {
	u, err := url.Parse(target)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// Proof returns the value of the DPoP header that has to go with
// [Token.Authorization] on a request, new each time; empty for a token that is
// not bound to a key. method and target are the request's.
func (t *Token) Proof(ctx context.Context, method, target string) (string, error) {
	if t.binding == nil {
		return "", nil
	}
	return t.binding.proof(ctx, method, target, t.AccessToken)
}

// ObserveNonce keeps the DPoP nonce of a response for the next proof. It
// reports whether the nonce is a new one: a request that was refused with
// use_dpop_nonce is worth sending again only then.
func (t *Token) ObserveNonce(target string, h http.Header) bool {
	return t.binding != nil && t.binding.observe(target, h)
}

// proofKey returns the manager's key, making it at its first use; nil when
// tokens are not bound.
func (m *Manager) proofKey() (*binding, error) {
	if m.cfg.DPoP == nil {
		return nil, nil
	}
	m.mu.Lock()
	b := m.st.binding
	m.mu.Unlock()
	if b != nil {
		return b, nil
	}
	key, err := m.cfg.DPoP.New()
	if err != nil {
		return nil, &ConfigError{"Config.DPoP", "cannot make a key: " + safeCause(err)}
	}
	data, err := key.Marshal()
	if err != nil {
		return nil, &ConfigError{"Config.DPoP", "cannot marshal its key: " + safeCause(err)}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.st.binding == nil {
		m.st.binding = &binding{key: key, data: data}
	}
	return m.st.binding, nil
}

// loadProofKey restores the key of a stored record; nil when there is none or
// it cannot be used.
func (m *Manager) loadProofKey(rec *Record) *binding {
	if m.cfg.DPoP == nil || len(rec.ProofKey) == 0 {
		return nil
	}
	m.mu.Lock()
	b := m.st.binding
	m.mu.Unlock()
	if b != nil && string(b.data) == string(rec.ProofKey) {
		return b
	}
	key, err := m.cfg.DPoP.Load(rec.ProofKey)
	if err != nil {
		return nil
	}
	return &binding{key: key, data: rec.ProofKey}
}
