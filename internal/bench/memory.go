package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	mcptransport "github.com/mark3labs/mcp-go/client/transport"
	"golang.org/x/oauth2"

	"github.com/mcptokens/mcptokens/auth"
)

// tokenLength is the length of the access and of the refresh token in this
// file: that of a small JWT, and with "Bearer " in front exactly what the
// allocator has a size for, whose rounding is nobody's fault.
const tokenLength = 889

// distinct returns a token string that nothing else shares.
func distinct(kind, subject string) string {
	return kind + subject + strings.Repeat("x", tokenLength-1-len(subject))
}

// database stands for a store that keeps its records elsewhere: it has a token
// for every key, and makes new strings at every load, as a store does that
// decodes them.
type database struct {
	auth.Store
	obtained, expiry time.Time // of the tokens
}

func (d database) Load(_ context.Context, key auth.Key) (*auth.Record, error) {
	return &auth.Record{
		Generation: 1,
		Issuer:     strings.Clone(key.Issuer), Resource: strings.Clone(key.Resource),
		Obtained: d.obtained,
		Token: &auth.Token{
			AccessToken: distinct("a", key.Subject), RefreshToken: distinct("r", key.Subject), TokenType: strings.Clone("Bearer"),
			Expiry: d.expiry, Scopes: []string{strings.Clone("mcp:read")},
		},
	}, nil
}

// newPool returns a pool that can hold n managers, and one more. They refresh
// ahead of expiry although nobody asks.
func newPool(n int) *auth.Pool {
	cfg := &auth.Config{
		Server: &auth.Server{Issuer: "https://as.example.com", TokenEndpoint: "https://as.example.com/token"},
		Client: auth.Client{ID: "gateway"},
		Store:  database{obtained: time.Now(), expiry: time.Now().Add(time.Hour)},
	}
	return must(auth.NewPool(auth.PoolConfig{
		Config:      func(string, string) (*auth.Config, error) { return cfg, nil },
		MaxManagers: n + 1,
		RefreshIdle: true,
	}))
}

// fill has every one of n subjects, of which the first is number first, ask for
// its token.
func fill(p *auth.Pool, first, n int) {
	for i := range n {
		_ = must(p.Source(strconv.Itoa(first+i), resourceURL).Token(context.Background()))
	}
}

// heap is what is in use after a collection. A second one takes what the first
// one left to finalizers.
func heap() float64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// What many may share, they share.
var (
	httpClient  = &http.Client{Timeout: 30 * time.Second}
	oauthConfig = &oauth2.Config{ClientID: "bench", Endpoint: oauth2.Endpoint{TokenURL: "https://as.example.com/token", AuthStyle: oauth2.AuthStyleInParams}}
)

// footprint is what one of many takes: heap in bytes, without the strings of a
// pair of tokens, and goroutines.
type footprint struct{ bytes, goroutines float64 }

// measureFootprint makes n of something, which keep returns and keeps. One more,
// made before, pays for what all of them share.
func measureFootprint(n int, keep func(n int) (kept any)) footprint {
	shared := keep(1)
	before, running := heap(), runtime.NumGoroutine()
	kept := keep(n)
	f := footprint{(heap()-before)/float64(n) - 2*tokenLength, float64(goroutines(running)-running) / float64(n)}
	runtime.KeepAlive(kept)
	runtime.KeepAlive(shared)
	return f
}

// goroutines counts those that are left. One that has done its work may take a
// moment to end on a busy machine, so as long as there are more than some it looks
// again for a few seconds.
func goroutines(some int) (n int) {
	for range 500 {
		if n = runtime.NumGoroutine(); n <= some {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	return n
}

// each keeps n of what one returns for a pair of tokens.
func each[T any](one func(access, refresh string) T) func(n int) any {
	return func(n int) any {
		kept := make([]T, n)
		for i := range kept {
			subject := strconv.Itoa(i)
			kept[i] = one(distinct("a", subject), distinct("r", subject))
		}
		return kept
	}
}

// pooled is the footprint of a manager in a pool of n.
func pooled(n int) footprint {
	p := newPool(n)
	defer func() { check(p.Close()) }()
	made := 0
	return measureFootprint(n, func(n int) any {
		fill(p, made, n)
		made += n
		return p
	})
}

// remembered is the footprint of a manager in a pool of n with default settings,
// as a gateway has it that keeps everything in memory: with its source and its
// record in the pool's own store. The subjects are the program's.
func remembered(n int) footprint {
	cfg := &auth.Config{
		Server: &auth.Server{Issuer: "https://as.example.com", TokenEndpoint: "https://as.example.com/token"},
		Client: auth.Client{ID: "gateway"},
	}
	p := must(auth.NewPool(auth.PoolConfig{
		Config:      func(string, string) (*auth.Config, error) { return cfg, nil },
		MaxManagers: n + 1,
	}))
	defer func() { check(p.Close()) }()
	subjects := make([]string, n+1)
	for i := range subjects {
		subjects[i] = strconv.Itoa(i)
	}
	expiry := time.Now().Add(time.Hour)
	return measureFootprint(n, func(n int) any {
		sources := make([]*auth.PoolSource, n)
		for i := range sources {
			subject := subjects[len(subjects)-1]
			subjects = subjects[:len(subjects)-1]
			sources[i] = p.Source(subject, resourceURL)
			check(sources[i].Use(func(m *auth.Manager) error {
				return m.SetToken(context.Background(), &auth.Token{
					AccessToken: distinct("a", subject), RefreshToken: distinct("r", subject), Expiry: expiry, Scopes: []string{"mcp:read"},
				})
			}))
		}
		return sources
	})
}

// waiting is the footprint of a manager in a pool of n, with its record in memory, whose
// refresh waits in the queue of the authorization server, which answers nobody: all but
// the first few do. asked: the token has expired, and a call waits for the next one;
// else the timer began to refresh it early. Stacks count.
func waiting(n int, asked bool) footprint {
	ctx, end := context.WithCancel(context.Background())
	cfg := &auth.Config{
		Server: &auth.Server{Issuer: "https://as.example.com", TokenEndpoint: "https://as.example.com/token"},
		Client: auth.Client{ID: "gateway"}, HTTPClient: &http.Client{Transport: silent{ctx.Done()}},
		RefreshWindow: 3 * time.Hour,
	}
	p := must(auth.NewPool(auth.PoolConfig{
		Config:      func(string, string) (*auth.Config, error) { return cfg, nil },
		MaxManagers: n + 1, RefreshIdle: true,
	}))
	var calls sync.WaitGroup
	defer func() {
		end()
		check(p.Close())
		calls.Wait()
	}()
	expiry := time.Now().Add(time.Hour) // long within the window
	if asked {
		expiry = time.Now().Add(-time.Minute)
	}
	ask := func(first, n int) any {
		for i := range n {
			subject := strconv.Itoa(first + i)
			source := p.Source(subject, resourceURL)
			check(source.Use(func(m *auth.Manager) error {
				return m.SetToken(context.Background(), &auth.Token{
					AccessToken: distinct("a", subject), RefreshToken: distinct("r", subject), Expiry: expiry, Scopes: []string{"mcp:read"},
				})
			}))
			if asked {
				calls.Go(func() { _, _ = source.Token(ctx) })
			}
		}
		return p
	}
	ask(0, 1)
	before, running := heapAndStacks(), runtime.NumGoroutine()
	ask(1, n)
	return footprint{(heapAndStacks()-before)/float64(n) - 2*tokenLength, float64(runtime.NumGoroutine()-running) / float64(n)}
}

// silent is a server that answers nobody until it ends.
type silent struct{ end <-chan struct{} }

func (s silent) RoundTrip(req *http.Request) (*http.Response, error) {
	<-s.end
	return nil, io.EOF
}

// heapAndStacks is heap with what goroutines stand on, once they all wait: that
// takes some time, and is over when it has not got less.
func heapAndStacks() (size float64) {
	for n := range 100 {
		time.Sleep(50 * time.Millisecond)
		runtime.GC() // which also makes stacks smaller that are too large
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		before := size
		size = float64(m.HeapAlloc + m.StackInuse)
		if n >= 5 && size > 0.999*before {
			break
		}
	}
	return size
}

// alone is the footprint of a manager that shares nothing but its HTTP client.
func alone(n int) footprint {
	var managers []*auth.Manager
	defer func() {
		for _, m := range managers {
			check(m.Close())
		}
	}()
	return measureFootprint(n, each(func(access, refresh string) *auth.Manager {
		m := must(auth.NewManager(auth.Config{
			Resource: resourceURL, Client: auth.Client{ID: "gateway"}, HTTPClient: httpClient,
			Server: &auth.Server{Issuer: "https://as.example.com", TokenEndpoint: "https://as.example.com/token"},
		}))
		check(m.SetToken(context.Background(), &auth.Token{AccessToken: access, RefreshToken: refresh, Expiry: time.Now().Add(time.Hour), Scopes: []string{"mcp:read"}}))
		managers = append(managers, m)
		return m
	}))
}

// idle prints what one takes that nobody uses.
func idle(n int) {
	rows := [][]string{}
	row := func(name string, f footprint) {
		rows = append(rows, []string{name, fmt.Sprintf("%.0f", f.bytes), fmt.Sprintf("%.0f", f.goroutines)})
	}
	row("auth.Manager in a Pool, with its source and its record in memory", remembered(n))
	row("auth.Manager in a Pool, early refresh armed, its record in a database", pooled(n))
	found, asked := discovered(n)
	row(fmt.Sprintf("the same, authorization server discovered (%d requests by all)", asked), found)
	row("an early refresh that waits in the queue, with its manager and record", waiting(n, false))
	row("a call that waits in the queue for its refresh, with its manager, record and stack", waiting(n, true))
	row("auth.Manager alone, early refresh armed", alone(n))
	row("oauth2: Config.TokenSource", measureFootprint(n, each(func(access, refresh string) oauth2.TokenSource {
		return oauthConfig.TokenSource(context.Background(), &oauth2.Token{AccessToken: access, RefreshToken: refresh, Expiry: time.Now().Add(time.Hour)})
	})))
	row("mcp-go: OAuthHandler", measureFootprint(n, each(func(access, refresh string) *mcptransport.OAuthHandler {
		store := mcptransport.NewMemoryTokenStore()
		check(store.SaveToken(context.Background(), &mcptransport.Token{AccessToken: access, RefreshToken: refresh, ExpiresAt: time.Now().Add(time.Hour)}))
		return mcptransport.NewOAuthHandler(mcptransport.OAuthConfig{ClientID: "gateway", TokenStore: store, HTTPClient: httpClient})
	})))
	table([]string{fmt.Sprintf("one of %d", n), "bytes beside the tokens", "goroutines"}, rows)
}
