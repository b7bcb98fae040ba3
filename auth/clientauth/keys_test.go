package clientauth

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"maps"
	"math/big"
	"strings"
	"testing"

	"github.com/mcptokens/mcptokens/internal/httpx"
)

func block(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func pkcs8(t testing.TB, key any) string {
	t.Helper()
	return block("PRIVATE KEY", must[[]byte](t)(x509.MarshalPKCS8PrivateKey(key)))
}

func equal(a, b crypto.Signer) bool {
	k, ok := a.(interface{ Equal(crypto.PrivateKey) bool })
	return ok && k.Equal(b)
}

func TestLoadKey(t *testing.T) {
	ec, ed := ecKey(t, elliptic.P384()), edKey(t)
	sec1 := block("EC PRIVATE KEY", must[[]byte](t)(x509.MarshalECPrivateKey(ec)))
	for name, tc := range map[string]struct {
		pem  string
		want crypto.Signer
	}{
		"PKCS8 RSA":       {pkcs8(t, rsaKey()), rsaKey()},
		"PKCS8 EC":        {pkcs8(t, ec), ec},
		"PKCS8 Ed25519":   {pkcs8(t, ed), ed},
		"PKCS1":           {block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey())), rsaKey()},
		"SEC1":            {sec1, ec},
		"after EC params": {block("EC PARAMETERS", []byte{6, 5, 0x2b, 0x81, 4, 0, 0x22}) + sec1, ec},
		"text around":     {"Bag Attributes\n  x: y\n" + sec1 + "\nmore", ec},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := LoadKey([]byte(tc.pem))
			if err != nil {
				t.Fatal(err)
			}
			if !equal(got, tc.want) {
				t.Errorf("LoadKey returned another key, a %T", got)
			}
		})
	}
}

func TestLoadKeyRefuses(t *testing.T) {
	ed := edKey(t)
	x25519 := must[*ecdh.PrivateKey](t)(ecdh.X25519().GenerateKey(rand.Reader))
	legacy := string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: []byte("planted-secret"),
		Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-128-CBC,00"}}))
	for name, tc := range map[string]struct{ pem, says string }{
		"empty":            {"", "no PEM block"},
		"no PEM":           {"planted-secret", "no PEM block"},
		"public":           {block("PUBLIC KEY", must[[]byte](t)(x509.MarshalPKIXPublicKey(ed.Public()))), "public key"},
		"RSA public":       {block("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&rsaKey().PublicKey)), "public key"},
		"certificate":      {block("CERTIFICATE", []byte("x")), "public key"},
		"parameters only":  {block("EC PARAMETERS", []byte("x")), "no private key"},
		"encrypted PKCS8":  {block("ENCRYPTED PRIVATE KEY", []byte("planted-secret")), "decrypt it"},
		"encrypted legacy": {legacy, "decrypt it"},
		"OpenSSH":          {block("OPENSSH PRIVATE KEY", []byte("planted-secret")), "ssh-keygen"},
		"other kind":       {block("DSA PRIVATE KEY", []byte("planted-secret")), "PKCS #8"},
		"damaged PKCS8":    {block("PRIVATE KEY", []byte("planted-secret")), "PKCS #8"},
		"damaged PKCS1":    {block("RSA PRIVATE KEY", []byte("planted-secret")), "PKCS #1"},
		"damaged SEC1":     {block("EC PRIVATE KEY", []byte("planted-secret")), "SEC 1"},
		"cannot sign":      {pkcs8(t, x25519), "cannot sign"},
		"curve":            {pkcs8(t, ecKey(t, elliptic.P224())), "P-224"},
	} {
		t.Run(name, func(t *testing.T) {
			key, err := LoadKey([]byte(tc.pem))
			if err == nil || key != nil {
				t.Fatalf("LoadKey = %T, %v; want an error", key, err)
			}
			if !strings.Contains(err.Error(), tc.says) || strings.Contains(err.Error(), "planted-secret") {
				t.Errorf("error = %q, want it to mention %q and no input", err, tc.says)
			}
		})
	}
}

type members map[string]any

// with returns a copy of m with one member changed, or removed by nil.
func (m members) with(name string, value any) members {
	c := maps.Clone(m)
	c[name] = value
	if value == nil {
		delete(c, name)
	}
	return c
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func ecJWK(t testing.TB, k *ecdsa.PrivateKey) members {
	t.Helper()
	pub := must[[]byte](t)(k.PublicKey.Bytes())[1:]
	return members{"kty": "EC", "crv": k.Params().Name, "x": b64(pub[:len(pub)/2]), "y": b64(pub[len(pub)/2:]),
		"d": b64(must[[]byte](t)(k.Bytes()))}
}

func rsaJWK(k *rsa.PrivateKey) members {
	return members{"kty": "RSA", "n": b64(k.N.Bytes()), "e": b64(big.NewInt(int64(k.E)).Bytes()), "d": b64(k.D.Bytes()),
		"p": b64(k.Primes[0].Bytes()), "q": b64(k.Primes[1].Bytes()), "dp": "AQ", "dq": "AQ", "qi": "AQ"}
}

// RFC 8037 appendix A.1.
var okpJWK = members{"kty": "OKP", "crv": "Ed25519", "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}

// RFC 7515 appendix A.3.1.
var rfcEC = members{"kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
	"y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0", "d": "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}

func TestLoadJWK(t *testing.T) {
	p384, p521 := ecKey(t, elliptic.P384()), ecKey(t, elliptic.P521())
	ed := must[crypto.Signer](t)(LoadKey([]byte("-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n")))
	for name, tc := range map[string]struct {
		jwk      members
		kid, alg string
		want     crypto.Signer // nil: not compared
	}{
		"RSA":           {rsaJWK(rsaKey()), "", "", rsaKey()},
		"RSA alg":       {rsaJWK(rsaKey()).with("alg", "PS384"), "", "PS384", rsaKey()},
		"P-256 by RFC":  {rfcEC.with("kid", "k1").with("alg", "ES256"), "k1", "ES256", nil},
		"P-384":         {ecJWK(t, p384), "", "", p384},
		"P-521":         {ecJWK(t, p521), "", "", p521},
		"OKP by RFC":    {okpJWK.with("use", "sig").with("key_ops", []string{"sign", "verify"}), "", "", ed},
		"other members": {okpJWK.with("x5t#S256", 1).with("D", "x"), "", "", ed},
	} {
		t.Run(name, func(t *testing.T) {
			key, kid, alg, err := LoadJWK(must[[]byte](t)(json.Marshal(tc.jwk)))
			if err != nil {
				t.Fatal(err)
			}
			if kid != tc.kid || alg != tc.alg {
				t.Errorf("kid %q, alg %q; want %q, %q", kid, alg, tc.kid, tc.alg)
			}
			if tc.want != nil && !equal(key, tc.want) {
				t.Errorf("another key, a %T", key)
			}
			assertion(t, PrivateKeyJWT{Key: key, KeyID: kid, Algorithm: alg})
		})
	}
}

func TestLoadJWKRefuses(t *testing.T) {
	rsaOK := rsaJWK(rsaKey())
	other := ecJWK(t, ecKey(t, elliptic.P256()))
	for name, tc := range map[string]struct {
		jwk  members
		says string
	}{
		"no kty":            {okpJWK.with("kty", nil), "kty:"},
		"shared secret":     {members{"kty": "oct", "k": "planted-secret"}, "kty: this is a shared secret"},
		"unknown kty":       {okpJWK.with("kty", "planted-secret"), "kty:"},
		"set":               {members{"keys": []members{okpJWK}}, "JWK Set"},
		"for encryption":    {okpJWK.with("use", "enc"), "use:"},
		"for verifying":     {okpJWK.with("key_ops", []string{"verify"}), "key_ops:"},
		"no key_ops at all": {okpJWK.with("key_ops", []string{}), "key_ops:"},
		"alg of other type": {okpJWK.with("alg", "ES256"), "alg: does not fit the key: want one of [EdDSA]"},
		"wrong JSON type":   {okpJWK.with("d", 7), "d has the wrong JSON type"},

		"EC curve":       {rfcEC.with("crv", "secp256k1"), "crv: want P-256"},
		"EC no x":        {rfcEC.with("x", nil), "x: is missing"},
		"EC no y":        {rfcEC.with("y", nil), "y: is missing"},
		"EC public":      {rfcEC.with("d", nil), "d: is missing: this is a public key"},
		"EC short d":     {rfcEC.with("d", b64(make([]byte, 31))), "d: has 31 bytes, want 32"},
		"EC zero d":      {rfcEC.with("d", b64(make([]byte, 32))), "d: is out of range"},
		"EC off curve":   {rfcEC.with("y", rfcEC["x"]), "x, y: are no point"},
		"EC other point": {rfcEC.with("x", other["x"]).with("y", other["y"]), "x, y: do not belong to d"},
		"EC padding":     {rfcEC.with("x", rfcEC["x"].(string)+"="), "x: is not base64url"},
		"EC base64":      {rfcEC.with("y", strings.ReplaceAll(rfcEC["y"].(string), "_", "/")), "y: is not base64url"},

		"OKP curve":   {okpJWK.with("crv", "X25519"), "crv: want Ed25519"},
		"OKP no x":    {okpJWK.with("x", nil), "x: is missing"},
		"OKP public":  {okpJWK.with("d", nil), "d: is missing"},
		"OKP other x": {okpJWK.with("x", b64(make([]byte, 32))), "x: does not belong to d"},

		"RSA public":    {rsaOK.with("d", nil), "d: is missing"},
		"RSA no primes": {rsaOK.with("p", nil), "p: is missing"},
		"RSA other d":   {rsaOK.with("d", "AQAB"), "do not belong together"},
		"RSA zero p":    {rsaOK.with("p", "AA"), "do not belong together"},
		"RSA e is 1":    {rsaOK.with("e", "AQ"), "do not belong together"},
		"RSA large e":   {rsaOK.with("e", "_________w"), "e: is too large"},
		"RSA small n":   {rsaOK.with("n", "AQAB"), "n: has 17 bits"},
		"RSA large n":   {rsaOK.with("n", b64(append([]byte{1}, make([]byte, 2048)...))), "n: is too large"},
		"RSA oth":       {rsaOK.with("oth", []members{{"r": "AQ"}}), "oth:"},
	} {
		t.Run(name, func(t *testing.T) {
			data := must[[]byte](t)(json.Marshal(tc.jwk))
			key, kid, alg, err := LoadJWK(data)
			if err == nil || key != nil || kid != "" || alg != "" {
				t.Fatalf("LoadJWK = %T, %q, %q, %v; want an error only", key, kid, alg, err)
			}
			if !strings.Contains(err.Error(), tc.says) {
				t.Errorf("error = %q, want it to mention %q", err, tc.says)
			}
			for _, secret := range []any{"planted-secret", tc.jwk["d"]} {
				if s, ok := secret.(string); ok && strings.Contains(err.Error(), s) {
					t.Errorf("error %q quotes the input", err)
				}
			}
		})
	}
	for _, data := range []string{"", "null", "[]", "{", pkcs8(t, edKey(t))} {
		if _, _, _, err := LoadJWK([]byte(data)); !errors.Is(err, httpx.ErrMalformed) {
			t.Errorf("LoadJWK(%.20q): %v", data, err)
		}
	}
}

// What LoadJWK accepts can sign; what it refuses it does not panic on.
func FuzzLoadJWK(f *testing.F) {
	for _, m := range []members{okpJWK, rfcEC, rsaJWK(rsaKey())} {
		f.Add(must[[]byte](f)(json.Marshal(m)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		key, kid, alg, err := LoadJWK(data)
		if err != nil {
			return
		}
		if err := (PrivateKeyJWT{Key: key, KeyID: kid, Algorithm: alg}).Authenticate(t.Context(), newRequest("")); err != nil {
			t.Errorf("accepted, but cannot sign: %v", err)
		}
	})
}
