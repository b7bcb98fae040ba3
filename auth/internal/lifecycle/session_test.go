package lifecycle

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

// A session whose refresh token was refused has ended when its token had to be
// replaced too. One rejection does not end it for everybody [5, 8], and the
// token is tried again after a while [12].
func TestLost(t *testing.T) {
	refuse := func(c Class) func(b *bench) { return func(b *bench) { b.renewFails(failure(c)) } }
	reject := func(n Need) func(b *bench) {
		return func(b *bench) {
			now := n
			now.Kind, now.Token, now.Operation, now.Since = Challenged, 1, "op", n.Since+b.acceptance
			b.next(&now)
		}
	}
	last := reject(Need{Tries: 6})
	for _, tt := range []struct {
		name  string
		grant Means
		did   []func(b *bench)
		lost  bool
	}{
		{"rejected, then refused", Nothing, []func(b *bench){last, refuse(RefusedToken)}, true},
		{"read again in between", Person, []func(b *bench){last, func(b *bench) { b.put(b.token(1)) }, refuse(RefusedToken)}, true},
		{"refused, then rejected", Person, []func(b *bench){refuse(RefusedToken), last}, true},
		{"nothing accepted it", Person, []func(b *bench){func(b *bench) { b.Machine.token.accepted = false }, last, refuse(RefusedToken)}, true},
		{"a failed early renewal", Person, []func(b *bench){refuse(RefusedToken)}, false},
		{"and one rejection", Person, []func(b *bench){refuse(RefusedToken), reject(Need{})}, false},
		{"of a token in place of another", Person, []func(b *bench){refuse(RefusedToken), reject(Need{Tries: 6, Replaced: true})}, false},
		{"of a stream", Person, []func(b *bench){refuse(RefusedToken), reject(Need{Tries: 6, Stream: true})}, false},
		{"of a request that nobody waits for", Person, []func(b *bench){refuse(RefusedToken), reject(Need{Tries: 6, NoLogin: true})}, false},
		{"others were accepted meanwhile", Person, []func(b *bench){reject(Need{Tries: 6, Since: 1}), refuse(RefusedToken)}, false},
		{"others are accepted", Person, []func(b *bench){last, func(b *bench) { b.Accepted(1) }, refuse(RefusedToken)}, false},
		{"others are accepted after it", Person, []func(b *bench){last, refuse(RefusedToken), func(b *bench) { b.Accepted(1) }}, false},
		{"only the request was refused", Person, []func(b *bench){last, refuse(RefusedRequest)}, false},
		{"only the client was refused", Person, []func(b *bench){last, refuse(RefusedClient)}, false},
		{"the grant needs nobody", Alone, []func(b *bench){last, refuse(RefusedToken)}, false},
		{"another token", Person, []func(b *bench){last, refuse(RefusedToken), func(b *bench) { b.put(b.token(2)) }}, false},
		{"another refresh token", Person, []func(b *bench){last, refuse(RefusedToken), func(b *bench) { token := b.token(1); token.Renewal = 2; b.put(token) }}, false},
		{"the refused one is gone", Person, []func(b *bench){last, refuse(RefusedToken), func(b *bench) { b.put(b.plain(1)) }}, true},
		{"it is not tried", Person, []func(b *bench){last, refuse(RefusedToken), func(b *bench) { b.sleep(lost - 1) }}, true},
		{"it is tried again", Person, []func(b *bench){last, refuse(RefusedToken), func(b *bench) { b.sleep(lost) }}, false},
		{"in vain", Person, []func(b *bench){last, refuse(RefusedToken), func(b *bench) { b.sleep(lost) }, last}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, Policy{Grant: tt.grant})
			b.put(b.token(1))
			b.Accepted(1)
			for _, do := range tt.did {
				do(b)
			}
			if b.Usable(b.now) == tt.lost {
				t.Errorf("Usable = %v", !tt.lost)
			}
			switch {
			case tt.lost && tt.grant == Nothing:
				b.want(fresh(), fail(Unauthorized))
			case tt.lost:
				b.want(fresh(), fail(NoToken))
				b.want(challenged(0), wait(Login))
				b.want(&Need{Kind: Challenged, Token: 1, Operation: "a stream", Stream: true, Done: Renew, Err: errTest}, wait(Login))
				b.want(&Need{Kind: Challenged, Operation: "another stream", Stream: true}, wait(Login))
				b.want(&Need{Kind: Challenged, Operation: "another", NoLogin: true}, fail(Useless))
			default:
				b.want(fresh(), use)
			}
		})
	}
}

// An operation that was refused before costs no second token while others are
// accepted [11]. When they are not, the token may be dead: it is replaced, after
// one more refusal at the most.
func TestRefusedBefore(t *testing.T) {
	for _, tt := range []struct {
		name   string
		others bool // are accepted after the refusal
		again  bool // and once more after the next one
		did    []Op // at the second, and at the third try
		third  []Op
	}{
		{"nobody else", false, false, []Op{Renew}, []Op{Renew}},
		{"others, once", true, false, nil, []Op{Renew}},
		{"others all the time", true, true, nil, nil},
	} {
		b := newBench(t, Policy{Grant: Person})
		b.put(b.token(1))
		b.Accepted(1)
		id := uint32(1)
		try := func() []Op {
			did, end := b.chain(challenged(id), func(Op) Failure {
				id++
				b.put(b.token(id))
				b.Accepted(id)
				return Failure{}
			})
			if end.Reason != RejectedOperation || end.RetryAt.Sub(b.now) > longestRefusal {
				t.Fatalf("%s: %+v", tt.name, end)
			}
			b.now = end.RetryAt
			return did
		}
		try()
		if tt.others {
			b.Accepted(id)
		}
		if did := try(); len(did) != len(tt.did) {
			t.Errorf("%s: at the second try %v, want %v", tt.name, did, tt.did)
		}
		if tt.again {
			b.Accepted(id)
		}
		if did := try(); len(did) != len(tt.third) {
			t.Errorf("%s: at the third try %v, want %v", tt.name, did, tt.third)
		}
	}
}

// uncomparable is an error that panics when it is compared.
type uncomparable []string

func (uncomparable) Error() string { return "uncomparable" }

type timed struct {
	error
	at time.Time
}

// What callers get says when the next attempt is: the caller whose attempt
// failed, those who wait, and the program [15].
func TestTimed(t *testing.T) {
	for _, err := range []error{errTest, fmt.Errorf("wrapped: %w", errTest)} {
		b := newBench(t, Policy{Grant: Person, Timed: func(err error, at time.Time) error { return timed{err, at} }})
		at := func(got error) time.Duration {
			t.Helper()
			var e timed
			if !errors.As(got, &e) || e.error != err {
				t.Fatalf("%v, want %v with a time", got, err)
			}
			return e.at.Sub(b.now)
		}
		b.put(b.token(1))
		b.sleep(time.Hour)
		f := Failure{Class: Ambiguous, Err: err}
		b.renewFails(f)
		n := fresh()
		n.After(Renew, f)
		for _, got := range []error{b.next(n).Err, b.next(fresh()).Err, b.Timed(err), b.LastErr()} {
			if d := at(got); d != needed {
				t.Errorf("next attempt after %v, want %v", d, needed)
			}
		}
		if got := b.Timed(errStore); got != errStore {
			t.Errorf("another error became %v", got)
		}
		b.Forgive()
		for _, got := range []error{b.next(n).Err, b.Timed(err), b.LastErr()} {
			if got != err {
				t.Errorf("after the pause has ended: %v", got)
			}
		}
		b.renewFails(f)
		b.put(b.token(2))
		if got := b.Timed(err); got != err {
			t.Errorf("after a success: %v", got)
		}
		b.LoginFailed(b.now, Failure{Err: err, Asked: true})
		if d := at(b.Timed(err)); d != loginPause {
			t.Errorf("after a login: %v", d)
		}
		b = newBench(t, Policy{Shared: true, Timed: b.policy.Timed})
		b.LoadFailed(b.now, err)
		if d := at(b.next(challenged(0)).Err); d != time.Second {
			t.Errorf("after a look at the store: %v", d)
		}
	}
	b := newBench(t, Policy{Grant: Person})
	b.LoginFailed(b.now, Failure{Err: uncomparable{"a"}})
	n := challenged(0)
	n.After(Login, Failure{Err: uncomparable{"a"}})
	if got := b.next(n).Err; got == nil || got.Error() != "uncomparable" {
		t.Errorf("an error that cannot be compared: %v", got)
	}
}

// Another input of the grant ends the pause of the one that failed, but a
// program with another one each time does not end all pauses [15].
func TestReplaced(t *testing.T) {
	for _, tt := range []struct {
		name         string
		failed, next string
		want         bool
	}{
		{"another one", "a", "b", true},
		{"the same", "a", "a", false},
		{"none now", "a", "", false},
		{"none then", "", "b", false},
	} {
		for _, op := range []Op{Renew, Login} {
			b := newBench(t, Policy{Grant: Alone})
			b.put(b.token(1))
			b.sleep(time.Hour)
			fails := func(input string) {
				f := failure(RefusedClient)
				f.Input = input
				if op == Renew {
					b.renewFails(f)
				} else {
					b.put(Token{})
					b.LoginFailed(b.now, f)
				}
			}
			call := func() *Need {
				if op == Renew {
					return fresh()
				}
				return challenged(0)
			}
			if b.Replaced("b") {
				t.Fatalf("%s: nothing has failed", tt.name)
			}
			fails(tt.failed)
			b.want(call(), Decision{Err: errTest})
			if got := b.Replaced(tt.next); got != tt.want {
				t.Fatalf("%s, op %d: %v", tt.name, op, got)
			}
			if !tt.want {
				b.want(call(), Decision{Err: errTest})
				continue
			}
			b.want(call(), wait(op))
			if b.Replaced("c") {
				t.Errorf("%s, op %d: ends a pause that is over", tt.name, op)
			}
			fails(tt.next)
			if got := b.want(call(), Decision{Err: errTest}).RetryAt.Sub(b.now); got != 2*time.Second {
				t.Errorf("%s, op %d: the next pause is %v", tt.name, op, got)
			}
			if b.Replaced("c") {
				t.Errorf("%s, op %d: a third attempt at once", tt.name, op)
			}
			b.sleep(2 * time.Second)
			b.want(call(), wait(op))
			fails("c")
			if !b.Replaced("d") {
				t.Errorf("%s, op %d: never again", tt.name, op)
			}
		}
	}
}

// After Close a caller gets what its own operation brought, and nothing else.
func TestAfterClose(t *testing.T) {
	for _, tt := range []struct {
		name string
		need Need
		want Decision
	}{
		{"its renewal", Need{Done: Renew}, use},
		{"its login", Need{Kind: Challenged, Done: Load | Login}, use},
		{"in place of another token", Need{Kind: Challenged, Token: 9, Done: Renew}, use},
		{"the program's", Need{Kind: Renewal, Done: Renew}, use},
		{"the token that was refused", Need{Kind: Challenged, Token: 1, Done: Renew}, fail(Closed)},
		{"a failure", Need{Done: Renew, Err: errTest}, fail(Closed)},
		{"only a look", Need{Done: Load}, fail(Closed)},
		{"nothing", Need{}, fail(Closed)},
		{"scopes that it may not have", Need{Kind: Scopes, Done: Renew}, fail(Closed)},
		{"scopes for the program", Need{Kind: Upgrade, Done: Login}, fail(Closed)},
	} {
		b := newBench(t, Policy{Grant: Person})
		b.put(b.token(1))
		b.Close()
		n := tt.need
		b.want(&n, tt.want)
		b.sleep(time.Hour)
		n = tt.need
		b.want(&n, fail(Closed))
	}
}
