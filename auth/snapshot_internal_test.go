package auth

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcptokens/mcptokens/auth/internal/lifecycle"
)

// quiet is a manager that has a token and no network.
func quiet(t *testing.T, tok *Token, change ...func(*Config)) *Manager {
	t.Helper()
	cfg := Config{
		Resource:   "https://mcp.example.com/mcp",
		Server:     &Server{Issuer: "https://as.example.com", TokenEndpoint: "https://as.example.com/token"},
		Client:     Client{ID: "c"},
		HTTPClient: &http.Client{Transport: noNetwork{t}},
	}
	for _, f := range change {
		f(&cfg)
	}
	m, err := NewManager(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	if err := m.SetToken(t.Context(), tok); err != nil {
		t.Fatal(err)
	}
	return m
}

type noNetwork struct{ t *testing.T }

func (n noNetwork) RoundTrip(r *http.Request) (*http.Response, error) {
	n.t.Errorf("request to %s, want none", r.URL)
	return nil, errors.New("no network here")
}

// The fresh-token path takes no lock: it returns while somebody holds it.
func TestFreshTokenPathTakesNoLock(t *testing.T) {
	m := quiet(t, &Token{AccessToken: "a", RefreshToken: "r", Expiry: time.Now().Add(time.Hour)})
	m.mu.Lock()
	defer m.mu.Unlock()
	done := make(chan error, 1)
	go func() {
		_, err := m.Token(context.Background())
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("Token waits for the manager's lock")
	}
}

// Nor does the path that serves a token while its refresh runs or is not due
// again: the snapshot is renewed for it.
func TestSnapshotDuringTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := quiet(t, &Token{AccessToken: "a", RefreshToken: "r", Expiry: time.Now().Add(time.Minute)}, func(c *Config) {
			c.NoIdleRefresh, c.HTTPClient = true, &http.Client{Transport: down{}}
		})
		tok := m.vault.current().Token
		until := func() time.Time {
			if s := m.current.Load(); s != nil {
				return time.Unix(0, s.until)
			}
			return time.Time{}
		}
		ask := func() {
			t.Helper()
			if _, err := m.Token(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if until().After(time.Now()) {
			t.Error("a due refresh would not be started")
		}
		ask()
		if !until().Equal(tok.Expiry) {
			t.Errorf("until %v while a refresh runs, want the expiry", until())
		}
		for m.Info().Refreshing {
			time.Sleep(time.Second)
		}
		next := m.Info().RetryAt
		if next.IsZero() || !next.Before(tok.Expiry) || !until().Equal(next) {
			t.Errorf("until %v after a failure, want the next attempt at %v", until(), next)
		}
		time.Sleep(time.Until(next))
		for wallNow().Before(tok.Expiry) {
			ask()
			for m.Info().Refreshing {
				time.Sleep(time.Second)
			}
			if until().After(tok.Expiry) {
				t.Errorf("until %v, past the expiry", until())
			}
			time.Sleep(time.Second)
		}
	})
}

// down is a server that cannot be reached for five seconds.
type down struct{}

func (down) RoundTrip(*http.Request) (*http.Response, error) {
	time.Sleep(5 * time.Second)
	return &http.Response{StatusCode: 401, Header: http.Header{}, Body: http.NoBody}, nil
}

// Nor do callers of a token that has expired, once its renewal is under way: they
// find it in the snapshot.
func TestSnapshotOfARenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := quiet(t, &Token{AccessToken: "a", RefreshToken: "r", Expiry: time.Now().Add(time.Minute)}, func(c *Config) {
			c.NoIdleRefresh, c.HTTPClient = true, &http.Client{Transport: hang{}}
		})
		time.Sleep(2 * time.Minute)
		if s := m.current.Load(); s != nil && s.token.live(wallNow()) {
			t.Fatal("the token lives on")
		}
		impatient, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := m.Token(impatient); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		m.mu.Lock()
		renewal := m.running(lifecycle.Renew)
		m.mu.Unlock()
		if s := m.current.Load(); s == nil || s.renewal == nil || s.renewal != renewal {
			t.Error("the next caller has to look for the renewal under the lock")
		}
		time.Sleep(time.Minute) // it has failed
		if s := m.current.Load(); s != nil {
			t.Error("the next caller waits for a renewal that is over")
		}
	})
}

// hang is a server that never answers.
type hang struct{}

func (hang) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// The wall clock was set back while the timer slept: it is not due yet.
func TestTimerLooksAtTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := quiet(t, &Token{AccessToken: "a", RefreshToken: "r", Expiry: time.Now().Add(time.Hour)})
		m.flights.Stop(m.st.timer) // it fires now
		m.flights.Enter()          // as Arm does
		m.onTimer()
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.running(lifecycle.Renew) != nil {
			t.Error("a timer that fired too early started a refresh")
		}
		if m.st.timer == nil || !time.Unix(0, m.st.wake).After(wallNow()) {
			t.Error("the timer was not set again")
		}
	})
}

func TestWallNow(t *testing.T) {
	if s := wallNow().String(); strings.Contains(s, "m=") {
		t.Errorf("%s carries a monotonic clock", s)
	}
}
