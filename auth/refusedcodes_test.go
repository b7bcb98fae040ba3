package auth_test

import (
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/auth/authtest"
)

// A refusal of the refresh token ends it under all the names that servers have
// for it, and no other refusal does.
//
//compat:refusal other names for `invalid_grant` (GoTrue, GitHub, Slack)
//compat:default the refresh token is dropped; other refusals keep it
//compat:attack same
func TestRefusedByAnyName(t *testing.T) {
	for code, kept := range map[string]bool{
		"invalid_grant": false, "bad_refresh_token": false, "invalid_refresh_token": false,
		"refresh_token_not_found": false, "refresh_token_already_used": false, "session_not_found": false, "session_expired": false,

		"invalid_request": true, "invalid_target": true, "invalid_client": true, "incorrect_client_credentials": true, "invalid_credentials": true, "refresh_token_required": true,
	} {
		t.Run(code, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, authtest.Config{}, authtest.Protection{})
				m, _ := k.started(k.config(), "a")
				k.srv.InjectAlways(authtest.RefreshRequests, authtest.OAuthError(code, 400))
				time.Sleep(2 * time.Hour)
				if _, err := m.Token(t.Context()); err == nil {
					t.Fatal("there is a token")
				}
				if got := m.Info().HasRefreshToken; got != kept {
					t.Errorf("the refresh token is there: %t, want %t", got, kept)
				}
			})
		})
	}
}
