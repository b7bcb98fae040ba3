package clientauth

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/mcptokens/mcptokens/auth"
)

// rsaKey is made once: it is slow.
var rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

func ecKey(t testing.TB, c elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(c, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func edKey(t testing.TB) ed25519.PrivateKey {
	t.Helper()
	_, k, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// remote is a signer that shows nothing but what crypto.Signer promises, as
// one that asks a KMS.
type remote struct{ crypto.Signer }

// assertion authenticates a request and returns the parsed, verified assertion.
func assertion(t *testing.T, p PrivateKeyJWT) *jwt.Token {
	t.Helper()
	r := newRequest("not to be sent")
	if err := p.Authenticate(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if got := r.Form.Get("client_id"); got != r.ClientID {
		t.Errorf("client_id = %q, want %q", got, r.ClientID)
	}
	if got, want := r.Form.Get("client_assertion_type"), "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"; got != want {
		t.Errorf("client_assertion_type = %q, want %q", got, want)
	}
	if r.Form.Has("client_secret") || r.Header.Get("Authorization") != "" {
		t.Errorf("a secret was sent: %v %v", r.Form, r.Header)
	}
	// The library's own verification, with nothing of ours.
	token, err := jwt.NewParser(jwt.WithTimeFunc(time.Now)).
		Parse(r.Form.Get("client_assertion"), func(*jwt.Token) (any, error) { return p.Key.Public(), nil })
	if err != nil {
		t.Fatalf("the assertion does not verify: %v", err)
	}
	return token
}

func TestAlgorithms(t *testing.T) {
	p256, p384, p521 := ecKey(t, elliptic.P256()), ecKey(t, elliptic.P384()), ecKey(t, elliptic.P521())
	for _, tc := range []struct {
		key       crypto.Signer
		alg, want string
	}{
		{rsaKey(), "", "RS256"}, {rsaKey(), "RS256", "RS256"}, {rsaKey(), "RS384", "RS384"}, {rsaKey(), "RS512", "RS512"},
		{rsaKey(), "PS256", "PS256"}, {rsaKey(), "PS384", "PS384"}, {rsaKey(), "PS512", "PS512"},
		{p256, "", "ES256"}, {p256, "ES256", "ES256"}, {p384, "", "ES384"}, {p521, "", "ES512"},
		{edKey(t), "", "EdDSA"}, {edKey(t), "EdDSA", "EdDSA"},
	} {
		t.Run(fmt.Sprintf("%T %s to %s", tc.key, tc.alg, tc.want), func(t *testing.T) {
			for _, key := range []crypto.Signer{tc.key, remote{tc.key}} {
				token := assertion(t, PrivateKeyJWT{Key: key, Algorithm: tc.alg})
				if token.Header["alg"] != tc.want {
					t.Errorf("alg = %v, want %s", token.Header["alg"], tc.want)
				}
			}
		})
	}
}

func TestAssertion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := PrivateKeyJWT{Key: edKey(t)}
		if got := p.Method(); got != "private_key_jwt" {
			t.Errorf("Method = %q", got)
		}
		now := float64(time.Now().Unix())
		token := assertion(t, p)
		claims := token.Claims.(jwt.MapClaims)
		jti, _ := claims["jti"].(string)
		if len(jti) < 22 { // 128 bits
			t.Errorf("jti = %q, want at least 128 bits", jti)
		}
		delete(claims, "jti")
		want := jwt.MapClaims{"iss": "client:1", "sub": "client:1", "aud": "https://as.example", "iat": now, "exp": now + 60}
		if fmt.Sprint(claims) != fmt.Sprint(want) {
			t.Errorf("claims = %v, want %v", claims, want)
		}
		if kid, ok := token.Header["kid"]; ok {
			t.Errorf("kid = %v, want none", kid)
		}
		if again := assertion(t, p).Claims.(jwt.MapClaims)["jti"]; again == jti {
			t.Error("two requests share a jti")
		}

		p.KeyID, p.Audience, p.Lifetime = "k1", AudienceEndpoint, 5*time.Minute
		token = assertion(t, p)
		claims = token.Claims.(jwt.MapClaims)
		if token.Header["kid"] != "k1" || claims["aud"] != "https://as.example/token" || claims["exp"] != now+300 {
			t.Errorf("header %v, claims %v", token.Header, claims)
		}
	})
}

func TestFieldsThatMakeNoSense(t *testing.T) {
	p224 := ecKey(t, elliptic.P224())
	small := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 1023), E: 65537}}
	noIssuer := newRequest("")
	noIssuer.Issuer = ""
	ed := edKey(t)
	for name, tc := range map[string]struct {
		p     PrivateKeyJWT
		r     *auth.ClientAuthRequest
		field string
		says  string
	}{
		"no key":             {PrivateKeyJWT{}, newRequest(""), "PrivateKeyJWT.Key", "LoadKey"},
		"curve":              {PrivateKeyJWT{Key: p224}, newRequest(""), "PrivateKeyJWT.Key", "P-224"},
		"small RSA":          {PrivateKeyJWT{Key: small}, newRequest(""), "PrivateKeyJWT.Key", "1024 bits"},
		"unknown key":        {PrivateKeyJWT{Key: fakeSigner{}}, newRequest(""), "PrivateKeyJWT.Key", "RSA, ECDSA or Ed25519"},
		"alg of other curve": {PrivateKeyJWT{Key: ecKey(t, elliptic.P384()), Algorithm: "ES256"}, newRequest(""), "PrivateKeyJWT.Algorithm", "ES384"},
		"alg of other type":  {PrivateKeyJWT{Key: rsaKey(), Algorithm: "EdDSA"}, newRequest(""), "PrivateKeyJWT.Algorithm", "PS256"},
		"alg none":           {PrivateKeyJWT{Key: ed, Algorithm: "none"}, newRequest(""), "PrivateKeyJWT.Algorithm", "EdDSA"},
		"alg HS256":          {PrivateKeyJWT{Key: ed, Algorithm: "HS256"}, newRequest(""), "PrivateKeyJWT.Algorithm", "EdDSA"},
		"audience":           {PrivateKeyJWT{Key: ed, Audience: 7}, newRequest(""), "PrivateKeyJWT.Audience", "AudienceIssuer"},
		"no issuer":          {PrivateKeyJWT{Key: ed}, noIssuer, "Server.Issuer", "AudienceEndpoint"},
		"lifetime":           {PrivateKeyJWT{Key: ed, Lifetime: -1}, newRequest(""), "PrivateKeyJWT.Lifetime", "60 seconds"},
	} {
		t.Run(name, func(t *testing.T) {
			err := tc.p.Authenticate(t.Context(), tc.r)
			wantConfigError(t, err, tc.field)
			if !strings.Contains(err.Error(), tc.says) {
				t.Errorf("error = %q, want it to mention %q", err, tc.says)
			}
			if tc.r.Form.Has("client_assertion") {
				t.Error("an assertion was added all the same")
			}
		})
	}
}

// fakeSigner answers with what the test says.
type fakeSigner struct {
	pub crypto.PublicKey
	sig []byte
	err error
}

func (f fakeSigner) Public() crypto.PublicKey { return f.pub }
func (f fakeSigner) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return f.sig, f.err
}

func TestSignersThatFail(t *testing.T) {
	pub := ecKey(t, elliptic.P256()).Public()
	kms := errors.New("kms: no access to key")
	for name, tc := range map[string]struct {
		signer fakeSigner
		is     error
	}{
		"foreign error":  {fakeSigner{pub, nil, kms}, kms},
		"canceled":       {fakeSigner{pub, nil, context.Canceled}, context.Canceled},
		"raw signature":  {fakeSigner{pub, make([]byte, 64), nil}, nil},
		"empty":          {fakeSigner{pub, nil, nil}, nil},
		"zero r":         {fakeSigner{pub, []byte{0x30, 6, 2, 1, 0, 2, 1, 1}, nil}, nil},
		"negative s":     {fakeSigner{pub, []byte{0x30, 6, 2, 1, 1, 2, 1, 0xff}, nil}, nil},
		"trailing bytes": {fakeSigner{pub, []byte{0x30, 6, 2, 1, 1, 2, 1, 1, 0}, nil}, nil},
		"r too long": {fakeSigner{pub, slices.Concat([]byte{0x30, 38, 2, 33, 1}, make([]byte, 32), []byte{2, 1, 1}), nil},
			nil},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRequest("")
			err := PrivateKeyJWT{Key: tc.signer}.Authenticate(t.Context(), r)
			if err == nil || r.Form.Has("client_assertion") {
				t.Fatalf("error = %v, form = %v", err, r.Form)
			}
			if tc.is != nil && !errors.Is(err, tc.is) {
				t.Errorf("error = %v, want it to wrap %v", err, tc.is)
			}
			if !strings.Contains(err.Error(), "client assertion") || tc.is != nil && !strings.Contains(err.Error(), tc.is.Error()) {
				t.Errorf("error text %q", err)
			}
		})
	}
}

// Short coordinates are padded: 1 in 256 signatures has one.
func TestECDSACoordinatesHaveFullSize(t *testing.T) {
	sig, err := joinECDSA([]byte{0x30, 6, 2, 1, 5, 2, 1, 7}, 32)
	if err != nil {
		t.Fatal(err)
	}
	want := make([]byte, 64)
	want[31], want[63] = 5, 7
	if !bytes.Equal(sig, want) {
		t.Errorf("joinECDSA = %x, want %x", sig, want)
	}
}

func TestSignerMethodWantsASigner(t *testing.T) {
	m := signerMethod{jwt.SigningMethodES256}
	if _, err := m.Sign("x", "no signer"); !errors.Is(err, jwt.ErrInvalidKeyType) {
		t.Errorf("Sign with a string: %v", err)
	}
	m = signerMethod{jwt.SigningMethodHS256}
	if _, err := m.Sign("x", edKey(t)); !errors.Is(err, jwt.ErrInvalidKeyType) {
		t.Errorf("Sign by HS256: %v", err)
	}
}

// A key that is replaced while the program runs signs from then on.
func TestKeyFunc(t *testing.T) {
	keys := map[string]ed25519.PrivateKey{"old": edKey(t), "new": edKey(t)}
	current := "old"
	p := PrivateKeyJWT{KeyFunc: func(context.Context) (crypto.Signer, string, error) { return keys[current], current, nil }}
	for _, kid := range []string{"old", "new"} {
		current = kid
		r := newRequest("")
		if err := p.Authenticate(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		token, err := jwt.Parse(r.Form.Get("client_assertion"), func(*jwt.Token) (any, error) { return keys[kid].Public(), nil })
		if err != nil || token.Header["kid"] != kid {
			t.Errorf("kid %v, want %s: %v", token.Header["kid"], kid, err)
		}
	}

	broken := errors.New("the KMS is away")
	p.KeyFunc = func(context.Context) (crypto.Signer, string, error) { return nil, "", broken }
	if err := p.Authenticate(t.Context(), newRequest("")); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
	p.Key = edKey(t)
	var config *auth.ConfigError
	if err := p.Authenticate(t.Context(), newRequest("")); !errors.As(err, &config) || config.Field != "PrivateKeyJWT.KeyFunc" {
		t.Errorf("both set: %v", err)
	}
}

// The key is printed by no verb and no logger.
func TestPrivateKeyJWTRedactsItself(t *testing.T) {
	key := ecKey(t, elliptic.P256())
	raw, err := key.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	p := PrivateKeyJWT{Key: key, KeyID: "k1"}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		fmt.Fprintf(&out, verb+"\n", p)
		fmt.Fprintf(&out, verb+"\n", &p)
		fmt.Fprintf(&out, verb+"\n", auth.Config{Client: auth.Client{Auth: p}}.Client.Auth)
	}
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "auth", p)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "auth", p)
	out.WriteString(p.GoString())
	d := new(big.Int).SetBytes(raw)
	for _, secret := range []string{d.String(), d.Text(16), key.X.String(), fmt.Sprint(d.Bits())} {
		if strings.Contains(out.String(), secret) {
			t.Fatalf("found a key's number in:\n%s", out.String())
		}
	}
	if !strings.Contains(out.String(), "k1") {
		t.Errorf("no kid in:\n%s", out.String())
	}
}
