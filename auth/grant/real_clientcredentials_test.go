//go:build realservers

package grant_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"testing"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/clientauth"
	"github.com/mcptokens/mcptokens/auth/grant"
	"github.com/mcptokens/mcptokens/internal/realservers"
)

func newECKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// jwks is the key set of a client with one key.
func jwks(t *testing.T, key crypto.Signer) map[string]any {
	t.Helper()
	encode := base64.RawURLEncoding.EncodeToString
	var jwk map[string]any
	switch public := key.Public().(type) {
	case *ecdsa.PublicKey:
		point, err := public.Bytes() // 4, x, y
		if err != nil {
			t.Fatal(err)
		}
		jwk = map[string]any{"kty": "EC", "crv": "P-256", "x": encode(point[1:33]), "y": encode(point[33:])}
	case ed25519.PublicKey:
		jwk = map[string]any{"kty": "OKP", "crv": "Ed25519", "x": encode(public)}
	}
	return map[string]any{"keys": []any{jwk}}
}

func TestRealOIDCProviderClientCredentials(t *testing.T) {
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	const secret = "50 % + more: =&?/\"~" // client_secret_basic has to encode it
	ecKey := newECKey(t)
	tests := []struct {
		name, method string
		client       auth.Client
		extra        map[string]any
	}{
		{"basic", "client_secret_basic", auth.Client{Secret: secret}, map[string]any{"client_secret": secret}},
		{"post", "client_secret_post", auth.Client{Secret: secret, Auth: clientauth.SecretPost{}}, map[string]any{"client_secret": secret}},
		{"ES256", "private_key_jwt", auth.Client{Auth: clientauth.PrivateKeyJWT{Key: ecKey}},
			map[string]any{"jwks": jwks(t, ecKey), "token_endpoint_auth_signing_alg": "ES256"}},
		{"EdDSA", "private_key_jwt", auth.Client{Auth: clientauth.PrivateKeyJWT{Key: edKey}},
			map[string]any{"jwks": jwks(t, edKey), "token_endpoint_auth_signing_alg": "EdDSA"}},
		{"endpoint as audience", "private_key_jwt", auth.Client{Auth: clientauth.PrivateKeyJWT{Key: ecKey, Audience: clientauth.AudienceEndpoint}},
			map[string]any{"jwks": jwks(t, ecKey)}},
	}
	var cfg realservers.OIDCConfig
	for _, tt := range tests {
		metadata := map[string]any{
			"client_id": "svc:" + tt.name, "token_endpoint_auth_method": tt.method,
			"grant_types": []string{"client_credentials"}, "response_types": []string{}, "redirect_uris": []string{},
		}
		for name, value := range tt.extra {
			metadata[name] = value
		}
		cfg.Clients = append(cfg.Clients, metadata)
	}
	p := realservers.StartOIDCProvider(t, cfg)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			client := tt.client
			client.ID = "svc:" + tt.name
			m := newRealManager(t, p, auth.Config{Client: client, Grant: grant.ClientCredentials{}})
			in := mustCall(t, p, m)
			if in.ClientID != client.ID || in.Audience != p.Resource || in.Scope != "mcp:read" {
				t.Errorf("the token says %+v", in)
			}
			if in, err := callResource(t, p, m, "/write"); err != nil || in.Scope != "mcp:read mcp:write" {
				t.Errorf("after the step-up: %v, the token says %+v", err, in)
			}
			tok, err := m.Token(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := m.Revoke(t.Context()); err != nil {
				t.Fatal(err)
			}
			if p.Introspect(tok.AccessToken).Active {
				t.Error("the token is active after its revocation")
			}
		})
	}
	wantEvents(t, p, nil)

	t.Run("registered on demand", func(t *testing.T) {
		m := newRealManager(t, p, auth.Config{Grant: grant.ClientCredentials{}})
		if in := mustCall(t, p, m); in.ClientID == "" || in.Audience != p.Resource {
			t.Errorf("the token says %+v", in)
		}
	})
	t.Run("other resource", func(t *testing.T) {
		client := tests[0].client
		client.ID = "svc:basic"
		m := newRealManager(t, p, auth.Config{
			Resource: "https://mcp.example/other", Server: &auth.Server{Issuer: p.Issuer},
			Client: client, Grant: grant.ClientCredentials{},
		})
		var refused *auth.TokenError
		if _, err := m.Authorize(t.Context()); !errors.As(err, &refused) || refused.Code != "invalid_target" {
			t.Errorf("Authorize: %v, want invalid_target (RFC 8707 section 2)", err)
		}
	})
	t.Run("wrong key", func(t *testing.T) {
		m := newRealManager(t, p, auth.Config{
			Client: auth.Client{ID: "svc:ES256", Auth: clientauth.PrivateKeyJWT{Key: newECKey(t)}},
			Grant:  grant.ClientCredentials{},
		})
		var refused *auth.TokenError
		if _, err := m.Authorize(t.Context()); !errors.As(err, &refused) || refused.Code != "invalid_client" {
			t.Errorf("Authorize: %v, want invalid_client", err)
		}
	})
	wantEvents(t, p, map[string]int{"grant.error invalid_target": 1, "grant.error invalid_client": 1})
}
