package registration

import (
	"testing"
	"time"
)

// FuzzRegistration checks that a registration response is refused or is a
// client that can be used and stored.
func FuzzRegistration(f *testing.F) {
	for _, seed := range []string{
		`{"client_id":"c"}`,
		`{"client_id":"c","client_secret":"s","client_secret_expires_at":"0","token_endpoint_auth_method":"client_secret_post","redirect_uris":["http://127.0.0.1/"]}`,
		`{"client_id":"c","client_secret":"s","client_secret_expires_at":1e300}`,
		`{"client_id":"c","token_endpoint_auth_method":"client_secret_basic"}`,
		`{"client_id":"c","client_id":"d"}`, `{"client_id":1}`, `{"Client_ID":"c"}`, `[]`, `null`, ``,
	} {
		f.Add([]byte(seed))
	}
	now := time.Date(2026, 7, 28, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, body []byte) {
		c, err := parseClient(201, body, Metadata{RedirectURIs: []string{"http://127.0.0.1/callback"}}, nil, now)
		if err != nil {
			return
		}
		if c.ClientID == "" || c.TokenEndpointAuthMethod == "" || len(c.RedirectURIs) == 0 {
			t.Errorf("accepted %q", body)
		}
		if at := c.ClientSecretExpiresAt; !at.IsZero() {
			if _, err := at.UTC().MarshalJSON(); err != nil || !at.After(now) {
				t.Errorf("secret expires at %v: %v", at, err)
			}
		}
	})
}
