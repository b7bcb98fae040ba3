package soak

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"go.uber.org/goleak"
)

var (
	length = flag.Duration("soak", 0, "how long to go on; default: some seconds")
	pause  = flag.Duration("pause", 0, "real time between two days, to leave the machine to others")
	first  = flag.Uint64("seed", 0, "of the first day; default: a random one, which is printed")
)

func TestMain(m *testing.M) {
	flag.Parse()
	if *first == 0 {
		*first = rand.Uint64N(1_000_000) + 1
	}
	goleak.VerifyTestMain(m)
}

const kinds = 3

// servers are those of a world: each waits for connections in a goroutine.
const servers = 2

// day lets users live in a world of trouble for as long as it lasts, and then
// in one without for two hours, at the end of which everybody has to be well;
// where hours are short, the manager's own pauses may not be over by then.
// Two users of each kind share a store and a token. If there is an after, nobody
// restarts, and after sees what is left of the clients when the servers are gone.
func day(t *testing.T, seed uint64, inMemory bool, hour time.Duration, hours int, after func()) tally {
	before := runtime.NumGoroutine()
	w := newWorld(t, seed, inMemory, hour)
	var users []*user
	var stores []*moody
	for kind := range kinds {
		s := &moody{}
		stores = append(stores, s)
		users = append(users, newUser(w, kind, s), newUser(w, kind, s))
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(hours)*hour)
	defer cancel()
	var all sync.WaitGroup
	all.Go(func() { w.troubles(ctx, stores) })
	for _, u := range users {
		u.old = after != nil
		u.start()
		all.Go(func() { u.live(ctx) })
	}
	all.Wait()

	time.Sleep(2 * hour) // pauses after failures and step-ups end
	ends := tally{}
	for i, u := range users {
		if err := u.recovers(); err != nil && (hour == time.Hour || kindOf(err) == "") {
			t.Errorf("user %d is not well after the day: %v", i, err)
		}
		for end, n := range u.ends {
			ends[end] += n
		}
	}
	if n := w.as.Counts().Faults; n < hours/2 {
		t.Errorf("%d faults met in %d hours: that is no trouble", n, hours)
	}
	if after == nil {
		for _, u := range users {
			u.stop()
		}
	}
	// Connections that wait to be used again may go. One whose response nobody
	// has read and closed would stay, and so would a goroutine of ours.
	w.as.Transport().(*http.Transport).CloseIdleConnections()
	left := 0
	for range 30 { // the early refresh of an idle manager may be running
		time.Sleep(time.Second)
		w.as.Transport().(*http.Transport).CloseIdleConnections()
		runtime.GC() // takes time in a bubble too, for the runtime's finalizers, which are counted while they run
		if left = runtime.NumGoroutine() - before; left <= servers {
			break
		}
	}
	if left > servers {
		stacks := make([]byte, 1<<20)
		t.Errorf("%d goroutines when nobody does anything, want %d\n%s", left, servers, stacks[:runtime.Stack(stacks, true)])
	}
	w.as.Close()
	if after != nil {
		w.as, w.mcp = nil, nil
		after()
		for _, u := range users {
			u.stop()
		}
	}
	return ends
}

// recovers calls until it works, a few times: the first call may find that the
// session or the token is gone.
func (u *user) recovers() (err error) {
	for range 5 {
		ctx, cancel := context.WithTimeout(context.Background(), max(u.w.hour/60, 10*time.Second))
		err = u.call(ctx, "write")
		cancel()
		if err == nil {
			return nil
		}
		if often := (*auth.ReauthorizationRequiredError)(nil); errors.As(err, &often) && !often.NextAttempt.IsZero() {
			// The servers took so many sessions away that no window opens by itself
			// today. The person wants to go on.
			ctx, cancel := context.WithTimeout(context.Background(), max(u.w.hour/60, 10*time.Second))
			if often.More {
				_, _ = u.manager.UpgradeScopes(ctx, often.Scopes...)
			} else {
				_, _ = u.manager.Authorize(ctx)
			}
			cancel()
		}
		if u.lost {
			u.disconnect()
		}
		if u.cfg.Grant == nil {
			u.seed()
		}
	}
	return err
}

func TestSoak(t *testing.T) {
	t.Logf("seed %d", *first)
	begin, hours := time.Now(), 3
	if *length > 0 {
		hours = 24
	}
	before := resources{goroutines: runtime.NumGoroutine()}
	total := tally{}
	var history []resources
	for n := 0; n < 3 || time.Since(begin) < *length; n++ {
		seed := *first + uint64(n)
		kind := "bubble"
		if n%3 == 2 {
			kind = "sockets"
		}
		ok := t.Run(fmt.Sprintf("%s/%d", kind, seed), func(t *testing.T) {
			var ends tally
			if kind == "bubble" {
				synctest.Test(t, func(t *testing.T) { ends = day(t, seed, true, time.Hour, hours, nil) })
			} else {
				ends = day(t, seed, false, time.Second, 3, nil)
			}
			for end, count := range ends {
				total[end] += count
			}
		})
		now := used(before.goroutines)
		history = append(history, now)
		if *length > 0 {
			t.Logf("%4.0f s, day %d: %v", time.Since(begin).Seconds(), n+1, now)
		}
		if !ok {
			break
		}
		if now.goroutines > before.goroutines {
			t.Errorf("day %d left %d goroutines, there were %d", n+1, now.goroutines, before.goroutines)
		}
		time.Sleep(*pause)
	}
	for _, end := range slices.Sorted(maps.Keys(total)) {
		t.Logf("%7d %s", total[end], end)
	}
	// The first days fill what is kept for good: buffers, pools of the runtime.
	start, last := history[min(2, len(history)-1)], history[len(history)-1]
	if last.files > start.files {
		t.Errorf("%d file descriptors, %d after the first days", last.files, start.files)
	}
	if last.heap > start.heap+1<<20 {
		t.Errorf("%d KiB of heap, %d after the first days", last.heap>>10, start.heap>>10)
	}
}

// A manager and its client do not grow with their age: what they take after a
// day of trouble is what they took after some hours. With -soak the day is whole.
func TestOldManagersAreNotBigger(t *testing.T) {
	t.Logf("seed %d", *first)
	size := func(hours int) (bytes uint64) {
		synctest.Test(t, func(t *testing.T) {
			before := heap()
			day(t, *first, true, time.Hour, hours, func() { bytes = heap() - before })
		})
		return bytes
	}
	early, late := 1, 4
	if *length > 0 {
		early, late = 4, 24
	}
	size(1) // what the first one makes once and for all
	young, old := size(early), size(late)
	t.Logf("6 clients take %d KiB after %d hours, %d KiB after %d", young>>10, early, old>>10, late)
	if old > young+64<<10 {
		t.Errorf("6 clients take %d bytes after %d hours and %d after %d", young, early, old, late)
	}
}

// resources are what a process can run out of.
type resources struct {
	goroutines, files int
	heap              uint64
}

func (r resources) String() string {
	return fmt.Sprintf("%d goroutines, %d files, %d KiB of heap", r.goroutines, r.files, r.heap>>10)
}

// used waits a while for goroutines that are about to end: on a slow machine some
// seconds.
func used(goroutines int) resources {
	for range 1000 {
		if runtime.NumGoroutine() <= goroutines {
			break
		}
		time.Sleep(10 * time.Millisecond) // connections of net/http close on their own
	}
	r := resources{goroutines: runtime.NumGoroutine(), heap: heap()}
	if files, err := os.ReadDir("/proc/self/fd"); err == nil {
		r.files = len(files)
	}
	return r
}

// heap is what is in use after a collection. A second one takes what the first
// one left to finalizers.
func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
