package lifecycle

import (
	"testing"
	"time"
)

// What is left alone after the n-th failure in a row, and for how long [14, 15].
func TestPauses(t *testing.T) {
	s := func(ss ...float64) (ds []time.Duration) {
		for _, s := range ss {
			ds = append(ds, time.Duration(s*float64(time.Second)))
		}
		return ds
	}
	renew := func(c Class) func(b *bench) *pause {
		return func(b *bench) *pause { b.renewFails(failure(c)); return &b.trouble.renew }
	}
	login := func(c Class, asked bool) func(b *bench) *pause {
		return func(b *bench) *pause {
			b.LoginFailed(b.now, Failure{Class: c, Err: errTest, Asked: asked})
			return &b.trouble.login
		}
	}
	refused := s(1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300)
	asked := s(30, 60, 120, 240, 480, 960, 1800, 1800)
	few := s(1, 2, 4, 5, 5)
	for _, tt := range []struct {
		name        string
		grant       Means
		fail        func(b *bench) *pause
		soon, until []time.Duration // until nil: as soon
	}{
		{"renewal, unclassified", Nothing, renew(Unclassified), few, s(1, 2, 4, 8, 16)},
		{"renewal, transient", Nothing, renew(Transient), s(1, 2, 4, 5, 5, 5, 5), s(1, 2, 4, 8, 16, 30, 30)},
		{"renewal, throttled", Nothing, renew(Throttled), few, s(1, 2, 4, 8, 16)},
		{"renewal, ambiguous", Nothing, renew(Ambiguous), s(5, 5, 5, 5, 5, 5, 5, 5), s(5, 10, 20, 40, 80, 160, 300, 300)},
		{"renewal, client refused", Nothing, renew(RefusedClient), refused, nil},
		{"renewal, ours", Person, renew(Ours), refused, nil},
		{"renewal, request refused", Nothing, renew(RefusedRequest), refused, nil},
		{"renewal, token refused", Alone, renew(RefusedToken), refused, nil},
		{"login, transient", Alone, login(Transient, false), few, nil},
		{"login, client refused", Alone, login(RefusedClient, false), refused, nil},
		{"login, token refused", Alone, login(RefusedToken, false), refused, nil},
		{"login, request refused", Alone, login(RefusedRequest, false), refused, nil},
		{"login, scopes refused", Alone, login(RefusedScopes, false), refused, nil},
		{"login, ours", Alone, login(Ours, false), refused, nil},
		{"login, a person was asked", Person, login(Unclassified, true), asked, nil},
		{"load", Nothing, func(b *bench) *pause { b.LoadFailed(b.now, errTest); return &b.trouble.load }, few, nil},
		{"save", Nothing, func(b *bench) *pause { b.SaveFailed(b.now, errTest); return &b.trouble.save }, s(.25, .5, 1, 2, 4, 8, 16, 30, 30), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, jitter := range []float64{0, 0.999} {
				b := newBench(t, Policy{Grant: tt.grant})
				b.put(b.token(1))
				b.policy.Jitter = func() float64 { return jitter }
				for i, soon := range tt.soon {
					until := soon
					if tt.until != nil {
						until = tt.until[i]
					}
					p := tt.fail(b)
					if got := time.Duration(p.soon - nanos(b.now)); got != soon {
						t.Errorf("failure %d: needed again after %v, want %v", i+1, got, soon)
					}
					got, most := time.Duration(p.until-nanos(b.now)), until+time.Duration(0.2*jitter*float64(until))
					if got != most {
						t.Errorf("failure %d: again after %v, want %v", i+1, got, most)
					}
					b.sleep(time.Duration(p.until - nanos(b.now)))
				}
			}
		})
	}
}

// What a server asks for is a floor, also for callers without a token, and a
// try by hand in the middle does not shorten it.
func TestRetryAfterIsAFloor(t *testing.T) {
	b := newBench(t, Policy{Jitter: func() float64 { return 0.5 }})
	b.put(b.token(1))
	b.sleep(time.Hour)
	b.renewFails(Failure{Class: Throttled, Err: errTest, RetryAfter: time.Minute})
	const floor = time.Minute + maxJitter/2 // spread over all of maxJitter
	d := b.want(fresh(), Decision{Err: errTest})
	if got := d.RetryAt.Sub(b.now); got != floor {
		t.Errorf("waits %v, want %v", got, floor)
	}
	b.sleep(10 * time.Second)
	n := &Need{Kind: Renewal}
	b.want(n, wait(Renew))
	b.renewFails(failure(Transient))
	n.After(Renew, failure(Transient))
	d = b.want(n, Decision{Err: errTest})
	if got := d.RetryAt.Sub(start); got != time.Hour+floor {
		t.Errorf("by hand: waits until %v, want %v", got, time.Hour+floor)
	}
	b.sleep(floor - 10*time.Second - 1)
	b.want(fresh(), Decision{Err: errTest})
	b.sleep(1)
	b.want(fresh(), wait(Renew))
	// A short one does not shorten the machine's own pause.
	b.renewFails(Failure{Class: Throttled, Err: errTest, RetryAfter: time.Millisecond})
	if got := b.want(fresh(), Decision{Err: errTest}).RetryAt.Sub(b.now); got < 4*time.Second {
		t.Errorf("a short Retry-After: waits %v", got)
	}
}

// What comes after a long outage is paused as if there had been none.
func TestPauseAfterOutage(t *testing.T) {
	for class, want := range map[Class]time.Duration{Ambiguous: needed, RefusedClient: time.Second, Transient: needed} {
		b := newBench(t, Policy{Grant: Person})
		b.put(b.token(1))
		b.sleep(time.Hour)
		for range 10 {
			b.renewFails(failure(Transient))
			b.sleep(needed)
		}
		b.renewFails(failure(class))
		if got := b.want(fresh(), Decision{Err: errTest}).RetryAt.Sub(b.now); got != want {
			t.Errorf("class %d: waits %v, want %v", class, got, want)
		}
	}
	b := newBench(t, Policy{Grant: Person})
	for range 10 {
		b.LoginFailed(b.now, failure(Transient))
		b.sleep(needed)
	}
	b.LoginFailed(b.now, Failure{Err: errTest, Asked: true})
	if got := b.want(challenged(0), Decision{Err: errTest}).RetryAt.Sub(b.now); got != loginPause {
		t.Errorf("login: waits %v, want %v", got, loginPause)
	}
}

// Pauses end with a success, and with what the program does.
func TestPausesEnd(t *testing.T) {
	for name, tt := range map[string]struct {
		end  func(b *bench)
		next Decision
	}{
		"another token": {func(b *bench) {
			token := b.token(2)
			token.Expiry = b.now
			b.put(token)
		}, wait(Renew)},
		"another refresh token": {func(b *bench) {
			token := b.token(1)
			token.Renewal, token.Expiry = 9, b.now
			b.put(token)
		}, wait(Renew)},
		"the same, read again": {func(b *bench) {
			token := b.token(1)
			token.Expiry = b.now
			b.put(token)
		}, Decision{Err: errTest}},
		"the program":                     {func(b *bench) { b.Forgive() }, wait(Renew)},
		"a failure of an older token":     {func(b *bench) { b.RenewFailed(b.now, Failure{Err: errTest, Renewal: 77}); b.Forgive() }, wait(Renew)},
		"time":                            {func(b *bench) { b.sleep(time.Second) }, wait(Renew)},
		"another caller who insists":      {func(b *bench) { b.Started(Renew) }, wait(Renew)},
		"nothing":                         {func(b *bench) {}, Decision{Err: errTest}},
		"logout":                          {func(b *bench) { b.put(Token{}) }, fail(NoToken)},
		"closed":                          {func(b *bench) { b.Close() }, fail(Closed)},
		"a result of an older version":    {func(b *bench) { b.Put(b.now, b.token(5), b.version) }, Decision{Err: errTest}},
		"a failed save does not":          {func(b *bench) { b.SaveFailed(b.now, errTest); b.Saved() }, Decision{Err: errTest}},
		"a failed load does not":          {func(b *bench) { b.LoadFailed(b.now, errTest); b.Loaded(b.now) }, Decision{Err: errTest}},
		"a failed login does not":         {func(b *bench) { b.LoginFailed(b.now, failure(Ours)) }, Decision{Err: errTest}},
		"an answer about scopes does not": {func(b *bench) { b.renewFails(failure(RefusedScopes)) }, Decision{Err: errTest}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, Policy{Grant: Person})
			b.put(b.token(1))
			b.sleep(time.Hour)
			b.renewFails(failure(Transient))
			tt.end(b)
			b.want(fresh(), tt.next)
		})
	}
}
