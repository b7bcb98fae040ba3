//go:build !race

package main

import "testing"

// The race detector adds to every object, and has pools forget at random, which is
// no doing of ours: the tests of this file measure without it.

// An idle manager in a pool takes less than 1 KiB beside the strings of its
// token: with its source and its record in memory, or with its early refresh
// armed and its record elsewhere. One alone takes less than 2 KiB. None has a
// goroutine.
func TestIdleFootprint(t *testing.T) {
	// Of ten thousand, so that what the runtime takes meanwhile is no matter.
	checkIdle(t, "in memory", remembered, 10_000, 1024)
	checkIdle(t, "early refresh armed", pooled, 10_000, 1024)
	checkIdle(t, "alone", alone, 1_000, 2048)
}

// It takes no more when there are ten times as many. This is no test because it
// takes seconds: .ci/run runs benchmarks too.
func BenchmarkIdleFootprint(b *testing.B) {
	for b.Loop() {
		checkIdle(b, "in memory", remembered, 100_000, 1024)
	}
}

func checkIdle(t testing.TB, name string, of func(n int) footprint, n int, most float64) {
	t.Helper()
	f := of(n)
	// The first pays for what the runtime keeps, and any for what it makes meanwhile.
	// What ours takes, it takes each time.
	for range 4 {
		if f.bytes > most {
			f = of(n)
		}
	}
	t.Logf("%s: %.0f bytes", name, f.bytes)
	if f.bytes > most || f.bytes < 100 {
		t.Errorf("%s: %.0f bytes for each of %d, want at most %.0f, and enough to be true", name, f.bytes, n, most)
	}
	if f.goroutines > 0 {
		t.Errorf("%s: %v goroutines for each of %d", name, f.goroutines, n)
	}
}

// A call that waits in the queue for its refresh has its own goroutine and no other.
func TestWaitingFootprint(t *testing.T) {
	f := waiting(4_000, true)
	for range 4 { // as above
		if f.bytes > 8<<10 {
			f = waiting(4_000, true)
		}
	}
	t.Logf("%.0f bytes, %.2f goroutines", f.bytes, f.goroutines)
	if f.bytes > 8<<10 || f.bytes < 2<<10 || f.goroutines > 1.1 {
		t.Errorf("%.0f bytes and %.2f goroutines for each, want at most 8 KiB and one, and enough to be true", f.bytes, f.goroutines)
	}
}

// A refresh that the timer began has none: it is an entry in the queue.
func TestQueuedFootprint(t *testing.T) {
	f := waiting(10_000, false)
	for range 4 { // as above
		if f.bytes > 2<<10 {
			f = waiting(10_000, false)
		}
	}
	t.Logf("%.0f bytes, %.2f goroutines", f.bytes, f.goroutines)
	if f.bytes > 2<<10 || f.bytes < 1<<10 || f.goroutines > 0.1 {
		t.Errorf("%.0f bytes and %.2f goroutines for each, want at most 2 KiB and none, and enough to be true", f.bytes, f.goroutines)
	}
}

// Nor does it take more when the authorization server is discovered, and
// however many there are, metadata are asked for a few times.
func TestDiscoveredFootprint(t *testing.T) {
	const n = 10_000
	f, asked := discovered(n)
	for range 4 { // as above
		if f.bytes > 1024 {
			f, asked = discovered(n)
		}
	}
	if f.bytes > 1024 || f.bytes < 100 {
		t.Errorf("%.0f bytes for each, want at most 1024, and enough to be true", f.bytes)
	}
	if f.goroutines > 0 {
		t.Errorf("%v goroutines for each", f.goroutines)
	}
	if asked < 2 || asked > 10 {
		t.Errorf("%d requests for metadata", asked)
	}
}

// allocations of one operation, the least of some measurements: other
// goroutines allocate as well.
func allocations(v variant) float64 {
	v.loop(100)
	least := 1e9
	for range 5 {
		_, _, n := measure(v.loop, 200)
		least = min(least, n)
	}
	return least
}

func TestAllocationsBesideOthers(t *testing.T) {
	for _, tc := range []struct {
		name  string
		setUp func() ([]variant, func())
		most  float64 // of the second variant, beside the first one
	}{
		{"tool call beside one with a static header", callTool, 3},
		{"refresh beside its request", refreshCycle, 68},
	} {
		variants, end := tc.setUp()
		floor, ours := allocations(variants[0]), allocations(variants[1])
		if ours-floor > tc.most+0.5 { // a little of the server's own varies
			t.Errorf("%s: %.1f allocations and %.1f, want at most %v more", tc.name, ours, floor, tc.most)
		}
		end()
	}
}
