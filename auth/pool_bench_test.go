package auth_test

import (
	"context"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/auth"
)

// tokenLength is the length of the access and of the refresh token of the
// benchmarks: that of a small JWT, and with "Bearer " in front exactly what the
// allocator has a size for, whose rounding is not ours.
const tokenLength = 889

// database stands for a store that keeps its records elsewhere: it has a token
// for every key, and makes new strings at every load, as a store does that
// decodes them.
type database struct {
	auth.Store
	expiry time.Time
}

func (d database) Load(_ context.Context, key auth.Key) (*auth.Record, error) {
	token := func(kind string) string {
		return kind + key.Subject + strings.Repeat("x", tokenLength-1-len(key.Subject))
	}
	return &auth.Record{
		Generation: 1,
		Issuer:     strings.Clone(key.Issuer), Resource: strings.Clone(key.Resource),
		Obtained: d.expiry.Add(-time.Hour),
		Token:    &auth.Token{AccessToken: token("a"), RefreshToken: token("r"), TokenType: strings.Clone("Bearer"), Expiry: d.expiry, Scopes: []string{strings.Clone("mcp:read")}},
	}, nil
}

// poolOf returns a pool that can hold n managers, and one more.
func poolOf(b testing.TB, n int) *auth.Pool {
	b.Helper()
	cfg := &auth.Config{
		Server: &auth.Server{Issuer: "https://as.example.com", TokenEndpoint: "https://as.example.com/token"},
		Client: auth.Client{ID: "gateway"},
		Store:  database{expiry: time.Now().Add(time.Hour)},
	}
	p, err := auth.NewPool(auth.PoolConfig{
		Config:      func(string, string) (*auth.Config, error) { return cfg, nil },
		MaxManagers: n + 1,
	})
	if err != nil {
		b.Fatal(err)
	}
	return p
}

const poolResource = "https://mcp.example.com/mcp"

// fill has every one of n subjects ask for its token.
func fill(b testing.TB, p *auth.Pool, n int) {
	b.Helper()
	ctx := context.Background()
	for i := range n {
		if _, err := p.Source(strconv.Itoa(i), poolResource).Token(ctx); err != nil {
			b.Fatal(err)
		}
	}
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

// footprint is what a manager of a pool of n takes beside what all share: heap
// without the strings of its tokens, in bytes, and goroutines of all together.
func footprint(b testing.TB, p *auth.Pool, n int) (bytes float64, goroutines int) {
	b.Helper()
	if _, err := p.Source("-1", poolResource).Token(context.Background()); err != nil {
		b.Fatal(err)
	}
	before, running := heap(), runtime.NumGoroutine()
	fill(b, p, n)
	if got := p.Len(); got != n+1 {
		b.Fatalf("%d managers, want %d", got, n+1)
	}
	bytes = (float64(heap())-float64(before))/float64(n) - 2*tokenLength
	return bytes, runtime.NumGoroutine() - running
}

// BenchmarkPoolFill reports what an idle manager with a token takes: B/manager
// is heap beside the token's strings, ns/manager the time to make it and to
// load its token.
func BenchmarkPoolFill(b *testing.B) {
	for _, n := range []int{1, 1_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var bytes float64
			var goroutines int
			for b.Loop() {
				b.StopTimer()
				p := poolOf(b, n)
				bytes, goroutines = footprint(b, p, n)
				if err := p.Close(); err != nil {
					b.Fatal(err)
				}
				p = poolOf(b, n)
				b.StartTimer()
				fill(b, p, n)
				b.StopTimer()
				if err := p.Close(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
			b.ReportMetric(bytes, "B/manager")
			b.ReportMetric(float64(goroutines), "goroutines")
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/manager")
		})
	}
}

// BenchmarkPoolToken is what a request costs that finds its manager in a pool
// of that many.
func BenchmarkPoolToken(b *testing.B) {
	for _, n := range []int{1, 1_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			p := poolOf(b, n)
			defer p.Close()
			fill(b, p, n)
			subjects := make([]string, n)
			for i := range subjects {
				subjects[i] = strconv.Itoa(i)
			}
			ctx, i := context.Background(), 0
			b.ReportAllocs()
			for b.Loop() {
				if _, err := p.Source(subjects[i], poolResource).Token(ctx); err != nil {
					b.Fatal(err)
				}
				i = (i + 7919) % n
			}
		})
	}
}

// An idle manager takes less than 1 KiB beside the strings of its token, and no
// goroutine.
func TestPoolFootprint(t *testing.T) {
	const n = 10_000
	p := poolOf(t, n)
	bytes, goroutines := footprint(t, p, n)
	if bytes > 1024 || bytes < 100 {
		t.Errorf("%.0f bytes for each manager, want at most 1024, and enough to be true", bytes)
	}
	if goroutines > 0 {
		t.Errorf("%d goroutines for %d idle managers", goroutines, n)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}
