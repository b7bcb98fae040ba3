//go:build realservers

package grant_test

import (
	"net/http"
	"testing"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/dpop"
	"github.com/mcptokens/mcptokens/auth/grant"
	"github.com/mcptokens/mcptokens/internal/realservers"
)

func TestRealOIDCProviderDPoP(t *testing.T) {
	b := realservers.OpenBrowser(t)
	for _, tt := range []struct {
		name   string
		nonces bool
		keys   dpop.Keys
		errors map[string]int
	}{
		{"without nonces", false, dpop.Keys{Algorithm: dpop.EdDSA}, nil},
		// Only the first request does not know the nonce yet.
		{"with nonces", true, dpop.Keys{}, map[string]int{"grant.error use_dpop_nonce": 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := realservers.StartOIDCProvider(t, realservers.OIDCConfig{RequireNonce: tt.nonces})
			user := newRealUser(b)
			m := newRealManager(t, p, auth.Config{DPoP: tt.keys, Grant: grant.AuthorizationCode{UserAgent: user}})
			user.during(t, func() error {
				_, err := m.Authorize(t.Context())
				return err
			}, user.signIn)
			before := mustCall(t, p, m)
			if before.TokenType != "DPoP" || before.Confirm.JKT == "" {
				t.Errorf("the token says %+v", before)
			}
			old, err := m.Token(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			tok, err := m.Refresh(t.Context()) // the refresh token of a public client is bound, too
			if err != nil {
				t.Fatal(err)
			}
			if tok.AccessToken == old.AccessToken || tok.RefreshToken == old.RefreshToken {
				t.Error("the refresh changed nothing")
			}
			if after := mustCall(t, p, m); after.Confirm.JKT != before.Confirm.JKT {
				t.Errorf("the refreshed token says %+v", after)
			}
			// Who finds the token cannot use it.
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.Resource, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", tok.Authorization())
			resp, err := p.HTTPClient().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusUnauthorized {
				t.Errorf("the token without a proof: %s", resp.Status)
			}
			wantEvents(t, p, tt.errors)
		})
	}
}
