package lifecycle

import (
	"testing"
	"time"
)

// The error of a caller's own attempt is what it gets, although the store was
// read after it.
func TestErrorOutlivesLook(t *testing.T) {
	b := newBench(t, Policy{Grant: Person, Shared: true})
	n := challenged(0)
	b.want(n, wait(Login))
	f := Failure{Err: errTest, Asked: true}
	b.LoginFailed(b.now, f)
	n.After(Login, f)
	b.sleep(2 * time.Second)
	b.want(n, wait(Load))
	n.After(Load, Failure{})
	d := b.want(n, Decision{Err: errTest})
	if got := d.RetryAt.Sub(start); got != loginPause {
		t.Errorf("next attempt after %v, want %v", got, loginPause)
	}
}

// A caller leaves when a renewal that succeeds does not help: the tokens have
// expired when they come, or it is the old one again.
func TestRenewalsThatDoNotHelp(t *testing.T) {
	for _, kind := range []Kind{Fresh, Challenged, Renewal, Authorization, Scopes, Upgrade} {
		for _, grant := range []Means{Nothing, Person, Alone} {
			for _, same := range []bool{false, true} {
				b := newBench(t, Policy{Grant: grant})
				b.put(b.token(1))
				b.Accepted(1)
				if !same {
					b.sleep(2 * time.Hour)
				}
				n := &Need{Kind: kind, Token: 1, Operation: "op", Scopes: []string{"new"}}
				d, renewals := b.next(n), 0
				for i := uint32(2); d.Action == Wait; i++ {
					switch {
					case i > 8:
						t.Fatalf("kind %d, grant %d, same %v: never ends", kind, grant, same)
					case d.Op == Renew:
						renewals++
					}
					if token := b.token(i); !same {
						token.Expiry = b.now
						b.put(token)
					}
					n.After(d.Op, Failure{})
					d = b.next(n)
				}
				if renewals > 2 {
					t.Errorf("kind %d, grant %d, same %v: %d renewals", kind, grant, same, renewals)
				}
				if same && kind == Challenged && d.Action == Resend {
					n.After(Renew, Failure{})
					b.want(n, fail(RejectedOperation))
				}
			}
		}
	}
}

// The next attempt is when callers can really start one.
func TestRetryAt(t *testing.T) {
	b := newBench(t, Policy{})
	b.put(b.token(1))
	for range 6 {
		b.renewFails(failure(Transient))
	}
	if got := b.RetryAt(b.now).Sub(b.now); got != unneeded {
		t.Errorf("while the token works: after %v, want %v", got, unneeded)
	}
	b.sleep(time.Hour)
	b.renewFails(failure(Transient))
	n := fresh()
	n.After(Renew, failure(Transient))
	d := b.want(n, Decision{Err: errTest})
	if d.RetryAt != b.RetryAt(b.now) || d.RetryAt.Sub(b.now) != needed {
		t.Errorf("for callers without a token: after %v and %v, want %v", d.RetryAt.Sub(b.now), b.RetryAt(b.now).Sub(b.now), needed)
	}
	b.sleep(needed)
	b.want(fresh(), wait(Renew))
}

// A failed refresh leads to a login only where that can help [13, 16].
func TestUpgradeAfterFailedRefresh(t *testing.T) {
	for _, kind := range []Kind{Scopes, Upgrade} {
		for class, login := range map[Class]bool{
			Unclassified: false, Transient: false, Throttled: false, Ambiguous: false, RefusedClient: false, Ours: false,
			RefusedToken: true, RefusedRequest: true, RefusedScopes: true,
		} {
			for _, grant := range []Means{Nothing, Person, Alone} {
				b := newBench(t, Policy{Grant: grant})
				b.put(b.token(1))
				b.Accepted(1)
				n := &Need{Kind: kind, Token: 1, Scopes: []string{"b"}}
				b.want(n, wait(Renew))
				b.renewFails(failure(class))
				n.After(Renew, failure(class))
				switch {
				case grant == Alone || !login:
					b.want(n, Decision{Err: errTest})
				case grant == Nothing:
					b.want(n, fail(Unauthorized))
				default:
					b.want(n, wait(Login))
				}
			}
		}
	}
}

// While a login for more scopes is held back, another process may have got
// them [15].
func TestUpgradeLooksAtStore(t *testing.T) {
	b := newBench(t, Policy{Grant: Person, Shared: true})
	b.put(b.plain(1))
	b.LoginFailed(b.now, Failure{Err: errTest, Asked: true})
	b.sleep(look)
	n := &Need{Kind: Scopes, Token: 1, Scopes: []string{"b"}}
	b.want(n, wait(Load))
	n.After(Load, Failure{})
	b.want(n, Decision{Err: errTest})
	token := b.plain(2)
	token.Scopes = &[]string{"a", "b"}
	b.put(token)
	b.want(n, use)
}

// What each kind of caller does in each state. A caller that was refused was
// so with the token in use, unless the state says otherwise.
func TestNext(t *testing.T) {
	kinds := []Kind{Fresh, Challenged, Renewal, Authorization, Scopes, Upgrade}
	early, useless := Decision{Action: UseAndRenew, Op: Renew}, Decision{Reason: Useless}
	failed := Decision{Err: errTest}
	none, noRenewal, unauthorized, noGrant := fail(NoToken), fail(NoRenewal), fail(Unauthorized), fail(NoGrant)
	for _, tt := range []struct {
		name  string
		grant Means
		state func(b *bench, n *Need)
		want  [6]Decision // in the order of kinds
	}{
		{"no token", Nothing, func(b *bench, n *Need) {}, [...]Decision{none, unauthorized, none, noGrant, unauthorized, unauthorized}},
		{"no token", Person, func(b *bench, n *Need) {}, [...]Decision{none, wait(Login), none, wait(Login), wait(Login), wait(Login)}},
		{"no token", Alone, func(b *bench, n *Need) {}, [...]Decision{none, wait(Login), none, wait(Login), wait(Login), wait(Login)}},
		{"no token, a login does not help", Person, func(b *bench, n *Need) { n.NoLogin = true },
			[...]Decision{none, useless, none, wait(Login), useless, wait(Login)}},
		{"no token, a login runs", Person, func(b *bench, n *Need) { b.LoginFailed(b.now, failure(Ours)); b.Started(Login) },
			[...]Decision{none, wait(Login), none, wait(Login), wait(Login), wait(Login)}},
		{"no token, a login runs but does not help", Person, func(b *bench, n *Need) { n.NoLogin = true; b.Started(Login) },
			[...]Decision{none, useless, none, wait(Login), useless, wait(Login)}},
		{"no token, a login failed", Person, func(b *bench, n *Need) { b.LoginFailed(b.now, failure(Ours)) },
			[...]Decision{none, failed, none, wait(Login), failed, wait(Login)}},
		{"no token, the own login failed", Person, func(b *bench, n *Need) { b.LoginFailed(b.now, failure(Ours)); n.After(Login, failure(Ours)) },
			[...]Decision{failed, failed, none, failed, failed, failed}},
		{"no token, logged in for nothing", Person, func(b *bench, n *Need) { n.After(Login, Failure{}) },
			[...]Decision{none, none, none, none, none, none}},

		{"accepted", Nothing, func(b *bench, n *Need) { b.put(b.token(1)); b.Accepted(1) },
			[...]Decision{use, resend(0), wait(Renew), use, wait(Renew), wait(Renew)}},
		{"accepted, resent", Person, func(b *bench, n *Need) { b.put(b.token(1)); b.Accepted(1); n.Tries = 1 },
			[...]Decision{use, wait(Renew), wait(Renew), use, wait(Renew), wait(Renew)}},
		{"accepted, renewed already", Person, func(b *bench, n *Need) { b.put(b.token(1)); b.Accepted(1); n.Replaced = true },
			[...]Decision{use, fail(RejectedOperation), wait(Renew), use, wait(Renew), wait(Renew)}},
		{"young", Person, func(b *bench, n *Need) { b.put(b.token(1)) },
			[...]Decision{use, resend(youth[0]), wait(Renew), use, wait(Renew), wait(Renew)}},
		{"old, never accepted", Person, func(b *bench, n *Need) { b.put(b.token(1)); b.sleep(time.Minute) },
			[...]Decision{use, wait(Renew), wait(Renew), use, wait(Renew), wait(Renew)}},
		{"early", Person, func(b *bench, n *Need) { b.put(b.token(1)); b.sleep(59 * time.Minute) },
			[...]Decision{early, wait(Renew), wait(Renew), use, wait(Renew), wait(Renew)}},
		{"early, a renewal runs", Person, func(b *bench, n *Need) { b.put(b.token(1)); b.sleep(59 * time.Minute); b.Started(Renew) },
			[...]Decision{use, wait(Renew), wait(Renew), use, wait(Renew), wait(Renew)}},
		{"a refused early renewal", Person, func(b *bench, n *Need) { b.put(b.token(1)); b.Accepted(1); b.renewFails(failure(RefusedToken)) },
			[...]Decision{use, resend(0), none, use, wait(Login), wait(Login)}},
		{"expired", Nothing, func(b *bench, n *Need) { b.put(b.token(1)); b.sleep(time.Hour) },
			[...]Decision{wait(Renew), wait(Renew), wait(Renew), wait(Renew), wait(Renew), wait(Renew)}},
		{"expired, paused", Person, func(b *bench, n *Need) { b.put(b.token(1)); b.sleep(time.Hour); b.renewFails(failure(Ours)) },
			[...]Decision{failed, failed, wait(Renew), wait(Renew), failed, failed}},
		{"expired, paused, a renewal by hand runs", Person, func(b *bench, n *Need) {
			b.put(b.token(1))
			b.sleep(time.Hour)
			b.renewFails(failure(Ours))
			b.Started(Renew)
		}, [...]Decision{wait(Renew), wait(Renew), wait(Renew), wait(Renew), wait(Renew), wait(Renew)}},
		{"expired, no refresh token", Nothing, func(b *bench, n *Need) { b.put(b.plain(1)); b.sleep(time.Hour) },
			[...]Decision{unauthorized, unauthorized, noRenewal, noGrant, unauthorized, unauthorized}},
		{"expired, no refresh token", Person, func(b *bench, n *Need) { b.put(b.plain(1)); b.sleep(time.Hour) },
			[...]Decision{none, wait(Login), noRenewal, wait(Login), wait(Login), wait(Login)}},
		{"expired, no refresh token", Alone, func(b *bench, n *Need) { b.put(b.plain(1)); b.sleep(time.Hour) },
			[...]Decision{wait(Renew), wait(Renew), wait(Renew), wait(Renew), wait(Renew), wait(Renew)}},
		{"only a refresh token", Nothing, func(b *bench, n *Need) { token := b.token(1); token.Access = false; b.put(token) },
			[...]Decision{wait(Renew), wait(Renew), wait(Renew), wait(Renew), wait(Renew), wait(Renew)}},
		{"a late answer", Person, func(b *bench, n *Need) { b.put(b.token(1)); b.put(b.token(2)) },
			[...]Decision{use, use, wait(Renew), use, wait(Renew), wait(Renew)}},
		{"a late answer, wide enough", Person, func(b *bench, n *Need) { b.put(b.token(1)); b.put(b.token(2)); n.Scopes = []string{"a"} },
			[...]Decision{use, use, wait(Renew), use, use, use}},
		{"a late answer, expired", Person, func(b *bench, n *Need) { b.put(b.token(1)); b.put(b.token(2)); b.sleep(time.Hour) },
			[...]Decision{wait(Renew), wait(Renew), wait(Renew), wait(Renew), wait(Renew), wait(Renew)}},
		{"a stream that the token does not work for", Person, func(b *bench, n *Need) { b.put(b.plain(1)); b.Accepted(1); n.Stream, n.Tries = true, 1 },
			[...]Decision{use, fail(RejectedOperation), noRenewal, use, wait(Login), wait(Login)}},
		{"the first request is a stream", Person, func(b *bench, n *Need) { n.Stream = true },
			[...]Decision{none, wait(Login), none, wait(Login), wait(Login), wait(Login)}},
		{"a request that nobody waits for", Person, func(b *bench, n *Need) { b.put(b.plain(1)); b.Accepted(1); n.NoLogin, n.Tries = true, 1 },
			[...]Decision{use, fail(RejectedOperation), noRenewal, use, useless, wait(Login)}},
		{"all scopes there are", Person, func(b *bench, n *Need) { b.put(b.token(1)); b.Accepted(1); n.Final = true },
			[...]Decision{use, resend(0), wait(Renew), use, use, use}},
		{"nothing accepts it", Nothing, func(b *bench, n *Need) {
			b.put(b.token(1))
			b.Machine.token.obtained = 0
			for i := range uint32(3) {
				b.put(Token{ID: i + 1, Renewal: 1, Access: true})
				b.next(&Need{Kind: Challenged, Token: i + 1, Operation: "another"})
			}
			n.Token = 3
		}, [...]Decision{fail(Rejected), fail(Rejected), wait(Renew), wait(Renew), wait(Renew), wait(Renew)}},
		{"closed", Person, func(b *bench, n *Need) { b.put(b.token(1)); b.Close() },
			[...]Decision{fail(Closed), fail(Closed), fail(Closed), fail(Closed), fail(Closed), fail(Closed)}},
	} {
		for i, kind := range kinds {
			b := newBench(t, Policy{Grant: tt.grant})
			n := &Need{Kind: kind, Operation: "op", Scopes: []string{"new"}}
			if kind != Fresh {
				n.Token = 1
			}
			tt.state(b, n)
			if d, want := b.next(n), tt.want[i]; d.Action != want.Action || d.Op != want.Op || d.Delay != want.Delay || d.Reason != want.Reason || d.Err != want.Err {
				t.Errorf("%s, grant %d, kind %d: %+v, want %+v", tt.name, tt.grant, kind, d, want)
			}
		}
	}
}
