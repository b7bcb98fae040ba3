package auth

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/mcptokens/mcptokens/internal/httpx"
)

// client is c (nil: the default) whose requests are told of, if anybody wants to
// know.
func (t *traced) client(c *http.Client) *http.Client {
	if !t.resends {
		return c
	}
	traced := http.Client{Timeout: 30 * time.Second}
	if c != nil {
		traced = *c
	}
	base := traced.Transport
	if base == nil {
		base = http.DefaultTransport
	}
	traced.Transport = &tracedTransport{base: base, traced: t}
	return &traced
}

// tracedTransport is told of each request that goes over the wire: above it
// net/http follows redirects, and the operations send again what failed.
type tracedTransport struct {
	base   http.RoundTripper
	traced *traced
}

// RoundTrip implements [http.RoundTripper].
func (t *tracedTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	u := &url.URL{Scheme: req.URL.Scheme, Host: req.URL.Host, Path: req.URL.Path, RawPath: req.URL.RawPath}
	resend := countResend(req.Context(), req.Method, u)
	for r := req.Response; r != nil && r.Request != nil; r = r.Request.Response {
		resend++ // a redirect led here
	}
	ctx := req.Context()
	if t.traced.request != nil {
		ctx = t.traced.request.TraceRequestStart(ctx, RequestStart{Method: req.Method, URL: u, Resend: resend})
	}
	start := time.Now()
	end := func(status int, err error) {
		if err != nil {
			err = httpx.NewTransportError(err)
		}
		if t.traced.request != nil {
			t.traced.request.TraceRequestEnd(ctx, RequestEnd{StatusCode: status, Err: err})
		}
		t.traced.debug(ctx, "request", err, slog.String("method", req.Method), slog.String("url", u.String()),
			slog.Int("status", status), slog.Int("resend", resend), slog.Duration("duration", time.Since(start)))
	}
	resp, err := t.base.RoundTrip(req.WithContext(ctx))
	switch {
	case err != nil:
		end(0, err)
	case resp == nil || resp.Body == nil: // net/http says what is wrong with that
		end(0, nil)
	default:
		resp.Request = req // rather than the copy
		resp.Body = &tracedBody{ReadCloser: resp.Body, end: func(err error) { end(resp.StatusCode, err) }}
	}
	return resp, err
}

// CloseIdleConnections is what [http.Client.CloseIdleConnections] looks for.
func (t *tracedTransport) CloseIdleConnections() {
	if c, ok := t.base.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// tracedBody calls end when the answer has been read, given up or has failed.
type tracedBody struct {
	io.ReadCloser
	once sync.Once
	end  func(error)
}

func (b *tracedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		b.once.Do(func() { b.end(nil) })
	} else if err != nil {
		b.once.Do(func() { b.end(err) })
	}
	return n, err
}

func (b *tracedBody) Close() error {
	b.once.Do(func() { b.end(nil) })
	return b.ReadCloser.Close()
}

// resends counts the requests of one operation by method and URL.
type resends struct {
	mu    sync.Mutex
	count map[string]int
}

type resendsKey struct{}

// withResends makes requests under ctx count as resends of each other, if
// somebody is told of them and no caller has done so.
func (t *traced) withResends(ctx context.Context) context.Context {
	if !t.resends || ctx.Value(resendsKey{}) != nil {
		return ctx
	}
	return context.WithValue(ctx, resendsKey{}, &resends{count: make(map[string]int)})
}

// countResend counts a request and returns how many there were before it.
func countResend(ctx context.Context, method string, u *url.URL) int {
	r, _ := ctx.Value(resendsKey{}).(*resends)
	if r == nil {
		return 0
	}
	key := method + " " + u.String()
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.count[key]
	r.count[key] = n + 1
	return n
}
