package lifecycle

import (
	"testing"
	"time"
)

// A renewal that brought nothing new is left alone for a second while the token
// works, and not at all for who has none.
func TestNothingNew(t *testing.T) {
	b := newBench(t, Policy{Grant: Alone})
	token := b.plain(1)
	b.put(token)
	b.want(fresh(), use)
	b.sleep(59*time.Minute + 30*time.Second)
	b.want(fresh(), Decision{Action: UseAndRenew, Op: Renew})
	b.NothingNew(b.now, false)
	if until, want := b.Until(b.now), b.now.Add(time.Second); !until.Equal(want) {
		t.Errorf("the token is handed out until %v, want %v", until, want)
	}
	b.sleep(time.Second - 1)
	b.want(fresh(), use)
	b.sleep(1)
	b.want(fresh(), Decision{Action: UseAndRenew, Op: Renew})
	b.sleep(29*time.Second - time.Millisecond)
	b.NothingNew(b.now, false)
	b.sleep(time.Millisecond) // it has expired
	b.want(fresh(), wait(Renew))

	// It ends the series of pauses after failures.
	for range 4 {
		b.renewFails(failure(Transient))
	}
	b.NothingNew(b.now, false)
	b.want(fresh(), wait(Renew))
	b.renewFails(failure(Transient))
	if at, want := b.next(fresh()).RetryAt, b.now.Add(time.Second); !at.Equal(want) {
		t.Errorf("the next attempt is at %v, want %v", at, want)
	}
	// And a new token ends it.
	b.NothingNew(b.now, false)
	b.put(b.plain(2))
	if err := b.LastErr(); err != nil {
		t.Errorf("LastErr = %v", err)
	}
}

// A token that is refused, while there is no other, is first one request's
// trouble and then everybody's, unless something accepts it [11, 12].
func TestNothingNewForARefusedToken(t *testing.T) {
	for name, tt := range map[string]struct {
		accepted, refused bool // refused: that is why the renewal began
		want              []Reason
	}{
		"nothing accepts it":  {false, true, []Reason{RejectedOperation, RejectedOperation, Rejected, Rejected}},
		"accepted elsewhere":  {true, true, []Reason{RejectedOperation, RejectedOperation, RejectedOperation, RejectedOperation}},
		"for another purpose": {false, false, []Reason{RejectedOperation, RejectedOperation, RejectedOperation, RejectedOperation}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, Policy{Grant: Alone})
			b.put(b.plain(1))
			b.sleep(5 * time.Minute) // it is not young
			for i, want := range tt.want {
				if tt.accepted {
					b.Accepted(1)
				}
				n := challenged(1)
				n.Operation = string(rune('a' + i))
				d := b.next(n)
				for d.Action == Resend {
					*n = n.Again(1)
					n.Operation = string(rune('a' + i))
					d = b.next(n)
				}
				if d.Action == Wait {
					b.NothingNew(b.now, tt.refused)
					n.After(Renew, Failure{})
					d = b.next(n)
				}
				if d.Action != Fail || d.Reason != want {
					t.Fatalf("request %d: %+v, want reason %d", i, d, want)
				}
				if barred := want == Rejected; b.barred(b.now) != barred {
					t.Errorf("request %d: barred %t, want %t", i, !barred, barred)
				}
				b.sleep(10 * time.Second)
			}
			if tt.accepted {
				return
			}
			b.Accepted(1)
			b.want(fresh(), use)
		})
	}
}
