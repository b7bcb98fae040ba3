package auth_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/authtrace"
)

// A manager that nobody asks keeps its token fresh.
func TestIdleManagerRefreshes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		ends := &refreshEnds{}
		cfg := k.config()
		cfg.Tracer = ends
		m, old := k.started(cfg)
		planned := m.Info().RefreshAt
		if before := old.Expiry.Sub(planned); before < 5*time.Minute/2 || before > 5*time.Minute {
			t.Errorf("planned %v before the expiry, want 5 minutes and up to a half less", before)
		}
		time.Sleep(24*time.Hour + 30*time.Minute)
		reqs := k.srv.TokenRequests()
		if len(reqs) < 24 || len(reqs) > 27 { // an hour minus the window each
			t.Fatalf("%d refreshes in 24.5 hours of tokens that live for one", len(reqs))
		}
		if !reqs[0].Time.Equal(planned) {
			t.Errorf("refreshed at %v, planned at %v", reqs[0].Time, planned)
		}
		for _, end := range ends.all() {
			if end.Outcome != authtrace.OutcomeRefreshed || !end.Rotated || end.Unsaved || end.Attempts != 1 {
				t.Errorf("traced %+v", end)
			}
		}
		for _, start := range ends.begun() {
			if start.Trigger != authtrace.TriggerTimer {
				t.Errorf("trigger %q, want the timer", start.Trigger)
			}
		}
		if status := k.call(mustToken(t, m)); status != http.StatusOK {
			t.Errorf("the MCP server answered %d", status)
		}
	})
}

func TestNoIdleRefresh(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		ends := &refreshEnds{}
		cfg := k.onDemand()
		cfg.Tracer = ends
		m, old := k.started(cfg)
		time.Sleep(time.Until(m.Info().RefreshAt))
		time.Sleep(time.Minute)
		k.wantRefreshes(0)
		if mustToken(t, m).AccessToken != old.AccessToken {
			t.Error("not served inside the window")
		}
		time.Sleep(time.Second)
		k.wantRefreshes(1)

		time.Sleep(24 * time.Hour)
		k.wantRefreshes(1)
		if status := k.call(mustToken(t, m)); status != http.StatusOK {
			t.Errorf("the MCP server answered %d", status)
		}
		if begun := ends.begun(); len(begun) != 2 || begun[0].Trigger != authtrace.TriggerEarly || begun[1].Trigger != authtrace.TriggerExpired {
			t.Errorf("traced %+v", begun)
		}
	})
}

// Configured windows, and tokens that live shorter than them [invariants
// 7, 9]: the window of a token that the server issued is at most
// half its life.
func TestRefreshWindow(t *testing.T) {
	for _, tc := range []struct {
		life, window, want time.Duration
	}{
		{time.Hour, 0, 5 * time.Minute},
		{time.Hour, 10 * time.Minute, 10 * time.Minute},
		{10 * time.Minute, 0, 5 * time.Minute},
		{time.Minute, 0, 30 * time.Second},
		{2 * time.Second, time.Hour, time.Second},
	} {
		t.Run(fmt.Sprintf("life %v window %v", tc.life, tc.window), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, authtest.Config{AccessTokenTTL: tc.life}, authtest.Protection{})
				cfg := k.onDemand()
				cfg.RefreshWindow = tc.window
				m, _ := k.started(cfg)
				if _, err := m.Refresh(t.Context()); err != nil {
					t.Fatal(err)
				}
				i := m.Info()
				if got := i.Expiry.Sub(i.RefreshAt); got < tc.want || got > tc.want+tc.want/10 {
					t.Errorf("refreshed %v before the expiry, want %v and up to a tenth", got, tc.want)
				}
			})
		})
	}
}

// The window is drawn once per token, not once per look at it.
func TestWindowIsDrawnOncePerToken(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		m, _ := k.started(k.config())
		windows := map[time.Duration]bool{}
		for range 20 {
			i := m.Info()
			mustToken(t, m)
			if again := m.Info(); !again.RefreshAt.Equal(i.RefreshAt) {
				t.Fatalf("planned at %v, then at %v", i.RefreshAt, again.RefreshAt)
			}
			windows[i.Expiry.Sub(i.RefreshAt)] = true
			if _, err := m.Refresh(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if len(windows) < 15 {
			t.Errorf("%d different windows for 20 tokens: a fleet would refresh in step", len(windows))
		}
	})
}

// The clock that counts is the wall clock [invariant 7]: an expiry
// carries no monotonic part, which stands still while a laptop sleeps. A
// bubble's clock has none either, so this test uses the real one.
func TestExpiryIsWallClock(t *testing.T) {
	k := newKit(t, authtest.Config{}, authtest.Protection{})
	given := k.token()
	given.Expiry = time.Now().Add(time.Hour)
	if !strings.Contains(given.Expiry.String(), "m=") {
		t.Fatal("the test's own expiry carries no monotonic clock")
	}
	m := k.manager(k.config())
	if err := m.SetToken(t.Context(), given); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		i := m.Info()
		for _, at := range []time.Time{mustToken(t, m).Expiry, i.Expiry, i.RefreshAt} {
			if strings.Contains(at.String(), "m=") {
				t.Errorf("%v carries a monotonic clock", at)
			}
		}
		if _, err := m.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// A failed early refresh is tried again from the timer, at growing intervals
// whatever the error, until the token dies; then nothing more is sent until
// somebody asks.
func TestTimerGoesOnAfterFailure(t *testing.T) {
	for _, fault := range []authtest.Fault{
		authtest.Status(500), authtest.Status(404), authtest.ResetBefore(), authtest.HTML(), authtest.OAuthError("temporarily_unavailable", 400),
	} {
		t.Run(fault.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, authtest.Config{}, authtest.Protection{})
				m, old := k.started(k.config())
				k.srv.InjectAlways(authtest.TokenEndpoint, fault)
				time.Sleep(time.Until(old.Expiry) + time.Minute)
				n := k.refreshes()
				if n < 5 || n > 100 {
					t.Errorf("%d requests inside a window of 5 minutes", n)
				}
				time.Sleep(24 * time.Hour)
				k.wantRefreshes(n)
				k.srv.ClearFaults(authtest.TokenEndpoint)
				if status := k.call(mustToken(t, m)); status != http.StatusOK {
					t.Errorf("the MCP server answered %d", status)
				}
			})
		})
	}
}

// It recovers from the timer, too, without anybody's help.
func TestTimerRecovers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		m, old := k.started(k.config())
		k.srv.InjectAlways(authtest.TokenEndpoint, authtest.Status(500))
		time.Sleep(time.Until(m.Info().RefreshAt) + 2*time.Minute)
		k.srv.ClearFaults(authtest.TokenEndpoint)
		time.Sleep(time.Until(old.Expiry))
		if i := m.Info(); i.State != auth.StateFresh || i.LastError != nil {
			t.Errorf("state %q, last error %v", i.State, i.LastError)
		}
		if reqs := k.srv.TokenRequests(); reqs[len(reqs)-1].Status != http.StatusOK {
			t.Errorf("the last request got %d", reqs[len(reqs)-1].Status)
		}
	})
}

// A token from the store is as old as it is: what is due is done at once.
func TestTokenFromTheStoreIsScheduled(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{AccessTokenTTL: time.Minute}, authtest.Protection{})
		cfg := k.config()
		cfg.Store = new(auth.MemoryStore)
		first, _ := k.started(cfg)
		tok, err := first.Refresh(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(40 * time.Second) // into the window of 30 s

		cfg.NoIdleRefresh = true // the timer would be due at once, and be faster at times
		m := k.manager(cfg)
		if got := mustToken(t, m); got.AccessToken != tok.AccessToken {
			t.Errorf("got %v, want the stored token", got)
		}
		time.Sleep(time.Second)
		k.wantRefreshes(2)
		if i := m.Info(); i.State != auth.StateFresh {
			t.Errorf("state %q", i.State)
		}
	})
}
