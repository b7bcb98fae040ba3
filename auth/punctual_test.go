package auth

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync/atomic"
	"testing"
	"testing/synctest"
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
				e := &m.cfg.obtainer.endpoint
				resp, s, err := e.post(ctx, e.finder.Unguarded(), &Server{}, &Client{ID: "c"}, srv.URL, url.Values{"grant_type": {tc.grant}}, nil)
				if err == nil {
					drain(resp.Body)
				}
				return s.whole, err
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

// What was sent is known from what the transport read of the body, unless it then
// had no connection to send it on.
func TestWhatWasSent(t *testing.T) {
	read := func(r *http.Request, n int64) { _, _ = io.CopyN(io.Discard, r.Body, n) }
	dial := &net.OpError{Op: "dial", Err: errors.New("refused")}
	for name, tc := range map[string]struct {
		do   func(r *http.Request) error
		want bool
	}{
		"nothing was read":             {func(*http.Request) error { return io.ErrUnexpectedEOF }, false},
		"a part was read":              {func(r *http.Request) error { read(r, 3); return io.ErrUnexpectedEOF }, false},
		"all was read":                 {func(r *http.Request) error { read(r, r.ContentLength); return io.ErrUnexpectedEOF }, true},
		"read before there is anybody": {func(r *http.Request) error { read(r, r.ContentLength); return dial }, false},
		// Somebody on the way who writes plain text into the answer's place.
		"read, and then plain HTTP": {func(r *http.Request) error {
			read(r, r.ContentLength)
			return tls.RecordHeaderError{RecordHeader: [5]byte([]byte("HTTP/"))}
		}, true},
		"opened again": {func(r *http.Request) error {
			read(r, r.ContentLength)
			var err error
			if r.Body, err = r.GetBody(); err != nil {
				return err
			}
			return io.ErrUnexpectedEOF
		}, false},
		"opened and read again": {func(r *http.Request) error {
			var err error
			if r.Body, err = r.GetBody(); err != nil {
				return err
			}
			read(r, r.ContentLength)
			return io.ErrUnexpectedEOF
		}, true},
	} {
		for _, grant := range []string{"refresh_token", "client_credentials"} {
			t.Run(name+"/"+grant, func(t *testing.T) {
				hc := &http.Client{Transport: transportFunc(func(r *http.Request) (*http.Response, error) { return nil, tc.do(r) })}
				m, err := NewManager(Config{Resource: "https://mcp.example.com", HTTPClient: hc})
				if err != nil {
					t.Fatal(err)
				}
				defer m.Close()
				e := &m.cfg.obtainer.endpoint
				_, s, err := e.post(t.Context(), hc, &Server{}, &Client{ID: "c"}, "https://as.example.com/token", url.Values{"grant_type": {grant}}, nil)
				if err == nil || s.whole != tc.want {
					t.Errorf("whole: %t, want %t (%v)", s.whole, tc.want, err)
				}
			})
		}
	}
}

// A transport that has sent all of a large body may look then whether there is more.
// That is no moment to find that it is too late.
func TestLateOnceItIsSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hc := &http.Client{Transport: transportFunc(func(r *http.Request) (*http.Response, error) {
			if _, err := io.CopyN(io.Discard, r.Body, r.ContentLength); err != nil {
				return nil, err
			}
			time.Sleep(time.Minute)
			if more, err := io.Copy(io.Discard, r.Body); more != 0 || err != nil {
				return nil, fmt.Errorf("%d bytes more: %w", more, err)
			}
			return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
		})}
		m, err := NewManager(Config{Resource: "https://mcp.example.com", HTTPClient: hc})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		e := &m.cfg.obtainer.endpoint
		resp, _, err := e.post(ctx, hc, &Server{}, &Client{ID: "c"}, "https://as.example.com/token", url.Values{"grant_type": {"refresh_token"}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		drain(resp.Body)
	})
}

type transportFunc func(*http.Request) (*http.Response, error)

func (f transportFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
