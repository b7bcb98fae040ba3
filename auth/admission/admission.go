// Package admission limits how many requests run at once at one server, for all
// who share a [Gate]. A server that works off a queue answers each request late,
// also those whose senders have given up; one that is asked no faster than it
// answers does not. Programs make a Gate, for [auth.Config].TokenRequests; the
// rest is for the manager.
//
// [auth.Config]: https://pkg.go.dev/github.com/mcptokens/mcptokens/auth#Config
package admission

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"sync"
	"time"
)

// DefaultMost is how many requests run at once at one server if nothing else is
// said.
const DefaultMost = 64

const (
	// slow is how long a request may take before its time says anything, and
	// slower how many times the best one.
	slow   = 2 * time.Second
	slower = 4
	// pause is how long after the limit went down it stays: the requests that
	// were under way then tell of the time before.
	pause = time.Second
	// mostServers are remembered when nobody asks them.
	mostServers = 64
	// patience is the default of Gate.Patience.
	patience = 5 * time.Minute
)

// Gate has a queue for each server. The zero value can be used. Its methods may be
// called from many goroutines at once.
type Gate struct {
	// Most is how many requests run at once at one server. While the server says
	// that it is busy, or answers ever later, there are fewer. Default: 64. It must
	// not change once the gate is in use.
	Most int
	// Patience is how long a place is waited for at the most. Default: 5 minutes. It
	// must not change either.
	Patience time.Duration

	mu      sync.Mutex
	servers map[string]*server // those with requests, and some others
}

// server is what is known of one.
type server struct {
	limit   float64 // between 1 and Most
	running int
	first   *Ticket     // of a list, first come first served; nil: nobody waits
	last    *Ticket     // if there is a first one
	timer   *time.Timer // ends the wait of the first one; nil: nobody ever waited
	best    time.Duration
	lowered time.Time
}

// Format makes every fmt verb print the gate without the servers it knows.
func (g *Gate) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "admission.Gate{%d}", int(g.most()))
}

// Ticket is for one operation, which may send several requests to a server, one
// after the other. Each needs a place.
type Ticket struct {
	gate   *Gate
	name   string
	of     *server
	begin  func()
	until  time.Time // when it has waited for too long
	placed bool

	waits      bool // in the list of the server
	prev, next *Ticket
}

// Ticket returns one for a server. It has no place and does not wait for one.
func (g *Gate) Ticket(name string) *Ticket { return &Ticket{gate: g, name: name} }

// Format makes every fmt verb print the ticket without its server.
func (t *Ticket) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "admission.Ticket{}") }

// Join takes a place, or waits for one; who comes first gets one first. It has begin
// called once: before it returns if there is a place, when there is one, when it has
// waited for the gate's Patience, or when Leave is called. begin must return at once and
// not use the gate.
func (t *Ticket) Join(begin func()) {
	t.gate.mu.Lock()
	defer t.gate.mu.Unlock()
	t.of = t.gate.at(t.name)
	if t.of.running < int(t.of.limit) && t.of.first == nil {
		t.of.running++
		t.placed = true
		begin()
		return
	}
	t.begin, t.until = begin, time.Now().Add(cmp.Or(t.gate.Patience, patience))
	t.of.add(t)
	if t.of.first == t {
		t.gate.arm(t.of)
	}
}

// Leave ends the wait for a place: begin is called now if it was not.
func (t *Ticket) Leave() {
	t.gate.mu.Lock()
	defer t.gate.mu.Unlock()
	if !t.waits {
		return
	}
	t.of.remove(t)
	t.gate.admit(t.name, t.of)
	t.begin()
}

// Placed reports whether there is a place: the one that Join or Enter got, until
// Done.
func (t *Ticket) Placed() bool {
	t.gate.mu.Lock()
	defer t.gate.mu.Unlock()
	return t.placed
}

// Enter waits until there is a place. The error is ctx's, or [context.DeadlineExceeded]
// after the gate's Patience.
func (t *Ticket) Enter(ctx context.Context) error {
	if t.Placed() {
		return nil
	}
	turn := make(chan struct{})
	t.Join(func() { close(turn) })
	select {
	case <-turn:
	case <-ctx.Done():
		t.Leave()
	}
	if !t.Placed() { // else it came at the same moment
		return cmp.Or(ctx.Err(), context.DeadlineExceeded)
	}
	return nil
}

// Done gives the place to the next one, if there is one to give; a nil ticket has none.
// took is how long the server took for its answer; 0: none was asked for. busy: it said
// that it is.
func (t *Ticket) Done(took time.Duration, busy bool) {
	if t == nil {
		return
	}
	g := t.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	if !t.placed {
		return
	}
	t.placed = false
	t.of.running--
	t.of.learn(took, busy, time.Now(), g.most())
	g.admit(t.name, t.of)
}

// at returns what is known of a server. The caller holds g.mu.
func (g *Gate) at(name string) *server {
	s := g.servers[name]
	if s == nil {
		s = &server{limit: g.most()}
		if g.servers == nil {
			g.servers = make(map[string]*server)
		}
		g.servers[name] = s
	}
	return s
}

func (g *Gate) most() float64 {
	if g.Most == 0 {
		return DefaultMost
	}
	return float64(g.Most)
}

// admit lets in who waits, as many as there may be. The caller holds g.mu.
func (g *Gate) admit(name string, s *server) {
	for t := s.first; s.running < int(s.limit) && t != nil; t = s.first {
		s.running++
		s.remove(t)
		t.placed = true
		t.begin()
	}
	if s.first == nil && s.timer != nil {
		s.timer.Stop()
	}
	if s.running == 0 && s.first == nil && len(g.servers) > mostServers {
		delete(g.servers, name)
	}
}

// arm has the wait of the first one end in time. The timer may come for one that has
// its place by then, and is set again. The caller holds g.mu.
func (g *Gate) arm(s *server) {
	switch {
	case s.first == nil:
	case s.timer == nil:
		s.timer = time.AfterFunc(time.Until(s.first.until), func() { g.expire(s) })
	default:
		s.timer.Reset(time.Until(s.first.until))
	}
}

// expire ends the waits that have lasted too long.
func (g *Gate) expire(s *server) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for t := s.first; t != nil && !time.Now().Before(t.until); t = s.first {
		s.remove(t)
		t.begin()
	}
	g.arm(s)
}

// add makes t the last one who waits.
func (s *server) add(t *Ticket) {
	t.waits = true
	if s.first == nil {
		s.first, s.last = t, t
		return
	}
	t.prev, s.last.next = s.last, t
	s.last = t
}

// remove takes t out of those who wait.
func (s *server) remove(t *Ticket) {
	if t.prev == nil {
		s.first = t.next
	} else {
		t.prev.next = t.next
	}
	if t.next == nil {
		s.last = t.prev
	} else {
		t.next.prev = t.prev
	}
	t.prev, t.next, t.waits = nil, nil, false
}

// learn halves the limit when the server is busy, takes a tenth away when its
// answers take several times longer than the best, and adds one for each round of
// answers that do not (additive increase, multiplicative decrease).
func (s *server) learn(took time.Duration, busy bool, now time.Time, most float64) {
	if took <= 0 {
		return
	}
	if !busy && (s.best == 0 || took < s.best) {
		s.best = took
	}
	late := took > slow && took > slower*s.best
	if !busy && !late {
		s.limit = min(most, s.limit+1/s.limit)
		return
	}
	if now.Sub(s.lowered) < pause {
		return
	}
	s.lowered = now
	if busy {
		s.limit = max(1, s.limit/2)
	} else {
		s.limit = max(1, s.limit*9/10)
	}
}
