package auth

import (
	"context"
	"net/http"

	"github.com/mcptokens/mcptokens/auth/internal/nonces"
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

// Proof says what a proof is for. It redacts itself, as [Token] does.
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
type binding struct {
	key    ProofKey
	data   []byte // key, for the store
	nonces nonces.Nonces
}

// proof makes a proof for a request to a token endpoint, or with an access token
// for one to a resource.
func (b *binding) proof(ctx context.Context, method, target, accessToken string) (string, error) {
	nonce := b.nonces.Of(nonces.At(target, accessToken != ""))
	return b.key.Proof(ctx, Proof{Method: method, URL: target, AccessToken: accessToken, Nonce: nonce})
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
	return t.bound() && t.binding.nonces.Observe(nonces.At(target, true), h)
}
