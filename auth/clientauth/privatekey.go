package clientauth

import (
	"cmp"
	"context"
	"crypto"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/internal/errtext"
)

const (
	methodPrivateKeyJWT = "private_key_jwt"
	assertionType       = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	defaultLifetime     = 60 * time.Second
)

// Audience is who an assertion is meant for.
type Audience int

const (
	// AudienceIssuer names the authorization server by its issuer identifier
	// and nothing else, as the update of RFC 7523 asks: an assertion that names
	// an endpoint can be obtained by a malicious server that publishes another
	// server's endpoint as its own.
	AudienceIssuer Audience = iota
	// AudienceEndpoint names the URL that the request goes to, for servers that
	// still want what RFC 7523 section 3 suggested.
	AudienceEndpoint
)

// PrivateKeyJWT proves the client by an assertion signed with its private key
// (RFC 7523 section 2.2, private_key_jwt). Every request carries a new one.
//
// It never prints its key.
type PrivateKeyJWT struct {
	// Key signs. Required, unless there is a KeyFunc. An *rsa.PrivateKey of at least 2048 bits, an
	// *ecdsa.PrivateKey on P-256, P-384 or P-521, an ed25519.PrivateKey, or any
	// other [crypto.Signer] with such a public key: one that asks a KMS or an
	// HSM, for example. See [LoadKey] and [LoadJWK].
	Key crypto.Signer

	// KeyFunc returns the key and its kid for each request, in place of Key and
	// KeyID, so that a key can be replaced while the program runs. It is called
	// from many goroutines at once. Default: nil, Key is used.
	KeyFunc func(ctx context.Context) (key crypto.Signer, keyID string, err error)

	// Algorithm is the JWS algorithm (RFC 7518 section 3.1): RS256, RS384,
	// RS512, PS256, PS384, PS512, ES256, ES384, ES512 or EdDSA. Default: what
	// the key can do, and RS256 for RSA, which every server knows; PS256 is the
	// better choice where the server knows it.
	Algorithm string

	// KeyID is the kid header, by which a server that knows several keys of
	// the client picks one. Default: no kid.
	KeyID string

	// Audience is who the assertion is for. Default: [AudienceIssuer].
	Audience Audience

	// Lifetime of an assertion. Default: 60 seconds, enough for one request and
	// some difference between the clocks.
	Lifetime time.Duration
}

// Method returns "private_key_jwt".
func (PrivateKeyJWT) Method() string { return methodPrivateKeyJWT }

// Authenticate adds client_assertion_type, client_assertion and client_id to
// the form. A field that is missing or does not fit the key is an
// *[auth.ConfigError].
func (p PrivateKeyJWT) Authenticate(ctx context.Context, r *auth.ClientAuthRequest) error {
	if r.ClientID == "" {
		return noClientID(methodPrivateKeyJWT)
	}
	if p.KeyFunc != nil {
		if p.Key != nil || p.KeyID != "" {
			return &auth.ConfigError{Field: "PrivateKeyJWT.KeyFunc", Problem: "is set as well as Key or KeyID; set one of them"}
		}
		var err error
		if p.Key, p.KeyID, err = p.KeyFunc(ctx); err != nil {
			return &signError{err}
		}
	}
	method, err := p.signingMethod()
	if err != nil {
		return err
	}
	audience, err := p.audience(r)
	if err != nil {
		return err
	}
	if p.Lifetime < 0 {
		return &auth.ConfigError{Field: "PrivateKeyJWT.Lifetime", Problem: "is negative; leave it zero for 60 seconds"}
	}
	now := time.Now()
	// No nbf: it would only turn a server whose clock is behind into one that
	// refuses the client.
	token := jwt.NewWithClaims(method, jwt.MapClaims{
		"iss": r.ClientID,
		"sub": r.ClientID,
		"aud": audience,
		"jti": rand.Text(),
		"iat": now.Unix(),
		"exp": now.Add(cmp.Or(p.Lifetime, defaultLifetime)).Unix(),
	})
	if p.KeyID != "" {
		token.Header["kid"] = p.KeyID
	}
	assertion, err := token.SignedString(p.Key)
	if err != nil {
		return &signError{err}
	}
	r.Form.Set("client_id", r.ClientID)
	r.Form.Set("client_assertion_type", assertionType)
	r.Form.Set("client_assertion", assertion)
	return nil
}

// Advice says what to look at when a server refuses the assertion. The audience is
// the part on which servers differ: RFC 7523 section 3 let them choose, the
// revision of 2025 demands the issuer.
func (p PrivateKeyJWT) Advice() string {
	const look = "; else check the key that is registered, KeyID and this machine's clock"
	if p.Audience == AudienceEndpoint {
		return "the assertion was made for the token endpoint; if the server wants its issuer, set PrivateKeyJWT.Audience to AudienceIssuer" + look
	}
	return "the assertion was made for the issuer; if the server wants its token endpoint, set PrivateKeyJWT.Audience to AudienceEndpoint" + look
}

func (p PrivateKeyJWT) signingMethod() (jwt.SigningMethod, error) {
	if p.Key == nil {
		return nil, &auth.ConfigError{Field: "PrivateKeyJWT.Key", Problem: "is nil; set the client's private key, see clientauth.LoadKey, or a KeyFunc"}
	}
	algs, err := algorithms(p.Key.Public())
	if err != nil {
		return nil, &auth.ConfigError{Field: "PrivateKeyJWT.Key", Problem: err.Error()}
	}
	method, err := methodFor(algs, p.Algorithm)
	if err != nil {
		return nil, &auth.ConfigError{Field: "PrivateKeyJWT.Algorithm", Problem: err.Error()}
	}
	return method, nil
}

func (p PrivateKeyJWT) audience(r *auth.ClientAuthRequest) (string, error) {
	switch p.Audience {
	case AudienceIssuer:
		if r.Issuer == "" {
			return "", &auth.ConfigError{Field: "Server.Issuer",
				Problem: "is empty, but the client's assertion names the issuer as its audience; set it, or PrivateKeyJWT.Audience to AudienceEndpoint"}
		}
		return r.Issuer, nil
	case AudienceEndpoint:
		return r.Endpoint, nil
	}
	return "", &auth.ConfigError{Field: "PrivateKeyJWT.Audience", Problem: fmt.Sprintf("is %d; use AudienceIssuer or AudienceEndpoint", p.Audience)}
}

// String describes the method without the key.
func (p PrivateKeyJWT) String() string {
	return fmt.Sprintf("clientauth.PrivateKeyJWT{alg %q kid %q}", p.Algorithm, p.KeyID)
}

// GoString is String: %#v shows no key either.
func (p PrivateKeyJWT) GoString() string { return p.String() }

// Format makes every fmt verb print String.
func (p PrivateKeyJWT) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, p.String()) }

// LogValue implements [slog.LogValuer] without the key.
func (p PrivateKeyJWT) LogValue() slog.Value { return slog.StringValue(p.String()) }

// MarshalJSON encodes String.
func (p PrivateKeyJWT) MarshalJSON() ([]byte, error) { return json.Marshal(p.String()) }

// signError is a signer that failed.
type signError struct{ cause error }

func (e *signError) Error() string {
	return "clientauth: signing the client assertion: " + errtext.Text(e.cause)
}

func (e *signError) Unwrap() error { return e.cause }
