package auth_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/authtrace"
	"github.com/mcptokens/mcptokens/auth/registration"
)

// No secret in any error, log line, event, Info, tracer data or formatted value
// [invariant 19]. The tests here plant secrets wherever something
// comes in, see canary_inputs_test.go, and look for them wherever something
// goes out.

// secret makes a secret that is told from all others by name. All of them are
// found by scanning for canaryMark.
func secret(name string) string { return canaryMark + "-" + name + "-5Ecr3t" }

const canaryMark = "CANARY"

// canary collects everything that a manager says.
type canary struct {
	t    *testing.T
	text bytes.Buffer // of both log handlers

	mu     sync.Mutex
	said   []string // by whom, and what
	count  map[string]int
	echoed []string // secrets that a server has repeated, as it wrote them
}

func newCanary(t *testing.T) *canary { return &canary{t: t, count: make(map[string]int)} }

// watch lets cfg's manager say everything to c.
func (c *canary) watch(cfg auth.Config) auth.Config {
	w := &lockedWriter{c: c}
	cfg.Logger = slog.New(bothHandlers{
		slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}),
		slog.NewJSONHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}),
	})
	cfg.Tracer = canaryTracer{c}
	return cfg
}

// manager is k.manager watched, with its events.
func (c *canary) manager(k *kit, cfg auth.Config) *auth.Manager {
	c.t.Helper()
	m := k.manager(c.watch(cfg))
	events, stop := m.Subscribe()
	k.t.Cleanup(func() {
		stop()
		for e := range events {
			c.value("event", e)
		}
		c.value("info", m.Info())
		c.value("manager", m)
		c.done()
	})
	return m
}

// failed takes what a method returned; it has to be an error.
func (c *canary) failed(err error) {
	c.t.Helper()
	if err == nil {
		c.t.Error("no error: what was planted had no effect")
		return
	}
	c.value("error", err)
}

// worked takes what a method returned; it has to be a token.
func (c *canary) worked(tok *auth.Token, err error) *auth.Token {
	c.t.Helper()
	if err != nil {
		c.t.Fatalf("no token: %v", err)
	}
	c.value("token", tok)
	return tok
}

// value takes a value in every way that a program could write it. An error has
// no secret in its text; the cause that it unwraps to may be anybody's, so it is
// not taken apart by verbs that are not for errors.
func (c *canary) value(who string, v any) {
	verbs := []string{"%v", "%+v", "%s", "%q", "%x", "%X"}
	switch v.(type) {
	case error:
	case auth.Event, auth.Info:
		verbs = append(verbs, "%#v")
	default:
		verbs = append(verbs, "%#v", "%d", "%t")
	}
	if who == "tracer" {
		verbs = verbs[:len(verbs)-2] // as for an event
	}
	for _, wrapped := range []any{v, []any{v}, map[string]any{"k": v}, struct{ X any }{v}, &struct{ X any }{v}} {
		for _, verb := range verbs {
			c.say(who, fmt.Sprintf(verb, wrapped))
		}
	}
	var logged bytes.Buffer
	for _, h := range []slog.Handler{slog.NewTextHandler(&logged, nil), slog.NewJSONHandler(&logged, nil)} {
		slog.New(h).Info("it", "value", v, slog.Group("g", slog.Any("value", v)))
	}
	c.say(who, logged.String())
}

func (c *canary) say(who, what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count[who]++
	c.said = append(c.said, who+": "+what)
}

// done fails the test for every canary that was seen.
func (c *canary) done() {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	seen := make(map[string]bool)
	for _, line := range append(c.said, "log: "+c.text.String()) {
		who, _, _ := strings.Cut(line, ":")
		if spot := sing(line, c.echoed...); spot != "" && !seen[who] { // one way of many says enough
			seen[who] = true
			c.t.Errorf("a secret got out by %s: %s", who, spot)
		}
	}
}

// sing returns the part of text that holds a canary, however encoded, or one of
// more.
func sing(text string, more ...string) string {
	lower := strings.ToLower(text)
	for _, mark := range append(more, marks...) {
		for _, where := range []string{text, lower} {
			if i := strings.Index(where, mark); i >= 0 {
				return text[max(0, i-120):min(len(text), i+60)]
			}
		}
	}
	return ""
}

// marks are the ways in which a canary may show: as it is, in hexadecimal, and
// in base64 at each alignment.
var marks = func() []string {
	list := []string{strings.ToLower(canaryMark), hex.EncodeToString([]byte(canaryMark)), hex.EncodeToString([]byte(strings.ToLower(canaryMark)))}
	for off := range 3 {
		b := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("x", off) + canaryMark))
		list = append(list, b[(off*8+5)/6:(off+len(canaryMark))*8/6])
	}
	return list
}()

// A scanner that finds nothing would pass every test.
func TestCanarySings(t *testing.T) {
	s := secret("x")
	for _, text := range []string{
		s, strings.ToLower(s), "Bearer " + s, fmt.Sprintf("%x", s), fmt.Sprintf("%X", s), fmt.Sprintf("%q", s),
		base64.StdEncoding.EncodeToString([]byte("a:" + s)), base64.URLEncoding.EncodeToString([]byte("ab:" + s)), base64.StdEncoding.EncodeToString([]byte("abc:" + s)),
	} {
		if sing(text) == "" {
			t.Errorf("not found in %q", text)
		}
	}
	if sing("the code abcdef", "abcdef") == "" {
		t.Error("a secret of the server's was not found")
	}
	if sing("nothing of the kind") != "" {
		t.Error("found where there is none")
	}
}

// Every value that holds a secret, by every verb and both log handlers.
func TestValuesRedactThemselves(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		c := newCanary(t)
		tok := auth.Token{AccessToken: secret("access"), RefreshToken: secret("refresh"), Expiry: time.Now().Add(time.Hour), Scopes: []string{"read"}}
		client := auth.Client{ID: "my-client", Secret: secret("client"), Issuer: k.srv.Issuer}
		reg := registration.Client{ClientID: "my-client", ClientSecret: secret("registered"), RegistrationAccessToken: secret("management")}
		cfg := k.config()
		cfg.Client = client
		cfg.Resource += "?key=" + secret("query")
		rec := auth.Record{Issuer: k.srv.Issuer, Token: &tok, Registration: &reg, ProofKey: []byte(secret("proof key"))}
		for _, v := range []any{tok, &tok, client, &client, cfg, &cfg, rec, &rec, reg, &reg} {
			c.value("value", v)
		}
		password := auth.Config{Resource: "https://user:" + secret("password") + "@mcp.example.com/mcp#" + secret("fragment")}
		c.value("refused configuration", password)
		c.value("unparsable configuration", auth.Config{Resource: "https://h:" + secret("port")})

		var flow any
		cfg.Grant = grantFunc(func(ctx context.Context, f *auth.Flow) (*auth.Token, error) {
			flow = f
			c.value("flow", f)
			c.value("flow", *f)
			return &auth.Token{AccessToken: secret("granted"), RefreshToken: secret("granted too")}, nil
		})
		m := c.manager(k, cfg)
		c.worked(m.Authorize(t.Context()))
		if flow == nil {
			t.Error("the grant was not asked")
		}
		c.value("error of a refused configuration", func() error { _, err := auth.NewManager(password); return err }())

		// They have to say something all the same.
		for v, want := range map[any]string{
			&tok: "scopes read", &client: "my-client", &rec: k.srv.Issuer, m: strings.TrimPrefix(k.res.URL, "http://"), &cfg: k.res.URL,
		} {
			if got := fmt.Sprintf("%v", v); !strings.Contains(got, want) {
				t.Errorf("%T is shown as %q, without %q", v, got, want)
			}
		}
		c.done()
	})
}

// grantFunc is a grant of the program.
type grantFunc func(ctx context.Context, f *auth.Flow) (*auth.Token, error)

func (grantFunc) Type() string      { return "own" }
func (grantFunc) Interactive() bool { return true }

func (g grantFunc) Authorize(ctx context.Context, f *auth.Flow) (*auth.Token, error) {
	return g(ctx, f)
}

// lockedWriter writes to c.text.
type lockedWriter struct{ c *canary }

func (w *lockedWriter) Write(p []byte) (int, error) {
	w.c.mu.Lock()
	defer w.c.mu.Unlock()
	w.c.count["log"]++
	return w.c.text.Write(p)
}

// bothHandlers is a handler that hands everything to two.
type bothHandlers [2]slog.Handler

func (h bothHandlers) Enabled(context.Context, slog.Level) bool { return true }

func (h bothHandlers) Handle(ctx context.Context, r slog.Record) error {
	if err := h[0].Handle(ctx, r.Clone()); err != nil {
		return err
	}
	return h[1].Handle(ctx, r)
}

func (h bothHandlers) WithAttrs(a []slog.Attr) slog.Handler {
	return bothHandlers{h[0].WithAttrs(a), h[1].WithAttrs(a)}
}

func (h bothHandlers) WithGroup(g string) slog.Handler {
	return bothHandlers{h[0].WithGroup(g), h[1].WithGroup(g)}
}

// canaryTracer takes every data struct.
type canaryTracer struct{ c *canary }

func (t canaryTracer) Start(ctx, _ context.Context, s authtrace.Start) context.Context {
	t.c.value("tracer", s)
	return ctx
}
func (t canaryTracer) End(_ context.Context, e authtrace.End)     { t.c.value("tracer", e) }
func (t canaryTracer) Point(_ context.Context, p authtrace.Point) { t.c.value("tracer", p) }
func (t canaryTracer) TraceManagerOpen(m *auth.Manager)           { t.c.value("tracer", m) }
func (t canaryTracer) TraceManagerClose(m *auth.Manager)          { t.c.value("tracer", m) }

// What is not scanned could let anything out.
var (
	_ authtrace.Tracer   = canaryTracer{}
	_ auth.ManagerTracer = canaryTracer{}
)
