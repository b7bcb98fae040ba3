package browser

import (
	"context"
	"crypto/rand"
	"io"
	"net"
	"net/url"
	"os"
	"strconv"
	"sync"
	"time"

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
// connections, the calls of Open and of Ask) end in Finish.
type session struct {
	asking            // on what Open cannot do; its ask may be nil
	notice  io.Writer // where the URL is shown then, if nobody can be asked; may be nil
	open    func(string) error
	prompt  func(string)
	timeout time.Duration
	pages   pages

	path      string
	startURI  string    // what is opened
	startPath string    // where the browser is sent on, once
	hosts     [2]string // Host headers that are ours

	server *server

	answer   chan url.Values // the one redirect that counts
	finished chan struct{}   // closed by Finish, after outcome is set
	outcome  error
	shown    chan struct{} // closed when the browser was given its page
	opened   chan error    // what Open returned; one value
	askEnded chan struct{} // closed when Ask will not be called again; nil: it never was

	mu       sync.Mutex // guards the following
	state    string     // expected; empty before Visit
	target   string     // where startURI leads; empty once it has
	answered bool       // a redirect was delivered
}

func (l Loopback) newSession(ln net.Listener, a address) *session {
	port := strconv.Itoa(a.port)
	origin, startPath := "http://"+net.JoinHostPort(a.host, port), "/"+rand.Text()
	s := &session{
		open: l.Open, prompt: l.Prompt, timeout: l.Timeout,
		pages:     pages{l.Page, l.Texts.withDefaults()},
		path:      a.path,
		startURI:  origin + startPath,
		startPath: startPath,
		hosts:     [2]string{net.JoinHostPort(loopbackIP, port), net.JoinHostPort(loopbackName, port)},
		answer:    make(chan url.Values, 1),
		finished:  make(chan struct{}),
		shown:     make(chan struct{}),
		opened:    make(chan error, 1),
	}
	s.asking = asking{texts: s.pages.texts.Terminal, redirectURI: origin + a.path, ask: l.Ask}
	s.reach(l)
	if s.open == nil {
		s.open = openURL
	}
	if s.timeout == 0 {
		s.timeout = defaultTimeout
	}
	s.server = serve(ln, s)
	return s
}

// reach finds out how to reach a user whose browser cannot be opened.
func (s *session) reach(l Loopback) {
	if s.ask != nil || l.NoTerminal {
		return
	}
	terminal := standardTerminal()
	if l.terminal != nil { // a test's
		terminal = l.terminal()
	}
	switch {
	case terminal != nil:
		s.ask = terminal.asker(s.texts, l.Prompt == nil)
	case l.Prompt == nil && isTerminal(os.Stderr):
		s.notice = os.Stderr
	}
}

func (s *session) RedirectURI() string { return s.redirectURI }

// Visit implements auth.UserAgentSession. It can be called once.
func (s *session) Visit(ctx context.Context, authorizationURL, state string) (url.Values, error) {
	// Nothing but a web address is opened.
	if _, err := httpx.CheckURLFor(ctx, "authorization URL", authorizationURL); err != nil {
		return nil, fail("browser: "+err.Error(), err)
	}
	if err := s.expect(authorizationURL, state); err != nil {
		return nil, err
	}
	timer := time.NewTimer(s.timeout)
	defer timer.Stop()
	if s.prompt != nil {
		s.prompt(authorizationURL)
	}
	go func() { s.opened <- s.open(s.startURI) }()

	asked, cancel := context.WithCancel(ctx)
	defer cancel()
	opened, pasted := s.opened, make(chan error, 1)
	for {
		select {
		case answer := <-s.answer:
			if name := repeated(answer); name != "" {
				return nil, errRepeated(name)
			}
			return answer, nil
		case err := <-opened:
			s.opened <- err // for Finish
			opened = nil
			switch {
			case err == nil:
			case s.ask != nil:
				s.askEnded = make(chan struct{})
				go func() {
					defer close(s.askEnded)
					pasted <- s.paste(asked, authorizationURL, state)
				}()
			case s.notice != nil:
				s.texts.show(s.notice, authorizationURL)
			case s.prompt == nil:
				return nil, noBrowser(err)
			}
		case err := <-pasted:
			if err != nil {
				return nil, err
			}
		case <-timer.C:
			return nil, tooLate(s.timeout)
		case <-ctx.Done():
			return nil, givenUp(ctx.Err())
		}
	}
}

// paste gets the answer from the user.
func (s *session) paste(ctx context.Context, target, state string) error {
	answer, err := s.run(ctx, target, state)
	if err != nil {
		return err
	}
	if s.accept(answer) == first {
		s.answer <- answer
		close(s.shown) // no browser waits for a page
	}
	return nil
}

// expect makes state the one that a redirect has to carry, and target where
// the browser is sent.
func (s *session) expect(target, state string) error {
	if state == "" {
		return errNoState()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != "" {
		return fail("browser: Visit was called twice: start a new session for each login")
	}
	s.state, s.target = state, target
	return nil
}

// Finish implements auth.UserAgentSession.
func (s *session) Finish(err error) {
	s.outcome = err
	close(s.finished)

	s.mu.Lock()
	visited, answered := s.state != "", s.answered
	s.mu.Unlock()

	wait, cancel := context.WithTimeout(context.Background(), finishWait)
	defer cancel()
	if answered {
		await(wait, s.shown)
	}
	s.server.close() // waits: every handler has ended or ends at once, as its page is no longer held
	if s.askEnded != nil {
		await(wait, s.askEnded)
	}
	if visited {
		await(wait, s.opened)
	}
}

// await returns when c does or when ctx ends.
func await[T any](ctx context.Context, c <-chan T) {
	select {
	case <-c:
	case <-ctx.Done():
	}
}
