package auth_test

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
)

// What a failure means for the next try [invariant 14].
func TestRetryClasses(t *testing.T) {
	const many = -1 // with backoff, as long as the refresh may take
	for _, tc := range []struct {
		fault     authtest.Fault
		requests  int
		retryable bool
	}{
		// Permanent: the codes of RFC 6749 section 5.2, and what no OAuth server says.
		{authtest.OAuthError("invalid_request", 400), 1, false},
		{authtest.OAuthError("invalid_client", 401), 1, false},
		{authtest.OAuthError("invalid_grant", 400), 1, false},
		{authtest.OAuthError("unauthorized_client", 400), 1, false},
		{authtest.OAuthError("unsupported_grant_type", 400), 1, false},
		{authtest.OAuthError("invalid_scope", 400), 1, false},
		{authtest.OAuthError("invalid_target", 400), 1, false},
		{authtest.Status(404), 1, false},
		{authtest.Redirect("https://elsewhere.example/token"), 1, false},
		// Throttled.
		{authtest.Status(429), many, true},
		{authtest.Status(503), many, true},
		{authtest.OAuthError("temporarily_unavailable", 400), many, true},
		{authtest.OAuthError("server_error", 400), many, true},
		{authtest.OAuthError("slow_down", 429), many, true},
		// Transient.
		{authtest.Status(500), many, true},
		{authtest.Status(408), many, true},
		{authtest.OAuthError("invalid_request", 500), many, true},
		{authtest.HTMLStatus(502), many, true},
		{authtest.HTML(), many, true},
		{authtest.Garbage(), many, true},
		// Ambiguous: repeated once.
		{authtest.ResetBefore(), 2, true},
		{authtest.ResetAfter(), 2, true},
		{authtest.Truncated(), 2, true},
		{authtest.HugeBody(), 2, true},
	} {
		t.Run(tc.fault.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, authtest.Config{RotationGrace: time.Hour}, authtest.Protection{})
				trace := &refreshEnds{}
				cfg := k.onDemand()
				cfg.Tracer = trace
				cfg.Requests.Resource = k.res.URL // else it is sent without, see TestRefreshWithoutResource
				m, old := k.started(cfg)
				expire(old)
				k.srv.InjectAlways(authtest.TokenEndpoint, tc.fault)
				_, err := m.Token(t.Context())
				te := asError[*auth.TokenError](t, err)
				if te.Retryable() != tc.retryable {
					t.Errorf("Retryable() = %t for %v", te.Retryable(), te)
				}
				reqs := k.srv.TokenRequests()
				switch {
				case tc.requests == many && (len(reqs) < 4 || len(reqs) > 40), tc.requests != many && len(reqs) != tc.requests:
					t.Errorf("%d requests, want %d (-1: with backoff for 30 s)", len(reqs), tc.requests)
				}
				if tc.requests == 2 && reqs[1].Time.Sub(reqs[0].Time) > 100*time.Millisecond {
					t.Errorf("repeated after %v, want promptly", reqs[1].Time.Sub(reqs[0].Time))
				}
				tries := trace.tries()
				if len(tries) != len(reqs) {
					t.Errorf("%d attempts traced of %d", len(tries), len(reqs))
				}
				for i, a := range tries {
					if last := i == len(tries)-1; a.Number != i+1 || a.Err == nil || (a.Wait == 0) != last {
						t.Errorf("attempt traced as %+v", a)
					}
				}
			})
		})
	}
}

// Answers that the kit does not give. What was understood and cannot be used is
// not asked for a second time [invariant 14].
func TestRetryClassesOfAnswers(t *testing.T) {
	answer := func(status int, body string) roundTrip {
		return func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
		}
	}
	failure := func(err error) roundTrip {
		return func(*http.Request) (*http.Response, error) { return nil, err }
	}
	for _, tc := range []struct {
		name      string
		server    roundTrip
		min, max  int
		retryable bool
	}{
		{"no access_token", answer(200, `{"token_type":"Bearer"}`), 1, 1, false},
		{"foreign token_type", answer(200, `{"access_token":"a","token_type":"mac"}`), 1, 1, false},
		{"array", answer(200, `[]`), 1, 1, false},
		{"broken JSON", answer(200, `{"access_token":`), 1, 1, false},
		{"empty", answer(200, ""), 4, 40, true},
		{"no connection", failure(&net.OpError{Op: "dial", Err: errors.New("connection refused")}), 4, 40, true},
		{"certificate", failure(x509.UnknownAuthorityError{}), 1, 1, false},
		{"code that is no word", answer(400, `{"error":"<invalid grant>"}`), 1, 1, false},
		{"answer that breaks off", answer(500, strings.Repeat("x", 2<<20)), 4, 40, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n := 0
				m, err := auth.NewManager(auth.Config{
					Resource: "https://mcp.example.com/mcp",
					Server:   &auth.Server{TokenEndpoint: "https://as.example.com/token"},
					Client:   auth.Client{ID: clientID},
					HTTPClient: &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
						n++
						return tc.server(r)
					})},
				})
				if err != nil {
					t.Fatal(err)
				}
				defer m.Close()
				if err := m.SetToken(t.Context(), &auth.Token{RefreshToken: "r"}); err != nil {
					t.Fatal(err)
				}
				_, err = m.Token(t.Context())
				if te := asError[*auth.TokenError](t, err); te.Retryable() != tc.retryable {
					t.Errorf("Retryable() = %t for %v", te.Retryable(), te)
				}
				if n < tc.min || n > tc.max {
					t.Errorf("%d requests, want %d to %d", n, tc.min, tc.max)
				}
			})
		})
	}
}

// Retry-After is obeyed in both of its forms, with jitter on top, and capped.
func TestRetryAfter(t *testing.T) {
	for _, tc := range []struct {
		fault authtest.Fault
		floor time.Duration
	}{
		{authtest.RetryAfter(429, 7*time.Second), 7 * time.Second},
		{authtest.RetryAfter(503, 7*time.Second), 7 * time.Second},
		{authtest.RetryAfterDate(429, 7*time.Second), 7 * time.Second},
		{authtest.RetryAfterDate(503, 7*time.Second), 7 * time.Second},
		{authtest.RetryAfter(503, time.Minute), time.Minute}, // longer than a refresh may take
		{authtest.RetryAfter(503, 24*time.Hour), maxRetryAfter},
		{authtest.RetryAfterDate(503, 24*time.Hour), maxRetryAfter},
	} {
		t.Run(tc.fault.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, authtest.Config{}, authtest.Protection{})
				m, old := k.started(k.onDemand())
				expire(old)
				k.srv.Inject(authtest.TokenEndpoint, tc.fault)
				began := time.Now()
				for {
					_, err := m.Token(t.Context())
					if err == nil {
						break
					}
					te := asError[*auth.TokenError](t, err)
					if te.RetryAfter != tc.floor || !te.NextAttempt.Equal(m.Info().RetryAt) {
						t.Errorf("RetryAfter %v, next attempt %v, Info says %v", te.RetryAfter, te.NextAttempt, m.Info().RetryAt)
					}
					time.Sleep(time.Until(te.NextAttempt))
				}
				if took := time.Since(began); took < tc.floor || took > tc.floor+time.Second {
					t.Errorf("tried again after %v, want %v and a little jitter", took, tc.floor)
				}
				k.wantRefreshes(2)
			})
		})
	}
}

// A lost answer costs nothing where the server still repeats it for a moment.
func TestLostAnswerIsAskedForAgainAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{RotationGrace: time.Second}, authtest.Protection{})
		m, old := k.started(k.onDemand())
		expire(old)
		k.srv.Inject(authtest.TokenEndpoint, authtest.ResetAfter())
		if status := k.call(mustToken(t, m)); status != http.StatusOK {
			t.Errorf("the MCP server answered %d", status)
		}
		if c := k.srv.Counts(); c.Refreshes != 2 || c.RotationsIssued != 1 || c.FamiliesRevoked != 0 {
			t.Errorf("counts %+v", c)
		}
	})
}

// Full jitter: no two clients wait the same, and waits grow (RFC 6749 says
// nothing) [invariants 9, 14].
func TestBackoffGrowsWithJitter(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		first := map[time.Duration]bool{}
		for range 10 {
			trace := &refreshEnds{}
			cfg := k.onDemand()
			cfg.Tracer = trace
			m, _ := k.started(cfg)
			k.srv.InjectAlways(authtest.TokenEndpoint, authtest.Status(500))
			if _, err := m.Refresh(t.Context()); err == nil {
				t.Fatal("no error")
			}
			k.srv.ClearFaults(authtest.TokenEndpoint)
			bound := 500 * time.Millisecond
			tries := trace.tries()
			for _, a := range tries {
				if a.Wait > bound {
					t.Errorf("attempt %d is followed by %v, want at most %v", a.Number, a.Wait, bound)
				}
				bound = min(2*bound, time.Minute)
			}
			first[tries[0].Wait] = true
		}
		if len(first) < 8 {
			t.Errorf("10 clients drew %d different waits", len(first))
		}
	})
}

// After a failure the callers get the cached error until the next attempt is
// due: 100 calls per millisecond change nothing about the schedule
// [invariant 15].
func TestNoRequestStorm(t *testing.T) {
	for _, tc := range []struct {
		name    string
		fault   authtest.Fault
		expired bool
		most    int // requests in 10 seconds
	}{
		{"500, token expired", authtest.Status(500), true, 60},
		{"500, token in its window", authtest.Status(500), false, 60},
		{"404, token expired", authtest.Status(404), true, 9},
		{"404, token in its window", authtest.Status(404), false, 9},
		{"reset, token expired", authtest.ResetBefore(), true, 20},
		{"invalid_grant, token expired", authtest.OAuthError("invalid_grant", 400), true, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, authtest.Config{}, authtest.Protection{})
				trace := &refreshEnds{}
				cfg := k.onDemand()
				cfg.Tracer, cfg.RefreshTimeout = trace, 2*time.Second
				m, old := k.started(cfg)
				if tc.expired {
					expire(old)
				} else {
					time.Sleep(time.Until(old.Expiry) - time.Minute)
				}
				k.srv.InjectAlways(authtest.TokenEndpoint, tc.fault)
				gone, cancel := context.WithCancel(t.Context())
				cancel() // a call does not wait: there is another soon
				for range 3000 {
					for range 100 {
						if tok, err := m.Token(gone); (err != nil) != tc.expired {
							t.Fatalf("Token: %v, %v", tok, err)
						}
					}
					time.Sleep(time.Millisecond)
				}
				time.Sleep(7 * time.Second)
				reqs := k.srv.TokenRequests()
				if len(reqs) > tc.most {
					t.Errorf("%d requests, want at most %d", len(reqs), tc.most)
				}
				tries, ends := trace.tries(), trace.all()
				for i := 1; i < len(reqs); i++ {
					due := reqs[i-1].Time.Add(tries[i-1].Wait)
					if tries[i-1].Wait == 0 { // the end of a refresh
						due = asError[*auth.TokenError](t, ends[tries[i-1].end].Err).NextAttempt
					}
					if reqs[i].Time.Before(due) {
						t.Errorf("request %d came %v before its time", i, due.Sub(reqs[i].Time))
					}
				}
			})
		})
	}
}
