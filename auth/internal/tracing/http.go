package tracing

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"path"
	"reflect"
	"sync"
	"time"

	"github.com/mcptokens/mcptokens/auth/authtrace"
	"github.com/mcptokens/mcptokens/internal/httpx"
)

// Client returns a copy of c (nil: one with a timeout of 30 s) that tells of each
// request that goes over the wire; c itself if nobody hears of requests.
func (r *Reporter) Client(c *http.Client) *http.Client {
	if r.silent {
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
	if r.traced && instrumented(base) {
		r = New(nil, r.log) // its spans and metrics are there already
		if r.silent {
			return c
		}
	}
	traced.Transport = &roundTripper{base: base, reporter: r}
	return &traced
}

// instrumented reports whether base is otelhttp's transport, which makes a span and
// measures each request itself. It is known by its package: this one does not import it.
func instrumented(base http.RoundTripper) bool {
	t := reflect.TypeOf(base)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return path.Base(t.PkgPath()) == "otelhttp"
}

// roundTripper tells of each request that goes over the wire: above it net/http
// follows redirects, and the operations send again what failed.
type roundTripper struct {
	base     http.RoundTripper
	reporter *Reporter
}

// RoundTrip implements [http.RoundTripper].
func (t *roundTripper) RoundTrip(req *http.Request) (*http.Response, error) {
	u := &url.URL{Scheme: req.URL.Scheme, Host: req.URL.Host, Path: req.URL.Path, RawPath: req.URL.RawPath}
	resend := countResend(req.Context(), req.Method, u)
	for r := req.Response; r != nil && r.Request != nil; r = r.Request.Response {
		resend++ // a redirect led here
	}
	ctx := t.reporter.Start(req.Context(), authtrace.RequestStart{Method: req.Method, URL: u, Resend: resend})
	start := time.Now()
	end := func(status int, err error) {
		if err != nil {
			err = httpx.NewTransportError(err)
		}
		t.reporter.End(ctx, authtrace.RequestEnd{StatusCode: status, Err: err})
		t.reporter.Debug(ctx, "request", err, slog.String("method", req.Method), slog.String("url", u.String()),
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
		resp.Body = &body{ReadCloser: resp.Body, end: func(err error) { end(resp.StatusCode, err) }}
	}
	return resp, err
}

// CloseIdleConnections is what [http.Client.CloseIdleConnections] looks for.
func (t *roundTripper) CloseIdleConnections() {
	if c, ok := t.base.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// body calls end when the answer has been read, given up or has failed.
type body struct {
	io.ReadCloser
	once sync.Once
	end  func(error)
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		b.once.Do(func() { b.end(nil) })
	} else if err != nil {
		b.once.Do(func() { b.end(err) })
	}
	return n, err
}

func (b *body) Close() error {
	b.once.Do(func() { b.end(nil) })
	return b.ReadCloser.Close()
}

// resends counts the requests of one operation by method and URL.
type resends struct {
	mu    sync.Mutex
	count map[string]int
}

type resendsKey struct{}

// CountResends makes the requests under ctx count as resends of each other, if
// somebody hears of requests and no caller has done so.
func (r *Reporter) CountResends(ctx context.Context) context.Context {
	if r.silent || ctx.Value(resendsKey{}) != nil {
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
