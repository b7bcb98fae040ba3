package lifecycle

import (
	"testing"
	"time"
)

// elsewhere is a renewal that another process's lock keeps from sending anything.
func (b *bench) elsewhere() Failure {
	f := failure(Elsewhere)
	f.Renewal = b.Machine.token.renewal
	f = b.Patient(b.now, f)
	b.RenewFailed(b.now, f)
	return f
}

// Another process that has the lock is waited for without a pause and without an
// error, until it has had it for too long.
func TestPatient(t *testing.T) {
	b := newBench(t, Policy{Patience: time.Minute})
	b.put(b.token(1))
	b.sleep(2 * time.Hour)
	for _, n := range []*Need{fresh(), challenged(1), {Kind: Renewal}, {Kind: Authorization}, {Kind: Upgrade, Scopes: []string{"new"}}} {
		b.want(n, wait(Renew))
		n.After(Renew, b.elsewhere())
		b.want(n, wait(Renew))
	}
	if b.Failures() != 0 || b.LastErr() != nil || !b.RetryAt(b.now).IsZero() {
		t.Errorf("%d failures, %v, %v", b.Failures(), b.LastErr(), b.RetryAt(b.now))
	}
	b.sleep(time.Minute - time.Nanosecond)
	n := fresh()
	n.After(Renew, b.elsewhere())
	b.want(n, wait(Renew))
	b.sleep(time.Nanosecond)
	n.After(Renew, b.elsewhere())
	b.want(n, Decision{Err: errTest})
	b.want(fresh(), Decision{Err: errTest})
	// It stays too long until something else comes of a renewal.
	b.sleep(time.Hour)
	if f := b.elsewhere(); f.Class != Transient {
		t.Errorf("%+v", f)
	}
	b.renewFails(b.Patient(b.now, failure(Throttled)))
	if f := b.elsewhere(); f.Class != Elsewhere {
		t.Errorf("after another failure: %+v", f)
	}
	b.put(b.token(2))
	if b.trouble != nil {
		t.Errorf("left behind: %+v", b.trouble)
	}
	b.sleep(2 * time.Hour)
	if f := b.elsewhere(); f.Class != Elsewhere {
		t.Errorf("with another token: %+v", f)
	}
	// A clock that is set back does not make the wait longer.
	b.sleep(-time.Hour)
	b.elsewhere()
	b.sleep(time.Minute)
	if f := b.elsewhere(); f.Class != Transient {
		t.Errorf("%+v", f)
	}
}

// A server whose answers come later than its tokens expire is asked again a few
// times, since it takes its time anyway.
func TestLate(t *testing.T) {
	for after, want := range map[time.Duration]int{0: 2, time.Second - 1: 2, time.Second: maxLate, time.Hour: maxLate} {
		for _, kind := range []Kind{Fresh, Challenged, Renewal, Authorization} {
			b := newBench(t, Policy{})
			b.put(b.token(1))
			b.sleep(2 * time.Hour)
			n := &Need{Kind: kind, Token: 1, Operation: "op"}
			renewals := 0
			d := b.next(n)
			for ; d.Action == Wait && renewals < 20; renewals++ {
				b.sleep(2 * time.Hour)
				token := b.token(uint32(renewals + 2))
				token.Expiry = b.now.Add(-after)
				b.put(token)
				n.After(Renew, Failure{})
				d = b.next(n)
			}
			if renewals != want || d.Reason != Late {
				t.Errorf("kind %d, %v late: %+v after %d renewals, want %d", kind, after, d, renewals, want)
			}
		}
	}
}
