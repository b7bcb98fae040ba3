package mcpgo

import (
	"context"
	"errors"
	"time"

	mcptransport "github.com/mark3labs/mcp-go/client/transport"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/internal/errtext"
)

// flight is a restart that callers wait for.
type flight struct {
	done chan struct{}
	// To be read when done is closed: why it failed, and with which token.
	err   error
	token string
}

// depart has supervise restart the server, or joins the restart that is under
// way. The caller holds s.mu.
func (s *Stdio) depart() *flight {
	if s.flight == nil {
		s.flight = &flight{done: make(chan struct{})}
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
	return s.flight
}

// enter returns the child that a message goes to, and counts it; leave follows.
// It waits for one with the current token.
func (s *Stdio) enter(ctx context.Context, method string) (*child, error) {
	if c, ok := ctx.Value(askedBy{s}).(*child); ok {
		s.mu.Lock()
		defer s.mu.Unlock()
		if err := s.unusable(); err != nil {
			return nil, err
		}
		c.count(method)
		return c, nil
	}
	var timeout <-chan time.Time
	for {
		token, err := s.currentToken(ctx)
		if err != nil {
			return nil, err
		}
		s.mu.Lock()
		if err := s.unusable(); err != nil {
			s.mu.Unlock()
			return nil, err
		}
		if token == nil || !s.options.restart || token.AccessToken == s.current.token {
			c := s.current
			c.count(method)
			s.mu.Unlock()
			return c, nil
		}
		f := s.depart()
		s.mu.Unlock()
		if timeout == nil {
			timer := time.NewTimer(s.options.restartTimeout)
			defer timer.Stop()
			timeout = timer.C
		}
		if err := s.await(ctx, f, token, timeout); err != nil {
			return nil, err
		}
	}
}

// currentToken is the token that a server should have now: nil if there is none,
// or if it does not matter. The token file has it when this returns.
func (s *Stdio) currentToken(ctx context.Context) (*auth.Token, error) {
	s.mu.Lock()
	file, err := s.file, s.unusable()
	s.mu.Unlock()
	if err != nil || file == nil && !s.options.restart {
		return nil, err
	}
	token, err := s.src.Token(ctx)
	switch {
	case errors.Is(err, auth.ErrNoToken):
		return nil, nil
	case err == nil && file != nil:
		err = file.Place(ctx, token, nil)
	}
	return token, err
}

// await waits for the end of a flight, by whose failure only those are concerned
// who have the token that it failed with.
func (s *Stdio) await(ctx context.Context, f *flight, token *auth.Token, timeout <-chan time.Time) error {
	select {
	case <-f.done:
		select {
		case <-s.done:
			return mcptransport.ErrTransportClosed
		default:
		}
		if token != nil && f.token != "" && f.token != token.AccessToken {
			return nil
		}
		return f.err
	case <-ctx.Done():
		return ctx.Err()
	case <-timeout:
		return &RestartError{Err: context.DeadlineExceeded}
	case <-s.done:
	case <-s.stopped:
	}
	return mcptransport.ErrTransportClosed
}

// supervise restarts the server when an event or a request says that the token
// changed, until run ends. The processes live as long as ctx.
func (s *Stdio) supervise(ctx, run context.Context, events <-chan auth.Event) {
	for {
		select {
		case _, ok := <-events:
			switch {
			case !ok:
				events = nil // the source is closed
			case s.outdated(run):
				s.mu.Lock()
				s.depart()
				s.mu.Unlock()
			}
		case <-s.wake:
			if run.Err() != nil {
				return
			}
			token, err := s.restart(ctx, run)
			s.mu.Lock()
			f := s.flight
			s.flight = nil
			s.mu.Unlock()
			f.token, f.err = token, err
			close(f.done)
		case <-run.Done():
			return
		}
	}
}

// outdated reports whether the source has another token than the server. Events
// are no help there: some are dropped when many come.
func (s *Stdio) outdated(ctx context.Context) bool {
	token, err := s.src.Token(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	return err == nil && token.AccessToken != s.current.token
}

// restart replaces the process that runs by one with the current token.
// Until it has answered the handshake, the old one is not touched. It
// returns the access token that it did that with.
func (s *Stdio) restart(ctx, run context.Context) (string, error) {
	bounded, cancel := context.WithTimeout(run, s.options.restartTimeout)
	defer cancel()
	token, err := s.src.Token(bounded)
	switch {
	case errors.Is(err, auth.ErrNoToken):
		return "", nil // the server keeps what it has
	case err != nil:
		return "", s.failed(err)
	}
	s.mu.Lock()
	old := s.current
	s.mu.Unlock()
	if token.AccessToken == old.token {
		return "", nil
	}
	next, err := s.spawn(ctx, token)
	if err != nil {
		return token.AccessToken, s.failed(err)
	}
	err = s.drain(bounded, old) // while the new one is coming up
	if err == nil {
		s.mu.Lock()
		session := s.session.clone()
		s.mu.Unlock()
		err = session.replay(bounded, next)
	}
	if err != nil {
		s.tasks.Go(func() { s.discard(next) })
		return token.AccessToken, s.failed(err)
	}
	s.mu.Lock()
	s.current = next
	s.mu.Unlock()
	close(old.retired)
	s.options.logger.Info("stdio server restarted with a new token", "command", s.name)
	s.tasks.Go(func() {
		select {
		case <-s.whenIdle(old):
		case <-run.Done():
		}
		s.discard(old)
	})
	return token.AccessToken, nil
}

// drain waits until the requests that c has are answered, or for the time that
// they get. Only the client's own handshake has to be over: whatever it did not
// finish there it could not go on with elsewhere.
func (s *Stdio) drain(ctx context.Context, c *child) error {
	timer := time.NewTimer(s.options.drainTimeout)
	defer timer.Stop()
	select {
	case <-s.whenIdle(c):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
	}
	s.mu.Lock()
	requests, opening := c.requests, c.opening
	s.mu.Unlock()
	if opening > 0 {
		return context.DeadlineExceeded
	}
	s.options.logger.Info("stdio server is replaced before all requests are answered", "command", s.name, "requests", requests)
	return nil
}

func (s *Stdio) failed(err error) error {
	if errors.Is(err, mcptransport.ErrTransportClosed) {
		err = errEnded // the new process, not this transport
	}
	restart := &RestartError{Err: err}
	s.options.logger.Warn("stdio server not restarted", "command", s.name, "error", restart.Error())
	return restart
}

var errEnded = errtext.New("the new process ended before it answered")

// RestartError says that a stdio server could not be restarted with a new token,
// or not in time. The process with the old one goes on; the next request tries
// again.
type RestartError struct {
	// Err is why: [context.DeadlineExceeded] when [WithRestartTimeout] was over,
	// else what kept the new process from starting or from answering.
	Err error `json:"-"`
}

// Error implements error; the text holds no secret.
func (e *RestartError) Error() string {
	return "mcpgo: the stdio server was not restarted with the new token: " + errtext.Text(e.Err)
}

// Unwrap returns the cause, for errors.Is and errors.As.
func (e *RestartError) Unwrap() error { return e.Err }
