package lifecycle

import (
	"testing"
	"time"
)

// unread returns a bench whose store has not been read.
func unread(t *testing.T, p Policy) *bench {
	b := newBench(t, p)
	m := New(b.policy, false)
	b.Machine = &m
	return b
}

// The store is read before anything else, and left alone for a while when that
// fails; the program is not held back.
func TestFirstLoad(t *testing.T) {
	for _, kind := range []Kind{Fresh, Challenged, Renewal, Authorization, Scopes, Upgrade} {
		b := unread(t, Policy{Grant: Person, Shared: true})
		n := &Need{Kind: kind}
		b.want(n, wait(Load))
		b.LoadFailed(b.now, errTest)
		n.After(Load, Failure{Err: errTest})
		d := b.want(n, Decision{Err: errTest})
		if got := d.RetryAt.Sub(b.now); got != time.Second {
			t.Errorf("kind %d: next attempt after %v", kind, got)
		}
		again := &Need{Kind: kind}
		if again.insists() {
			b.want(again, wait(Load))
		} else {
			b.want(again, Decision{Err: errTest})
			b.Started(Load) // by another caller: join
			b.want(again, wait(Load))
			b.Ended(Load)
		}
		b.sleep(time.Second)
		b.want(&Need{Kind: kind}, wait(Load))
		b.Loaded(b.now)
		if b.trouble != nil {
			t.Error("something is remembered of a failure that is over")
		}
	}
}

// A store that cannot be read keeps nobody from a token that the program gave,
// and is not read at every call [5].
func TestTokenBesideBrokenStore(t *testing.T) {
	b := unread(t, Policy{Shared: true})
	b.put(b.token(1))
	b.want(fresh(), wait(Load))
	b.LoadFailed(b.now, errTest)
	n := fresh()
	n.After(Load, Failure{Err: errTest})
	b.want(n, use)
	b.want(fresh(), use)
	b.sleep(needed)
	b.want(fresh(), wait(Load))
}

// A store that fails later is looked at in pauses, and one that hangs keeps one
// caller for a moment, not all.
func TestLooksAtBrokenStore(t *testing.T) {
	b := newBench(t, Policy{Shared: true, Grant: Person})
	b.put(b.token(1))
	b.want(fresh(), use)
	b.sleep(lookWhileUsable)
	b.want(fresh(), Decision{Action: Glance, Op: Load})
	b.Started(Load)
	b.want(fresh(), use)
	b.Ended(Load)
	b.LoadFailed(b.now, errTest)
	b.want(fresh(), use)
	b.want(challenged(1), resend(youth[0]))
	b.sleep(time.Second)
	b.want(fresh(), Decision{Action: Glance, Op: Load})
	b.want(challenged(1), wait(Load))
}

// With hints nobody has to look while the token works.
func TestLooks(t *testing.T) {
	for _, tt := range []struct {
		name   string
		policy Policy
		usable Decision
		until  time.Duration
	}{
		{"shared", Policy{Shared: true}, Decision{Action: Glance, Op: Load}, lookWhileUsable},
		{"hints", Policy{Shared: true, Hints: true}, use, time.Hour},
		{"own", Policy{}, use, time.Hour},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, tt.policy)
			b.put(b.plain(1))
			if got := b.Until(b.now).Sub(b.now); got != tt.until {
				t.Errorf("Until: %v, want %v", got, tt.until)
			}
			b.sleep(lookWhileUsable - 1)
			b.want(fresh(), use)
			b.sleep(1)
			n := fresh()
			b.want(n, tt.usable)
			n.After(Load, Failure{})
			b.want(n, use)
			b.put(Token{})
			n = fresh()
			if tt.policy.Shared {
				b.want(n, wait(Load))
				n.After(Load, Failure{})
			}
			b.want(n, fail(NoToken))
			b.Loaded(b.now)
			b.want(fresh(), fail(NoToken))
			b.sleep(look - 1)
			b.want(fresh(), fail(NoToken))
			b.sleep(1)
			if tt.policy.Shared {
				b.want(fresh(), wait(Load))
			}
		})
	}
}

// What another process stored ends every kind of failure within a second, and a
// bar or a refused operation at once [15].
func TestLooksDuringPauses(t *testing.T) {
	for name, prepare := range map[string]func(b *bench) *Need{
		"renewal": func(b *bench) *Need {
			b.put(b.token(1))
			b.sleep(time.Hour)
			b.renewFails(Failure{Class: Throttled, Err: errTest, RetryAfter: time.Hour})
			return fresh()
		},
		"login": func(b *bench) *Need {
			b.LoginFailed(b.now, Failure{Err: errTest, Asked: true})
			return challenged(0)
		},
		"bar": func(b *bench) *Need {
			b.loggedIn(1)
			b.Machine.token.obtained = 0
			for range 5 {
				n := challenged(1)
				n.Done = Load
				b.want(n, fail(Rejected))
				b.sleep(16 * time.Second)
			}
			n := challenged(1)
			n.Done = Load
			b.want(n, fail(Rejected))
			return fresh()
		},
		"operation": func(b *bench) *Need {
			b.put(b.token(1))
			b.Accepted(1)
			n := challenged(1)
			n.Replaced, n.Done = true, Load
			b.want(n, fail(RejectedOperation))
			return challenged(1)
		},
		"renewal for more scopes": func(b *bench) *Need {
			b.put(b.token(1))
			b.renewFails(Failure{Class: Throttled, Err: errTest, RetryAfter: time.Hour})
			return &Need{Kind: Upgrade, Token: 1, Scopes: []string{"a"}}
		},
		"no refresh token": func(b *bench) *Need {
			b.put(b.token(1))
			b.sleep(time.Hour)
			b.renewFails(failure(RefusedToken))
			return fresh()
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, Policy{Shared: true, Grant: Person})
			n := prepare(b)
			b.Loaded(b.now)
			b.next(n)
			if name != "bar" && name != "operation" {
				if d := b.next(n); d.Action != Fail {
					t.Fatalf("right after a look: %+v", d)
				}
				b.sleep(look)
			}
			b.want(n, wait(Load))
			b.put(b.token(7))
			b.Loaded(b.now)
			n.After(Load, Failure{})
			b.want(n, use)
		})
	}
}

// A program that wants a new token gets the one that another process stored,
// if there is nothing to renew.
func TestRenewalLooks(t *testing.T) {
	b := newBench(t, Policy{Shared: true})
	b.sleep(look)
	n := &Need{Kind: Renewal}
	b.want(n, wait(Load))
	b.Loaded(b.now)
	n.After(Load, Failure{})
	b.want(n, fail(NoToken))
	b.put(b.token(1))
	b.want(n, wait(Renew))
}

// A store that could not be read gives its error instead of "no token", and is
// read again as soon as it may be, however short ago that was.
func TestBrokenStoreMayHaveIt(t *testing.T) {
	for _, kind := range []Kind{Fresh, Challenged, Authorization} {
		b := newBench(t, Policy{Shared: true, Grant: Person})
		b.LoadFailed(b.now, errTest)
		if d := b.want(&Need{Kind: kind}, Decision{Err: errTest}); d.RetryAt.Sub(b.now) != time.Second {
			t.Errorf("kind %d: next attempt at %v", kind, d.RetryAt)
		}
		b.Forgive()
		n := &Need{Kind: kind}
		b.want(n, wait(Load))
		b.Loaded(b.now)
		n.After(Load, Failure{})
		if kind == Fresh {
			b.want(n, fail(NoToken))
		} else {
			b.want(n, wait(Login))
		}
	}
}
