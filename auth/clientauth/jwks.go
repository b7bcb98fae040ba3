package clientauth

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"math/big"

	"github.com/mcptokens/mcptokens/auth"
)

// publicJWK is a public JSON Web Key (RFC 7517 section 4).
type publicJWK struct {
	Kty string `json:"kty"`
	Use string `json:"use"`
	Alg string `json:"alg"`
	Kid string `json:"kid,omitempty"`
	Crv string `json:"crv,omitempty"`
	X   string `json:"x,omitempty"`
	Y   string `json:"y,omitempty"`
	N   string `json:"n,omitempty"`
	E   string `json:"e,omitempty"`
}

// JWKS returns the public key as a JWK Set (RFC 7517 section 5), for the client's
// jwks or what its jwks_uri serves. The error is an *[auth.ConfigError] for a field
// that is missing or does not fit the key.
func (p PrivateKeyJWT) JWKS() ([]byte, error) {
	method, err := p.signingMethod()
	if err != nil {
		return nil, err
	}
	k := publicJWK{Use: "sig", Alg: method.Alg(), Kid: p.KeyID}
	text := base64.RawURLEncoding.EncodeToString
	switch pub := p.Key.Public().(type) {
	case *rsa.PublicKey:
		k.Kty, k.N, k.E = "RSA", text(pub.N.Bytes()), text(big.NewInt(int64(pub.E)).Bytes())
	case *ecdsa.PublicKey:
		point, err := pub.Bytes() // 4, x, y
		if err != nil {
			return nil, &auth.ConfigError{Field: "PrivateKeyJWT.Key", Problem: "has a public key that is not on its curve"}
		}
		size := (len(point) - 1) / 2
		k.Kty, k.Crv, k.X, k.Y = "EC", pub.Curve.Params().Name, text(point[1:1+size]), text(point[1+size:])
	case ed25519.PublicKey:
		k.Kty, k.Crv, k.X = "OKP", "Ed25519", text(pub)
	default:
		return nil, &auth.ConfigError{Field: "PrivateKeyJWT.Key", Problem: "has a public key that no JWK of this package is for"}
	}
	return json.Marshal(map[string][]publicJWK{"keys": {k}})
}
