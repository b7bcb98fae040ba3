package transport_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
)

// What another process did, on a store that both share. The managers of these
// tests are the processes: "other" did something, "this" has to notice.

// overStores runs a test for every kind of store, with and without a grant in
// this process.
func overStores(t *testing.T, name string, test func(t *testing.T, open func(t *testing.T) auth.Store, grant bool)) {
	t.Helper()
	for _, s := range stores {
		for _, grant := range []bool{true, false} {
			fake(t, fmt.Sprintf("%s/%s/grant %t", name, s.name, grant), func(t *testing.T) { test(t, s.open, grant) })
		}
	}
}

// pair is two processes with one token, which was accepted.
func pair(w *world, store auth.Store, grant bool) (this, other *caller) {
	w.t.Helper()
	other = w.loggedIn(inStore(store))
	changes := []func(*auth.Config){inStore(store)}
	if !grant {
		changes = append(changes, withoutGrant)
	}
	return w.loggedIn(changes...), other
}

// wantOneLogin checks what a call led to that needs a person: with a grant one
// login and success, without one the error that says so.
func wantOneLogin(t *testing.T, w *world, before spending, grant bool, err error) {
	t.Helper()
	got := w.since(before)
	var required *auth.ReauthorizationRequiredError
	switch {
	case grant && err != nil:
		t.Errorf("the call: %v, want it to lead to a login", err)
	case !grant && !errors.As(err, &required):
		t.Errorf("the call: %v, want a *ReauthorizationRequiredError", err)
	}
	if want := map[bool]int{true: 1}[grant]; got.logins != want {
		t.Errorf("%d logins, want %d", got.logins, want)
	}
}

// Kind of report: "auth: no refresh token, once, then it works". Another process
// found the refresh token dead and dropped it, while this one still had it in
// mind.
func TestAnotherProcessDroppedTheRefreshToken(t *testing.T) {
	for name, expire := range map[string]bool{"expired": true, "revoked": false} {
		overStores(t, name, func(t *testing.T, open func(t *testing.T) auth.Store, grant bool) {
			w := newWorld(t, byRefresh, authtest.Config{}, authtest.Protection{})
			store := open(t)
			this, _ := pair(w, store, grant)
			dropper := w.loggedIn(inStore(store), withoutGrant)
			if expire {
				time.Sleep(2 * time.Hour)
			}
			w.as.RevokeAll()
			var required *auth.ReauthorizationRequiredError
			if err := dropper.post(); !errors.As(err, &required) {
				t.Fatalf("the other's call: %v, want a *ReauthorizationRequiredError", err)
			}
			before := w.spent()
			wantOneLogin(t, w, before, grant, this.post())
			if got := w.since(before); got.tokens > 1 {
				t.Errorf("%d token requests, want none with the dead refresh token", got.tokens)
			}
			w.wantNoRefreshTokenTwice()
		})
	}
}

// Kind of report: "logged out in one terminal, a cryptic error in the other".
func TestAnotherProcessLoggedOut(t *testing.T) {
	for name, later := range map[string]time.Duration{"at once": 0, "soon": 10 * time.Second, "expired meanwhile": 2 * time.Hour} {
		overStores(t, name, func(t *testing.T, open func(t *testing.T) auth.Store, grant bool) {
			w := newWorld(t, byRefresh, authtest.Config{}, authtest.Protection{})
			this, other := pair(w, open(t), grant)
			if err := other.m.Revoke(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(later)
			before := w.spent()
			wantOneLogin(t, w, before, grant, this.post())
			w.wantNoRefreshTokenTwice()
		})
	}
}

// pauses are what makes this process pause.
var pauses = []struct {
	name  string
	begin func(w *world)
}{
	{"500", func(w *world) { w.as.InjectAlways(authtest.TokenEndpoint, authtest.Status(500)) }},
	{"429", func(w *world) {
		w.as.InjectAlways(authtest.TokenEndpoint, authtest.RetryAfter(429, 5*time.Minute))
	}},
	{"reset", func(w *world) { w.as.InjectAlways(authtest.TokenEndpoint, authtest.ResetBefore()) }},
	{"reset after", func(w *world) { w.as.InjectAlways(authtest.TokenEndpoint, authtest.ResetAfter()) }},
	{"connection refused", func(w *world) { w.as.Down(24 * time.Hour) }},
	{"client refused", func(w *world) {
		w.as.InjectAlways(authtest.TokenEndpoint, authtest.OAuthError("invalid_client", 401))
	}},
	{"login refused", func(w *world) {
		w.as.RevokeAll()
		w.as.InjectAlways(authtest.AuthorizeEndpoint, authtest.OAuthError("access_denied", 400))
	}},
}

// Kind of report: "the gateway's user comes back from the consent page and is
// asked to log in". Another replica got a token while this one pauses after a
// failure: a call finds it, however long the pause still is, and asks nobody.
func TestAnotherProcessLoggedIn(t *testing.T) {
	for _, s := range stores {
		for _, p := range pauses {
			for _, grant := range []bool{true, false} {
				fake(t, fmt.Sprintf("%s/%s/grant %t", s.name, p.name, grant), func(t *testing.T) {
					w := newWorld(t, byRefresh, authtest.Config{}, authtest.Protection{})
					this, other := pair(w, s.open(t), grant)
					time.Sleep(2 * time.Hour)
					p.begin(w)
					for range 4 { // the pause grows
						if err := this.post(); err == nil {
							t.Fatal("the call succeeded")
						}
						time.Sleep(2 * time.Second)
					}
					before, asked := w.spent(), w.attempts.count()
					// As if the other had logged in: the way to the server is its own.
					if err := other.m.SetToken(t.Context(), w.token()); err != nil {
						t.Fatal(err)
					}
					synctest.Wait() // for the hint, where there is one
					began := time.Now()
					if err := this.post(); err != nil {
						t.Errorf("a call after the login: %v", err)
					}
					if took := time.Since(began); took > time.Second {
						t.Errorf("it took %s", took)
					}
					if got, n := w.since(before), w.attempts.count()-asked; got.logins > 0 || n > 0 {
						t.Errorf("%d logins and %d token requests for it, want none", got.logins, n)
					}
				})
			}
		}
	}
}

// The same when the MCP server refused all that this process had.
func TestAnotherProcessLoggedInWhileBarred(t *testing.T) {
	for _, s := range stores {
		fake(t, s.name, func(t *testing.T) {
			w := newWorld(t, byService, authtest.Config{}, authtest.Protection{})
			this, other := pair(w, s.open(t), true)
			rule := w.mcp.Refuse(authtest.Refusal{})
			series(30, 10*time.Second, func(int) error { return this.post() })
			rule.End()
			if err := other.m.SetToken(t.Context(), w.token()); err != nil {
				t.Fatal(err)
			}
			synctest.Wait() // for the hint, where there is one
			before := w.spent()
			if err := this.post(); err != nil {
				t.Errorf("a call after another process stored a token: %v", err)
			}
			if got := w.since(before); got != (spending{}) {
				t.Errorf("%+v for it, want none", got)
			}
		})
	}
}

// A token that another process stored is used within a second, also by a caller
// who waits in vain for the server.
func TestAnotherProcessStoredATokenDuringThePause(t *testing.T) {
	for _, s := range stores {
		for _, p := range pauses {
			fake(t, s.name+"/"+p.name, func(t *testing.T) {
				w := newWorld(t, byRefresh, authtest.Config{}, authtest.Protection{})
				this, other := pair(w, s.open(t), false)
				time.Sleep(2 * time.Hour)
				p.begin(w)
				if err := this.post(); err == nil {
					t.Fatal("the call succeeded")
				}
				tok := w.token()
				if err := other.m.SetToken(t.Context(), tok); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
				if got, err := this.m.Token(t.Context()); err != nil || got.AccessToken != tok.AccessToken {
					t.Errorf("a second later Token returns %v, %v, want the other's", got, err)
				}
			})
		}
	}
}

// Kind of report: "revoked on one replica, still used on the others". Callers go
// on asking for the token; within a second, on stores without hints five, they do
// not get the revoked one any more.
func TestAnotherProcessRevoked(t *testing.T) {
	for _, s := range stores {
		for _, grant := range []bool{true, false} {
			fake(t, fmt.Sprintf("%s/grant %t", s.name, grant), func(t *testing.T) {
				w := newWorld(t, byRefresh, authtest.Config{}, authtest.Protection{})
				this, other := pair(w, s.open(t), grant)
				revoked, err := this.m.Token(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute)
				if err := other.m.Revoke(t.Context()); err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				for time.Since(start) < 20*time.Second {
					tok, err := this.m.Token(t.Context())
					since := time.Since(start)
					if err == nil && tok.AccessToken == revoked.AccessToken && since > s.hint {
						t.Errorf("Token returns the revoked token %s after it was revoked, want %s at most", since, s.hint)
						break
					}
					if required := (*auth.ReauthorizationRequiredError)(nil); err != nil && !errors.Is(err, auth.ErrNoToken) && !errors.As(err, &required) {
						t.Errorf("Token: %v", err)
					}
					time.Sleep(100 * time.Millisecond)
				}
				if n := w.spent().logins; n != 1 {
					t.Errorf("%d logins, want no other than the first", n)
				}
			})
		}
	}
}

// The neighbour: a store that cannot be read takes no token away that lives.
func TestStoreOutOfReachTakesNoTokenAway(t *testing.T) {
	fake(t, "load fails", func(t *testing.T) {
		w := newWorld(t, byRefresh, authtest.Config{}, authtest.Protection{})
		store := &unreadable{}
		c := w.loggedIn(inStore(store))
		store.broken.Store(true)
		if calls := series(40, time.Minute, func(int) error { return c.post() }); calls.failed > 0 {
			t.Errorf("%v", calls)
		}
	})
}

// unreadable is a store that can break.
type unreadable struct {
	auth.MemoryStore
	broken atomic.Bool
}

var errUnreadable = errors.New("the store cannot be read")

func (u *unreadable) Load(ctx context.Context, key auth.Key) (*auth.Record, error) {
	if u.broken.Load() {
		return nil, errUnreadable
	}
	return u.MemoryStore.Load(ctx, key)
}
