package lifecycle

import (
	"errors"
	"testing"
	"time"
)

// start is when the tests begin.
var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

var errTest = errors.New("test failure")

// bench is a machine, its clock and the version of the last result.
type bench struct {
	t *testing.T
	*Machine
	policy  *Policy
	now     time.Time
	version uint64
}

func newBench(t *testing.T, p Policy) *bench {
	t.Helper()
	if p.Window == 0 {
		p.Window = time.Minute
	}
	if p.Jitter == nil {
		p.Jitter = func() float64 { return 0 }
	}
	m := New(&p, !p.Shared)
	b := &bench{t: t, Machine: &m, policy: &p, now: start}
	if p.Shared {
		m.Loaded(b.now)
	}
	return b
}

// token is one with a refresh token that lives an hour and was obtained now.
func (b *bench) token(id uint32) Token {
	return Token{ID: id, Renewal: id, Access: true, Obtained: b.now, Expiry: b.now.Add(time.Hour), Issuer: "https://as.example.com", Scopes: &[]string{"a"}}
}

// put brings t into use.
func (b *bench) put(t Token) {
	b.t.Helper()
	b.version++
	if !b.Put(b.now, t, b.version) {
		b.t.Fatalf("Put(%v, %d) was refused", t, b.version)
	}
}

func (b *bench) sleep(d time.Duration) { b.now = b.now.Add(d) }

func (b *bench) next(n *Need) Decision { return b.Next(b.now, n) }

// want asks for a decision and compares what names it.
func (b *bench) want(n *Need, want Decision) Decision {
	b.t.Helper()
	got := b.next(n)
	if got.Action != want.Action || got.Op != want.Op || got.Reason != want.Reason || got.Delay != want.Delay || want.Err != nil && got.Err != want.Err {
		b.t.Fatalf("at +%v: Next(%+v) = %v, want %v", b.now.Sub(start), *n, got, want)
	}
	return got
}

func wait(op Op) Decision              { return Decision{Action: Wait, Op: op} }
func fail(r Reason) Decision           { return Decision{Reason: r} }
func resend(d time.Duration) Decision  { return Decision{Action: Resend, Delay: d} }
func challenged(id uint32) *Need       { return &Need{Kind: Challenged, Token: id, Operation: "op"} }
func fresh() *Need                     { return &Need{Kind: Fresh} }
func failure(c Class) Failure          { return Failure{Class: c, Err: errTest} }
func (b *bench) renewFails(f Failure)  { f.Renewal = b.Machine.token.renewal; b.RenewFailed(b.now, f) }
func (b *bench) loggedIn(id uint32)    { t := b.token(id); t.Renewal, t.Login = 0, true; b.put(t) }
func (b *bench) plain(id uint32) Token { t := b.token(id); t.Renewal = 0; return t }

var use = Decision{Action: Use}
