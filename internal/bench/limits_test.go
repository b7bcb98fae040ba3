package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtrace"
	"github.com/mcptokens/mcptokens/transport"
)

// The limits that hold on any machine.

func TestAllocations(t *testing.T) {
	ctx := context.Background()
	m, end := freshManager(resourceURL)
	defer end()
	req, err := http.NewRequest(http.MethodPost, resourceURL, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	req.Header.Set("Mcp-Session-Id", "session")
	req.Header.Set("Mcp-Protocol-Version", "2025-11-25")
	rt := &transport.RoundTripper{Source: m, Base: &nowhere{http.Response{StatusCode: http.StatusOK, Body: http.NoBody}}}
	for _, tc := range []struct {
		name string
		most float64
		do   func()
	}{
		{"Manager.Token", 0, func() { _, _ = m.Token(ctx) }},
		{"Authorization header", 0, func() {
			if tok, err := m.Token(ctx); err != nil || tok.Authorization() == "" {
				t.Error(err)
			}
		}},
		{"Manager.Accepted", 0, func() {
			tok, err := m.Token(ctx)
			if err != nil {
				t.Error(err)
			}
			m.Accepted(tok)
		}},
		{"RoundTrip", 3, func() { _, _ = rt.RoundTrip(req) }},
	} {
		if got := testing.AllocsPerRun(1000, tc.do); got > tc.most {
			t.Errorf("%s: %v allocations, want at most %v", tc.name, got, tc.most)
		}
	}
}

// slowEndpoint answers in a bubble after a while.
type slowEndpoint struct {
	status   int
	delay    time.Duration
	requests atomic.Int64
}

func (e *slowEndpoint) RoundTrip(req *http.Request) (*http.Response, error) {
	_ = req.Body.Close()
	e.requests.Add(1)
	select {
	case <-time.After(e.delay):
	case <-req.Context().Done():
		return nil, req.Context().Err()
	}
	return &http.Response{
		StatusCode: e.status, Request: req, Header: http.Header{"Content-Type": {"application/json"}},
		Body: io.NopCloser(strings.NewReader(tokenJSON)),
	}, nil
}

// 10,000 callers of an expired token share one request, and wait no longer than
// that takes.
func TestHerd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &slowEndpoint{status: http.StatusOK, delay: endpointDelay}
		m, end := newManager("https://as.example.com/token", e)
		defer end()
		took := gather(10_000, func() {
			if _, err := m.Token(t.Context()); err != nil {
				t.Error(err)
			}
		})
		if n := e.requests.Load(); n != 1 || took != endpointDelay {
			t.Errorf("%d requests in %v, want one in %v", n, took, endpointDelay)
		}
	})
}

// schedule is a tracer that knows when the next request is due.
type schedule struct {
	authtrace.Nop
	mu  sync.Mutex
	due time.Time
}

func (s *schedule) Point(_ context.Context, p authtrace.Point) {
	if a, ok := p.(authtrace.Attempt); ok {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.due = time.Now().Add(a.Wait)
	}
}

func (s *schedule) End(_ context.Context, e authtrace.End) {
	var te *auth.TokenError
	if e, ok := e.(authtrace.RefreshEnd); ok && errors.As(e.Err, &te) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.due = te.NextAttempt
	}
}

// watched is an endpoint that looks at the schedule.
type watched struct {
	slowEndpoint
	t        *testing.T
	schedule *schedule
}

func (w *watched) RoundTrip(req *http.Request) (*http.Response, error) {
	w.schedule.mu.Lock()
	if early := time.Until(w.schedule.due); early > 0 {
		w.t.Errorf("a request came %v before its time", early)
	}
	w.schedule.mu.Unlock()
	return w.slowEndpoint.RoundTrip(req)
}

// The token endpoint is out of order. 10 callers per millisecond for 10 seconds
// (100 in the program, see storm), of which each waits for its own time, send
// nothing but what the backoff has scheduled, and are back when that time is
// over, or before.
func TestStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const perMillisecond, patience = 10, 5 * time.Millisecond
		s := &schedule{}
		w := &watched{slowEndpoint{status: http.StatusServiceUnavailable, delay: endpointDelay}, t, s}
		m, err := auth.NewManager(auth.Config{
			Resource: resourceURL, Client: auth.Client{ID: "bench"},
			Server:         &auth.Server{Issuer: "https://as.example.com", TokenEndpoint: "https://as.example.com/token"},
			HTTPClient:     &http.Client{Transport: w},
			RefreshTimeout: 2 * time.Second, // some attempts in one refresh, and some refreshes
			Tracer:         s,
		})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		if err := m.SetToken(t.Context(), &auth.Token{AccessToken: "old", RefreshToken: "refresh", Expiry: time.Now().Add(-time.Minute)}); err != nil {
			t.Fatal(err)
		}
		var callers sync.WaitGroup
		for range perMillisecond * int(patience/time.Millisecond) {
			callers.Go(func() {
				for begin := time.Now(); time.Since(begin) < 10*time.Second; {
					called := time.Now()
					ctx, cancel := context.WithTimeout(t.Context(), patience)
					_, err := m.Token(ctx)
					cancel()
					var te *auth.TokenError
					if !errors.As(err, &te) && !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("Token: %v", err)
					}
					if took := time.Since(called); took > patience {
						t.Errorf("a caller was back after %v, want %v", took, patience)
					}
					time.Sleep(time.Until(called.Add(patience)))
				}
			})
		}
		callers.Wait()
		if n := w.requests.Load(); n < 3 || n > mostInAStorm {
			t.Errorf("%d requests in 10 s, want some", n)
		}
	})
}

// Subscribers that never read, a thousand of them, delay neither a refresh nor
// the subscriber that does read.
func TestDeadSubscribersDelayNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &slowEndpoint{status: http.StatusOK, delay: endpointDelay}
		m, end := newManager("https://as.example.com/token", e)
		defer end()
		for range 1_000 {
			m.Subscribe()
		}
		events, _ := m.Subscribe()
		for range 50 { // more than any buffer holds
			begin := time.Now()
			if _, err := m.Refresh(t.Context()); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(begin); took != endpointDelay {
				t.Fatalf("a refresh took %v, want %v", took, endpointDelay)
			}
			if e := <-events; e.Type != auth.EventTokenUpdated || !e.Time.Equal(time.Now()) {
				t.Fatalf("event %v at %v, want one now", e.Type, e.Time)
			}
		}
	})
}

// What a refresh or a challenge allocates grows in step with the scopes, not
// faster.
func TestScopesGrowLinearly(t *testing.T) {
	size := func(n int) float64 {
		m, end := withScopes(n)
		defer end()
		_, bytes, _ := measure(func(times int) {
			for range times {
				_ = must(m.Refresh(t.Context()))
			}
		}, 50)
		return bytes
	}
	if few, many := size(100), size(1_000); many > 11*few {
		t.Errorf("%.0f bytes for 100 scopes, %.0f for 1000", few, many)
	}
}
