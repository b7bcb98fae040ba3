package admission

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func enter(t *testing.T, g *Gate, name string) *Ticket {
	t.Helper()
	ticket := g.Ticket(name)
	if err := ticket.Enter(t.Context()); err != nil {
		t.Error(err)
	}
	return ticket
}

const fast = 50 * time.Millisecond

// A server that does 20 requests at a time gets no more, whoever asks: 1000 take
// 50 rounds, and nothing is kept of it.
func TestLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &Gate{Most: 20}
		var mu sync.Mutex
		running, most := 0, 0
		var wg sync.WaitGroup
		began := time.Now()
		for range 1000 {
			wg.Go(func() {
				place := enter(t, g, "https://as.example")
				mu.Lock()
				running++
				most = max(most, running)
				mu.Unlock()
				time.Sleep(50 * time.Millisecond)
				mu.Lock()
				running--
				mu.Unlock()
				place.Done(fast, false)
			})
		}
		wg.Wait()
		if took := time.Since(began); most != 20 || took != 50*50*time.Millisecond || g.at("https://as.example").running != 0 {
			t.Errorf("at most %d at once, %v, %d run still", most, took, g.at("https://as.example").running)
		}
	})
}

// First come, first served; servers do not wait for each other; who leaves the
// queue takes no place.
func TestQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &Gate{Most: 1}
		place := enter(t, g, "a")
		enter(t, g, "b").Done(fast, false)
		order := make(chan int, 10)
		for i := range 10 {
			go func() {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if i == 3 {
					time.AfterFunc(time.Second, cancel)
				}
				place := g.Ticket("a")
				err := place.Enter(ctx)
				if i == 3 {
					if !errors.Is(err, context.Canceled) {
						t.Errorf("%v", err)
					}
					return
				}
				order <- i
				place.Done(fast, false)
			}()
			synctest.Wait()
		}
		time.Sleep(2 * time.Second)
		place.Done(fast, false)
		synctest.Wait()
		close(order)
		last := -1
		for i := range order {
			if i < last || i == 3 {
				t.Errorf("%d came after %d", i, last)
			}
			last = i
		}
		if last != 9 || g.at("a").running != 0 {
			t.Errorf("the last was %d, %d run still", last, g.at("a").running)
		}
	})
}

// Nobody waits for longer than five minutes; then the operation begins without a place.
// Who comes later waits as long, and who leaves changes nothing for the others.
func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &Gate{Most: 1}
		place := enter(t, g, "a")
		began := time.Now()
		var tickets []*Ticket
		var begun [5]atomic.Int64 // after so long
		for i := range begun {
			ticket := g.Ticket("a")
			ticket.Join(func() { begun[i].Store(int64(time.Since(began))) })
			tickets = append(tickets, ticket)
			time.Sleep(time.Minute)
		}
		for _, i := range []int{3, 0} { // amidst the others, and the one that the timer is for
			tickets[i].Leave()
		}
		time.Sleep(90 * time.Second)
		synctest.Wait()
		for i, want := range []time.Duration{5 * time.Minute, 6 * time.Minute, 0, 5 * time.Minute, 0} {
			if got := time.Duration(begun[i].Load()); got != want {
				t.Errorf("number %d began after %v, want %v", i, got, want)
			}
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := time.Duration(begun[2].Load()); got != 7*time.Minute || tickets[2].Placed() {
			t.Errorf("the third began after %v, placed: %v", got, tickets[2].Placed())
		}
		place.Done(fast, false)
		if begun[4].Load() == 0 || !tickets[4].Placed() {
			t.Error("the last has no place")
		}
		// The queue was empty. The next wait has its whole time.
		began = time.Now()
		if err := g.Ticket("a").Enter(t.Context()); err == nil || time.Since(began) != 5*time.Minute {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		short := &Gate{Most: 1, Patience: time.Second}
		enter(t, short, "a")
		began = time.Now()
		if err := short.Ticket("a").Enter(t.Context()); err == nil || time.Since(began) != time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

// A place that came at the moment in which its caller left is for the next one.
func TestLeftAtItsTurn(t *testing.T) {
	for range 50 {
		g := &Gate{Most: 1}
		place := enter(t, g, "a")
		ctx, cancel := context.WithCancel(t.Context())
		left := make(chan struct{})
		go func() {
			defer close(left)
			if place := g.Ticket("a"); place.Enter(ctx) == nil {
				place.Done(fast, false)
			}
		}()
		go cancel()
		place.Done(fast, false)
		<-left
		enter(t, g, "a").Done(fast, false)
		if s := g.at("a"); s.running != 0 || s.first != nil {
			t.Fatal("a place was lost")
		}
	}
}

// The names come from servers, so they do not add up.
func TestManyServers(t *testing.T) {
	g := &Gate{Most: 2}
	for i := range 1000 {
		enter(t, g, fmt.Sprint("as", i)).Done(fast, false)
	}
	if n := len(g.servers); n > mostServers+1 {
		t.Errorf("%d servers are remembered", n)
	}
}

func TestLearn(t *testing.T) {
	now := time.Now()
	const most = 64
	s := &server{limit: most}
	say := func(took time.Duration, busy bool) {
		now = now.Add(2 * pause)
		s.learn(took, busy, now, most)
	}
	want := func(what string, least, atMost float64) {
		t.Helper()
		if s.limit < least || s.limit > atMost {
			t.Errorf("%s: limit %v, want %v to %v", what, s.limit, least, atMost)
		}
	}
	say(fast, false)
	want("answered", most, most)
	say(time.Millisecond, true)
	want("busy", most/2, most/2)
	s.learn(time.Millisecond, true, now.Add(pause/2), most)
	want("of the same moment", most/2, most/2)
	say(0, false)
	want("nothing was sent", most/2, most/2)
	say(5*time.Second, false)
	want("late", 28, 29)
	say(time.Second, false)
	want("under two seconds is not late", 28, 29)
	for range 20 {
		say(time.Millisecond, true)
	}
	want("always busy", 1, 1)
	for range 10_000 {
		say(fast, false)
	}
	want("well again", most, most)
}

// Most has a default.
func TestDefault(t *testing.T) {
	g := new(Gate)
	places := make([]*Ticket, DefaultMost)
	for i := range places {
		places[i] = enter(t, g, "a")
	}
	began := false
	last := g.Ticket("a")
	last.Join(func() { began = true })
	if began || last.Placed() {
		t.Error("there was one more place")
	}
	places[0].Done(fast, false)
	if !began || !last.Placed() {
		t.Error("the place that became free is lost")
	}
}

// Begin is called once, whatever ends the wait, and a place is given up once.
func TestTicket(t *testing.T) {
	g := &Gate{Most: 1}
	begun := 0
	begin := func() { begun++ }
	first, second := g.Ticket("a"), g.Ticket("a")
	first.Join(begin)
	second.Join(begin)
	if begun != 1 || !first.Placed() || second.Placed() {
		t.Fatalf("%d begun", begun)
	}
	first.Leave() // it does not wait
	second.Leave()
	second.Leave()
	if begun != 2 || !first.Placed() || second.Placed() {
		t.Fatalf("%d begun after Leave", begun)
	}
	second.Done(fast, true)
	first.Done(fast, false)
	first.Done(fast, false)
	if s := g.at("a"); s.running != 0 || s.limit != 1 {
		t.Errorf("%d run, limit %v", s.running, s.limit)
	}
}
