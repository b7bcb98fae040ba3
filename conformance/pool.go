package main

import (
	"context"
	"fmt"
	"io"
	"sync"
)

// runCells runs the planned cells, at most jobs at a time, and returns their results in the order
// of the plan. It prints a line to progress as each ends. When ctx ends it starts no more, and the
// results of those not run are zero.
func runCells(ctx context.Context, plan []planned, jobs int, run func(context.Context, cell) result, progress io.Writer) []result {
	results := make([]result, len(plan))
	next := make(chan int)
	var (
		workers sync.WaitGroup
		mu      sync.Mutex // guards done and progress
		done    int
	)
	for range min(jobs, len(plan)) {
		workers.Go(func() {
			for i := range next {
				r := result{cell: plan[i].cell, verdict: missing, note: "the suite does not list it"}
				if !plan[i].missing {
					r = run(ctx, plan[i].cell)
				}
				results[i] = r
				mu.Lock()
				done++
				fmt.Fprintf(progress, "[%2d/%d] %s: %s\n", done, len(plan), r.cell, r.verdict)
				mu.Unlock()
			}
		})
	}
	for i := 0; i < len(plan) && ctx.Err() == nil; i++ {
		select {
		case next <- i:
		case <-ctx.Done():
		}
	}
	close(next)
	workers.Wait()
	return results
}
