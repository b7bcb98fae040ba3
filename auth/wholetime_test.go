package auth_test

import (
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
)

// A request that is given less time than it may take, because what came before
// it took long, spends the refresh token for an answer that nobody reads. So it
// is not sent, whatever it was that took long.
func TestRequestsHaveTheirWholeTime(t *testing.T) {
	const answer = refreshTimeout * 2 / 5 * 89 / 100 // almost all that a request may take
	for name, delay := range map[string]func(t *testing.T, k *kit, s *remote, d time.Duration){
		"backoff": func(_ *testing.T, k *kit, _ *remote, d time.Duration) {
			k.srv.Inject(authtest.TokenEndpoint, authtest.RetryAfter(503, d))
		},
		"lock": func(t *testing.T, k *kit, s *remote, d time.Duration) {
			unlock, err := s.MemoryStore.Lock(t.Context(), k.storeKey())
			if err != nil {
				t.Fatal(err)
			}
			time.AfterFunc(d, unlock)
		},
		"discovery": func(_ *testing.T, k *kit, _ *remote, d time.Duration) {
			k.srv.Inject(authtest.MetadataEndpoint, authtest.Delay(d))
		},
		"discovery twice": func(_ *testing.T, k *kit, _ *remote, d time.Duration) {
			k.srv.Inject(authtest.MetadataEndpoint, authtest.Delay(time.Hour), authtest.Delay(d))
		},
	} {
		t.Run(name, func(t *testing.T) {
			for d := time.Second; d < refreshTimeout; d += time.Second {
				bubble(t, func(t *testing.T) {
					k, s := newKit(t, authtest.Config{}, authtest.Protection{}), new(remote)
					cfg := k.onDemand()
					cfg.Server = &auth.Server{Issuer: k.srv.Issuer}
					cfg.Store = s
					m, old := k.started(cfg)
					expire(old)
					delay(t, k, s, d)
					k.srv.InjectAlways(authtest.TokenEndpoint, authtest.DelayAfter(answer))
					began := time.Now()
					tok, err := m.Token(t.Context())
					most := refreshTimeout
					if name == "lock" {
						most = d + answer + time.Millisecond // another process is waited for beyond our own time
					}
					if took := time.Since(began); took > most {
						t.Errorf("%v: took %v", d, took)
					}
					for end := time.Now().Add(5 * time.Minute); err != nil && time.Now().Before(end); {
						time.Sleep(time.Second)
						tok, err = m.Token(t.Context())
					}
					if err != nil || k.call(tok) != 200 {
						t.Errorf("%v: %v", d, err)
					}
					if n := k.srv.Counts(); n.ReusedRefreshTokens != 0 || n.FamiliesRevoked != 0 || n.RotationsIssued != 1 {
						t.Errorf("%v: %d rotations, %d refresh tokens sent twice", d, n.RotationsIssued, n.ReusedRefreshTokens)
					}
				})
			}
		})
	}
}
