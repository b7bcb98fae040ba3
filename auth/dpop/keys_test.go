package dpop_test

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"log/slog"
	"math/big"
	"strings"
	"testing"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/dpop"
)

// A key that was stored is the same key: it signs for the tokens that are bound
// to it.
func TestKeySurvivesStorage(t *testing.T) {
	for _, alg := range []string{dpop.ES256, dpop.EdDSA} {
		for _, loader := range []dpop.Keys{{}, {Algorithm: alg}} {
			t.Run(alg+"/loaded with "+loader.Algorithm, func(t *testing.T) {
				key := newKey(t, alg)
				der, err := key.Marshal()
				if err != nil {
					t.Fatal(err)
				}
				again, err := loader.Load(der)
				if err != nil {
					t.Fatal(err)
				}
				proof := prove(t, again, auth.Proof{Method: "POST", URL: "https://h/"})
				if proof.Thumbprint != key.Thumbprint() || proof.Header["alg"] != alg {
					t.Errorf("%v, %s: not the key %s", proof.Header["alg"], proof.Thumbprint, key)
				}
				twice, err := again.Marshal()
				if err != nil || !bytes.Equal(der, twice) {
					t.Errorf("marshaled again it is something else (%v)", err)
				}
			})
		}
	}
}

func TestEachKeyIsNew(t *testing.T) {
	for _, alg := range []string{dpop.ES256, dpop.EdDSA} {
		one, other := newKey(t, alg), newKey(t, alg)
		if one.Thumbprint() == other.Thumbprint() {
			t.Errorf("%s: the same key twice", alg)
		}
	}
}

func TestUnknownAlgorithm(t *testing.T) {
	der, err := newKey(t, "").Marshal()
	if err != nil {
		t.Fatal(err)
	}
	for _, alg := range []string{"RS256", "none", "es256"} {
		_, err := dpop.Keys{Algorithm: alg}.New()
		wantConfigError(t, err, "Keys.Algorithm")
		_, err = dpop.Keys{Algorithm: alg}.Load(der)
		wantConfigError(t, err, "Keys.Algorithm")
	}
}

func TestLoadRefuses(t *testing.T) {
	good, err := newKey(t, "").Marshal()
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		alg  string
		data []byte
		says string
	}{
		"nothing":    {"", nil, "no PKCS #8"},
		"text":       {"", []byte("planted"), "no PKCS #8"},
		"half a key": {"", good[:len(good)/2], "no PKCS #8"},
		"SEC 1":      {"", sec1(t), "no PKCS #8"},
		"RSA":        {"", pkcs8(t, rsaKey(t)), "is a *rsa.PrivateKey; use"},
		"X25519":     {"", pkcs8(t, xKey(t)), "is a *ecdh.PrivateKey; use"},
		"P-384":      {"", pkcs8(t, ecKey(t, elliptic.P384())), "curve P-384; use P-256"},
		"P-521":      {"", pkcs8(t, ecKey(t, elliptic.P521())), "curve P-521; use P-256"},
		"not EdDSA":  {dpop.EdDSA, good, "is made for ES256, but Keys.Algorithm is EdDSA"},
		"not ES256":  {dpop.ES256, pkcs8(t, ed25519.NewKeyFromSeed(make([]byte, 32))), "is made for EdDSA, but Keys.Algorithm is ES256"},
	} {
		t.Run(name, func(t *testing.T) {
			key, err := dpop.Keys{Algorithm: tc.alg}.Load(tc.data)
			wantConfigError(t, err, "Record.ProofKey")
			if key != nil || !strings.Contains(err.Error(), tc.says) || strings.Contains(err.Error(), "planted") {
				t.Errorf("got %v, %v; want nothing, and an error with %q", key, err, tc.says)
			}
		})
	}
}

// What Load accepts can prove; what it refuses it does not panic on.
func FuzzLoad(f *testing.F) {
	for _, alg := range []string{dpop.ES256, dpop.EdDSA} {
		der, err := newKey(f, alg).Marshal()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(der)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if key, err := (dpop.Keys{}).Load(data); err == nil {
			prove(t, key, auth.Proof{Method: "POST", URL: "https://h/"})
		}
	})
}

// holder has keys where fmt cannot call their methods.
type holder struct {
	pointer *dpop.Key
	value   dpop.Key
	any     auth.ProofKey
}

// However a key is printed, the private part does not show [invariant 19].
func TestKeyRedactsItself(t *testing.T) {
	for _, alg := range []string{dpop.ES256, dpop.EdDSA} {
		t.Run(alg, func(t *testing.T) {
			key := newKey(t, alg)
			var out strings.Builder
			for _, v := range []any{key, *key, []*dpop.Key{key}, map[string]any{"key": *key}, holder{key, *key, key}, &holder{key, *key, key}} {
				for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%b", "%t", "%e"} {
					fmt.Fprintf(&out, verb+"\n", v)
				}
			}
			for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
				slog.New(h).Info("planted", "pointer", key, "value", *key, "group", slog.GroupValue(slog.Any("key", key)))
			}
			printed := strings.ToLower(out.String())
			for name, form := range privateForms(t, key) {
				if strings.Contains(printed, strings.ToLower(form)) {
					t.Errorf("the private key shows as %s in:\n%s", name, out.String())
				}
			}
			want := "dpop.Key{" + alg + " " + key.Thumbprint() + "}"
			for _, got := range []string{fmt.Sprint(key), fmt.Sprintf("%d", *key), key.GoString(), key.LogValue().String()} {
				if got != want {
					t.Errorf("printed as %q, want %q", got, want)
				}
			}
		})
	}
	if got := fmt.Sprint(dpop.Key{}); got != "dpop.Key{}" {
		t.Errorf("the zero Key is printed as %q", got)
	}
}

// privateForms are the shapes in which a private key could be printed.
func privateForms(t *testing.T, key *dpop.Key) map[string]string {
	t.Helper()
	der, err := key.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		t.Fatal(err)
	}
	var d []byte
	forms := make(map[string]string)
	switch p := parsed.(type) {
	case *ecdsa.PrivateKey:
		if d, err = p.Bytes(); err != nil {
			t.Fatal(err)
		}
		forms["big.Int"] = new(big.Int).SetBytes(d).String()
	case ed25519.PrivateKey:
		d = p.Seed()
	}
	forms["bytes"] = strings.Trim(fmt.Sprint(d), "[]")
	forms["hex"] = strings.TrimLeft(hex.EncodeToString(d), "0")
	forms["hex bytes"] = strings.Trim(fmt.Sprintf("%#v", d), "[]byte{}")
	forms["base64"] = base64.RawStdEncoding.EncodeToString(d)
	forms["base64url"] = base64.RawURLEncoding.EncodeToString(d)
	return forms
}

func pkcs8(t *testing.T, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func sec1(t *testing.T) []byte {
	t.Helper()
	der, err := x509.MarshalECPrivateKey(ecKey(t, elliptic.P256()))
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func ecKey(t *testing.T, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	return must(t, key, err)
}

func rsaKey(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	return must(t, key, err)
}

func xKey(t *testing.T) *ecdh.PrivateKey {
	t.Helper()
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	return must(t, key, err)
}

func must[T any](t *testing.T, v T, err error) T {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return v
}
