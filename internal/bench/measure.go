package main

import (
	"math"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"time"
)

// variant is one way to do the job that a section compares.
type variant struct {
	name string
	// loop does the job n times. The loop is the variant's own, so that no call
	// through a function value hides what the variants differ in.
	loop func(n int)
}

// result is what one variant took, and how that relates to the first variant.
type result struct {
	name          string
	ns            float64 // for one operation, median
	bytes, allocs float64 // for one operation, least
	ratio         interval
}

// interval is a median and the 95 % confidence interval around it.
type interval struct{ low, median, high float64 }

// turn is about how long a variant runs before the next one's turn.
const turn = 5 * time.Millisecond

// compare measures variants in turns. The first one is what the others are
// related to. The garbage of a turn is collected after it: whose turn the
// collector falls into would be chance.
func compare(rounds int, variants ...variant) []result {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	ns := make([][]float64, len(variants))
	results := make([]result, len(variants))
	n := make([]int, len(variants))
	for i, v := range variants {
		n[i] = calibrate(v.loop)
		results[i] = result{name: v.name, bytes: math.Inf(1), allocs: math.Inf(1)}
	}
	for round := range rounds {
		for i := range variants {
			i = (i + round) % len(variants) // nobody always comes first
			runtime.GC()
			took, bytes, allocs := measure(variants[i].loop, n[i])
			ns[i] = append(ns[i], took)
			results[i].bytes = min(results[i].bytes, bytes)
			results[i].allocs = min(results[i].allocs, allocs)
		}
	}
	for i := range results {
		ratios := make([]float64, rounds)
		for round := range ratios {
			ratios[round] = ns[i][round] / ns[0][round]
		}
		results[i].ns = medianOf(ns[i]).median
		results[i].ratio = medianOf(ratios)
	}
	return results
}

// calibrate returns how often loop has to do its job to take a turn.
func calibrate(loop func(int)) int {
	for n := 1; ; n *= 2 {
		start := time.Now()
		loop(n)
		if took := time.Since(start); took >= turn/2 {
			return max(1, int(float64(n)*float64(turn)/float64(took)))
		}
	}
}

// measure returns what one operation takes. What other goroutines allocate
// meanwhile counts.
func measure(loop func(int), n int) (ns, bytes, allocs float64) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	loop(n)
	took := time.Since(start)
	runtime.ReadMemStats(&after)
	return float64(took) / float64(n), float64(after.TotalAlloc-before.TotalAlloc) / float64(n), float64(after.Mallocs-before.Mallocs) / float64(n)
}

// medianOf returns the median with its confidence interval from the order
// statistics, which assumes nothing about the distribution.
func medianOf(values []float64) interval {
	s := slices.Sorted(slices.Values(values))
	n := float64(len(s))
	low := max(0, int(n/2-0.98*math.Sqrt(n)))
	return interval{s[low], s[len(s)/2], s[len(s)-1-low]}
}

// parallel is loop in as many goroutines as there are cores; the time is that
// of the wall clock.
func parallel(loop func(int)) func(int) {
	return func(n int) {
		var wg sync.WaitGroup
		procs := runtime.GOMAXPROCS(0)
		for range procs {
			wg.Go(func() { loop(n/procs + 1) })
		}
		wg.Wait()
	}
}
