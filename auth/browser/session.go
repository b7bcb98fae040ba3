package browser

import (
	"context"
	"crypto/subtle"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/mcptokens/mcptokens/internal/errtext"
	"github.com/mcptokens/mcptokens/internal/httpx"
)

const (
	// holdPage is how long a page waits for the outcome of the login.
	holdPage = 30 * time.Second
	// finishWait bounds how long Finish waits for the page to be sent and for
	// Open to return.
	finishWait = 2 * time.Second
)

// session is one login through a browser. Its goroutines (the server, its
// connections, the call of Open) end in Finish.
type session struct {
	open    func(string) error
	prompt  func(string)
	timeout time.Duration

	redirectURI string
	path        string
	hosts       [2]string // Host headers that are ours

	server *http.Server
	served chan struct{} // closed when Serve returned
	conns  sync.WaitGroup

	answer   chan url.Values // the one redirect that counts
	finished chan struct{}   // closed by Finish, after outcome is set
	outcome  error
	shown    chan struct{} // closed when the browser was given its page
	opened   chan error    // what Open returned; one value

	mu       sync.Mutex // guards the following
	state    string     // expected; empty before Visit
	answered bool       // a redirect was delivered
}

func (l Loopback) newSession(ln net.Listener, a address) *session {
	port := strconv.Itoa(a.port)
	s := &session{
		open: l.Open, prompt: l.Prompt, timeout: l.Timeout,
		redirectURI: "http://" + net.JoinHostPort(a.host, port) + a.path,
		path:        a.path,
		hosts:       [2]string{net.JoinHostPort(loopbackIP, port), net.JoinHostPort(loopbackName, port)},
		served:      make(chan struct{}),
		answer:      make(chan url.Values, 1),
		finished:    make(chan struct{}),
		shown:       make(chan struct{}),
		opened:      make(chan error, 1),
	}
	if s.open == nil {
		s.open = openURL
	}
	if s.timeout == 0 {
		s.timeout = defaultTimeout
	}
	s.server = &http.Server{
		Handler:           s,
		ReadHeaderTimeout: 10 * time.Second,
		WriteTimeout:      holdPage + 10*time.Second,
		IdleTimeout:       30 * time.Second,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          log.New(io.Discard, "", 0),
		ConnState:         s.count,
	}
	go func() {
		defer close(s.served)
		_ = s.server.Serve(ln) // always an error, ErrServerClosed
	}()
	return s
}

// count keeps track of the connections' goroutines. net/http reports StateNew
// before Serve can return, so nothing is added once it has.
func (s *session) count(_ net.Conn, st http.ConnState) {
	switch st {
	case http.StateNew:
		s.conns.Add(1)
	case http.StateClosed:
		s.conns.Done()
	}
}

func (s *session) RedirectURI() string { return s.redirectURI }

// Visit implements auth.UserAgentSession. It can be called once.
func (s *session) Visit(ctx context.Context, authorizationURL, state string) (url.Values, error) {
	// The URL becomes an argument of a program: nothing but a web address.
	if _, err := httpx.CheckURL("authorization URL", authorizationURL); err != nil {
		return nil, fail("browser: "+err.Error(), err)
	}
	if err := s.expect(state); err != nil {
		return nil, err
	}
	timer := time.NewTimer(s.timeout)
	defer timer.Stop()
	if s.prompt != nil {
		s.prompt(authorizationURL)
	}
	go func() { s.opened <- s.open(authorizationURL) }()

	opened := s.opened
	for {
		select {
		case query := <-s.answer:
			return query, nil
		case err := <-opened:
			s.opened <- err // for Finish
			if err != nil && s.prompt == nil {
				return nil, noBrowser(err)
			}
			opened = nil
		case <-timer.C:
			return nil, fail(fmt.Sprintf("%v within %v", ErrTimeout, s.timeout), ErrTimeout)
		case <-ctx.Done():
			return nil, fail("browser: the login was given up: "+errtext.Describe(ctx.Err()), ctx.Err())
		}
	}
}

// expect makes state the one that a redirect has to carry.
func (s *session) expect(state string) error {
	if state == "" {
		return fail("browser: Visit needs a state: without one any page could answer")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != "" {
		return fail("browser: Visit was called twice: start a new session for each login")
	}
	s.state = state
	return nil
}

// Finish implements auth.UserAgentSession.
func (s *session) Finish(err error) {
	s.outcome = err
	close(s.finished)

	s.mu.Lock()
	visited, answered := s.state != "", s.answered
	s.mu.Unlock()

	timer := time.NewTimer(finishWait)
	defer timer.Stop()
	if answered {
		select {
		case <-s.shown:
		case <-timer.C:
		}
	}
	_ = s.server.Close()
	<-s.served
	s.conns.Wait() // every handler has ended or ends at once: its page is not held any more
	if visited {
		select {
		case <-s.opened:
		case <-timer.C:
		}
	}
}

// ServeHTTP receives the redirect.
func (s *session) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Host != s.hosts[0] && r.Host != s.hosts[1]:
		// A page of a foreign name that resolves to 127.0.0.1 (DNS rebinding).
		page{Status: http.StatusMisdirectedRequest, Title: "Wrong address"}.write(w)
	case r.URL.Path != s.path:
		page{Status: http.StatusNotFound, Title: "Not found"}.write(w)
	case r.Method != http.MethodGet:
		w.Header().Set("Allow", http.MethodGet)
		page{Status: http.StatusMethodNotAllowed, Title: "Method not allowed"}.write(w)
	default:
		s.receive(w, r)
	}
}

func (s *session) receive(w http.ResponseWriter, r *http.Request) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		pageForeign.write(w)
		return
	}
	switch s.accept(query["state"]) {
	case foreign:
		pageForeign.write(w)
	case used:
		pageUsed.write(w)
	case first:
		s.answer <- query // has room for the one answer
		s.hold(r.Context()).write(w)
		close(s.shown)
	}
}

type verdict int

const (
	foreign verdict = iota // not of this login
	used                   // of this login, but it has its answer
	first
)

// accept judges a redirect by its state (RFC 6749 section 10.12), which has to
// be there once.
func (s *session) accept(state []string) verdict {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.state == "", len(state) != 1, subtle.ConstantTimeCompare([]byte(state[0]), []byte(s.state)) != 1:
		return foreign
	case s.answered:
		return used
	}
	s.answered = true
	return first
}

// hold waits until it is known how the login ended.
func (s *session) hold(ctx context.Context) page {
	timer := time.NewTimer(holdPage)
	defer timer.Stop()
	select {
	case <-s.finished:
		if s.outcome != nil {
			return pageFailed(s.outcome)
		}
		return pageSignedIn
	case <-timer.C:
	case <-ctx.Done():
	}
	return pagePending
}
