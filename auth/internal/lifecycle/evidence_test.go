package lifecycle

import (
	"reflect"
	"testing"
	"time"
)

// barred returns a bench whose token nothing accepts, and that waits.
func barred(t *testing.T, p Policy) *bench {
	t.Helper()
	b := newBench(t, p)
	b.loggedIn(1)
	b.sleep(20 * time.Second)
	b.Loaded(b.now)
	n := challenged(1)
	n.Done = Load
	b.want(n, fail(Rejected))
	return b
}

// A bar is for the tokens that were rejected. One that another process stored,
// or that the program asked for, is used at once [12, 15].
func TestBarEndsWithAnotherToken(t *testing.T) {
	b := barred(t, Policy{Grant: Person, Shared: true})
	n := challenged(9) // a late answer
	b.want(n, wait(Load))
	n.After(Load, Failure{})
	b.want(n, fail(Rejected))
	n = fresh() // right after that look
	b.want(n, wait(Load))
	n.After(Load, Failure{})
	b.want(n, fail(Rejected)) // nothing new
	b.put(b.plain(2))
	b.Loaded(b.now)
	b.want(n, use)
	// The same token, read again, is still barred.
	b = barred(t, Policy{Grant: Person, Shared: true})
	token := b.plain(1)
	token.Obtained = start
	b.put(token)
	n = fresh()
	n.Done = Load
	b.want(n, fail(Rejected))
}

// chain plays one request that is refused whatever is tried, and returns what
// its caller did and how it ended.
func (b *bench) chain(n *Need, renew func(op Op) Failure) (did []Op, end Decision) {
	b.t.Helper()
	for range 20 {
		d := b.next(n)
		switch d.Action {
		case Wait, Glance:
			if d.Op != Load {
				did = append(did, d.Op)
			}
			n.After(d.Op, renew(d.Op))
		case Use, UseAndRenew, Resend:
			b.sleep(d.Delay)
			*n = n.Again(b.Machine.token.id)
		case Fail:
			return did, d
		}
	}
	b.t.Fatalf("never ends: %+v", *n)
	return nil, Decision{}
}

// A client with one operation that was refused once can log in again when its
// token really dies; one whose operation is always refused does not, while
// other operations go on [11, 13].
func TestLoginAfterRefusals(t *testing.T) {
	for _, others := range []time.Duration{0, 10 * time.Second, 7 * time.Minute} {
		b := newBench(t, Policy{Grant: Person})
		b.loggedIn(1)
		b.Machine.token.expiry = 0
		b.Accepted(1)
		n := challenged(1)
		n.Replaced = true
		b.want(n, fail(RejectedOperation))
		last, next, logins := b.now, uint32(2), 0
		for b.now.Sub(start) < 5*time.Hour {
			did, _ := b.chain(challenged(b.Machine.token.id), func(op Op) Failure {
				token := b.plain(next)
				token.Login, token.Expiry = true, time.Time{}
				b.put(token)
				next++
				return Failure{}
			})
			if logins += len(did); len(did) > 0 && b.now.Sub(start) < firstRelogin {
				t.Errorf("a login after %v", b.now.Sub(start))
			}
			if others != 0 && b.now.Sub(last) >= others {
				b.Accepted(b.Machine.token.id)
				last = b.now
			}
			b.sleep(5 * time.Second)
		}
		least, most := 0, 0
		switch others {
		case 0, 7 * time.Minute:
			least, most = 1, 6
		}
		if logins < least || logins > most {
			t.Errorf("others every %v: %d logins in 5 h, want %d to %d", others, logins, least, most)
		}
	}
}

// Operations with ever new names cost a bounded number of token requests and
// bounded memory [11].
func TestManyOperations(t *testing.T) {
	b := newBench(t, Policy{})
	b.put(b.token(1))
	b.Accepted(1)
	next, renewals := uint32(2), 0
	for i := range 1000 {
		n := challenged(b.Machine.token.id)
		n.Operation = time.Duration(i).String()
		did, end := b.chain(n, func(Op) Failure {
			b.put(b.token(next))
			b.Accepted(next) // by others
			next++
			return Failure{}
		})
		if renewals += len(did); end.Reason != RejectedOperation {
			t.Fatalf("ends with %+v", end)
		}
		b.sleep(10 * time.Millisecond)
	}
	if got := len(b.trouble.operations); renewals > maxRefusals+2 || got > maxRefusals+1 {
		t.Errorf("%d token requests, %d operations remembered", renewals, got)
	}
	b.sleep(refusalMemory + longestRefusal)
	b.put(b.token(next))
	b.Accepted(next)
	n := challenged(next)
	n.Replaced = true
	b.want(n, fail(RejectedOperation))
	if got := len(b.trouble.operations); got != 1 {
		t.Errorf("%d operations remembered after an hour", got)
	}
}

// An operation that was given up fails at once, each time for longer. In between
// it is tried, but no second token is got for it while others are accepted [11].
func TestGrowingRefusals(t *testing.T) {
	b := newBench(t, Policy{})
	b.put(b.token(1))
	b.Accepted(1)
	for i, want := range []time.Duration{15, 30, 60, 120, 240, 300, 300} {
		want *= time.Second
		did, d := b.chain(challenged(b.Machine.token.id), func(Op) Failure {
			b.put(b.token(uint32(i + 2)))
			b.Accepted(uint32(i + 2))
			return Failure{}
		})
		tokens := 0
		if i == 0 {
			tokens = 1
		}
		if got := d.RetryAt.Sub(b.now); got != want || d.Count != i+1 || len(did) != tokens || d.Reason != RejectedOperation {
			t.Errorf("refusal %d: for %v after %v, want %v", d.Count, got, did, want)
		}
		b.want(fresh(), use)
		other := challenged(b.Machine.token.id)
		other.Operation = "other"
		b.want(other, resend(0))
		b.Accepted(b.Machine.token.id)
		b.sleep(want - 10*time.Second)
		if did, d := b.chain(challenged(b.Machine.token.id), nil); len(did) > 0 || d.Reason != RejectedOperation || d.Count != i+1 {
			t.Errorf("refusal %d, within %v: %v, %+v", i+1, want, did, d)
		}
		b.sleep(10 * time.Second)
	}
}

// A request ends although every token expires before it arrives, or others
// bring new ones all the time.
func TestChainsEnd(t *testing.T) {
	b := newBench(t, Policy{})
	b.put(b.token(1))
	b.sleep(2 * time.Hour)
	id := uint32(2)
	did, end := b.chain(challenged(1), func(Op) Failure {
		token := b.token(id)
		token.Expiry = b.now.Add(time.Second)
		b.put(token)
		id++
		b.sleep(2 * time.Second)
		return Failure{}
	})
	if len(did) > 2 || end.Reason != Late {
		t.Errorf("expired on arrival: %v, %+v", did, end)
	}
	n := Need{Kind: Challenged, Token: id - 1, Operation: "op", Replaced: true}
	b.want(&n, fail(RejectedOperation))

	b = newBench(t, Policy{})
	n = *challenged(1)
	for id := uint32(2); ; id++ {
		b.put(b.token(id))
		d := b.next(&n)
		if d.Action == Fail && d.Reason == RejectedOperation {
			if id != 6 {
				t.Errorf("ends with token %d", id)
			}
			break
		}
		if d.Action != Use {
			t.Fatalf("token %d: %+v", id, d)
		}
		n = n.Again(id)
	}
}

// What is known of a request when it is refused again.
func TestAgain(t *testing.T) {
	for _, tt := range []struct {
		name  string
		need  Need
		token uint32
		want  Need
	}{
		{"first", Need{Kind: Fresh, Operation: "op", Done: Load}, 1, Need{Token: 1}},
		{"first, renewed before", Need{Kind: Fresh, Operation: "op", Done: Renew, renewals: 1}, 1, Need{Token: 1}},
		{"resent", Need{Kind: Challenged, Operation: "op", Token: 1, Since: 7, Done: Load}, 1, Need{Token: 1, Tries: 1, Since: 7}},
		{"resent, replaced", Need{Kind: Challenged, Operation: "op", Token: 1, Tries: 1, Since: 7, Replaced: true}, 1, Need{Token: 1, Tries: 2, Since: 7, Replaced: true}},
		{"renewed", Need{Kind: Challenged, Operation: "op", Token: 1, Since: 7, Done: Renew}, 2, Need{Token: 2, Replaced: true, tokens: 1}},
		{"logged in", Need{Kind: Challenged, Operation: "op", Done: Login}, 2, Need{Token: 2, Replaced: true, tokens: 1}},
		{"a late answer", Need{Kind: Challenged, Operation: "op", Token: 1, Done: Load}, 2, Need{Token: 2, tokens: 1}},
		{"resent, then another came", Need{Kind: Challenged, Operation: "op", Token: 1, Tries: 1}, 2, Need{Token: 2, Replaced: true, tokens: 1}},
		{"replaced, then another came", Need{Kind: Challenged, Operation: "op", Token: 1, Replaced: true, tokens: 1}, 2, Need{Token: 2, Replaced: true, tokens: 2}},
		{"stays what it is", Need{Kind: Challenged, Operation: "op", Stream: true, NoLogin: true}, 2, Need{Token: 2, Stream: true, NoLogin: true, tokens: 1}},
	} {
		got := tt.need.Again(tt.token)
		tt.want.Kind, tt.want.Operation = Challenged, "op"
		if !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

// A stream that was refused does not open a window when the token expires, and
// neither keeps another request from doing it [13].
func TestExpiryAfterRefusals(t *testing.T) {
	b := newBench(t, Policy{Grant: Person})
	b.loggedIn(1)
	b.Accepted(1)
	stream := func() *Need { return &Need{Kind: Challenged, Token: 1, Operation: "stream", Stream: true} }
	_, end := b.chain(stream(), nil)
	if end.Reason != RejectedOperation {
		t.Fatalf("the stream ends with %+v", end)
	}
	n := challenged(1)
	n.Replaced = true
	b.want(n, fail(RejectedOperation))
	b.sleep(time.Hour)
	b.want(stream(), fail(Useless))
	b.want(challenged(1), wait(Login))
	// One that was not refused is as good as any request.
	n = stream()
	n.Operation = "another stream"
	b.want(n, wait(Login))
}

// What a rejection of a token that nothing has accepted yet leads to [10, 12].
func TestYouth(t *testing.T) {
	old, none := aged+1, time.Duration(-1)
	for _, tt := range []struct {
		name            string
		inUse, obtained time.Duration // ago; none: unknown
		tries           uint8
		replaced        bool
		want            Decision
	}{
		{"just obtained", 0, 0, 0, false, resend(250 * time.Millisecond)},
		{"again", 0, 0, 1, false, resend(time.Second)},
		{"and again", 0, 0, 2, false, resend(3 * time.Second)},
		{"enough", 0, 0, 3, false, wait(Renew)},
		{"the first request 10 s later", young, young, 0, false, resend(250 * time.Millisecond)},
		{"and its last try", young + 5*time.Second/4, young, 2, false, resend(3 * time.Second)},
		{"not young any more", young + 5*time.Second, young + 5*time.Second, 0, false, wait(Renew)},
		{"obtained by another machine", 0, 50 * time.Second, 0, false, resend(250 * time.Millisecond)},
		{"whose clock is ahead", 0, -30 * time.Second, 0, false, resend(250 * time.Millisecond)},
		{"long ago", 0, old, 0, false, wait(Renew)},
		{"given by the program", 0, none, 0, false, wait(Renew)},
		{"in place of another one", 0, 0, 0, true, resend(250 * time.Millisecond)},
		{"in place of another one, enough", 0, 0, 3, true, fail(RejectedOperation)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, Policy{})
			token := b.token(1)
			token.Obtained = b.now.Add(tt.inUse - tt.obtained)
			if tt.obtained == none {
				token.Obtained = time.Time{}
			}
			b.put(token)
			b.sleep(tt.inUse)
			n := challenged(1)
			n.Tries, n.Replaced = tt.tries, tt.replaced
			b.want(n, tt.want)
		})
	}
}

// How often a request is sent again with a token that others accept, before it
// costs a token, or a person's time [11, 13].
func TestPatience(t *testing.T) {
	s := time.Second
	for _, tt := range []struct {
		name   string
		renews bool
		flaky  bool
		need   Need
		waits  []time.Duration
		end    Decision
	}{
		{"renewable", true, false, Need{}, []time.Duration{0}, wait(Renew)},
		{"renewable, flaky", true, true, Need{}, []time.Duration{0, s / 4}, wait(Renew)},
		{"renewable, flaky, nobody waits", true, true, Need{NoLogin: true}, []time.Duration{0}, wait(Renew)},
		{"a person", false, false, Need{}, []time.Duration{0, s / 4, s, 3 * s}, wait(Login)},
		{"a person, flaky", false, true, Need{}, []time.Duration{0, s / 4, s, 3 * s, 3 * s, 3 * s, 3 * s}, wait(Login)},
		{"a stream", false, false, Need{Stream: true}, []time.Duration{0}, fail(RejectedOperation)},
		{"nobody waits", false, false, Need{NoLogin: true}, []time.Duration{0}, fail(RejectedOperation)},
	} {
		for _, meanwhile := range []bool{false, true} {
			b := newBench(t, Policy{Grant: Person})
			b.put(b.token(1))
			if !tt.renews {
				b.put(b.plain(1))
			}
			b.Accepted(1)
			if tt.flaky {
				b.want(challenged(1), resend(0))
				b.Accepted(1)
			}
			n := tt.need
			n.Kind, n.Token, n.Operation = Challenged, 1, "op"
			for _, d := range tt.waits {
				b.want(&n, resend(d))
				n = n.Again(1)
				if meanwhile {
					b.Accepted(1)
				}
			}
			// What a first acceptance meanwhile makes known may lead to one more try.
			end := b.next(&n)
			for ; meanwhile && end.Action == Resend; end = b.next(&n) {
				n = n.Again(1)
			}
			want := tt.end
			if meanwhile && !tt.renews {
				want = fail(RejectedOperation)
			}
			if end.Action != want.Action || end.Op != want.Op || end.Reason != want.Reason {
				t.Errorf("%s, accepted meanwhile %v: %+v, want %+v", tt.name, meanwhile, end, want)
			}
		}
	}
}

// Tokens that nothing accepts: two are replaced at once, then ever more rarely,
// and the newest is tried after each bar [12].
func TestBars(t *testing.T) {
	b := newBench(t, Policy{})
	give := func(id uint32) { token := b.token(id); token.Obtained = time.Time{}; b.put(token) }
	give(1)
	var renewed []time.Duration
	var bars []time.Duration
	for b.now.Sub(start) < 20*time.Minute && len(renewed) < 20 {
		d := b.next(challenged(b.Machine.token.id))
		switch {
		case d.Action == Wait && d.Op == Renew:
			renewed = append(renewed, b.now.Sub(start))
			give(b.Machine.token.id + 1)
			b.want(fresh(), use)
		case d.Action == Fail && d.Reason == Rejected:
			bars = append(bars, d.RetryAt.Sub(b.now))
			b.want(fresh(), fail(Rejected))
			b.want(challenged(99), fail(Rejected))
			b.now = d.RetryAt
			b.want(fresh(), use)
		default:
			t.Fatalf("%+v", d)
		}
	}
	if len(renewed) < 6 || len(renewed) > 8 || renewed[1] != 0 || renewed[2] < firstAnother || renewed[3]-renewed[2] < 2*firstAnother {
		t.Errorf("token requests at %v", renewed)
	}
	for i, want := range []time.Duration{1, 2, 4, 8, 15, 15} {
		if bars[i] != want*time.Second {
			t.Errorf("bars last %v", bars[:6])
			break
		}
	}
	if !b.Accepted(b.Machine.token.id) || b.trouble != nil {
		t.Error("acceptance does not end it")
	}
}
