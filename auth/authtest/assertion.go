package authtest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// JWTIssuer is a third party whose JWTs a server can trust: a platform that vouches for its workloads,
// an identity provider, another gateway. Get one from [NewJWTIssuer].
type JWTIssuer struct {
	// URL is the iss of its JWTs.
	URL string

	key *ecdsa.PrivateKey
}

// NewJWTIssuer returns an issuer with a new key. It panics if the machine has no randomness.
func NewJWTIssuer(url string) *JWTIssuer {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(fmt.Sprintf("authtest: %v", err))
	}
	return &JWTIssuer{URL: url, key: key}
}

// PublicKey returns the key that its signatures are checked with, for [Server.TrustIssuer].
func (i *JWTIssuer) PublicKey() crypto.PublicKey { return i.key.Public() }

// JWT returns a JWT with these claims, signed with ES256. By itself it has iss, iat, a jti, and an exp
// in 5 minutes; a claim that is nil is left out. It panics if claims cannot be encoded as JSON.
func (i *JWTIssuer) JWT(claims map[string]any) string {
	now := time.Now()
	all := jwt.MapClaims{"iss": i.URL, "iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(), "jti": rand.Text()}
	for name, value := range claims {
		if all[name] = value; value == nil {
			delete(all, name)
		}
	}
	signed, err := jwt.NewWithClaims(jwt.SigningMethodES256, all).SignedString(i.key)
	if err != nil {
		panic(fmt.Sprintf("authtest: the claims of a JWT: %v", err))
	}
	return signed
}

// TrustIssuer accepts the JWTs of an issuer, by its iss, if one of these keys has signed them: as
// assertions (RFC 7523 section 2.1), and as subject and actor tokens (RFC 8693). Keys are an
// *ecdsa.PublicKey, an *rsa.PublicKey or an ed25519.PublicKey. Another call for the same issuer replaces
// its keys, none forget it.
//
// An assertion needs sub, exp and an aud that is [Server.Issuer] or the token endpoint. With
// requested_token_use=on_behalf_of, the dialect of Entra ID, aud is the ID of the client that presents it,
// api:// in front of it or not. A subject or actor token may have any of these audiences.
func (s *Server) TrustIssuer(issuer string, keys ...crypto.PublicKey) {
	s.checkKeys(keys...)
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	s.state.issuers[issuer] = slices.Clone(keys)
}

// AddClientKey registers a client that authenticates with private_key_jwt (RFC 7523 section 2.2): by an
// assertion that the key verifies, with the client's ID as iss and sub, [Server.Issuer] or the
// endpoint's URL as aud, an exp, and a jti that was not used before. Redirect URIs are as for
// [Server.AddClient]. A client of the same ID is replaced.
func (s *Server) AddClientKey(id string, key crypto.PublicKey, redirectURIs ...string) {
	s.checkKeys(key)
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	s.state.clients[id] = &client{id: id, key: key, method: privateKeyJWT, redirects: slices.Clone(redirectURIs)}
}

// checkKeys fails the test, or panics after [Start], if a key cannot verify anything.
func (s *Server) checkKeys(keys ...crypto.PublicKey) {
	for _, key := range keys {
		if signingAlgs(key) == nil {
			s.fail(fmt.Sprintf("authtest: %T is no public key of the types *ecdsa.PublicKey, *rsa.PublicKey and ed25519.PublicKey", key))
		}
	}
}

// keyAlgs are the JWS algorithms that keys of any type verify.
var keyAlgs = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}

// signingAlgs are the JWS algorithms that a key verifies (RFC 7518 section 3.1).
func signingAlgs(key crypto.PublicKey) []string {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
	case ed25519.PublicKey:
		return []string{"EdDSA"}
	case *ecdsa.PublicKey:
		return map[int][]string{256: {"ES256"}, 384: {"ES384"}, 521: {"ES512"}}[k.Params().BitSize]
	}
	return nil
}

// verify returns the claims of a JWT that one of keys has signed, that is valid now and has an exp and an
// audience out of audiences.
func verify(raw string, keys []crypto.PublicKey, audiences []string) (claims, error) {
	err := fmt.Errorf("nobody's key is known")
	for _, key := range keys {
		c := jwt.MapClaims{}
		parser := jwt.NewParser(jwt.WithValidMethods(signingAlgs(key)), jwt.WithExpirationRequired(), jwt.WithIssuedAt())
		if _, err = parser.ParseWithClaims(raw, c, func(*jwt.Token) (any, error) { return key, nil }); err != nil {
			continue
		}
		if aud, _ := c.GetAudience(); len(intersect(aud, audiences)) == 0 {
			return nil, fmt.Errorf("aud is none of %q", audiences)
		}
		return claims(c), nil
	}
	return nil, err
}

// claims are those of a JWT.
type claims map[string]any

func (c claims) text(name string) string {
	s, _ := c[name].(string)
	return s
}

// unverified returns the claims of a JWT that nobody has checked, to see whose it is.
func unverified(raw string) claims {
	c := jwt.MapClaims{}
	if _, _, err := jwt.NewParser().ParseUnverified(raw, c); err != nil {
		return nil
	}
	return claims(c)
}

// foreign returns the claims of a JWT of an issuer that is trusted.
func (s *Server) foreign(raw string, audiences []string) (claims, error) {
	issuer := unverified(raw).text("iss")
	s.state.mu.Lock()
	keys := s.state.issuers[issuer]
	s.state.mu.Unlock()
	if len(keys) == 0 {
		return nil, fmt.Errorf("it is no JWT of an issuer that this server trusts")
	}
	c, err := verify(raw, keys, audiences)
	if err == nil && c.text("sub") == "" {
		err = fmt.Errorf("sub is missing")
	}
	return c, err
}

// checkClientAssertion is private_key_jwt (RFC 7523 section 3).
func (s *Server) checkClientAssertion(c *client, raw, endpoint string) error {
	got, err := verify(raw, []crypto.PublicKey{c.key}, []string{s.Issuer, s.Endpoint(TokenEndpoint), endpoint})
	switch {
	case err != nil:
		return err
	case got.text("iss") != c.id || got.text("sub") != c.id:
		return fmt.Errorf("iss and sub have to be the client's ID")
	case got.text("jti") == "":
		return fmt.Errorf("jti is missing")
	}
	exp, _ := jwt.MapClaims(got).GetExpirationTime() // verify has seen it
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	if !s.state.assertions.add(c.id+" "+got.text("jti"), exp.Time) {
		return fmt.Errorf("its jti was used before")
	}
	return nil
}

// onceOnly remembers what may be used once, until it expires. The zero value is empty.
type onceOnly struct{ expiries map[string]time.Time }

// add reports whether name is new.
func (o *onceOnly) add(name string, expiry time.Time) bool {
	if o.expiries == nil {
		o.expiries = map[string]time.Time{}
	}
	now := time.Now()
	for old, at := range o.expiries {
		if now.After(at) {
			delete(o.expiries, old)
		}
	}
	if _, used := o.expiries[name]; used {
		return false
	}
	o.expiries[name] = expiry
	return true
}
