package lifecycle

import (
	"testing"
	"time"
	"unsafe"
)

// How long before its expiry a token is renewed [7, 9].
func TestWindow(t *testing.T) {
	const minute = time.Minute
	for _, tt := range []struct {
		name         string
		window, life time.Duration // life 0: no expiry
		unknown      bool          // when it was obtained
		jitter       float64
		want         time.Duration // 0: not early
	}{
		{"an hour", 5 * minute, 60 * minute, false, 0, 5 * minute},
		{"an hour, jitter", 5 * minute, 60 * minute, false, 0.5, 5*minute + 15*time.Second},
		{"shorter than two windows", 5 * minute, 4 * minute, false, 0, 2 * minute},
		{"shorter than two windows, jitter", 5 * minute, 4 * minute, false, 1, 2*minute + 12*time.Second},
		{"twice the window", 5 * minute, 10 * minute, false, 0, 5 * minute},
		{"three seconds", 5 * minute, 3 * time.Second, false, 0, 3 * time.Second / 2},
		{"1.5 seconds", 5 * minute, 3 * time.Second / 2, false, 0.9, time.Second / 2},
		{"a second", 5 * minute, time.Second, false, 0, 0},
		{"a moment", 5 * minute, time.Millisecond, false, 0.9, 0},
		{"no expiry", 5 * minute, 0, false, 0.9, 0},
		{"nobody knows since when", 5 * minute, 4 * minute, true, 0, 5 * minute},
		{"no window", -1, 60 * minute, false, 0.9, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			calls := 0
			b := newBench(t, Policy{Window: tt.window, Jitter: func() float64 { calls++; return tt.jitter }})
			if tt.window < 0 {
				b.policy.Window = 0
			}
			token := b.token(1)
			token.Expiry = b.now.Add(tt.life)
			if tt.life == 0 {
				token.Expiry = time.Time{}
			}
			if tt.unknown {
				token.Obtained = time.Time{}
			}
			b.put(token)
			if tt.want == 0 {
				if p := b.Planned(); !p.IsZero() {
					t.Errorf("Planned = %v", p)
				}
				return
			}
			if got := token.Expiry.Sub(b.Planned()); got != tt.want {
				t.Errorf("renewed %v before expiry, want %v", got, tt.want)
			}
			b.put(token) // read again: no new number, or a fleet would drift together
			if calls != 1 {
				t.Errorf("%d random numbers", calls)
			}
			token.Renewal++
			b.put(token)
			if calls != 2 {
				t.Errorf("%d random numbers with another refresh token", calls)
			}
		})
	}
}

// A timer renews anywhere in the first half of the window: many that expire
// together are spread over minutes.
func TestIdleWindow(t *testing.T) {
	for jitter, want := range map[float64]time.Duration{0: 5 * time.Minute, 0.5: 5 * time.Minute * 3 / 4, 1: 5 * time.Minute / 2} {
		b := newBench(t, Policy{Window: 5 * time.Minute, Idle: true, Jitter: func() float64 { return jitter }})
		token := b.token(1)
		token.Expiry = b.now.Add(time.Hour)
		b.put(token)
		if got := token.Expiry.Sub(b.Planned()); got != want {
			t.Errorf("jitter %v: %v before the expiry, want %v", jitter, got, want)
		}
	}
}

// A token is handed out until it expires, and renewed behind from Planned on [5, 7].
func TestLife(t *testing.T) {
	b := newBench(t, Policy{Window: 10 * time.Minute})
	b.put(b.token(1))
	planned, expiry := start.Add(50*time.Minute), start.Add(time.Hour)
	early := Decision{Action: UseAndRenew, Op: Renew}
	for _, tt := range []struct {
		at    time.Time
		want  Decision
		until time.Time
	}{
		{start, use, planned},
		{planned.Add(-1), use, planned},
		{planned, early, planned},
		{expiry.Add(-1), early, planned},
		{expiry, wait(Renew), time.Time{}},
	} {
		b.now = tt.at
		b.want(fresh(), tt.want)
		if got := b.Until(b.now); !got.Equal(tt.until) {
			t.Errorf("at +%v: Until = %v, want %v", tt.at.Sub(start), got, tt.until)
		}
	}
	b.now = planned
	b.Started(Renew)
	b.want(fresh(), use)
	if got := b.Until(b.now); !got.Equal(expiry) {
		t.Errorf("while a renewal runs: Until = %v", got)
	}
	b.Ended(Renew)
	b.renewFails(failure(RefusedClient))
	b.want(fresh(), use)
	if got := b.Until(b.now); !got.Equal(planned.Add(time.Second)) {
		t.Errorf("after a failure: Until = %v", got)
	}
	b.sleep(time.Second)
	b.want(fresh(), early)
	b.renewFails(failure(RefusedToken))
	b.want(fresh(), use)
	if got := b.Until(b.now); !got.Equal(expiry) {
		t.Errorf("after a refusal: Until = %v", got)
	}
	b.now = expiry
	b.want(fresh(), fail(Unauthorized))
	b.Close()
	if !b.Until(start).IsZero() || b.Usable(start) || !b.Closed() {
		t.Error("used after Close")
	}
}

// The timer renews where that is wanted, saves, and is quiet otherwise.
func TestTimer(t *testing.T) {
	at := func(minutes float64) time.Time { return start.Add(time.Duration(minutes * float64(time.Minute))) }
	for _, tt := range []struct {
		name   string
		policy Policy
		setup  func(b *bench)
		now    time.Time
		wake   time.Time
		due    Op
	}{
		{"nobody asks, and none is wanted", Policy{}, func(*bench) {}, at(59), time.Time{}, None},
		{"before", Policy{Idle: true}, func(*bench) {}, at(0), at(59), None},
		{"due", Policy{Idle: true}, func(*bench) {}, at(59), at(59), Renew},
		{"running", Policy{Idle: true}, func(b *bench) { b.Started(Renew) }, at(59), time.Time{}, None},
		{"expired", Policy{Idle: true}, func(*bench) {}, at(60), time.Time{}, None},
		{"paused", Policy{Idle: true}, func(b *bench) { b.now = at(59); b.renewFails(failure(Ours)) }, at(59), at(59 + 1./60), None},
		{"paused beyond its death", Policy{Idle: true}, func(b *bench) {
			b.now = at(59)
			b.renewFails(Failure{Err: errTest, RetryAfter: time.Hour})
		}, at(59), time.Time{}, None},
		{"refused", Policy{Idle: true}, func(b *bench) { b.now = at(59); b.renewFails(failure(RefusedToken)) }, at(59), time.Time{}, None},
		{"no refresh token", Policy{Idle: true, Grant: Person}, func(b *bench) { b.put(b.plain(1)) }, at(59), time.Time{}, None},
		{"no refresh token, nobody needed", Policy{Idle: true, Grant: Alone}, func(b *bench) { b.put(b.plain(1)) }, at(59), at(59), Renew},
		{"unsaved", Policy{}, func(b *bench) { b.SaveFailed(b.now, errTest) }, at(0), start.Add(250 * time.Millisecond), None},
		{"to be saved", Policy{}, func(b *bench) { b.SaveFailed(b.now, errTest) }, at(1), at(1), Save},
		{"saving", Policy{}, func(b *bench) { b.SaveFailed(b.now, errTest); b.Started(Save) }, at(1), time.Time{}, None},
		{"saved", Policy{}, func(b *bench) { b.SaveFailed(b.now, errTest); b.Saved() }, at(1), time.Time{}, None},
		{"both", Policy{Idle: true}, func(b *bench) { b.now = at(59); b.SaveFailed(b.now, errTest) }, at(59.5), at(59), Save | Renew},
		{"logged out", Policy{Idle: true}, func(b *bench) { b.put(Token{}) }, at(59), time.Time{}, None},
		{"closed", Policy{Idle: true}, func(b *bench) { b.SaveFailed(b.now, errTest); b.Close() }, at(59), time.Time{}, None},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, tt.policy)
			b.put(b.token(1))
			tt.setup(b)
			if got := b.Wake(tt.now); !got.Equal(tt.wake) {
				t.Errorf("Wake = %v, want %v", got, tt.wake)
			}
			if got := b.Due(tt.now); got != tt.due {
				t.Errorf("Due = %v, want %v", got, tt.due)
			}
		})
	}
}

// Results count in the order of their versions.
func TestVersions(t *testing.T) {
	b := newBench(t, Policy{})
	if !b.Put(b.now, b.token(2), 5) {
		t.Fatal("the first result was refused")
	}
	for _, v := range []uint64{0, 4, 5} {
		if b.Put(b.now, b.token(1), v) || b.Machine.token.id != 2 {
			t.Errorf("version %d replaced version 5", v)
		}
	}
	if !b.Put(b.now, b.token(1), 6) || b.Machine.token.id != 1 {
		t.Error("version 6 did not replace version 5")
	}
}

// What is known of a token stays when it is read again, and goes with it.
func TestPutKeepsEvidence(t *testing.T) {
	b := newBench(t, Policy{Grant: Person})
	b.loggedIn(1)
	if !b.Accepted(1) || b.Accepted(1) || b.Accepted(0) || b.Accepted(9) || !b.Known() {
		t.Error("Accepted reports what is not news, or not what is")
	}
	b.sleep(time.Second)
	again := b.plain(1)
	again.Obtained = start
	b.put(again)
	if !b.Known() || !b.Machine.token.login || b.Machine.token.seen != nanos(start) {
		t.Errorf("forgotten: %+v", b.Machine.token)
	}
	b.want(challenged(1), resend(0))
	if b.Known() || !b.Accepted(1) || !b.Known() {
		t.Error("a rejection and an acceptance after it are not noticed")
	}
	b.put(b.plain(2))
	if b.Known() || b.Machine.token.login {
		t.Error("another token has the evidence of the old one")
	}
}

// A server that does not widen scopes by refresh is asked by the grant, until
// the token comes from another one.
func TestNarrow(t *testing.T) {
	b := newBench(t, Policy{Grant: Person})
	b.put(b.token(1))
	up := func() *Need { return &Need{Kind: Scopes, Token: b.Machine.token.id, Scopes: []string{"b"}} }
	b.want(up(), wait(Renew))
	b.Narrow("https://as.example.com")
	b.want(up(), wait(Login))
	b.put(b.token(2))
	b.want(up(), wait(Login))
	token := b.token(3)
	token.Issuer = "https://other.example.com"
	b.put(token)
	b.want(up(), wait(Renew))
	if b.trouble != nil {
		t.Error("something is remembered of nothing")
	}
}

// A healthy credential costs little memory, and one that was in trouble as well.
func TestSize(t *testing.T) {
	if got := unsafe.Sizeof(Machine{}); got > 96 { // a size class of the allocator
		t.Errorf("%d bytes", got)
	}
	b := newBench(t, Policy{Grant: Person})
	b.put(b.token(1))
	for _, f := range []func(){
		func() { b.SaveFailed(b.now, errTest); b.Saved() },
		func() { b.LoadFailed(b.now, errTest); b.Loaded(b.now) },
		func() { b.renewFails(failure(Transient)); b.put(b.token(2)) },
		func() { b.renewFails(failure(RefusedToken)); b.put(b.token(3)) },
		func() { b.LoginFailed(b.now, failure(Ours)); b.put(b.token(4)) },
		func() { b.LoginFailed(b.now, failure(Ours)); b.Forgive(); b.put(b.token(5)) },
		func() { b.renewFails(failure(Ours)); b.Forgive(); b.put(b.token(4)) },
		func() { b.LoadFailed(b.now, errTest); b.Forgive(); b.Loaded(b.now) },
		func() { b.renewFails(failure(RefusedScopes)) },
		func() { b.put(b.plain(5)); b.renewFails(failure(RefusedToken)); b.put(b.token(4)) },
		func() { b.Machine.token.obtained = 0; b.want(challenged(4), wait(Renew)); b.Accepted(4) },
	} {
		if f(); b.trouble != nil {
			t.Errorf("left behind: %+v", *b.trouble)
		}
	}
}
