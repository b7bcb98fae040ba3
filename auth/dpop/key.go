package dpop

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/internal/httpx"
)

// Key is a private key that signs proofs. Get one from [Keys]. It redacts itself
// in every fmt verb and in log/slog, and may be used by many goroutines at once.
type Key struct {
	method jwt.SigningMethod
	// private returns the *ecdsa.PrivateKey or ed25519.PrivateKey. Of a
	// function fmt prints the address and no more, even where it cannot call
	// Format because the Key is in an unexported field.
	private func() any
	jwk     string // the public key; see newKey
}

var _ auth.ProofKey = (*Key)(nil)

// Proof implements [auth.ProofKey]: it signs a DPoP proof JWT (RFC 9449 section
// 4.2) with a new jti and the time of now. A field of p that a proof cannot be
// made for is an *[auth.ConfigError].
func (k *Key) Proof(_ context.Context, p auth.Proof) (string, error) {
	if k.method == nil {
		return "", errEmpty()
	}
	if p.Method == "" {
		return "", &auth.ConfigError{Field: "Proof.Method", Problem: "is empty; set the method of the request"}
	}
	htu, err := targetURI(p.URL)
	if err != nil {
		return "", err
	}
	claims := jwt.MapClaims{
		"jti": rand.Text(), // 130 bits; section 4.2 wants 96 at least
		"htm": p.Method,
		"htu": htu,
		"iat": time.Now().Unix(),
	}
	if p.AccessToken != "" {
		hash := sha256.Sum256([]byte(p.AccessToken))
		claims["ath"] = encode(hash[:])
	}
	if p.Nonce != "" {
		claims["nonce"] = p.Nonce
	}
	token := jwt.Token{
		Method: k.method,
		Header: map[string]any{"typ": "dpop+jwt", "alg": k.method.Alg(), "jwk": json.RawMessage(k.jwk)},
		Claims: claims,
	}
	proof, err := token.SignedString(k.private())
	if err != nil {
		return "", fmt.Errorf("dpop: signing a proof: %w", err)
	}
	return proof, nil
}

// errEmpty is the error of a Key that did not come from Keys.
func errEmpty() error {
	return &auth.ConfigError{Field: "Key", Problem: "is empty; get one from dpop.Keys"}
}

// targetURI is the htu of a request: its URL without query and fragment (RFC
// 9449 section 4.2). Servers compare it with the URL that they see. Those that
// normalize, as section 4.3 asks them to (RFC 3986 sections 6.2.2 and 6.2.3),
// take any form. For the others scheme and host are lower case here, a default
// port is left out and an empty path is "/", which is how they reconstruct it,
// and the path is spelt as net/http sends it.
func targetURI(raw string) (string, error) {
	u, err := url.Parse(raw)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Hostname() == "" {
		return "", &auth.ConfigError{Field: "Proof.URL", Problem: "is not an absolute http or https URL; set the URL of the request"}
	}
	path := u.EscapedPath()
	if path == "" {
		path = "/"
	}
	return httpx.Origin(u) + path, nil
}

// Marshal implements [auth.ProofKey]: it returns the private key as PKCS #8 DER,
// for [Keys.Load]. It is a secret.
func (k *Key) Marshal() ([]byte, error) {
	if k.private == nil {
		return nil, errEmpty()
	}
	der, err := x509.MarshalPKCS8PrivateKey(k.private())
	if err != nil {
		return nil, fmt.Errorf("dpop: encoding the private key: %w", err)
	}
	return der, nil
}

// Thumbprint returns the JWK SHA-256 thumbprint of the public key (RFC 7638) in
// base64url: the value of cnf.jkt in a token that is bound to the key (RFC 9449
// section 6.1). It is no secret.
func (k Key) Thumbprint() string {
	hash := sha256.Sum256([]byte(k.jwk))
	return encode(hash[:])
}

// String describes the key without the private part.
func (k Key) String() string {
	if k.method == nil {
		return "dpop.Key{}"
	}
	return "dpop.Key{" + k.method.Alg() + " " + k.Thumbprint() + "}"
}

// GoString is String: %#v shows no secret either.
func (k Key) GoString() string { return k.String() }

// Format makes every fmt verb print String.
func (k Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.String()) }

// LogValue implements [slog.LogValuer] without the private part.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }

func encode(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }
