package auth

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync/atomic"
	"testing"
	"time"
)

// stopped is a context as a process finds it that was suspended: its time is
// over, and its timer has not fired yet.
type stopped struct {
	context.Context
	end time.Time
}

func (s stopped) Deadline() (time.Time, bool) { return s.end, true }

// A refresh token is not sent when the store was read too long ago, by either
// clock: only the wall clock goes on while a laptop sleeps. Other requests have
// nothing to lose.
func TestNothingIsSentTooLate(t *testing.T) {
	var sent atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.ParseForm() == nil && r.PostForm.Has("grant_type") {
			sent.Add(1)
		}
	}))
	defer srv.Close()
	m, err := NewManager(Config{Resource: "https://mcp.example.com", HTTPClient: srv.Client()})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	now := time.Now()
	for name, tc := range map[string]struct {
		grant string
		end   time.Time
		late  bool
	}{
		"in time":           {"refresh_token", now.Add(time.Minute), false},
		"suspended":         {"refresh_token", now.Add(-time.Millisecond), true},
		"a laptop slept":    {"refresh_token", now.Add(-time.Millisecond).Round(0), true},
		"no refresh token":  {"client_credentials", now.Add(-time.Millisecond), false},
		"the clock is late": {"refresh_token", now.Add(24 * time.Hour).Round(0), false},
	} {
		t.Run(name, func(t *testing.T) {
			before := sent.Load()
			post := func(ctx context.Context) (bool, error) {
				resp, written, err := m.postForm(ctx, &Server{}, &Client{ID: "c"}, srv.URL, url.Values{"grant_type": {tc.grant}}, "")
				if err == nil {
					drain(resp.Body)
				}
				return written, err
			}
			if _, err := post(t.Context()); err != nil { // so that there is a connection
				t.Fatal(err)
			}
			written, err := post(stopped{t.Context(), tc.end})
			if got := sent.Load() - before - 1; got != map[bool]int32{false: 1, true: 0}[tc.late] {
				t.Errorf("sent %d times: %v", got, err)
			}
			if tc.late && (!errors.Is(err, errOverdue) || written) {
				t.Errorf("error %v, written: %t", err, written)
			}
		})
	}
}
