package auth_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/browser"
	"github.com/mcptokens/mcptokens/auth/grant"
)

// telling is client authentication that notes what it hears.
type telling struct {
	mu       sync.Mutex
	subjects map[string]bool // by request and subject
}

type callerKey struct{}

func (*telling) Method() string { return "none" }

func (a *telling) Authenticate(ctx context.Context, r *auth.ClientAuthRequest) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.subjects == nil {
		a.subjects = map[string]bool{}
	}
	kind := r.Form.Get("grant_type")
	if kind == "" {
		kind = "revocation"
	}
	caller, _ := ctx.Value(callerKey{}).(string)
	a.subjects[kind+" for "+r.Subject+" by "+caller] = true
	r.Form.Set("client_id", r.ClientID)
	return nil
}

// asking is a user agent that notes whom it asks.
type asking struct {
	auth.UserAgent
	asked *[]string
}

func (a asking) Start(ctx context.Context, preferred []string) (auth.UserAgentSession, error) {
	caller, _ := ctx.Value(callerKey{}).(string)
	*a.asked = append(*a.asked, browser.Subject(ctx)+" by "+caller)
	return a.UserAgent.Start(ctx, preferred)
}

// Client authentication and user agents are told whom a request is for, with the
// values of the call, in every request that authenticates the client.
func TestToldTheSubject(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		proof := new(telling)
		var asked []string
		cfg := k.discovered()
		cfg.Resource, cfg.NoIdleRefresh = "", true
		k.srv.AddClient("gateway", "", callback)
		cfg.Client = auth.Client{ID: "gateway", Issuer: k.srv.Issuer, Auth: proof}
		cfg.Grant = grant.AuthorizationCode{UserAgent: asking{browser.Headless{Client: k.srv.Client(), RedirectURI: callback}, &asked}}
		p := k.pool(auth.PoolConfig{Config: always(cfg)})
		as := func(user string) context.Context {
			return context.WithValue(t.Context(), callerKey{}, "the call of "+user)
		}
		var want []string
		for _, user := range []string{"alice", "bob"} {
			source := p.Source(user, k.res.URL)
			if _, err := source.Resolve(as(user), nil, unauthorized()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Hour)
			if _, err := source.Token(as(user)); err != nil {
				t.Fatal(err)
			}
			visit, kept, err := source.BeginLogin(as(user), callback, "")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := source.FinishLogin(as(user), kept, k.approve(visit)); err != nil {
				t.Fatal(err)
			}
			if err := source.Use(func(m *auth.Manager) error { return m.Logout(as(user)) }); err != nil {
				t.Fatal(err)
			}
			for _, kind := range []string{"authorization_code", "refresh_token", "revocation"} {
				want = append(want, kind+" for "+user+" by the call of "+user)
			}
		}
		for _, one := range want {
			if !proof.subjects[one] {
				t.Errorf("client authentication was not told of %s", one)
			}
		}
		if len(proof.subjects) != len(want) {
			t.Errorf("told %v", proof.subjects)
		}
		if got := strings.Join(asked, ", "); got != "alice by the call of alice, bob by the call of bob" {
			t.Errorf("the user agent asked %s", got)
		}
	})
}

// said are the lines of a log that a test has provoked.
type said struct {
	mu    sync.Mutex
	lines []map[string]any
}

func (s *said) Write(line []byte) (int, error) {
	var attrs map[string]any
	if err := json.NewDecoder(bytes.NewReader(line)).Decode(&attrs); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, attrs)
	return len(line), nil
}

// Whatever is logged for one of many users says for which MCP server it is, for which
// authorization server as soon as that is known, and for whom as the program allows;
// and so do events.
func TestLinesAndEventsSayWhatTheyAreAbout(t *testing.T) {
	log := new(said)
	var events []auth.Event
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{ClientIDMetadata: true}, authtest.Protection{Scopes: []string{"read"}})
		k.srv.Inject(authtest.AuthorizeEndpoint, authtest.Status(400), authtest.Status(400)) // to the metadata document
		s := new(store)
		cfg := k.discovered()
		cfg.ClientMetadataURL = "https://client.example.com/oauth/metadata.json"
		cfg.Resource, cfg.Store, cfg.NoIdleRefresh = "", s, true
		cfg.Logger = slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		p := k.pool(auth.PoolConfig{Config: always(cfg), Store: s, EventSubject: func(subject string) string { return "hash of " + subject }})
		heard, stop := p.Subscribe()
		defer stop()
		source := p.Source("alice", k.res.URL)
		tok, err := source.Resolve(t.Context(), nil, unauthorized("read"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := source.Resolve(t.Context(), tok, wants("more")); err != nil { // a step-up
			t.Fatal(err)
		}
		tok, err = source.Token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = source.Resolve(t.Context(), tok, unauthorized()) // sent again
		time.Sleep(2 * time.Hour)
		k.srv.Inject(authtest.TokenEndpoint, authtest.Status(503))
		s.fail(nil, errors.New("the disk is full"), nil)
		if _, err := source.Token(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.fail(nil, nil, nil)
		time.Sleep(2 * time.Hour)
		k.srv.InjectAlways(authtest.TokenEndpoint, authtest.Status(503))
		for range 2 { // the second is refused at once
			if _, err := source.Token(t.Context()); err == nil {
				t.Fatal("there is a token")
			}
		}
		k.srv.ClearFaults(authtest.TokenEndpoint)
		time.Sleep(2 * time.Hour)
		visit, kept, err := source.BeginLogin(t.Context(), callback, "")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := source.FinishLogin(t.Context(), kept, k.approve(visit)); err != nil {
			t.Fatal(err)
		}
		_, _ = source.FinishLogin(t.Context(), kept, url.Values{"state": {"forged"}})
		service := cfg
		service.Grant = grant.ClientCredentials{}
		services := k.pool(auth.PoolConfig{Config: always(service), Store: s, EventSubject: func(subject string) string { return "hash of " + subject }})
		if _, _, err := services.Source("alice", k.res.URL).BeginLogin(t.Context(), callback, ""); err == nil {
			t.Fatal("a login began")
		}
		k.give(p, "alice")
		if _, err := p.Logout(t.Context(), auth.Key{Subject: "alice"}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		for len(heard) > 0 {
			events = append(events, <-heard)
		}
		for _, e := range events {
			if e.Resource != k.res.URL || e.Issuer != k.srv.Issuer || e.Subject != "hash of alice" {
				t.Errorf("event %+v", e)
			}
		}
		known := false
		for _, line := range log.lines {
			known = known || line["msg"] == "client registered"
			if line["resource"] != k.res.URL || known && line["issuer"] != k.srv.Issuer || line["subject"] != "hash of alice" {
				t.Errorf("line %v", line)
			}
		}
	})
	seen := map[auth.EventType]bool{}
	for _, e := range events {
		seen[e.Type] = true
	}
	for _, want := range []auth.EventType{auth.EventTokenUpdated, auth.EventRefreshFailed, auth.EventSaveFailed, auth.EventSaved, auth.EventForgotten, auth.EventLoginFailed} {
		if !seen[want] {
			t.Errorf("there was no event %s", want)
		}
	}
	texts := map[string]bool{}
	for _, line := range log.lines {
		texts[line["msg"].(string)] = true
	}
	for _, msg := range messages(t) {
		if !texts[msg] && !rare[msg] {
			t.Errorf("no line says %q; make this test provoke it", msg)
		}
	}
}

// rare are lines that take a world of their own. They are written by the contexts that
// the others have, of an operation or of a manager.
var rare = map[string]bool{
	"operation panicked": true, "token of another process taken over": true, "no more logins by themselves for a while": true,
	"another process asks the user to log in; waiting for it": true, "authorization failed": true, "link for a login made": true,
	"client registered for fewer scopes than were asked for": true, "access token not revoked; it lives on until it expires": true,
}

// messages are the texts of all lines that the package has.
func messages(t *testing.T) (list []string) {
	t.Helper()
	line := regexp.MustCompile(`(?:[tT]race|r)\.(?:Say|Ended|Debug|Log|write)\([^"\n]*, "([^"]+)"`)
	var files []string
	for _, pattern := range []string{"*.go", "internal/tracing/*.go"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range line.FindAllSubmatch(source, -1) {
			list = append(list, string(m[1]))
		}
	}
	if len(list) < 20 {
		t.Fatalf("found %q", list)
	}
	return list
}
