package tracing

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcptokens/mcptokens/auth/authtrace"
	"github.com/mcptokens/mcptokens/auth/internal/tracing/internal/otelhttp"
)

// heard is a tracer that writes down the type and value of what it hears, and
// the name of the operation in the contexts.
type heard struct{ lines []string }

type nameKey struct{}

func named(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, nameKey{}, name)
}

func name(ctx context.Context) any { return ctx.Value(nameKey{}) }

func (h *heard) Start(ctx, link context.Context, s authtrace.Start) context.Context {
	if r, ok := s.(authtrace.RequestStart); ok {
		h.lines = append(h.lines, fmt.Sprintf("%s %s resend %d", r.Method, r.URL, r.Resend))
	} else {
		h.lines = append(h.lines, fmt.Sprintf("%v->%v %T%+v", name(ctx), name(link), s, s))
	}
	return named(ctx, "started")
}

func (h *heard) End(ctx context.Context, e authtrace.End) {
	h.lines = append(h.lines, fmt.Sprintf("%v %T%+v", name(ctx), e, e))
}

func (h *heard) Point(ctx context.Context, p authtrace.Point) {
	h.lines = append(h.lines, fmt.Sprintf("%v %T%+v", name(ctx), p, p))
}

func (h *heard) want(t *testing.T, want ...string) {
	t.Helper()
	if !slices.Equal(h.lines, want) {
		t.Errorf("heard\n\t%s\nwant\n\t%s", strings.Join(h.lines, "\n\t"), strings.Join(want, "\n\t"))
	}
	h.lines = nil
}

var discard = slog.New(slog.DiscardHandler)

func debugLog(w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Value.Kind() == slog.KindDuration {
			return slog.Attr{}
		}
		return a
	}}))
}

// roundTrip is an http.RoundTripper.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestReporterWithNobodyToTell(t *testing.T) {
	r := New(nil, discard)
	c := &http.Client{}
	if r.Client(c) != c || r.Client(nil) != nil {
		t.Error("the client was wrapped")
	}
	if !r.Silent() || r.Traced() {
		t.Errorf("silent %v, traced %v", r.Silent(), r.Traced())
	}
	ctx := t.Context()
	operation := func(context.Context) context.Context {
		t.Error("asked for the operation")
		return ctx
	}
	if n := testing.AllocsPerRun(100, func() {
		if r.CountResends(ctx) != ctx {
			t.Error("resends are counted")
		}
		r.Wait(ctx, authtrace.WaitStart{For: authtrace.AwaitedRefresh, Resource: "r"}, operation)(nil)
		op := r.StartRefresh(ctx, ctx, authtrace.RefreshStart{Issuer: "i"})
		r.Attempt(op, authtrace.Attempt{Number: 1})
		r.EndRefresh(op, authtrace.RefreshEnd{Issuer: "i"})
		r.Resend(ctx, authtrace.Resend{Resource: "r", Tries: 1})
		r.Refused(ctx, authtrace.Refused{Resource: "r", Err: context.Canceled})
	}); n != 0 {
		t.Errorf("%g allocations, want none", n)
	}
}

// Each has a reason of its own to hear of waits and requests.
func TestReporterIsNotSilent(t *testing.T) {
	for what, r := range map[string]*Reporter{
		"tracer":         New(authtrace.Nop{}, discard),
		"tracer alone":   New(authtrace.Nop{}, nil),
		"log":            New(nil, debugLog(io.Discard)),
		"tracer and log": New(&heard{}, debugLog(io.Discard)),
	} {
		if c := (&http.Client{}); r.Silent() || r.Client(c) == c || r.CountResends(t.Context()) == t.Context() {
			t.Errorf("silent to a %s", what)
		}
	}
}

func TestReporterTellsTracerAndLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, log := &heard{}, new(bytes.Buffer)
		r := New(h, debugLog(log))
		ctx, refused := named(t.Context(), "call"), errors.New("of the store")

		began := r.StartRefresh(ctx, named(t.Context(), "trigger"), authtrace.RefreshStart{Issuer: "i"})
		r.Attempt(began, authtrace.Attempt{Number: 1, Wait: time.Second, Err: refused})
		r.Step(began, authtrace.StepSave, time.Now(), nil)
		r.EndRefresh(began, authtrace.RefreshEnd{Issuer: "i"})
		r.End(r.StartLinked(ctx, named(t.Context(), "trigger"), authtrace.AuthorizationStart{Grant: "g"}), authtrace.AuthorizationEnd{Issuer: "i"})
		r.Start(ctx, authtrace.UserStart{Issuer: "i"})
		waited := r.Wait(ctx, authtrace.WaitStart{For: authtrace.AwaitedStore}, func(context.Context) context.Context { return named(t.Context(), "operation") })
		time.Sleep(time.Second)
		waited(context.Canceled)
		r.Resend(ctx, authtrace.Resend{Resource: "r", Operation: "tools/call secret", Delay: time.Second, Tries: 2})
		r.Refused(ctx, authtrace.Refused{Resource: "r", Operation: "tools/call secret", RetryAt: time.Unix(1, 0).UTC(), Err: refused})
		r.Say(ctx, "done", nil)
		r.Say(ctx, "not done", refused)

		h.want(t,
			"call->trigger authtrace.RefreshStart{Resource: Issuer:i Trigger: Scopes:[]}",
			"started authtrace.Attempt{Number:1 Wait:1s Err:of the store}",
			"started authtrace.Step{Kind:save Duration:0s Err:<nil>}",
			"started authtrace.RefreshEnd{Outcome: Issuer:i Grant: Attempts:0 Expiry:0001-01-01 00:00:00 +0000 UTC Scopes:[] Rotated:false Unsaved:false Err:<nil>}",
			"call->trigger authtrace.AuthorizationStart{Resource: Grant:g Trigger: Scopes:[] Took:0s}",
			"started authtrace.AuthorizationEnd{Issuer:i Scopes:[] Expiry:0001-01-01 00:00:00 +0000 UTC Unsaved:false Err:<nil>}",
			"call-><nil> authtrace.UserStart{Issuer:i Grant:}",
			"call->operation authtrace.WaitStart{For:store Resource:}",
			"started authtrace.WaitEnd{For:store Duration:1s Err:context canceled}",
			"call authtrace.Resend{Resource:r Operation:tools/call secret Delay:1s Tries:2}",
			"call authtrace.Refused{Resource:r Operation:tools/call secret RetryAt:1970-01-01 00:00:01 +0000 UTC Err:of the store}",
		)
		const want = `level=INFO msg="request failed and will be sent again" issuer=i attempt=1 error="of the store"
level=DEBUG msg=store issuer=i step=save
level=DEBUG msg=waited for=store error=canceled
level=DEBUG msg="request sent again with the same token" resource=r tries=2
level=DEBUG msg="refused at once" resource=r retry_at=1970-01-01T00:00:01.000Z error="failed (*errors.errorString)"
level=INFO msg=done
level=WARN msg="not done" error="of the store"
`
		if log.String() != want {
			t.Errorf("logged\n%swant\n%s", log, want)
		}
	})
}

// A program may have a tracer and no log.
func TestReporterWithoutLog(t *testing.T) {
	h := &heard{}
	r := New(h, nil)
	r.Say(t.Context(), "done", nil)
	r.Debug(t.Context(), "done", nil)
	r.Log(t.Context(), slog.LevelError, "done", errors.New("it"))
	r.Attempt(t.Context(), authtrace.Attempt{Number: 1, Wait: time.Second, Err: errors.New("it")})
	h.want(t, "<nil> authtrace.Attempt{Number:1 Wait:1s Err:it}")
	if !New(nil, nil).Silent() {
		t.Error("not silent without tracer and log")
	}
}

// Log has the level that it was given, and says no more of an error than Say.
func TestReporterLogsAtALevel(t *testing.T) {
	log := new(bytes.Buffer)
	r := New(nil, slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelInfo, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}})))
	r.Log(t.Context(), slog.LevelError, "not stored", errors.New("of the store"), slog.String("resource", "r"))
	r.Log(t.Context(), slog.LevelInfo, "odd", context.DeadlineExceeded)
	r.Log(t.Context(), slog.LevelDebug, "not heard", errors.New("of the store"))
	const want = `level=ERROR msg="not stored" resource=r error="of the store"
level=INFO msg=odd error="context deadline exceeded"
`
	if log.String() != want {
		t.Errorf("logged\n%swant\n%s", log, want)
	}
}

func TestClientTellsOfRequests(t *testing.T) {
	answers := map[string]struct {
		answer func() (*http.Response, error)
		end    string
	}{
		"read to its end": {func() (*http.Response, error) {
			return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader("{}"))}, nil
		}, "{StatusCode:200 Err:<nil>}"},
		"broken off": {func() (*http.Response, error) {
			return &http.Response{StatusCode: 200, Body: io.NopCloser(io.MultiReader(strings.NewReader("{"), failing{io.ErrUnexpectedEOF}))}, nil
		}, "{StatusCode:200 Err:connection closed before the whole answer arrived}"},
		"no answer": {func() (*http.Response, error) { return nil, errors.New("of the store") }, "{StatusCode:0 Err:failed (*errors.errorString)}"},
	}
	for what, tt := range answers {
		t.Run(what, func(t *testing.T) {
			h := &heard{}
			r := New(h, discard)
			c := r.Client(&http.Client{Transport: roundTrip(func(req *http.Request) (*http.Response, error) {
				if name(req.Context()) != "started" {
					t.Error("the request is not under the tracer's context")
				}
				return tt.answer()
			})})
			ctx := r.CountResends(t.Context())
			for i := range 2 {
				req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://user:secret@as.example.com/p?key=secret#secret", nil)
				if err != nil {
					t.Fatal(err)
				}
				if resp, err := c.Do(req); err == nil {
					_, _ = io.Copy(io.Discard, resp.Body)
					_ = resp.Body.Close()
				}
				h.want(t, fmt.Sprintf("GET https://as.example.com/p resend %d", i), "started authtrace.RequestEnd"+tt.end)
			}
		})
	}
}

// otelhttp makes a span of each request itself: there is no second one, and the log
// has its line.
func TestClientLeavesRequestsToOTelHTTP(t *testing.T) {
	h, log := &heard{}, new(bytes.Buffer)
	answer := roundTrip(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
	})
	for _, base := range []http.RoundTripper{otelhttp.Transport{RoundTripper: answer}, &otelhttp.Transport{RoundTripper: answer}} {
		resp, err := New(h, debugLog(log)).Client(&http.Client{Transport: base}).Get("https://as.example.com/p")
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		h.want(t)
		if !strings.Contains(log.String(), "url=https://as.example.com/p") {
			t.Errorf("logged %q", log)
		}
		log.Reset()
		plain := &http.Client{Transport: base}
		if c := New(h, nil).Client(plain); c != plain {
			t.Error("there is a wrapper, and nobody to hear of requests")
		}
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
