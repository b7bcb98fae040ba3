package auth_test

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
)

// freshManager has a token that lives longer than any benchmark.
func freshManager(b *testing.B) *auth.Manager {
	b.Helper()
	m, err := auth.NewManager(auth.Config{
		Resource: "https://mcp.example.com/mcp",
		Server:   &auth.Server{TokenEndpoint: "https://as.example.com/token"},
		Client:   auth.Client{ID: "benchmark"},
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = m.Close() })
	if err := m.SetToken(b.Context(), &auth.Token{AccessToken: "token", RefreshToken: "refresh", Expiry: time.Now().Add(24 * time.Hour)}); err != nil {
		b.Fatal(err)
	}
	return m
}

// both runs get in one goroutine and in as many as there are cores.
func both(b *testing.B, get func()) {
	b.Run("serial", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			get()
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				get()
			}
		})
	})
}

// BenchmarkFreshToken is the path of nearly every request. The floor is what it
// cannot do without: an atomic load and the time.
func BenchmarkFreshToken(b *testing.B) {
	ctx := context.Background()
	b.Run("floor", func(b *testing.B) {
		type snapshot struct{ until int64 }
		var current atomic.Pointer[snapshot]
		current.Store(&snapshot{time.Now().Add(24 * time.Hour).UnixNano()})
		both(b, func() {
			if s := current.Load(); s == nil || time.Now().UnixNano() >= s.until {
				b.Error("not fresh")
			}
		})
	})
	b.Run("manager", func(b *testing.B) {
		m := freshManager(b)
		both(b, func() {
			if _, err := m.Token(ctx); err != nil {
				b.Error(err)
			}
		})
	})
	b.Run("header", func(b *testing.B) {
		m := freshManager(b)
		both(b, func() {
			if t, err := m.Token(ctx); err != nil || t.Authorization() == "" {
				b.Error(err)
			}
		})
	})
	b.Run("oauth2", func(b *testing.B) {
		src := oauth2.ReuseTokenSource(&oauth2.Token{AccessToken: "token", Expiry: time.Now().Add(24 * time.Hour)}, nil)
		both(b, func() {
			if _, err := src.Token(); err != nil {
				b.Error(err)
			}
		})
	})
}

// BenchmarkHerd lets 10,000 callers come upon an expired token at once. The
// token endpoint takes 20 ms.
func BenchmarkHerd(b *testing.B) {
	const callers = 10_000
	srv, err := authtest.Start(authtest.Config{})
	if err != nil {
		b.Fatal(err)
	}
	defer srv.Close()
	srv.AddClient("benchmark", "")
	res := srv.Protect(http.NotFoundHandler(), authtest.Protection{})
	m, err := auth.NewManager(auth.Config{
		Resource:   res.URL,
		Server:     &auth.Server{Issuer: srv.Issuer, TokenEndpoint: srv.Endpoint(authtest.TokenEndpoint)},
		Client:     auth.Client{ID: "benchmark"},
		HTTPClient: srv.Client(),
	})
	if err != nil {
		b.Fatal(err)
	}
	defer m.Close()
	srv.InjectAlways(authtest.TokenEndpoint, authtest.Delay(20*time.Millisecond))
	for b.Loop() {
		b.StopTimer()
		pair := srv.IssueToken(nil, res.URL)
		dead := &auth.Token{AccessToken: pair.AccessToken, RefreshToken: pair.RefreshToken, Expiry: time.Now().Add(-time.Minute)}
		if err := m.SetToken(b.Context(), dead); err != nil {
			b.Fatal(err)
		}
		before := srv.Counts().Token
		b.StartTimer()
		var wg sync.WaitGroup
		for range callers {
			wg.Go(func() {
				if _, err := m.Token(b.Context()); err != nil {
					b.Error(err)
				}
			})
		}
		wg.Wait()
		b.StopTimer()
		if n := srv.Counts().Token - before; n != 1 {
			b.Fatalf("%d token requests, want 1", n)
		}
		b.StartTimer()
	}
}
