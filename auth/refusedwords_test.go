package auth_test

import (
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
)

// Servers refuse a refresh token in other words than RFC 6749's, or without a word,
// which is confirmed once. That leads to one login. Where nobody can log in the
// request is not sent on and on.
func TestRefusedInOtherWords(t *testing.T) {
	const json = "application/json"
	for name, tt := range map[string]struct {
		answer   authtest.Fault
		requests int
		paused   bool // the refresh token is kept, and sent again in pauses
	}{
		"a code of its own": {authtest.Answer(400, json, `{"code":400,"error_code":"refresh_token_not_found","msg":"Invalid Refresh Token"}`), 1, false},
		"a detail":          {authtest.Answer(401, json, `{"detail":"Token is not valid"}`), 1, false},
		"a sentence":        {authtest.Answer(400, json, `{"error":"Invalid refresh token"}`), 1, false},
		"invalid_request, obot-platform/obot#7501": {authtest.Answer(400, json, `{"error":"invalid_request","error_description":"Obot: refresh_token is invalid"}`), 1, true},
		"an object": {authtest.Answer(400, json, `{"error":{"code":"x"}}`), 1, true},
		"not found": {authtest.Answer(404, json, `{"message":"session not found"}`), 2, true},
		"nothing":   {authtest.Answer(400, json, ``), 2, true},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, authtest.Config{}, authtest.Protection{})
				p := k.asked(0)
				cfg := k.bothering(p)
				cfg.NoIdleRefresh = true
				m := k.manager(cfg)
				if _, err := m.Authorize(t.Context()); err != nil {
					t.Fatal(err)
				}
				time.Sleep(2 * time.Hour)
				k.srv.InjectAlways(authtest.RefreshRequests, tt.answer)
				tok, err := m.Resolve(t.Context(), nil, k.unauthorized())
				if err != nil || k.call(tok) != 200 {
					t.Errorf("Resolve = %v, %v", tok, err)
				}
				if n := k.srv.Counts().Refreshes; p.browsers() != 2 || n != tt.requests {
					t.Errorf("%d logins and %d refreshes, want 2 and %d", p.browsers(), n, tt.requests)
				}
			})
			bubble(t, func(t *testing.T) {
				k := newKit(t, authtest.Config{}, authtest.Protection{})
				cfg := k.config()
				cfg.NoIdleRefresh = true
				m, _ := k.started(cfg, "a")
				time.Sleep(2 * time.Hour)
				k.srv.InjectAlways(authtest.RefreshRequests, tt.answer)
				for range 60 {
					_, err := m.Resolve(t.Context(), nil, k.unauthorized())
					if e := asError[*auth.ReauthorizationRequiredError](t, err); e.NextAttempt.IsZero() == tt.paused {
						t.Fatalf("error %v", err)
					}
					time.Sleep(time.Minute)
				}
				most := 1
				if tt.paused {
					most = 40
				}
				if n := k.srv.Counts().Refreshes; n > most {
					t.Errorf("%d refreshes in an hour, want %d at most", n, most)
				}
			})
		})
	}
}

// An endpoint that is away for a moment, and says so in JSON as gateways do, is no
// refusal.
func TestEndpointIsAwayForAMoment(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		cfg := k.onDemand()
		cfg.Grant = forbidden{t}
		m, old := k.started(cfg)
		expire(old)
		k.srv.InjectAlways(authtest.TokenEndpoint, authtest.Answer(404, "application/json", `{"message":"no route matched"}`))
		time.AfterFunc(4*time.Second, func() { k.srv.ClearFaults(authtest.TokenEndpoint) })
		if tok, err := m.Token(t.Context()); err != nil || k.call(tok) != 200 {
			t.Errorf("%v, %v", tok, err)
		}
		k.wantRefreshes(2)
	})
}
