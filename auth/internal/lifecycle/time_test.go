package lifecycle

import (
	"testing"
	"time"
)

// Times that a server, a store or a program may name are kept in order.
func TestExtremeTimes(t *testing.T) {
	for _, tt := range []struct {
		name   string
		expiry time.Time
		usable bool
	}{
		{"zero: unknown", time.Time{}, true},
		{"the Unix epoch", time.Unix(0, 0), false},
		{"a nanosecond ago", start.Add(-1), false},
		{"now", start, false},
		{"in a nanosecond", start.Add(1), true},
		{"year 1", time.Date(1, 1, 2, 0, 0, 0, 0, time.UTC), false},
		{"year 2300", time.Date(2300, 1, 1, 0, 0, 0, 0, time.UTC), true},
		{"year 9999", time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, Policy{Idle: true})
			token := b.token(1)
			token.Expiry = tt.expiry
			b.put(token)
			if got := b.Usable(b.now); got != tt.usable {
				t.Errorf("Usable = %v, want %v", got, tt.usable)
			}
			if u := b.Until(b.now); u.After(b.now) != (tt.usable && !b.early(b.now)) {
				t.Errorf("Until = %v", u)
			}
			if w := b.Wake(b.now); !w.IsZero() && w.Before(start.Add(-2*time.Minute)) {
				t.Errorf("Wake = %v", w)
			}
		})
	}
}

// What a server asks for does not overflow.
func TestExtremeRetryAfter(t *testing.T) {
	b := newBench(t, Policy{Jitter: func() float64 { return 0.999 }})
	b.put(b.token(1))
	b.sleep(2 * time.Hour)
	for range 100 {
		b.renewFails(Failure{Class: Throttled, Err: errTest, RetryAfter: 1<<63 - 1})
		d := b.want(fresh(), Decision{Err: errTest})
		if wait := d.RetryAt.Sub(b.now); wait < 24*time.Hour || wait > 30*time.Hour {
			t.Fatalf("waits %v", wait)
		}
	}
}

// A clock that was hours ahead when something went wrong, and is then set
// right, keeps nobody waiting for those hours.
func TestClockSetBack(t *testing.T) {
	const ahead = 5 * time.Hour
	for _, tt := range []struct {
		name  string
		wrong func(b *bench) // at a time that is ahead
		right func(b *bench) // at the right time
	}{
		{"renewal", func(b *bench) {
			b.renewFails(failure(RefusedClient))
			b.want(fresh(), Decision{Err: errTest})
		}, func(b *bench) { b.want(fresh(), wait(Renew)) }},
		{"renewal of a token that works", func(b *bench) {
			b.renewFails(Failure{Class: Throttled, Err: errTest, RetryAfter: time.Hour})
		}, func(b *bench) { b.want(fresh(), Decision{Action: UseAndRenew, Op: Renew}) }},
		{"login", func(b *bench) {
			b.put(Token{})
			b.LoginFailed(b.now, Failure{Err: errTest, Asked: true})
			b.want(challenged(0), Decision{Err: errTest})
		}, func(b *bench) { b.want(challenged(0), wait(Login)) }},
		{"store", func(b *bench) {
			m := New(b.policy, false)
			b.Machine = &m
			b.LoadFailed(b.now, errTest)
			b.want(fresh(), Decision{Err: errTest})
		}, func(b *bench) { b.want(fresh(), wait(Load)) }},
		{"save", func(b *bench) {
			b.SaveFailed(b.now, errTest)
		}, func(b *bench) {
			if b.Due(b.now) != Save || b.Wake(b.now).After(b.now) {
				t.Errorf("Due = %v, Wake = %v", b.Due(b.now), b.Wake(b.now))
			}
		}},
		{"bar", func(b *bench) {
			token := b.plain(2)
			token.Obtained, token.Login, token.Expiry = time.Time{}, true, time.Time{}
			b.put(token)
			b.want(challenged(2), fail(Rejected))
			b.want(fresh(), fail(Rejected))
		}, func(b *bench) {
			b.want(fresh(), use)
			b.want(challenged(2), wait(Login))
		}},
		{"session", func(b *bench) {
			token := b.token(2)
			token.Expiry = time.Time{}
			b.put(token)
			b.Machine.token.doomed = true
			b.renewFails(failure(RefusedToken))
			b.want(fresh(), fail(NoToken))
		}, func(b *bench) { b.want(fresh(), use) }},
		{"operation", func(b *bench) {
			token := b.token(2)
			token.Expiry = time.Time{}
			b.put(token)
			b.Accepted(2)
			n := challenged(2)
			n.Replaced = true
			b.want(n, fail(RejectedOperation))
			b.want(challenged(2), fail(RejectedOperation))
		}, func(b *bench) { b.want(challenged(2), resend(0)) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, Policy{Grant: Person})
			b.put(b.token(1))
			b.sleep(ahead)
			tt.wrong(b)
			b.sleep(-ahead)
			b.Machine.token.expiry = min(b.Machine.token.expiry, nanos(b.now.Add(time.Minute)))
			if tt.name == "renewal" {
				b.Machine.token.expiry = nanos(b.now)
			}
			tt.right(b)
			b.sleep(ahead) // the same time again
			if u := b.trouble; u != nil && !(u.load.over(b.now) && u.renew.over(b.now) && u.login.over(b.now) && u.save.over(b.now) && !u.bar.holds(b.now) && !u.gone.holds(b.now) && !u.operations["op"].hold.holds(b.now)) {
				t.Errorf("comes back: %+v", *u)
			}
		})
	}
	t.Run("look at the store", func(t *testing.T) {
		b := newBench(t, Policy{Shared: true})
		b.sleep(ahead)
		b.put(b.plain(1))
		b.Loaded(b.now)
		if !b.Until(b.now).After(b.now) {
			t.Fatal("a token that was just loaded is not used")
		}
		b.sleep(-ahead)
		if u := b.Until(b.now); !u.IsZero() {
			t.Errorf("not looked at before %v", u)
		}
		b.want(fresh(), Decision{Action: Glance, Op: Load})
	})
}
