package grant_test

import (
	"slices"
	"testing"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/grant"
)

func TestClientCredentialsType(t *testing.T) {
	var g grant.ClientCredentials
	if g.Type() != "client_credentials" || g.Interactive() {
		t.Errorf("%q, interactive %v", g.Type(), g.Interactive())
	}
}

// The request of the grant, parameter by parameter (RFC 6749 section 4.4.2).
func TestClientCredentialsRequest(t *testing.T) {
	tests := []struct {
		name   string
		scopes []string
		form   []string
	}{
		{"no scopes", nil, []string{"grant_type", "client_credentials", "resource", mcpServer}},
		{"scopes", []string{"read", "write"}, []string{"grant_type", "client_credentials", "resource", mcpServer, "scope", "read write"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n := network{asToken: says(bearer("a1", ""))}
			cfg := config(n, grant.ClientCredentials{})
			cfg.Client.Secret, cfg.Scopes = "its-secret", tt.scopes
			tok, err := start(t, cfg).Authorize(t.Context())
			if err != nil || tok.AccessToken != "a1" || !slices.Equal(tok.Scopes, tt.scopes) {
				t.Fatalf("Authorize = %v, %v", tok, err)
			}
			r := wantRequests(t, "token endpoint", n[asToken], 1)[0]
			wantForm(t, r.form, tt.form...)
			if got := r.header.Get("Authorization"); got != "Basic bWNwLWNsaWVudDppdHMtc2VjcmV0" {
				t.Errorf("Authorization %q", got)
			}
		})
	}
}

func TestClientCredentialsErrors(t *testing.T) {
	n := network{asToken: says().then(refuses("unauthorized_client"))}
	cfg := config(n, grant.ClientCredentials{})
	cfg.Client.Secret = "its-secret"
	_, err := start(t, cfg).Authorize(t.Context())
	if te := as[*auth.TokenError](t, err); te.Code != "unauthorized_client" || te.GrantType != "client_credentials" {
		t.Errorf("error %+v", te)
	}
	wantNoSecret(t, err.Error())

	cfg.Client = auth.Client{} // and the server registers nobody
	_, err = start(t, cfg).Authorize(t.Context())
	if ce := as[*auth.ConfigError](t, err); ce.Field != "Config.Client.ID" {
		t.Errorf("error %+v", ce)
	}
}
