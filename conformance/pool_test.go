package main

import (
	"context"
	"io"
	"sync/atomic"
	"testing"
)

func TestRunCells(t *testing.T) {
	plan := account(expectedCells(), expectedCells()[1:]) // the first is missing
	for _, jobs := range []int{1, 2, 100} {
		var now, most, ran atomic.Int32
		run := func(_ context.Context, c cell) result {
			n := now.Add(1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			ran.Add(1)
			now.Add(-1)
			return result{cell: c, verdict: passed}
		}
		results := runCells(t.Context(), plan, jobs, run, io.Discard)
		if int(most.Load()) > jobs {
			t.Errorf("%d cells at a time, want at most %d", most.Load(), jobs)
		}
		if ran.Load() != 49 {
			t.Errorf("%d cells ran, want 49", ran.Load())
		}
		for i, r := range results {
			want := passed
			if i == 0 {
				want = missing
			}
			if r.cell != plan[i].cell || r.verdict != want {
				t.Errorf("result %d is %s %s, want %s %s", i, r.cell, r.verdict, plan[i].cell, want)
			}
		}
		r := report{results: results}
		if ok, bad := r.tally(); ok != 49 || bad != 1 {
			t.Errorf("%d passed, %d failed: a missing cell must count as failed", ok, bad)
		}
	}
}

func TestRunCellsStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var ran atomic.Int32
	results := runCells(ctx, account(expectedCells(), expectedCells()), 1, func(_ context.Context, c cell) result {
		if ran.Add(1) == 3 {
			cancel()
		}
		return result{cell: c, verdict: passed}
	}, io.Discard)
	// The next cell may have been handed out already when the third cancels.
	if n := ran.Load(); n < 3 || n > 4 || results[49].verdict != "" {
		t.Errorf("%d cells ran after the context had ended at the third", n)
	}
}
