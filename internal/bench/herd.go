package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// broadcast is the least that callers who wait for one request cost: a
// goroutine sends it, and a closed channel tells everybody.
var broadcast = refreshing{"floor: request, closed channel", func(tokenEndpoint string, base http.RoundTripper) (func(context.Context) error, func()) {
	var (
		begin  sync.Once
		done   = make(chan struct{})
		result error
	)
	client := &http.Client{Transport: base}
	return func(ctx context.Context) error {
		begin.Do(func() {
			go func() {
				defer close(done)
				_, result = post(context.Background(), client, tokenEndpoint)
			}()
		})
		select {
		case <-done:
			return result
		case <-ctx.Done():
			return ctx.Err()
		}
	}, func() {}
}}

// gather calls get from n goroutines and returns how long it took until the
// last of them was back.
func gather(n int, get func()) time.Duration {
	var wg sync.WaitGroup
	start := time.Now()
	for range n {
		wg.Go(get)
	}
	wg.Wait()
	return time.Since(start)
}

// herd has many callers meet an expired token at once.
func herd(rounds, callers int) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var variants []variant
	var endpoints []*endpoint
	var herds []int
	for i, way := range []refreshing{broadcast, withManager, withOAuth2, withMCPGo} {
		e := newEndpoint(http.StatusOK)
		defer e.Close()
		endpoints, herds = append(endpoints, e), append(herds, 0)
		base := &http.Transport{}
		defer base.CloseIdleConnections()
		variants = append(variants, variant{way.name, func(n int) {
			for range n {
				get, end := way.of(e.URL, base)
				gather(callers, func() { check(get(ctx)) })
				end()
			}
			herds[i] += n
		}})
	}
	results := compare(rounds, variants...)
	rows := make([][]string, len(results))
	for i, r := range results {
		rows[i] = []string{r.name, duration(r.ns), r.ratio.String(), fmt.Sprintf("%.3g", float64(endpoints[i].requests.Load())/float64(herds[i]))}
	}
	table([]string{fmt.Sprintf("%d callers", callers), "all have it after", "ratio", "requests"}, rows)
}

// outage has many callers, each with a deadline, meet an expired token
// while the token endpoint answers 503.
func outage(callers int, patience time.Duration) {
	var rows [][]string
	for _, way := range []refreshing{withManager, withOAuth2, withMCPGo} {
		e := newEndpoint(http.StatusServiceUnavailable)
		base := &http.Transport{}
		get, end := way.of(e.URL, base)
		took := gather(callers, func() {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			if get(ctx) == nil {
				panic("a token from an endpoint that is out of order")
			}
		})
		rows = append(rows, []string{way.name, duration(float64(took)), fmt.Sprint(e.requests.Load())})
		end()
		base.CloseIdleConnections()
		e.Close()
	}
	table([]string{fmt.Sprintf("%d callers, each for at most %v", callers, patience), "all are back after", "requests"}, rows)
}

// mostInAStorm bounds the requests of ten seconds: full jitter means some attempts
// in each refresh, a second or more between refreshes. Many more would be a storm.
const mostInAStorm = 40

// storm goes on calling a manager whose token endpoint is out of order.
func storm(perMillisecond int, length, patience time.Duration) {
	e := newEndpoint(http.StatusServiceUnavailable)
	defer e.Close()
	base := &http.Transport{}
	defer base.CloseIdleConnections()
	get, end := withManager.of(e.URL, base)
	defer end()
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		worst time.Duration
	)
	calls := 0
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for start := time.Now(); time.Since(start) < length; <-tick.C {
		for due := int(time.Since(start)/time.Millisecond+1) * perMillisecond; calls < due; calls++ {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(context.Background(), patience)
				defer cancel()
				begun := time.Now()
				if err := get(ctx); err == nil || errors.Is(err, context.Canceled) {
					panic(err)
				}
				took := time.Since(begun)
				mu.Lock()
				defer mu.Unlock()
				worst = max(worst, took)
			})
		}
	}
	wg.Wait()
	if n := e.requests.Load(); n > mostInAStorm {
		panic(fmt.Sprintf("%d requests in %v", n, length))
	}
	table([]string{fmt.Sprintf("%d calls per ms for %v, each for at most %v", perMillisecond, length, patience), "calls", "the longest took", "requests"},
		[][]string{{withManager.name, fmt.Sprint(calls), duration(float64(worst)), fmt.Sprint(e.requests.Load())}})
}
