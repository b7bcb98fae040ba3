package dpop

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"fmt"

	"github.com/golang-jwt/jwt/v5"

	"github.com/mcptokens/mcptokens/auth"
)

// The algorithms of [Keys].
const (
	// ES256 is ECDSA with P-256 and SHA-256 (RFC 7518 section 3.4), which most
	// servers take.
	ES256 = "ES256"
	// EdDSA is Ed25519 (RFC 8037 section 3.1).
	EdDSA = "EdDSA"
)

// Keys makes and restores the keys of [auth.Config].DPoP. The zero value is
// ready for use.
type Keys struct {
	// Algorithm is the JWS algorithm that the proofs are signed with, [ES256]
	// or [EdDSA]; servers list theirs in dpop_signing_alg_values_supported.
	// Default: ES256 for a new key, and for a stored one whatever it was made
	// for. When it is set, a stored key of the other algorithm is not used, nor
	// is the token that is bound to it.
	Algorithm string
}

var _ auth.ProofKeys = Keys{}

// New makes a key; it is a *[Key]. An Algorithm that is not known is an
// *[auth.ConfigError].
func (k Keys) New() (auth.ProofKey, error) {
	var (
		private crypto.Signer
		err     error
	)
	switch k.Algorithm {
	case "", ES256:
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case EdDSA:
		_, private, err = ed25519.GenerateKey(rand.Reader)
	default:
		return nil, k.unknownAlgorithm()
	}
	if err != nil {
		return nil, fmt.Errorf("dpop: making a key: %w", err)
	}
	return newKey(private)
}

// Load restores a key, a *[Key], from the PKCS #8 DER that [Key.Marshal]
// returned. An *[auth.ConfigError] says why data cannot be used, and quotes
// none of it.
func (k Keys) Load(data []byte) (auth.ProofKey, error) {
	if k.Algorithm != "" && k.Algorithm != ES256 && k.Algorithm != EdDSA {
		return nil, k.unknownAlgorithm()
	}
	private, err := x509.ParsePKCS8PrivateKey(data)
	if err != nil {
		return nil, unusable("is damaged, or no PKCS #8 DER; restore what Key.Marshal returned, or delete it to have a new key made")
	}
	key, err := newKey(private)
	if err != nil {
		return nil, err
	}
	if alg := key.method.Alg(); k.Algorithm != "" && k.Algorithm != alg {
		return nil, unusable("is made for " + alg + ", but Keys.Algorithm is " + k.Algorithm + "; leave that empty to go on with the stored key")
	}
	return key, nil
}

// newKey prepares what each proof needs of a private key: the signing method and
// the public key as a JWK, of its required members only and these in
// lexicographic order, which is the form that is hashed for a thumbprint (RFC
// 7638 section 3).
func newKey(private any) (*Key, error) {
	switch p := private.(type) {
	case *ecdsa.PrivateKey:
		if p.Curve != elliptic.P256() {
			return nil, unusable("is on the curve " + p.Params().Name + "; use P-256 (ES256) or Ed25519 (EdDSA)")
		}
		point, err := p.PublicKey.Bytes() // 4, x, y (SEC 1 section 2.3.3)
		if err != nil {
			return nil, unusable("has no valid public key; delete it to have a new key made")
		}
		x, y := point[1:1+len(point)/2], point[1+len(point)/2:]
		return keyOf(jwt.SigningMethodES256, p, `{"crv":"P-256","kty":"EC","x":"`+encode(x)+`","y":"`+encode(y)+`"}`), nil
	case ed25519.PrivateKey:
		x := p[len(p)-ed25519.PublicKeySize:] // as crypto/ed25519 keeps it
		return keyOf(jwt.SigningMethodEdDSA, p, `{"crv":"Ed25519","kty":"OKP","x":"`+encode(x)+`"}`), nil
	}
	return nil, unusable(fmt.Sprintf("is a %T; use ECDSA with P-256 (ES256) or Ed25519 (EdDSA)", private))
}

func keyOf(method jwt.SigningMethod, private any, jwk string) *Key {
	return &Key{method, func() any { return private }, jwk}
}

func (k Keys) unknownAlgorithm() error {
	return &auth.ConfigError{Field: "Keys.Algorithm", Problem: fmt.Sprintf("is %q; use ES256 or EdDSA, or leave it empty for ES256", k.Algorithm)}
}

func unusable(problem string) error {
	return &auth.ConfigError{Field: "Record.ProofKey", Problem: problem}
}
