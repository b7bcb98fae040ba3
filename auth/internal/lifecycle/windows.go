package lifecycle

import (
	"time"
)

const (
	// hourly and daily bound the logins that ask a person and that no call of
	// the program asked for by name, against an MCP server that always wants
	// another one and an authorization server that approves at once.
	hourly = 10
	daily  = 20
	// unpaused is how many of them come without a pause within an hour: a
	// person's first steps with a server may need some scopes after another.
	unpaused = 5
	// windowPause is the first pause after that. It doubles each time.
	windowPause = 30 * time.Second
)

// windows are the times of such logins within a day, the oldest first, in Unix
// nanoseconds. What a server names, scopes or anything else, makes no difference.
type windows []int64

// current are those that are no more than a day old, nor after now because the
// clock was set back.
func (w windows) current(now time.Time) (kept windows) {
	for _, at := range w {
		if (span{at, at + int64(24*time.Hour)}).holds(now) {
			kept = append(kept, at)
		}
	}
	return kept
}

// next is when another one may begin; 0: now.
func (w windows) next(now time.Time) int64 {
	w = w.current(now)
	lastHour := 0
	for _, at := range w {
		if at > nanos(now)-int64(time.Hour) {
			lastHour++
		}
	}
	var next int64
	if lastHour >= unpaused {
		next = w[len(w)-1] + int64(step(windowPause, time.Hour, int32(lastHour-unpaused)))
	}
	if len(w) >= hourly {
		next = max(next, w[len(w)-hourly]+int64(time.Hour))
	}
	if len(w) >= daily {
		next = max(next, w[len(w)-daily]+int64(24*time.Hour))
	}
	if next <= nanos(now) {
		return 0
	}
	return next
}

// full reports whether one of the two limits is reached.
func (w windows) full(now time.Time) bool {
	w = w.current(now)
	return len(w) >= daily || len(w) >= hourly && w[len(w)-hourly] > nanos(now)-int64(time.Hour)
}

// Asked notes that a person was asked, by a login that no call of the program
// asked for by name. It reports whether that reached a limit: no other one begins
// before the time that it returns.
func (m *Machine) Asked(now time.Time) (until time.Time, limit bool) {
	t := m.troubled()
	t.tick(now)
	t.windows = append(t.windows.current(now), nanos(now))
	return wall(t.windows.next(now)), t.windows.full(now)
}
