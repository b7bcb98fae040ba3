package auth

import (
	"context"
	"net/http"
	"net/url"
	"sync"

	"github.com/mcptokens/mcptokens/internal/errtext"
	"github.com/mcptokens/mcptokens/internal/httpx"
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

// ErrNonce says that a server refuses every proof for its nonce, though that is
// the one which it gave last, or gives none (RFC 9449 section 9). A new token
// would fare no better.
var ErrNonce = errtext.New("auth: the server refuses the DPoP nonces that it gives")

// binding is a key and the nonces of the servers that have seen its proofs.
type binding struct {
	key  ProofKey
	data []byte // key, for the store

	mu     sync.Mutex
	nonces map[verifier]string
}

// verifier is who looks at a proof. Authorization server and resource have
// nonces of their own (RFC 9449 sections 8 and 9), also at one origin.
type verifier struct {
	origin   string
	resource bool
}

func verifierAt(target string, resource bool) verifier {
	u, err := url.Parse(target)
	if err != nil {
		return verifier{"", resource}
	}
	return verifier{httpx.Origin(u), resource}
}

// proof makes a proof for a request to a token endpoint, or with an access token
// for one to a resource.
func (b *binding) proof(ctx context.Context, method, target, accessToken string) (string, error) {
	v := verifierAt(target, accessToken != "")
	b.mu.Lock()
	nonce := b.nonces[v]
	b.mu.Unlock()
	return b.key.Proof(ctx, Proof{Method: method, URL: target, AccessToken: accessToken, Nonce: nonce})
}

// observe keeps the nonce of a response and reports whether there was one.
func (b *binding) observe(v verifier, h http.Header) bool {
	nonce := h.Get("DPoP-Nonce")
	if nonce == "" {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.nonces == nil {
		b.nonces = make(map[verifier]string)
	}
	b.nonces[v] = nonce
	return true
}

// bound reports whether the token is of use only together with proofs that we
// can make.
func (t *Token) bound() bool {
	return t.binding != nil && canonicalTokenType(t.TokenType) == "DPoP"
}

// Proof returns the value of the DPoP header that has to go with
// [Token.Authorization] on a request, new each time; empty for a token that is
// not bound to a key. method and target are the request's.
func (t *Token) Proof(ctx context.Context, method, target string) (string, error) {
	if !t.bound() {
		return "", nil
	}
	return t.binding.proof(ctx, method, target, t.AccessToken)
}

// ObserveNonce keeps the DPoP nonce of a resource's response for the next proof
// (RFC 9449 section 9). It reports whether there was one: only then is a request
// that was refused with use_dpop_nonce worth sending again, and not often; see
// [ErrNonce].
func (t *Token) ObserveNonce(target string, h http.Header) bool {
	return t.bound() && t.binding.observe(verifierAt(target, true), h)
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
