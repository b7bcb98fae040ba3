//go:build realservers

package mcpgo_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/mark3labs/mcp-go/client"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/browser"
	"github.com/mcptokens/mcptokens/auth/grant"
	"github.com/mcptokens/mcptokens/auth/store/filestore"
	"github.com/mcptokens/mcptokens/mcpgo"
)

// life is a program with a token, from its first login to its last, against a
// server that nobody here wrote. What it costs the person and the server is
// counted.
type life struct {
	t    *testing.T
	cfg  auth.Config
	wire *wireCount
	log  bytes.Buffer

	m *auth.Manager
	c *client.Client
}

// newLife starts the program, with an empty store. cfg is its own part of the
// configuration.
func newLife(t *testing.T, cfg auth.Config) *life {
	t.Helper()
	store, err := filestore.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	base := http.DefaultTransport.(*http.Transport).Clone()
	t.Cleanup(base.CloseIdleConnections)
	l := &life{t: t, cfg: cfg, wire: &wireCount{base: base}}
	l.cfg.Store, l.cfg.HTTPClient = store, &http.Client{Transport: l.wire}
	l.cfg.Grant = grant.AuthorizationCode{UserAgent: countingUser{browser.Headless{}, l.wire}}
	l.cfg.Logger = slog.New(slog.NewTextHandler(&l.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	t.Cleanup(func() {
		l.end()
		if t.Failed() {
			t.Logf("the program's log:\n%s", &l.log)
		}
	})
	l.begin()
	return l
}

// begin starts a process of the program: all that it knows is in the store.
func (l *life) begin() {
	l.t.Helper()
	m, err := auth.NewManager(l.cfg)
	if err != nil {
		l.t.Fatal(err)
	}
	l.m = m
}

// end ends it.
func (l *life) end() {
	l.hangUp()
	if err := l.m.Close(); err != nil {
		l.t.Error(err)
	}
}

// restart is another process of the program.
func (l *life) restart() {
	l.t.Helper()
	l.end()
	l.begin()
}

// lose restarts the program without its token, but with the client that it
// registered, as when a refresh token was refused while nobody was there.
func (l *life) lose() {
	l.t.Helper()
	l.end()
	key := auth.Key{Resource: l.cfg.Resource}
	if l.cfg.Server != nil {
		key.Issuer = l.cfg.Server.Issuer
	}
	rec, err := l.cfg.Store.Load(l.t.Context(), key)
	if err != nil {
		l.t.Fatal(err)
	}
	if err := l.cfg.Store.Delete(l.t.Context(), key, rec.Generation); err != nil {
		l.t.Fatal(err)
	}
	l.begin()
}

// refresh replaces the token, refresh token included.
func (l *life) refresh() {
	l.t.Helper()
	before := l.token()
	after, err := l.m.Refresh(l.t.Context())
	if err != nil {
		l.t.Fatal(err)
	}
	if after.RefreshToken == "" || after.RefreshToken == before.RefreshToken || after.AccessToken == before.AccessToken {
		l.t.Error("the tokens were not rotated")
	}
}

// logOut revokes the token, as far as the server can, and returns what it was.
func (l *life) logOut(want error) *auth.Token {
	l.t.Helper()
	last := l.token()
	l.hangUp()
	if err := l.m.Revoke(l.t.Context()); !errors.Is(err, want) {
		l.t.Errorf("Revoke: %v, want %v", err, want)
	}
	if _, err := l.m.Token(l.t.Context()); !errors.Is(err, auth.ErrNoToken) {
		l.t.Errorf("Token after Revoke: %v, want ErrNoToken", err)
	}
	return last
}

// hangUp closes the MCP session, which a restarted server does not know.
func (l *life) hangUp() {
	if l.c != nil {
		_ = l.c.Close()
		l.c = nil
	}
}

// call calls a tool, in a new session if there is none.
func (l *life) call(tool string) {
	l.t.Helper()
	if err := l.try(tool); err != nil {
		l.t.Fatalf("%s: %v", tool, err)
	}
}

func (l *life) try(tool string) error {
	if l.c == nil {
		c, err := client.NewStreamableHttpClient(l.cfg.Resource, mcpgo.WithAuth(l.m, mcpgo.WithBaseClient(&http.Client{Transport: l.wire.base})))
		if err != nil {
			return err
		}
		l.c = c
		if err := c.Start(l.t.Context()); err != nil {
			return err
		}
		if err := initialize(l.t.Context(), c); err != nil {
			return err
		}
	}
	text, err := callText(l.t.Context(), l.c, tool, map[string]any{})
	if err == nil && text != tool {
		err = fmt.Errorf("it answers %q", text)
	}
	return err
}

// token returns the token in use.
func (l *life) token() *auth.Token {
	l.t.Helper()
	token, err := l.m.Token(l.t.Context())
	if err != nil {
		l.t.Fatal(err)
	}
	return token
}

// cost compares what happened since the last look.
func (l *life) cost(what string, windows, registrations, refreshes int) {
	l.t.Helper()
	got := l.wire.take()
	if want := (counts{windows, registrations, refreshes}); got != want {
		l.t.Errorf("%s: %+v, want %+v", what, got, want)
	}
}

type counts struct{ windows, registrations, refreshes int }

// wireCount counts requests on their way to an authorization server.
type wireCount struct {
	base *http.Transport

	mu sync.Mutex
	n  counts
}

func (w *wireCount) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodPost && r.Body != nil {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		r = r.Clone(r.Context())
		r.Body = io.NopCloser(bytes.NewReader(body))
		form, _ := url.ParseQuery(string(body))
		var registration struct {
			RedirectURIs []string `json:"redirect_uris"`
		}
		w.mu.Lock()
		switch {
		case form.Get("grant_type") == "refresh_token":
			w.n.refreshes++
		case strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") && json.Unmarshal(body, &registration) == nil && registration.RedirectURIs != nil:
			w.n.registrations++
		}
		w.mu.Unlock()
	}
	return w.base.RoundTrip(r)
}

// take returns the counts and begins again.
func (w *wireCount) take() counts {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := w.n
	w.n = counts{}
	return n
}

// countingUser counts the windows that a person would see.
type countingUser struct {
	auth.UserAgent
	wire *wireCount
}

func (u countingUser) Start(ctx context.Context, preferred []string) (auth.UserAgentSession, error) {
	s, err := u.UserAgent.Start(ctx, preferred)
	return countingSession{s, u.wire}, err
}

type countingSession struct {
	auth.UserAgentSession
	wire *wireCount
}

func (s countingSession) Visit(ctx context.Context, target, state string) (url.Values, error) {
	s.wire.mu.Lock()
	s.wire.n.windows++
	s.wire.mu.Unlock()
	return s.UserAgentSession.Visit(ctx, target, state)
}
