package auth_test

import (
	"sync/atomic"
	"testing"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
)

// leased is a store whose lock is a lease that its holder may have lost.
type leased struct {
	store
	asked  atomic.Int32
	onHeld func(nth int32) bool
}

func (s *leased) Held(auth.Key) bool { return s.onHeld(s.asked.Add(1)) }

// A process that lost its lease before its request was sent sends nothing: it
// takes the lock again and finds what the other has stored. It looks before it
// makes the request, and when the connection takes that.
func TestLostLeaseSendsNothing(t *testing.T) {
	for name, lost := range map[string]int32{"before the request": 1, "during the proof or the handshake": 2} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k, s := newKit(t, authtest.Config{}, authtest.Protection{}), new(leased)
				cfg := k.onDemand()
				cfg.Store = s
				m, old := k.started(cfg)
				expire(old)
				theirs := k.token()
				s.onHeld = func(nth int32) bool {
					if nth < lost {
						return true
					}
					r, err := s.MemoryStore.Load(t.Context(), k.storeKey()) // the other comes in between
					if err != nil {
						t.Fatal(err)
					}
					r.Token = theirs
					if _, err := s.MemoryStore.Save(t.Context(), k.storeKey(), r); err != nil {
						t.Fatal(err)
					}
					return false
				}
				if got := mustToken(t, m); got.AccessToken != theirs.AccessToken {
					t.Errorf("in use is %v", got)
				}
				if n := s.asked.Load(); n != lost {
					t.Errorf("asked %d times", n)
				}
				k.wantRefreshes(0)
			})
		})
	}
}

// If nobody came in between, it refreshes with the lock that it took again.
func TestLostLeaseIsTakenAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k, s := newKit(t, authtest.Config{}, authtest.Protection{}), new(leased)
		cfg := k.onDemand()
		cfg.Store = s
		m, old := k.started(cfg)
		s.onHeld = func(nth int32) bool {
			k.wantRefreshes(0)
			return nth >= 3
		}
		expire(old)
		if got := mustToken(t, m); k.call(got) != 200 {
			t.Errorf("the server does not take %v", got)
		}
		if n := s.asked.Load(); n != 4 { // twice in vain, then before the request and with it
			t.Errorf("asked %d times", n)
		}
		k.wantRefreshes(1)
	})
}
