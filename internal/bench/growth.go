package main

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/mcptokens/mcptokens/auth"
)

// growManagers fills pools: what does a manager cost, and finding it, when
// there are many?
func growManagers() {
	var rows [][]string
	for _, n := range []int{1, 10, 100, 1_000, 10_000, 100_000} {
		size := pooled(n)
		p := newPool(n)
		start := time.Now()
		fill(p, 0, n)
		made := float64(time.Since(start)) / float64(n)
		sources := make([]*auth.PoolSource, n)
		for i := range sources {
			sources[i] = p.Source(strconv.Itoa(i), resourceURL)
		}
		i := 0
		find := medianNS(func(times int) {
			for range times {
				_ = must(sources[i].Token(context.Background()))
				i = (i + 7919) % n
			}
		})
		start = time.Now()
		check(p.Close())
		closed := float64(time.Since(start)) / float64(n)
		rows = append(rows, []string{fmt.Sprint(n), fmt.Sprintf("%.0f", size.bytes), fmt.Sprintf("%.0f", size.goroutines*float64(n)), duration(made), duration(find), duration(closed)})
	}
	table([]string{"managers in a Pool", "bytes each", "goroutines, all", "make and load, each", "PoolSource.Token", "close, each"}, rows)
}

// growGoroutines shares one manager between many callers.
func growGoroutines(rounds int) {
	m, end := freshManager(resourceURL)
	defer end()
	e := newEndpoint(http.StatusOK)
	defer e.Close()
	base := &http.Transport{}
	defer base.CloseIdleConnections()
	var rows [][]string
	for _, n := range []int{1, 10, 100, 1_000, 10_000} {
		each := 1_000_000/n + 1
		calls := make([]float64, rounds)
		for i := range calls {
			took := gather(n, func() {
				for range each {
					_ = must(m.Token(context.Background()))
				}
			})
			calls[i] = float64(took) / float64(n*each)
		}
		waits := make([]float64, rounds)
		for i := range waits {
			get, end := withManager.of(e.URL, base)
			waits[i] = float64(gather(n, func() { check(get(context.Background())) }))
			end()
		}
		rows = append(rows, []string{fmt.Sprint(n), duration(medianOf(calls).median), duration(medianOf(waits).median)})
	}
	table([]string{"goroutines with one manager", "Token, fresh", "expired: all have the new one after"}, rows)
}

// scopeNames returns n scopes.
func scopeNames(n int) []string {
	scopes := make([]string, n)
	for i := range scopes {
		scopes[i] = "mcp:scope-" + strconv.Itoa(i)
	}
	return scopes
}

// withScopes returns a manager whose token has n scopes, at a token endpoint
// without a network that grants them and one more.
func withScopes(n int) (*auth.Manager, func()) {
	scopes := scopeNames(n)
	answer := strings.TrimSuffix(tokenJSON, "}") + `,"scope":"` + strings.Join(scopes, " ") + ` more"}`
	m, end := newManager("https://as.example.com/token", issuing{answer})
	check(m.SetToken(context.Background(), &auth.Token{AccessToken: "old", RefreshToken: "refresh", Scopes: scopes}))
	return m, end
}

// growScopes gives tokens many scopes.
func growScopes() {
	var rows [][]string
	for _, n := range []int{1, 10, 100, 1_000} {
		m, end := withScopes(n)
		ctx := context.Background()
		fresh := medianNS(func(times int) {
			for range times {
				_ = must(m.Token(ctx))
			}
		})
		old := must(m.Token(ctx))
		refresh := medianNS(func(times int) {
			for range times {
				_ = must(m.Refresh(ctx))
			}
		})
		challenge := auth.ParseChallenges([]string{`Bearer error="insufficient_scope", scope="` + strings.Join(scopeNames(n), " ") + ` more"`})[0]
		resolve := medianNS(func(times int) {
			for range times {
				_ = must(m.Resolve(ctx, old, challenge)) // the token in use has them
			}
		})
		rows = append(rows, []string{fmt.Sprint(n), duration(fresh), duration(refresh), duration(resolve)})
		end()
	}
	table([]string{"scopes of the token", "Token, fresh", "Refresh", "challenge to an older token"}, rows)
}

// growSubscribers has subscribers that never read.
func growSubscribers() {
	var rows [][]string
	for _, n := range []int{0, 1, 10, 100, 1_000} {
		m, end := newManager("https://as.example.com/token", issuing{tokenJSON})
		for range n {
			m.Subscribe()
		}
		events, _ := m.Subscribe()
		var reader sync.WaitGroup
		reader.Go(func() {
			for range events {
			}
		})
		took := medianNS(func(times int) {
			for range times {
				_ = must(m.Refresh(context.Background()))
			}
		})
		rows = append(rows, []string{fmt.Sprint(n), duration(took)})
		end()
		reader.Wait()
	}
	table([]string{"subscribers that never read", "Refresh, one event each"}, rows)
}

// medianNS is compare for one.
func medianNS(loop func(n int)) float64 { return compare(11, variant{loop: loop})[0].ns }
