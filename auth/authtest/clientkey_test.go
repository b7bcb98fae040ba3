package authtest_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/mcptokens/mcptokens/auth/authtest"
)

const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// assert signs the assertion of a client.
func assert(t *testing.T, method jwt.SigningMethod, key any, claims jwt.MapClaims) string {
	t.Helper()
	raw, err := jwt.NewWithClaims(method, claims).SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func clientClaims(srv *authtest.Server, id string, changes ...any) jwt.MapClaims {
	c := jwt.MapClaims{"iss": id, "sub": id, "aud": srv.Issuer, "jti": rand.Text(), "exp": time.Now().Add(time.Minute).Unix()}
	for i := 0; i+1 < len(changes); i += 2 {
		if c[changes[i].(string)] = changes[i+1]; changes[i+1] == nil {
			delete(c, changes[i].(string))
		}
	}
	return c
}

func TestPrivateKeyJWT(t *testing.T) {
	ec, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	public, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	srv := newServer(t, authtest.Config{})
	for id, key := range map[string]crypto.PublicKey{"ec": ec.Public(), "rsa": rsaKey.Public(), "ed": public} {
		srv.AddClientKey(id, key)
	}
	used := assert(t, jwt.SigningMethodES384, ec, clientClaims(srv, "ec"))
	tests := []struct {
		name      string
		assertion string
		pairs     []string
		want      string // error; "" for success
	}{
		{"ES384", used, nil, ""},
		{"used again", used, nil, "invalid_client"},
		{"PS256", assert(t, jwt.SigningMethodPS256, rsaKey, clientClaims(srv, "rsa")), nil, ""},
		{"EdDSA", assert(t, jwt.SigningMethodEdDSA, ed, clientClaims(srv, "ed")), nil, ""},
		{"with client_id", assert(t, jwt.SigningMethodEdDSA, ed, clientClaims(srv, "ed")), []string{"client_id", "ed"}, ""},
		{"for the endpoint", assert(t, jwt.SigningMethodEdDSA, ed, clientClaims(srv, "ed", "aud", srv.Endpoint(authtest.TokenEndpoint))), nil, ""},
		{"another's key", assert(t, jwt.SigningMethodEdDSA, ed, clientClaims(srv, "ec")), nil, "invalid_client"},
		{"public key as a secret", assert(t, jwt.SigningMethodHS256, []byte(public), clientClaims(srv, "ed")), nil, "invalid_client"},
		{"no signature", assert(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, clientClaims(srv, "ed")), nil, "invalid_client"},
		{"another issuer", assert(t, jwt.SigningMethodEdDSA, ed, clientClaims(srv, "ed", "iss", "ec")), nil, "invalid_client"},
		{"another audience", assert(t, jwt.SigningMethodEdDSA, ed, clientClaims(srv, "ed", "aud", "https://other.example")), nil, "invalid_client"},
		{"expired", assert(t, jwt.SigningMethodEdDSA, ed, clientClaims(srv, "ed", "exp", 1)), nil, "invalid_client"},
		{"no expiry", assert(t, jwt.SigningMethodEdDSA, ed, clientClaims(srv, "ed", "exp", nil)), nil, "invalid_client"},
		{"no jti", assert(t, jwt.SigningMethodEdDSA, ed, clientClaims(srv, "ed", "jti", nil)), nil, "invalid_client"},
		{"not a JWT", "guess", nil, "invalid_client"},
		{"a client with a secret", assert(t, jwt.SigningMethodEdDSA, ed, clientClaims(srv, "web")), nil, "invalid_client"},
		{"another client_id", assert(t, jwt.SigningMethodEdDSA, ed, clientClaims(srv, "ed")), []string{"client_id", "ec"}, "invalid_request"},
		{"and a secret", assert(t, jwt.SigningMethodEdDSA, ed, clientClaims(srv, "ed")), []string{"client_secret", "x"}, "invalid_request"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := form(append([]string{"grant_type", "client_credentials", "client_assertion_type", assertionType, "client_assertion", tt.assertion}, tt.pairs...)...)
			if r := post(t, srv, authtest.TokenEndpoint, v); r.text("error") != tt.want || (r.status == 200) != (tt.want == "") {
				t.Errorf("%d %s, want %q", r.status, r.body, tt.want)
			}
		})
	}
	if r := post(t, srv, authtest.TokenEndpoint, form("grant_type", "client_credentials", "client_id", "ed")); r.text("error") != "invalid_client" {
		t.Errorf("without an assertion: %s", r.body)
	}
	v := form("grant_type", "client_credentials", "client_assertion_type", "x", "client_assertion", assert(t, jwt.SigningMethodEdDSA, ed, clientClaims(srv, "ed")))
	if r := post(t, srv, authtest.TokenEndpoint, v); r.text("error") != "invalid_client" {
		t.Errorf("of another type: %s", r.body)
	}
}

func TestKeysAreNotRegisteredOnDemand(t *testing.T) {
	srv := newServer(t, authtest.Config{})
	if r := register(t, srv, `{"redirect_uris":["http://localhost/cb"],"token_endpoint_auth_method":"private_key_jwt"}`); r.text("error") != "invalid_client_metadata" {
		t.Errorf("%d %s", r.status, r.body)
	}
}

func TestUselessKeyPanics(t *testing.T) {
	srv, err := authtest.Start(authtest.Config{InMemory: true})
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	defer func() {
		if recover() == nil {
			t.Error("a secret was taken for a public key")
		}
	}()
	srv.AddClientKey("c", []byte("secret"))
}
