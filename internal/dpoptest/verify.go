package dpoptest

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/golang-jwt/jwt/v5"
)

// Proof is a proof whose form and signature are right.
type Proof struct {
	// Header and Claims are all that is in it.
	Header, Claims map[string]any
	// Thumbprint of its key (RFC 7638).
	Thumbprint string
}

// Claim returns a claim that is a string; "" if it is missing or none.
func (p *Proof) Claim(name string) string {
	s, _ := p.Claims[name].(string)
	return s
}

// Parse verifies what can be verified of a proof by itself (RFC 9449 section
// 4.3, items 2 to 7). It shares no code with package dpop.
func Parse(raw string) (*Proof, error) {
	p := &Proof{}
	claims := jwt.MapClaims{}
	parser := jwt.NewParser(jwt.WithValidMethods([]string{"ES256", "EdDSA"}), jwt.WithoutClaimsValidation(), jwt.WithStrictDecoding())
	token, err := parser.ParseWithClaims(raw, claims, func(token *jwt.Token) (any, error) {
		if token.Header["typ"] != "dpop+jwt" {
			return nil, fmt.Errorf("typ is %v", token.Header["typ"])
		}
		var (
			key any
			err error
		)
		key, p.Thumbprint, err = publicKey(token.Header["jwk"])
		return key, err
	})
	if err != nil {
		return nil, err
	}
	if len(token.Header) != 3 {
		return nil, fmt.Errorf("header has other members than typ, alg and jwk: %v", token.Header)
	}
	for _, name := range []string{"jti", "htm", "htu"} {
		if s, _ := claims[name].(string); s == "" {
			return nil, errors.New(name + " is missing or no string")
		}
	}
	if _, ok := claims["iat"].(float64); !ok {
		return nil, errors.New("iat is missing or no number")
	}
	p.Header, p.Claims = token.Header, claims
	return p, nil
}

// publicKey reads a JWK that has to be public and bare, and hashes it.
func publicKey(header any) (key any, thumbprint string, err error) {
	jwk, _ := header.(map[string]any)
	names := map[string][]string{"EC": {"crv", "kty", "x", "y"}, "OKP": {"crv", "kty", "x"}}[fmt.Sprint(jwk["kty"])]
	have := make([]string, 0, len(jwk))
	for name := range jwk {
		have = append(have, name)
	}
	slices.Sort(have)
	if names == nil || !slices.Equal(have, names) {
		return nil, "", fmt.Errorf("jwk has the members %v", have)
	}
	canonical, err := json.Marshal(jwk) // sorted, without spaces
	if err != nil {
		return nil, "", err
	}
	hash := sha256.Sum256(canonical)
	thumbprint = Encode(hash[:])
	x, err := base64.RawURLEncoding.Strict().DecodeString(fmt.Sprint(jwk["x"]))
	if err != nil {
		return nil, "", err
	}
	switch {
	case jwk["crv"] == "Ed25519" && len(x) == ed25519.PublicKeySize:
		return ed25519.PublicKey(x), thumbprint, nil
	case jwk["crv"] == "P-256":
		y, err := base64.RawURLEncoding.Strict().DecodeString(fmt.Sprint(jwk["y"]))
		if err != nil {
			return nil, "", err
		}
		key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), slices.Concat([]byte{4}, x, y))
		return key, thumbprint, err
	}
	return nil, "", fmt.Errorf("jwk is on the curve %v", jwk["crv"])
}

// Hash is the ath of an access token.
func Hash(accessToken string) string {
	hash := sha256.Sum256([]byte(accessToken))
	return Encode(hash[:])
}

// Encode is base64url without padding.
func Encode(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }
