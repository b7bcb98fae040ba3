package clientauth

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/mcptokens/mcptokens/internal/httpx"
)

// jwk is a private JSON Web Key (RFC 7517 section 4, RFC 7518 section 6, RFC
// 8037 section 2).
type jwk struct {
	Kty    string   `json:"kty"`
	Use    string   `json:"use"`
	KeyOps []string `json:"key_ops"`
	Alg    string   `json:"alg"`
	Kid    string   `json:"kid"`
	Crv    string   `json:"crv"`
	X      string   `json:"x"`
	Y      string   `json:"y"`
	D      string   `json:"d"`
	N      string   `json:"n"`
	E      string   `json:"e"`
	P      string   `json:"p"`
	Q      string   `json:"q"`
	Oth    []any    `json:"oth"`
	Keys   []any    `json:"keys"`
}

// LoadJWK reads a private key from a JSON Web Key of the types RSA, EC and OKP
// (Ed25519), and returns it with its kid and alg, both empty if the key has
// none: [PrivateKeyJWT] takes all three as they are.
//
// The members have to agree: a public part that does not belong to the private
// one is an error. An error names the member and never quotes it.
func LoadJWK(data []byte) (key crypto.Signer, kid, alg string, err error) {
	var k jwk
	if err := httpx.DecodeObject(data, &k); err != nil {
		return nil, "", "", fmt.Errorf("clientauth: JWK: %w", err)
	}
	key, err = k.signer()
	if err != nil {
		return nil, "", "", fmt.Errorf("clientauth: JWK: %w", err)
	}
	return key, k.Kid, k.Alg, nil
}

func (k *jwk) signer() (crypto.Signer, error) {
	switch {
	case k.Keys != nil:
		return nil, errors.New("keys: this is a JWK Set: give one of its keys")
	case k.Use != "" && k.Use != "sig":
		return nil, errors.New("use: the key is not for signatures")
	case k.KeyOps != nil && !slices.Contains(k.KeyOps, "sign"):
		return nil, errors.New("key_ops: the key is not for signing")
	}
	var (
		key crypto.Signer
		err error
	)
	switch k.Kty {
	case "EC":
		key, err = k.ec()
	case "OKP":
		key, err = k.okp()
	case "RSA":
		key, err = k.rsa()
	case "":
		return nil, errors.New("kty: is missing")
	case "oct":
		return nil, errors.New("kty: this is a shared secret: give a private key of the type RSA, EC or OKP")
	default:
		return nil, errors.New("kty: the type is not known: want RSA, EC or OKP")
	}
	if err != nil {
		return nil, err
	}
	algs, err := algorithms(key.Public())
	if err != nil {
		return nil, fmt.Errorf("the key %w", err)
	}
	if k.Alg != "" && !slices.Contains(algs, k.Alg) {
		return nil, fmt.Errorf("alg: does not fit the key: want one of %v", algs)
	}
	return key, nil
}

// ec is RFC 7518 section 6.2: each member has the full size of the curve.
func (k *jwk) ec() (crypto.Signer, error) {
	var curve elliptic.Curve
	switch k.Crv {
	case "P-256":
		curve = elliptic.P256()
	case "P-384":
		curve = elliptic.P384()
	case "P-521":
		curve = elliptic.P521()
	default:
		return nil, errors.New("crv: want P-256, P-384 or P-521")
	}
	size := (curve.Params().BitSize + 7) / 8
	x, err := member("x", k.X, size)
	if err != nil {
		return nil, err
	}
	y, err := member("y", k.Y, size)
	if err != nil {
		return nil, err
	}
	d, err := member("d", k.D, size)
	if err != nil {
		return nil, err
	}
	pub, err := ecdsa.ParseUncompressedPublicKey(curve, slices.Concat([]byte{4}, x, y))
	if err != nil {
		return nil, errors.New("x, y: are no point on the curve of crv")
	}
	key, err := ecdsa.ParseRawPrivateKey(curve, d)
	if err != nil {
		return nil, errors.New("d: is out of range for the curve of crv")
	}
	if !key.PublicKey.Equal(pub) {
		return nil, errors.New("x, y: do not belong to d")
	}
	return key, nil
}

// okp is RFC 8037 section 2.
func (k *jwk) okp() (crypto.Signer, error) {
	if k.Crv != "Ed25519" {
		return nil, errors.New("crv: want Ed25519")
	}
	x, err := member("x", k.X, ed25519.PublicKeySize)
	if err != nil {
		return nil, err
	}
	d, err := member("d", k.D, ed25519.SeedSize)
	if err != nil {
		return nil, err
	}
	key := ed25519.NewKeyFromSeed(d)
	if !bytes.Equal(key.Public().(ed25519.PublicKey), x) {
		return nil, errors.New("x: does not belong to d")
	}
	return key, nil
}

// rsa is RFC 7518 section 6.3. dp, dq and qi are computed rather than read.
func (k *jwk) rsa() (crypto.Signer, error) {
	if k.Oth != nil {
		return nil, errors.New("oth: keys of more than two primes are not supported")
	}
	var numbers [5]*big.Int
	for i, m := range []struct{ name, value string }{{"n", k.N}, {"e", k.E}, {"d", k.D}, {"p", k.P}, {"q", k.Q}} {
		b, err := member(m.name, m.value, 0)
		if err != nil {
			return nil, err
		}
		numbers[i] = new(big.Int).SetBytes(b)
	}
	n, e, d, p, q := numbers[0], numbers[1], numbers[2], numbers[3], numbers[4]
	switch {
	case e.BitLen() > 31:
		return nil, errors.New("e: is too large")
	case n.BitLen() > 16384:
		return nil, errors.New("n: is too large: at most 16384 bits")
	case n.BitLen() < minRSABits:
		return nil, fmt.Errorf("n: has %d bits, want at least %d (RFC 7518 section 3.3)", n.BitLen(), minRSABits)
	}
	key := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: n, E: int(e.Int64())}, D: d, Primes: []*big.Int{p, q}}
	key.Precompute()
	if key.Validate() != nil {
		return nil, errors.New("n, e, d, p, q: do not belong together")
	}
	return key, nil
}

// member decodes one base64url member; size in bytes, 0: any but none.
func member(name, value string, size int) ([]byte, error) {
	if value == "" {
		if name == "d" {
			return nil, errors.New("d: is missing: this is a public key, give the private one")
		}
		return nil, errors.New(name + ": is missing")
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(value)
	switch {
	case err != nil:
		return nil, errors.New(name + ": is not base64url without padding")
	case size != 0 && len(b) != size:
		return nil, fmt.Errorf("%s: has %d bytes, want %d", name, len(b), size)
	}
	return b, nil
}
