package browser

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/mcptokens/mcptokens/auth"
)

func TestMain(m *testing.M) {
	if os.Getenv(noisy) != "" {
		playBrowser()
	}
	goleak.VerifyTestMain(m)
}

const authorizeURL = "https://as.example/authorize?client_id=c"

// start starts l with an Open that does nothing, unless l has one. The test
// has to call Finish.
func start(t *testing.T, l Loopback, preferred ...string) auth.UserAgentSession {
	t.Helper()
	if l.Open == nil {
		l.Open = func(string) error { return nil }
	}
	s, err := l.Start(t.Context(), preferred)
	if err != nil {
		t.Fatalf("Start: %v", err)
	}
	return s
}

// result is what Visit returned.
type result struct {
	query url.Values
	err   error
}

// visit calls Visit in a goroutine and returns when Open was called.
func visit(t *testing.T, l Loopback, state string) (auth.UserAgentSession, <-chan result) {
	t.Helper()
	opened := make(chan struct{})
	open := l.Open
	l.Open = func(u string) error {
		defer close(opened)
		if open != nil {
			return open(u)
		}
		return nil
	}
	s := start(t, l)
	done := make(chan result, 1)
	ctx := t.Context()
	go func() {
		q, err := s.Visit(ctx, authorizeURL, state)
		done <- result{q, err}
	}()
	<-opened
	return s, done
}

// reply is an HTTP answer read to its end.
type reply struct {
	status int
	header http.Header
	body   string
	err    error
}

// request sends one request over a connection of its own, so that nothing is
// left open for goleak to find.
func request(ctx context.Context, method, target, host string) reply {
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	req, err := http.NewRequestWithContext(ctx, method, target, nil)
	if err != nil {
		return reply{err: err}
	}
	req.Host = host
	resp, err := client.Do(req)
	if err != nil {
		return reply{err: err}
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, resp.Header, string(body), err}
}

func get(t *testing.T, target string) reply {
	t.Helper()
	r := request(t.Context(), http.MethodGet, target, "")
	if r.err != nil {
		t.Fatalf("GET: %v", r.err)
	}
	return r
}

// getLater sends a GET and returns at once.
func getLater(t *testing.T, target string) <-chan reply {
	t.Helper()
	ctx, c := t.Context(), make(chan reply, 1)
	go func() { c <- request(ctx, http.MethodGet, target, "") }()
	return c
}

// rawGet sends query as it is.
func rawGet(target, query string) reply {
	u, err := url.Parse(target)
	if err != nil {
		return reply{err: err}
	}
	conn, err := net.Dial("tcp", u.Host)
	if err != nil {
		return reply{err: err}
	}
	defer func() { _ = conn.Close() }()
	if _, err := fmt.Fprintf(conn, "GET %s%s HTTP/1.1\r\nHost: %s\r\n\r\n", u.Path, query, u.Host); err != nil {
		return reply{err: err}
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return reply{err: err}
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, resp.Header, string(body), err}
}

func wantIn(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("missing %q in:\n%s", p, text)
		}
	}
}

func wantNotIn(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if strings.Contains(text, p) {
			t.Errorf("found %q in:\n%s", p, text)
		}
	}
}

// Every error that a user agent returns keeps its text as the cause of an
// auth.AuthorizationError.
func wantSafe(t *testing.T, err error) {
	t.Helper()
	if got := (&auth.AuthorizationError{Err: err}).Error(); got != "auth: authorization: "+err.Error() {
		t.Errorf("the text of %q is changed: %q", err, got)
	}
}
