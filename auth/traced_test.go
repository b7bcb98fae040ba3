package auth_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
)

// story is a tracer that writes down what it is told, one line each, in order.
// The name of an operation is in its context, so that a line can say under which
// one it came.
type story struct {
	mu    sync.Mutex
	lines []string
	open  map[*auth.Manager]bool
}

type storyKey struct{}

func under(ctx context.Context) string {
	name, _ := ctx.Value(storyKey{}).(string)
	return name
}

func (s *story) say(ctx context.Context, format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, strings.TrimSpace(under(ctx)+": "+fmt.Sprintf(format, args...)))
}

// told returns the lines so far and begins anew.
func (s *story) told() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	lines := s.lines
	s.lines = nil
	return lines
}

func (s *story) start(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, storyKey{}, name)
}

func (s *story) TraceRefreshStart(ctx, caller context.Context, d auth.RefreshStart) context.Context {
	s.say(ctx, "refresh for %q", under(caller))
	return s.start(ctx, "refresh")
}
func (s *story) TraceRefreshEnd(ctx context.Context, d auth.RefreshEnd) { s.say(ctx, "%s", d.Outcome) }
func (s *story) TraceAttempt(ctx context.Context, d auth.Attempt)       { s.say(ctx, "attempt %d", d.Number) }
func (s *story) TraceStep(ctx context.Context, d auth.Step) {
	s.say(ctx, "%s %v %v", d.Kind, d.Duration, d.Err)
}
func (s *story) TraceRequestStart(ctx context.Context, d auth.RequestStart) context.Context {
	s.say(ctx, "%s %s, resend %d", d.Method, d.URL.Path+d.URL.RawQuery, d.Resend)
	return s.start(ctx, under(ctx)+" request")
}
func (s *story) TraceRequestEnd(ctx context.Context, d auth.RequestEnd) {
	s.say(ctx, "%d %v", d.StatusCode, d.Err)
}
func (s *story) TraceWaitStart(ctx, operation context.Context, d auth.WaitStart) context.Context {
	s.say(ctx, "waits for %s %q", d.For, under(operation))
	return ctx
}
func (s *story) TraceWaitEnd(ctx context.Context, d auth.WaitEnd) {
	s.say(ctx, "waited for %s %v %v", d.For, d.Duration, d.Err)
}
func (s *story) TraceAuthorizationStart(ctx, _ context.Context, _ auth.AuthorizationStart) context.Context {
	return s.start(ctx, "authorization")
}
func (s *story) TraceAuthorizationEnd(context.Context, auth.AuthorizationEnd) {}
func (s *story) TraceUserStart(ctx context.Context, d auth.UserStart) context.Context {
	s.say(ctx, "asks the user")
	return s.start(ctx, "user")
}
func (s *story) TraceUserEnd(ctx context.Context, d auth.UserEnd) { s.say(ctx, "answered %v", d.Err) }
func (s *story) TraceExchangeStart(ctx context.Context, d auth.ExchangeStart) context.Context {
	s.say(ctx, "exchanges by %s", d.Grant)
	return s.start(ctx, "exchange")
}
func (s *story) TraceExchangeEnd(ctx context.Context, d auth.ExchangeEnd) { s.say(ctx, "%v", d.Err) }
func (s *story) TraceManagerOpen(m *auth.Manager) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open[m] = true
}
func (s *story) TraceManagerClose(m *auth.Manager) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, m)
}

// wantStory compares the lines so far, in whatever order the goroutines came.
func (k *kit) wantStory(s *story, want ...string) {
	k.t.Helper()
	synctest.Wait()
	got := s.told()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		k.t.Errorf("told\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

func TestTracerIsToldOfEveryStep(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		s := &story{open: map[*auth.Manager]bool{}}
		cfg := k.onDemand()
		cfg.Tracer = s
		m, _ := k.started(cfg, "a")
		if !s.open[m] {
			t.Error("not told of the new manager")
		}
		k.wantStory(s, ": lock 0s <nil>", ": save 0s <nil>")
		time.Sleep(2 * time.Hour)
		k.srv.Inject(authtest.TokenEndpoint, authtest.ResetBefore(), authtest.Status(503), authtest.Delay(2*time.Second))
		callers := []context.Context{s.start(t.Context(), "first"), s.start(t.Context(), "second")}
		for i, ctx := range callers {
			go func() { _, _ = m.Token(ctx) }()
			if i == 0 {
				synctest.Wait()
			}
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		got := s.told()
		for i, line := range got { // whose duration depends on the jitter
			if strings.Contains(line, "waited for") {
				got[i], _, _ = strings.Cut(line, " refresh ")
			}
		}
		want := []string{
			`: refresh for "first"`,
			`first: waits for refresh "refresh"`,
			`refresh: lock 0s <nil>`,
			`refresh: POST /token, resend 0`,
			`refresh request: 0 connection closed before the whole answer arrived`,
			`refresh: attempt 1`,
			`second: waits for refresh "refresh"`,
			`refresh: lock 0s <nil>`,
			`refresh: POST /token, resend 1`,
			`refresh request: 503 <nil>`,
			`refresh: attempt 2`,
			`refresh: lock 0s <nil>`,
			`refresh: POST /token, resend 2`,
			`refresh request: 200 <nil>`,
			`refresh: save 0s <nil>`,
			`refresh: attempt 3`,
			`refresh: refreshed`,
			`first: waited for`,
			`second: waited for`,
		}
		s.lines = got
		k.wantStory(s, want...)
		_ = m.Close()
		if s.open[m] {
			t.Error("not told that the manager was closed")
		}
	})
}

func TestTracerIsToldOfTheUsersTime(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		s := &story{open: map[*auth.Manager]bool{}}
		cfg := k.config()
		cfg.Grant, cfg.Tracer = k.login(), s
		k.srv.Inject(authtest.AuthorizeEndpoint, authtest.Delay(time.Minute))
		if _, err := k.manager(cfg).Authorize(s.start(t.Context(), "call")); err != nil {
			t.Fatal(err)
		}
		k.wantStory(s,
			`call: waits for authorization "authorization"`,
			`authorization: attempt 1`, // discovery, of which there is none
			`authorization: asks the user`,
			`user: answered <nil>`,
			`authorization: exchanges by authorization_code`,
			`exchange: POST /token, resend 0`,
			`exchange request: 200 <nil>`,
			`exchange: attempt 1`,
			`exchange: <nil>`,
			`authorization: lock 0s <nil>`,
			`authorization: save 0s <nil>`,
			`call: waited for authorization 1m0s <nil>`,
		)
	})
}

// Each redirect is a request of its own, and a resend.
func TestTracerIsToldOfRedirects(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		s := &story{open: map[*auth.Manager]bool{}}
		cfg := k.discovered()
		cfg.Tracer = s
		k.srv.Inject(authtest.ResourceMetadataEndpoint, authtest.Redirect("/moved?key=secret"))
		if _, err := k.manager(cfg).Authorize(t.Context()); err != nil {
			t.Fatal(err)
		}
		got := s.told()
		for _, want := range []string{
			"authorization: GET /.well-known/oauth-protected-resource/mcp, resend 0",
			"authorization request: 307 <nil>",
			"authorization: GET /moved, resend 1",
			"authorization request: 404 <nil>",
		} {
			if !slices.Contains(got, want) {
				t.Errorf("not told %q but\n\t%s", want, strings.Join(got, "\n\t"))
			}
		}
	})
}

// An answer that breaks off ends its request with an error that quotes nobody.
func TestTracerIsToldOfBrokenAnswers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		s := &story{open: map[*auth.Manager]bool{}}
		cfg := k.onDemand()
		cfg.Tracer = s
		_, cfg.HTTPClient = k.wired(func(r *http.Request) (*http.Response, error) {
			resp := answer(200, "application/json", "")
			resp.Body = io.NopCloser(failingReader{fmt.Errorf("%s: %w", secret("read"), io.ErrUnexpectedEOF)})
			return resp, nil
		})
		m, _ := k.started(cfg, "a")
		_, _ = m.Refresh(t.Context())
		got := strings.Join(s.told(), "\n")
		if !strings.Contains(got, "refresh request: 200 ") || strings.Contains(got, "refresh request: 200 <nil>") || sing(got) != "" {
			t.Errorf("told\n%s", got)
		}
	})
}

// Who leaves before the operation has begun gets no context of it, and no
// tracer waits for ever.
func TestWaitThatEndsAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		s := &story{open: map[*auth.Manager]bool{}}
		cfg := k.onDemand()
		cfg.Tracer = s
		m, _ := k.started(cfg, "a")
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		for range 50 {
			_, _ = m.Refresh(gone)
		}
		synctest.Wait()
	})
}

// Without OpenTelemetry the log tells the same story.
func TestLogTellsTheStory(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		var log bytes.Buffer
		w := &lockedBuffer{b: &log}
		cfg := k.discovered()
		cfg.NoIdleRefresh = true
		cfg.Logger = slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey || a.Value.Kind() == slog.KindDuration || a.Key == "expiry" || a.Key == "client_id" {
				return slog.Attr{}
			}
			return a
		}}))
		m := k.manager(cfg)
		if _, err := m.Authorize(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Hour)
		k.srv.Inject(authtest.TokenEndpoint, authtest.Status(503))
		tok := mustToken(t, m)
		if _, err := m.Resolve(t.Context(), tok, insufficient("b")); err != nil {
			t.Fatal(err)
		}
		if err := m.Revoke(t.Context()); err != nil {
			t.Fatal(err)
		}
		out := strings.NewReplacer(k.srv.URL, "AS", k.res.URL, "MCP", strings.TrimSuffix(k.res.URL, "/mcp"), "RS").Replace(w.String())
		for _, line := range []string{
			`level=INFO msg="authorization begins" grant=authorization_code trigger=explicit`,
			`level=DEBUG msg=request method=GET url=RS/.well-known/oauth-protected-resource/mcp status=200 resend=0`,
			`level=INFO msg="client registered" issuer=AS`,
			`level=DEBUG msg="user asked"`,
			`level=DEBUG msg=store step=lock`,
			`level=DEBUG msg=store step=save`,
			`level=INFO msg=authorized issuer=AS grant=authorization_code`,
			`level=DEBUG msg=waited for=authorization`,
			`level=DEBUG msg=request method=POST url=AS/token status=503 resend=0`,
			`level=INFO msg="request failed and will be sent again" attempt=1 error="`,
			`level=DEBUG msg=request method=POST url=AS/token status=200 resend=1`,
			`level=INFO msg="token refreshed" issuer=AS trigger=expired attempts=2`,
			`level=INFO msg=step-up required=[b] granted=[b] path=authorization`,
			`level=INFO msg="token revoked" issuer=AS`,
		} {
			if !strings.Contains(out, line) {
				t.Errorf("no line %s", line)
			}
		}
		if t.Failed() {
			t.Log(out)
		}
	})
}

type lockedBuffer struct {
	mu sync.Mutex
	b  *bytes.Buffer
}

func (w *lockedBuffer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(p)
}

func (w *lockedBuffer) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.String()
}
