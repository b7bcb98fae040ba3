package lifecycle

import (
	"testing"
	"time"
)

func TestWindows(t *testing.T) {
	start := time.Date(2026, 11, 30, 9, 0, 0, 0, time.UTC)
	// minutes are when a person was asked, after start.
	every := func(n int, d time.Duration) (at []time.Duration) {
		for i := range n {
			at = append(at, time.Duration(i)*d)
		}
		return at
	}
	for _, tt := range []struct {
		name  string
		asked []time.Duration // after start
		now   time.Duration
		next  time.Duration // 0: at once
		full  bool
	}{
		{"nobody was asked", nil, 0, 0, false},
		{"once", every(1, 0), 0, 0, false},
		{"four at once", every(4, 0), 0, 0, false},
		{"five at once", every(5, 0), 0, 30 * time.Second, false},
		{"the pause is over", every(5, 0), 30 * time.Second, 0, false},
		{"six at once", every(6, 0), 0, time.Minute, false},
		{"nine at once", every(9, 0), 0, 8 * time.Minute, false},
		{"ten in an hour", every(10, 5*time.Minute), 45 * time.Minute, time.Hour + time.Minute, true},
		{"the first is an hour ago", every(10, 5*time.Minute), time.Hour + time.Minute, 0, false},
		{"nineteen in a day", every(19, time.Hour), 18 * time.Hour, 0, false},
		{"twenty in a day", every(20, time.Hour), 19 * time.Hour, 24 * time.Hour, true},
		{"the first is a day ago", every(20, time.Hour), 24 * time.Hour, 0, false},
		{"all is long ago", every(20, time.Second), 48 * time.Hour, 0, false},
		{"the clock was set back", every(20, time.Second), -time.Hour, 0, false},
		{"the clock was set back a little", every(20, 0), -30 * time.Second, 24 * time.Hour, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var w windows
			for _, d := range tt.asked {
				w = append(w, nanos(start.Add(d)))
			}
			now := start.Add(tt.now)
			var want int64
			if tt.next != 0 {
				want = nanos(start.Add(tt.next))
			}
			if got := w.next(now); got != want {
				t.Errorf("next at %v, want %v", wall(got), wall(want))
			}
			if got := w.full(now); got != tt.full {
				t.Errorf("full is %v", got)
			}
		})
	}
}

// A server that always wants another login gets ten in the first hour and twenty
// in any day, however tokens come and go between them.
func TestLoginsEnd(t *testing.T) {
	now := time.Date(2026, 11, 30, 9, 0, 0, 0, time.UTC)
	m := New(&Policy{Grant: Person, Jitter: func() float64 { return 0 }}, true)
	var times []time.Time
	limits := 0
	id := uint32(0)
	for begin := now; now.Before(begin.Add(72 * time.Hour)); now = now.Add(time.Second) {
		need := Need{Kind: Scopes, Token: id, Scopes: []string{now.String()}}
		d := m.Next(now, &need)
		switch {
		case d.Action == Wait && d.Op == Login:
			id++
			m.Put(now, Token{ID: id, Access: true}, uint64(id))
			if until, limit := m.Asked(now); limit {
				limits++
				if !until.After(now) {
					t.Errorf("the limit ends at %v, which is over", until)
				}
			}
			times = append(times, now)
		case d.Reason != AskedTooOften || !d.RetryAt.After(now):
			t.Fatalf("%+v", d)
		}
		if need := (Need{Kind: Authorization, Token: id}); m.Next(now, &need).Reason == AskedTooOften {
			t.Fatal("a login that the program asked for by name was held back")
		}
		m.Forgive() // a call of the program's for something else
	}
	most := func(d time.Duration) (most int) {
		for i, from := range times {
			n := 0
			for _, at := range times[i:] {
				if at.Before(from.Add(d)) {
					n++
				}
			}
			most = max(most, n)
		}
		return most
	}
	if m, h, d := most(time.Minute), most(time.Hour), most(24*time.Hour); m > 6 || h != hourly || d != daily || limits == 0 {
		t.Errorf("%d in a minute, %d in an hour and %d in a day, %d limits", m, h, d, limits)
	}
}

// A grant that needs nobody is not limited, and what was noted is dropped in time.
func TestWindowsAreRare(t *testing.T) {
	now := time.Date(2026, 11, 30, 9, 0, 0, 0, time.UTC)
	m := New(&Policy{Grant: Person, Jitter: func() float64 { return 0 }}, true)
	m.Asked(now)
	m.Put(now, Token{ID: 1, Access: true}, 1)
	if m.trouble == nil {
		t.Fatal("what was noted is lost")
	}
	now = now.Add(25 * time.Hour)
	m.Next(now, &Need{Kind: Fresh})
	m.Put(now, Token{ID: 2, Access: true}, 2)
	if m.trouble != nil {
		t.Error("what was noted a day ago is still there")
	}
}
