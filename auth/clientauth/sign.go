package clientauth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha256" // for crypto.SHA256
	_ "crypto/sha512" // for crypto.SHA384 and crypto.SHA512
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/golang-jwt/jwt/v5"
)

// minRSABits is RFC 7518 sections 3.3 and 3.5.
const minRSABits = 2048

// algorithms returns the JWS algorithms that a key can sign with, the default
// first (RFC 7518 section 3.1, RFC 8037 section 3.1).
func algorithms(pub crypto.PublicKey) ([]string, error) {
	switch k := pub.(type) {
	case *rsa.PublicKey:
		if bits := k.N.BitLen(); bits < minRSABits {
			return nil, fmt.Errorf("is an RSA key of %d bits; make one of at least %d (RFC 7518 section 3.3)", bits, minRSABits)
		}
		return []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}, nil
	case *ecdsa.PublicKey:
		switch name := k.Params().Name; name {
		case "P-256":
			return []string{"ES256"}, nil
		case "P-384":
			return []string{"ES384"}, nil
		case "P-521":
			return []string{"ES512"}, nil
		default:
			return nil, fmt.Errorf("is on the curve %s; use P-256, P-384 or P-521 (RFC 7518 section 3.4)", name)
		}
	case ed25519.PublicKey:
		return []string{"EdDSA"}, nil
	}
	return nil, fmt.Errorf("has a public key of type %T; use RSA, ECDSA or Ed25519", pub)
}

// methodFor returns the signing method of alg, or of the first of algs if alg
// is empty.
func methodFor(algs []string, alg string) (jwt.SigningMethod, error) {
	if alg == "" {
		alg = algs[0]
	}
	if !slices.Contains(algs, alg) {
		return nil, fmt.Errorf("is %q, which does not fit the key; use %s or leave it empty", alg, strings.Join(algs, ", "))
	}
	return signerMethod{jwt.GetSigningMethod(alg)}, nil
}

// signerMethod is a method of golang-jwt that signs by any crypto.Signer. The
// library's own want the private key itself, which a KMS does not give away.
type signerMethod struct{ jwt.SigningMethod }

// Sign implements jwt.SigningMethod; key is a crypto.Signer.
func (m signerMethod) Sign(signingString string, key any) ([]byte, error) {
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, jwt.ErrInvalidKeyType
	}
	var opts crypto.SignerOpts
	coordinate := 0 // bytes of r and of s, for ECDSA
	switch method := m.SigningMethod.(type) {
	case *jwt.SigningMethodRSAPSS: // before RSA, which it embeds
		opts = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: method.Hash}
	case *jwt.SigningMethodRSA:
		opts = method.Hash
	case *jwt.SigningMethodECDSA:
		opts, coordinate = method.Hash, method.KeySize
	case *jwt.SigningMethodEd25519:
		opts = crypto.Hash(0) // Ed25519 signs the message, not a digest of it
	default:
		return nil, jwt.ErrInvalidKeyType
	}
	sig, err := crypto.SignMessage(signer, rand.Reader, []byte(signingString), opts)
	if err != nil || coordinate == 0 {
		return sig, err
	}
	return joinECDSA(sig, coordinate)
}

// joinECDSA turns the ASN.1 signature of a crypto.Signer into r and s side by
// side, each of size bytes (RFC 7518 section 3.4).
func joinECDSA(der []byte, size int) ([]byte, error) {
	var sig struct{ R, S *big.Int }
	rest, err := asn1.Unmarshal(der, &sig)
	if err != nil || len(rest) > 0 || sig.R.Sign() <= 0 || sig.S.Sign() <= 0 ||
		sig.R.BitLen() > 8*size || sig.S.BitLen() > 8*size {
		return nil, errors.New("the signer returned no ASN.1 ECDSA signature of its curve")
	}
	out := make([]byte, 2*size)
	sig.R.FillBytes(out[:size])
	sig.S.FillBytes(out[size:])
	return out, nil
}
