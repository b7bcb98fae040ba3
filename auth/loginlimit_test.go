package auth_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
)

// An authorization server that approves at once, and an MCP server that names new
// scopes each time: the browser windows end.
func TestBrowserWindowsEnd(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		p := k.asked(0)
		m, tok, _ := k.ascending(p, "a")
		events, stop := m.Subscribe()
		defer stop()
		begin, number, limits := time.Now(), 0, 0
		var last error
		storm := func(until, every time.Duration) {
			for time.Since(begin) < until {
				number++
				next, err := m.Resolve(t.Context(), tok, insufficient(fmt.Sprint("scope-", number)))
				if err == nil {
					tok = next
				} else {
					last = err
				}
				for _, e := range drained(events) {
					if e.Type == auth.EventLoginLimit {
						limits++
						if asError[*auth.ReauthorizationRequiredError](t, e.Err).NextAttempt.IsZero() {
							t.Errorf("event %+v", e)
						}
					}
				}
				time.Sleep(every)
			}
		}
		storm(time.Minute, time.Second)
		if n := p.browsers(); n < 5 || n > 6 {
			t.Errorf("%d windows in the first minute", n)
		}
		storm(time.Hour, 10*time.Second)
		if n := p.browsers(); n < 8 || n > 10 || limits == 0 {
			t.Errorf("%d windows in the first hour, %d events", n, limits)
		}
		storm(24*time.Hour, time.Minute)
		if n := p.browsers(); n < 15 || n > 20 {
			t.Errorf("%d windows in the first day", n)
		}
		e := asError[*auth.ReauthorizationRequiredError](t, last)
		if e.NextAttempt.IsZero() || e.Resource != k.res.URL || time.Until(e.NextAttempt) > 24*time.Hour {
			t.Errorf("error %+v", e)
		}

		// What the program asks for by name is not held back, and does not count.
		before := p.browsers()
		for i := range 30 {
			if _, err := m.UpgradeScopes(t.Context(), fmt.Sprint("wanted-", i)); err != nil {
				t.Fatal(err)
			}
		}
		if n := p.browsers() - before; n != 30 {
			t.Errorf("%d windows for 30 calls", n)
		}
	})
}

// One use of a program: a login, and step-ups as a person goes on.
func TestPersonIsNotHeldBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		p := k.asked(10 * time.Second)
		m, tok, _ := k.ascending(p, "a")
		for i := range 20 { // which do not count
			var err error
			if tok, err = m.UpgradeScopes(t.Context(), fmt.Sprint("wanted-", i)); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 5 {
			var err error
			if tok, err = m.Resolve(t.Context(), tok, insufficient(fmt.Sprint("scope-", i))); err != nil {
				t.Fatal(err)
			}
		}
		if n := p.browsers(); n != 25 {
			t.Errorf("%d windows", n)
		}
	})
}
