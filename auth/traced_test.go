package auth_test

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
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/authtrace"
)

// story is a tracer that writes down what it hears, one line each, in order.
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

// told returns the lines so far and begins again.
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

func (s *story) Start(ctx, link context.Context, d authtrace.Start) context.Context {
	switch d := d.(type) {
	case authtrace.RefreshStart:
		s.say(ctx, "refresh for %q", under(link))
		return s.start(ctx, "refresh")
	case authtrace.RequestStart:
		s.say(ctx, "%s %s, resend %d", d.Method, d.URL.Path+d.URL.RawQuery, d.Resend)
		return s.start(ctx, under(ctx)+" request")
	case authtrace.WaitStart:
		s.say(ctx, "waits for %s %q", d.For, under(link))
	case authtrace.AuthorizationStart:
		return s.start(ctx, "authorization")
	case authtrace.UserStart:
		s.say(ctx, "asks the user")
		return s.start(ctx, "user")
	case authtrace.ExchangeStart:
		s.say(ctx, "exchanges by %s", d.Grant)
		return s.start(ctx, "exchange")
	}
	return ctx
}

func (s *story) End(ctx context.Context, d authtrace.End) {
	switch d := d.(type) {
	case authtrace.RefreshEnd:
		s.say(ctx, "%s", d.Outcome)
	case authtrace.RequestEnd:
		s.say(ctx, "%d %v", d.StatusCode, d.Err)
	case authtrace.WaitEnd:
		s.say(ctx, "waited for %s %v %v", d.For, d.Duration, d.Err)
	case authtrace.UserEnd:
		s.say(ctx, "answered %v", d.Err)
	case authtrace.ExchangeEnd:
		s.say(ctx, "%v", d.Err)
	}
}

func (s *story) Point(ctx context.Context, d authtrace.Point) {
	switch d := d.(type) {
	case authtrace.Attempt:
		s.say(ctx, "attempt %d", d.Number)
	case authtrace.Step:
		s.say(ctx, "%s %v %v", d.Kind, d.Duration, d.Err)
	case authtrace.Resend:
		s.say(ctx, "resends %q after %v, try %d", d.Operation, d.Delay, d.Tries)
	case authtrace.Refused:
		s.say(ctx, "refused %q for %v: %T", d.Operation, time.Until(d.RetryAt), d.Err)
	}
}

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

// A call that sends a request again with the same token says so, under its own
// context, when the wait is over.
func TestTracerIsToldOfResends(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		s := &story{open: map[*auth.Manager]bool{}}
		cfg := k.onDemand()
		cfg.Tracer = s
		m, _ := k.started(cfg, "a")
		tok, err := m.Refresh(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		s.told()
		c := k.unauthorized()
		c.Operation = "tools/call x"
		ctx := s.start(t.Context(), "call")
		for range 2 {
			if tok, err = m.Resolve(ctx, tok, c); err != nil {
				t.Fatal(err)
			}
		}
		gone, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if _, err := m.Resolve(gone, tok, c); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Resolve: %v, want that it left before the third", err)
		}
		k.wantStory(s,
			`call: resends "tools/call x" after 250ms, try 1`,
			`call: resends "tools/call x" after 1s, try 2`,
		)
	})
}

// A call that gets an error while nothing is sent says so. One that has waited
// for the operation that failed does not: its wait has told that.
func TestTracerIsToldOfRefusals(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		s := &story{open: map[*auth.Manager]bool{}}
		cfg := k.onDemand()
		cfg.Tracer = s
		m, old := k.started(cfg, "a")
		k.srv.InjectAlways(authtest.TokenEndpoint, authtest.OAuthError("invalid_client", 401))
		c := k.unauthorized()
		c.Operation = "tools/call x"
		first := s.start(t.Context(), "first")
		if _, err := m.Resolve(first, old, c); err == nil {
			t.Fatal("Resolve: no error")
		}
		synctest.Wait()
		for _, line := range s.told() {
			if strings.Contains(line, "refused \"") {
				t.Errorf("told %s, but the call has waited for a refresh", line)
			}
		}
		_, err := m.Resolve(s.start(t.Context(), "pause"), old, c)
		te := asError[*auth.TokenError](t, err)
		k.wantStory(s, fmt.Sprintf(`pause: refused "tools/call x" for %v: *auth.TokenError`, time.Until(te.NextAttempt)))

		// Servers reject every token.
		k.srv.ClearFaults(authtest.TokenEndpoint)
		time.Sleep(10 * time.Minute)
		for i := range 5 {
			tok, err := m.Token(t.Context())
			if err != nil {
				break
			}
			c.Operation = fmt.Sprint(i)
			if _, err := k.insist(m, tok, c, func(*auth.Token) bool { return false }); err == nil {
				t.Fatal("no error though every token is rejected")
			}
		}
		synctest.Wait()
		s.told()
		_, err = m.Token(s.start(t.Context(), "bar"))
		re := asError[*auth.RejectedError](t, err)
		k.wantStory(s, fmt.Sprintf(`bar: refused "" for %v: *auth.RejectedError`, time.Until(re.NextAttempt)))
	})
}

// Each caller of an operation that was given up hears at once, others go on.
func TestTracerIsToldOfRefusedOperations(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		s := &story{open: map[*auth.Manager]bool{}}
		cfg := k.onDemand()
		cfg.Tracer = s
		m, tok := k.started(cfg, "a")
		m.Accepted(mustToken(t, m))
		c := k.unauthorized()
		c.Operation = "tools/call x"
		ctx := s.start(t.Context(), "call")
		for {
			next, err := m.Resolve(ctx, tok, c)
			if err != nil {
				break
			}
			if tok = next; tok.AccessToken != mustToken(t, m).AccessToken {
				t.Fatal("another token is in use")
			}
		}
		synctest.Wait()
		var got []string
		for _, line := range s.told() {
			if strings.HasPrefix(line, "call: re") {
				got = append(got, line)
			}
		}
		want := []string{
			`call: resends "tools/call x" after 0s, try 1`,    // the old token, which works elsewhere
			`call: resends "tools/call x" after 250ms, try 1`, // its successor
			`call: resends "tools/call x" after 1s, try 2`,
			`call: resends "tools/call x" after 3s, try 3`,
			`call: refused "tools/call x" for 15s: *auth.RejectedError`,
		}
		if !slices.Equal(got, want) {
			t.Errorf("told\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
		}
		if _, err := m.Resolve(s.start(t.Context(), "second"), mustToken(t, m), c); err == nil {
			t.Fatal("Resolve: no error")
		}
		if _, err := m.Token(s.start(t.Context(), "other")); err != nil {
			t.Errorf("Token: %v", err)
		}
		k.wantStory(s, `second: refused "tools/call x" for 15s: *auth.RejectedError`)
	})
}

// A look into the store for a caller who has a token is a wait for the store.
func TestTracerIsToldOfLooks(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		s := &story{open: map[*auth.Manager]bool{}}
		cfg := k.onDemand()
		cfg.Tracer, cfg.Store = s, new(store) // which gives no hints
		m, _ := k.started(cfg, "a")
		s.told()
		time.Sleep(time.Minute)
		for _, name := range []string{"first", "second"} { // which needs none so soon
			if _, err := m.Token(s.start(t.Context(), name)); err != nil {
				t.Fatal(err)
			}
		}
		k.wantStory(s, `first: waits for store ""`, `first: waited for store 0s <nil>`)
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
// tracer waits forever.
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
			`level=INFO msg="authorization begins" resource=MCP grant=authorization_code trigger=explicit`,
			`level=DEBUG msg=request resource=MCP method=GET url=RS/.well-known/oauth-protected-resource/mcp status=200 resend=0`,
			`level=INFO msg="client registered" resource=MCP issuer=AS`,
			`level=DEBUG msg="user asked" resource=MCP issuer=AS`,
			`level=DEBUG msg=store resource=MCP issuer=AS step=lock`,
			`level=DEBUG msg=store resource=MCP issuer=AS step=save`,
			`level=INFO msg=authorized resource=MCP grant=authorization_code trigger=explicit issuer=AS`,
			`level=DEBUG msg=waited resource=MCP issuer=AS for=authorization`,
			`level=DEBUG msg=request resource=MCP issuer=AS method=POST url=AS/token status=503 resend=0`,
			`level=INFO msg="request failed and will be sent again" resource=MCP issuer=AS attempt=1 error="token request (refresh_token) to AS: HTTP 503"`,
			`level=DEBUG msg=request resource=MCP issuer=AS method=POST url=AS/token status=200 resend=1`,
			`level=INFO msg="token refreshed" resource=MCP issuer=AS trigger=expired attempts=2`,
			`level=INFO msg=step-up resource=MCP issuer=AS required=[b] granted=[b] path=authorization`,
			`level=INFO msg="token revoked" resource=MCP issuer=AS`,
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

// What failed is not logged in the words of what worked.
func TestLogOfFailures(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		w := &lockedBuffer{b: new(bytes.Buffer)}
		cfg := k.discovered()
		cfg.Logger = slog.New(slog.NewTextHandler(w, nil))
		m := k.manager(cfg)
		k.srv.Inject(authtest.RegistrationEndpoint, authtest.Status(http.StatusForbidden))
		if _, err := m.Authorize(t.Context()); err == nil {
			t.Fatal("authorized")
		}
		time.Sleep(time.Minute)
		if _, err := m.Authorize(t.Context()); err != nil {
			t.Fatal(err)
		}
		k.srv.InjectAlways(authtest.RevocationEndpoint, authtest.Status(http.StatusForbidden))
		if err := m.Revoke(t.Context()); err == nil {
			t.Fatal("revoked")
		}
		out := w.String()
		for _, line := range []string{`level=WARN msg="client registration failed"`, `level=WARN msg="token not revoked"`} {
			if !strings.Contains(out, line) {
				t.Errorf("no line %s in\n%s", line, out)
			}
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
