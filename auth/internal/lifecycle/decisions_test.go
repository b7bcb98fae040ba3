package lifecycle

import (
	"fmt"
	"testing"
	"time"
)

// The decisions that other projects got wrong, as exchanges with the simulated
// world of the model. Its checks hold here too.

// session is a world with one process that has a token.
func session(t *testing.T, seed uint64, policies ...Policy) (*world, *proc) {
	t.Helper()
	for i := range policies {
		policies[i].Window = 5 * time.Minute
	}
	w := newWorld(seed, policies...)
	t.Cleanup(func() {
		for _, wrong := range w.wrong {
			t.Error(wrong)
		}
	})
	p := w.procs[0]
	if p.policy.Grant == Nothing {
		p.given(w.issue(p, []string{"a"}))
	}
	return w, p
}

// every calls each of operations again and again for so long, and returns how
// often each failed.
func (p *proc) every(interval, long time.Duration, operations ...string) (calls int, failed map[string]int) {
	var callers []*caller
	for end := p.w.now.Add(long); p.w.now.Before(end) && len(p.w.wrong) == 0; p.w.pass(interval) {
		for _, op := range operations {
			callers = append(callers, p.call(op))
		}
	}
	p.w.pass(time.Minute)
	failed = map[string]int{}
	for _, c := range callers {
		if !c.ok {
			failed[c.operation]++
		}
	}
	return len(callers), failed
}

func TestNotYetValid(t *testing.T) {
	for _, lag := range []time.Duration{100 * time.Millisecond, time.Second, 3 * time.Second} {
		for _, grant := range []Means{Nothing, Person, Alone} {
			for _, refresh := range []bool{false, true} {
				for _, later := range []bool{false, true} {
					if grant == Nothing && !refresh {
						continue
					}
					w, p := session(t, 1, Policy{Grant: grant})
					w.lag, w.refresh = lag, refresh
					long := time.Hour - time.Minute
					if later {
						w.lagSince, w.life, long = start.Add(time.Minute), 10*time.Minute, 50*time.Minute
					}
					calls, failed := p.every(10*time.Second, long, "a")
					lives := int(long/w.life) + 1
					if later {
						lives = 10 // renewed after 5 min of 10
					}
					if grant == Alone {
						lives++ // the first is a token request too
					}
					name := fmt.Sprintf("lag %v, grant %d, refresh %v, later %v", lag, grant, refresh, later)
					if len(failed) > 0 || w.requests > lives || grant == Person && refresh && w.windows != 1 {
						t.Errorf("%s: %v of %d calls failed, %d token requests, %d windows", name, failed, calls, w.requests, w.windows)
					}
					if grant == Person && !refresh && w.windows > lives {
						t.Errorf("%s: %d windows", name, w.windows)
					}
				}
			}
		}
	}
}

func TestOneRequestAlwaysRefused(t *testing.T) {
	for _, refresh := range []bool{false, true} {
		for _, operation := range []string{"b", "stream", "delete"} {
			name := fmt.Sprintf("%s, refresh %v", operation, refresh)
			w, p := session(t, 2, Policy{Grant: Person})
			w.refresh, w.bad[operation] = refresh, true
			windows := 1
			if !refresh && operation == "b" {
				windows = 2 // nothing else tells whether the token is dead
			}
			for _, op := range []string{"a", operation, "a", operation, "a"} {
				c := p.call(op)
				w.pass(10 * time.Second)
				if c.ok != (op == "a") {
					t.Errorf("%s: %s: %+v", name, op, c.end)
				}
			}
			if w.requests > 2 || w.windows > windows {
				t.Errorf("%s: %d token requests, %d windows", name, w.requests, w.windows)
			}
			calls, failed := p.every(10*time.Second, 30*time.Minute, "a", operation)
			if failed["a"] > 0 || w.requests > 15 || w.windows > windows {
				t.Errorf("%s: 30 minutes: %v of %d calls failed, %d token requests, %d windows", name, failed, calls, w.requests, w.windows)
			}
		}
	}
}

// A tool whose upstream answers 401 once a minute.
func TestUpstreamRefusesSometimes(t *testing.T) {
	w, p := session(t, 3, Policy{Grant: Person})
	var callers []*caller
	for i := range 180 {
		w.bad["b"] = i%6 == 3
		callers = append(callers, p.call("a"), p.call("b"))
		w.pass(10 * time.Second)
	}
	for i, c := range callers {
		if c.operation == "a" && !c.ok {
			t.Errorf("call %d: %+v", i/2, c.end)
		}
	}
	if w.requests > 20 || w.windows > 1 {
		t.Errorf("%d token requests, %d windows", w.requests, w.windows)
	}
}

func TestFlakyServer(t *testing.T) {
	for p401, most := range map[float64]float64{0.1: 0.02, 0.3: 0.12} {
		for _, refresh := range []bool{false, true} {
			for interval, long := range map[time.Duration]time.Duration{10 * time.Second: 50 * time.Minute, 10 * time.Millisecond: 10 * time.Second} {
				for seed := range uint64(3) {
					w, p := session(t, 4+seed, Policy{Grant: Person})
					w.refresh = refresh
					p.call("a")
					w.pass(time.Minute)
					w.flaky = p401
					requests := w.requests
					calls, failed := p.every(interval, long, "a", "b")
					n := failed["a"] + failed["b"]
					if float64(n) > most*float64(calls) || 10*(w.requests-requests) > calls || w.windows > 1 {
						t.Errorf("p %v, refresh %v, every %v: %d of %d calls failed, %d token requests, %d windows", p401, refresh, interval, n, calls, w.requests-requests, w.windows)
					}
				}
			}
		}
	}
}

func TestAfterTrouble(t *testing.T) {
	for _, refresh := range []bool{false, true} {
		w, p := session(t, 5, Policy{Grant: Person})
		w.refresh = refresh
		p.call("a")
		w.pass(time.Minute)
		w.trouble = true
		p.every(10*time.Second, 5*time.Minute, "a", "b")
		w.trouble = false
		w.pass(30*time.Second - time.Minute) // every waits a minute
		requests, windows := w.requests, w.windows
		c := p.call("a")
		w.pass(10 * time.Second)
		if !c.ok || w.requests > requests || w.windows > windows || windows > 2 || requests > 12 {
			t.Errorf("refresh %v: %v %+v, %d token requests, %d windows", refresh, c.ok, c.end, w.requests, w.windows)
		}
	}
}

func TestAfterOutage(t *testing.T) {
	for _, class := range []Class{Unclassified, Transient, Throttled} {
		for seed := range uint64(10) {
			w, p := session(t, seed, Policy{})
			w.pass(time.Hour)
			w.token = class
			for range 20 {
				p.call("a")
				w.pass(time.Second)
			}
			requests := w.requests
			w.token = tokenOK
			w.pass(5 * time.Second)
			c := p.call("a")
			w.pass(time.Second)
			if !c.ok || requests > 8 {
				t.Errorf("class %d: %+v, %d token requests in 20 s", class, c.end, requests)
			}
		}
	}
}

func TestClosing(t *testing.T) {
	for _, grant := range []Means{Nothing, Person, Alone} {
		w, p := session(t, 6, Policy{Grant: grant})
		w.refresh = false
		p.call("a")
		w.pass(2 * time.Hour)
		windows, begin := w.windows, w.now
		c := p.call("delete")
		w.pass(time.Second)
		if !c.done || w.windows > windows {
			t.Errorf("grant %d: after %v: %+v, %d windows", grant, w.now.Sub(begin), c, w.windows-windows)
		}
	}
}

// Tokens live shortly, clocks differ, and several processes share one store.
func TestShortLives(t *testing.T) {
	for _, hints := range []bool{false, true} {
		for _, life := range []time.Duration{20 * time.Second, time.Minute} {
			p := Policy{Grant: Person, Shared: true, Hints: hints}
			w, first := session(t, 7, p, p, p)
			w.life = life
			w.procs[1].offset, w.procs[2].offset = -10*time.Second, 15*time.Second
			first.call("a")
			w.pass(time.Minute)
			var callers []*caller
			for range 1000 {
				for _, p := range w.procs {
					callers = append(callers, p.call("a"))
				}
				w.pass(3 * time.Second)
			}
			failed := 0
			for _, c := range callers {
				if !c.ok {
					failed++
				}
			}
			if failed > len(callers)/200 || w.windows > 1 {
				t.Errorf("life %v: %d of %d calls failed, %d windows, %d token requests", life, failed, len(callers), w.windows, w.requests)
			}
		}
	}
}

// The server refuses the client for a while: no login, and all is well later.
func TestClientRefusedForAWhile(t *testing.T) {
	w, p := session(t, 8, Policy{Grant: Person})
	p.call("a")
	w.pass(2 * time.Hour)
	w.token = RefusedClient
	for range 3 {
		c := p.call("a")
		w.pass(10 * time.Second)
		if c.ok || c.end.Err == nil || c.end.RetryAt.IsZero() {
			t.Errorf("%+v", c.end)
		}
	}
	w.token = tokenOK
	c := p.call("a")
	w.pass(time.Second)
	if !c.ok || w.windows != 1 {
		t.Errorf("%+v, %d windows", c.end, w.windows)
	}
}

// What another process did: it logged out, and in again.
func TestOtherProcess(t *testing.T) {
	for _, grant := range []Means{Nothing, Person} {
		policy := Policy{Grant: grant, Shared: true}
		w, p := session(t, 9, policy, policy)
		other := w.procs[1]
		p.call("a")
		w.pass(time.Minute)
		windows := w.windows
		other.keep(Token{})()
		w.pass(6 * time.Second)
		p.call("a") // does not wait for a slow store
		w.pass(time.Second)
		c := p.call("a")
		w.pass(time.Second)
		if grant == Nothing && (c.ok || c.end.Reason != Unauthorized) || grant == Person && (!c.ok || w.windows != windows+1) {
			t.Errorf("grant %d, logged out: %+v, %d windows", grant, c.end, w.windows-windows)
		}
		// The login fails here, and is done there.
		w.login, windows = loginDeclined, w.windows
		other.keep(Token{})()
		w.pass(6 * time.Second)
		p.call("a")
		w.pass(10 * time.Second)
		other.given(w.issue(other, []string{"a"}))
		w.pass(time.Second)
		c = p.call("a")
		w.pass(time.Second)
		if !c.ok || w.windows > windows+1 {
			t.Errorf("grant %d, logged in elsewhere: %+v, %d windows", grant, c.end, w.windows-windows)
		}
	}
}
