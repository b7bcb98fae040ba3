package mcpgo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"

	mcptransport "github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"

	"github.com/mcptokens/mcptokens/auth"
)

// Stdio is mcp-go's stdio transport for a server that needs a token, see
// [NewStdio]. It implements the interfaces that mcp-go's own implements, and
// does what that one does, but that it can replace the process beneath the
// client when the token changes.
type Stdio struct {
	src     auth.Source
	name    string // the command
	args    []string
	options *commandOptions
	connect connector
	stderr  *recentOutput

	wake    chan struct{} // tells supervise that there is a flight
	done    chan struct{} // closed by Close
	stopped chan struct{} // closed when supervise has ended
	tasks   sync.WaitGroup
	close   sync.Once

	mu             sync.Mutex
	started        bool
	closed         bool
	file           *TokenFile
	cancel         context.CancelFunc  // ends supervise
	current        *child              // takes the requests; nil before Start
	children       map[*child]struct{} // all that run
	flight         *flight             // the restart that is under way or due
	session        session
	onNotification func(mcp.JSONRPCNotification)
	onRequest      mcptransport.RequestHandler
}

var _ mcptransport.BidirectionalInterface = (*Stdio)(nil)

// NewStdio returns a transport that runs command with args as an MCP server and
// gives it src's token. Which variables the server finds it in, and what else
// it finds in its environment, is said at [CommandFunc]:
//
//	c := client.NewClient(mcpgo.NewStdio(manager, "weather-server", nil,
//		mcpgo.WithTokenVariable("WEATHER_TOKEN"), mcpgo.WithRestart()))
//
// For challenges that the server puts into its results, put [Wrap] around it.
//
// Start starts the server; as with mcp-go's transport, ending the context that
// it got kills the server. It returns the errors of [CommandFunc]. When there
// is no token for a request, it fails with src's error if there is a token file or
// [WithRestart]; [auth.ErrNoToken] is no such error, the server is then left
// with the token it has. A server that ends by itself is not started again,
// except by the next restart: until then, requests fail with
// [mcptransport.ErrTransportClosed].
//
// Close ends the server, whatever was started in its place, and the goroutines,
// removes the token file if it is the transport's own, and waits for all of
// that.
func NewStdio(src auth.Source, command string, args []string, opts ...CommandOption) *Stdio {
	return &Stdio{
		src: sourceOf(src, "NewStdio"), name: command, args: slices.Clone(args), options: newCommandOptions(opts),
		connect:  newMCPGoStdio,
		stderr:   newRecentOutput(),
		wake:     make(chan struct{}, 1),
		done:     make(chan struct{}),
		stopped:  make(chan struct{}),
		children: make(map[*child]struct{}),
	}
}

// Start implements [mcptransport.Interface]. A second Start does nothing, unless
// the first failed.
func (s *Stdio) Start(ctx context.Context) error {
	s.mu.Lock()
	switch {
	case s.closed:
		s.mu.Unlock()
		return mcptransport.ErrTransportClosed
	case s.started:
		s.mu.Unlock()
		return nil
	}
	s.started = true
	s.mu.Unlock()
	err := s.start(ctx)
	if err != nil {
		s.mu.Lock()
		s.started = false
		s.mu.Unlock()
	}
	return err
}

func (s *Stdio) start(ctx context.Context) error {
	if err := s.check(); err != nil {
		return err
	}
	var events <-chan auth.Event
	unsubscribe := func() {}
	if source, ok := s.src.(subscriber); ok && s.options.restart {
		events, unsubscribe = source.Subscribe() // first, so that nothing is missed
	}
	c, err := s.first(ctx)
	if err != nil {
		unsubscribe()
		return errors.Join(err, s.closeFile())
	}
	run, cancel := context.WithCancel(ctx)
	s.mu.Lock()
	if s.closed { // and with it, the child
		s.mu.Unlock()
		cancel()
		unsubscribe()
		return mcptransport.ErrTransportClosed
	}
	s.current, s.cancel = c, cancel
	s.tasks.Go(func() {
		defer close(s.stopped)
		defer unsubscribe()
		s.supervise(ctx, run, events)
	})
	s.mu.Unlock()
	return nil
}

func (s *Stdio) check() error {
	o := s.options
	switch {
	case s.name == "":
		return &auth.ConfigError{Field: "NewStdio", Problem: "the command is empty"}
	case o.restartTimeout <= 0:
		return &auth.ConfigError{Field: "WithRestartTimeout", Problem: "must be more than 0"}
	case o.drainTimeout < 0:
		return &auth.ConfigError{Field: "WithDrainTimeout", Problem: "must not be less than 0"}
	}
	return o.check()
}

// first starts the first process, with all that it needs.
func (s *Stdio) first(ctx context.Context) (*child, error) {
	if err := s.find(); err != nil {
		return nil, err
	}
	token, err := startToken(ctx, s.src)
	if err != nil {
		return nil, err
	}
	file := s.options.file
	if file == nil && s.options.withTokenFile {
		if file, err = NewTokenFile(ctx, s.src, ""); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	s.file = file
	s.mu.Unlock()
	if file != nil {
		if err := file.Place(ctx, token, nil); err != nil {
			return nil, err
		}
	}
	return s.spawn(ctx, token)
}

// find makes sure that there is such a command, before somebody logs in for it.
func (s *Stdio) find() error {
	if s.options.setup != nil || filepath.Base(s.name) != s.name { // there is more that says where it is
		return nil
	}
	if _, err := exec.LookPath(s.name); err != nil {
		return fmt.Errorf("mcpgo: the server cannot be started: %w", err)
	}
	return nil
}

// closeFile removes the token file if it is ours.
func (s *Stdio) closeFile() error {
	s.mu.Lock()
	file := s.file
	s.file = nil
	s.mu.Unlock()
	if file == nil || file == s.options.file {
		return nil
	}
	return file.Close()
}

// SendRequest implements [mcptransport.Interface].
func (s *Stdio) SendRequest(ctx context.Context, request mcptransport.JSONRPCRequest) (*mcptransport.JSONRPCResponse, error) {
	if request.Method == string(mcp.MethodSubscriptionsListen) && s.options.restart {
		return s.listen(ctx, request)
	}
	c, err := s.enter(ctx, request.Method)
	if err != nil {
		return nil, err
	}
	defer s.leave(c, request.Method)
	response, err := c.SendRequest(ctx, request)
	if err == nil && s.options.restart {
		s.mu.Lock()
		s.session.observe(request, response)
		s.mu.Unlock()
	}
	return response, err
}

// SendNotification implements [mcptransport.Interface].
func (s *Stdio) SendNotification(ctx context.Context, notification mcp.JSONRPCNotification) error {
	if notification.Method == string(mcp.MethodNotificationCancelled) {
		return s.notifyAll(ctx, notification)
	}
	c, err := s.enter(ctx, notification.Method)
	if err != nil {
		return err
	}
	defer s.leave(c, notification.Method)
	err = c.SendNotification(ctx, notification)
	if err == nil && notification.Method == string(mcp.MethodNotificationInitialized) {
		s.mu.Lock()
		s.session.initialized = true
		s.mu.Unlock()
	}
	return err
}

// notifyAll tells every process that a request was cancelled: the one that has
// it may have been replaced, and the others do not know its ID.
func (s *Stdio) notifyAll(ctx context.Context, notification mcp.JSONRPCNotification) error {
	s.mu.Lock()
	current, all, err := s.current, slices.Collect(maps.Keys(s.children)), s.unusable()
	s.mu.Unlock()
	if err != nil {
		return err
	}
	for _, c := range all {
		if c != current {
			_ = c.SendNotification(ctx, notification)
		}
	}
	return current.SendNotification(ctx, notification)
}

// unusable says why nothing can be sent; nil if it can. The caller holds s.mu.
func (s *Stdio) unusable() error {
	switch {
	case s.closed:
		return mcptransport.ErrTransportClosed
	case s.current == nil:
		return errNotStarted
	}
	return nil
}

var errNotStarted = errors.New("mcpgo: the stdio transport is not started")

// SetNotificationHandler implements [mcptransport.Interface].
func (s *Stdio) SetNotificationHandler(handler func(notification mcp.JSONRPCNotification)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onNotification = handler
}

// SetRequestHandler implements [mcptransport.BidirectionalInterface].
func (s *Stdio) SetRequestHandler(handler mcptransport.RequestHandler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onRequest = handler
}

// GetSessionId implements [mcptransport.Interface]: stdio has no session ID.
func (s *Stdio) GetSessionId() string { return "" }

// Stderr returns what the server wrote to its standard error, the last 64 KiB
// that nobody has read yet, over all restarts. Reading waits for more until
// Close. With another destination set by [WithCommandSetup] there is nothing.
func (s *Stdio) Stderr() io.Reader { return s.stderr }

// Close implements [mcptransport.Interface]. The error says how the server
// ended, if it had to be made to or reported a failure.
func (s *Stdio) Close() error {
	var err error
	s.close.Do(func() {
		s.mu.Lock()
		s.closed = true
		current, all, cancel := s.current, slices.Collect(maps.Keys(s.children)), s.cancel
		s.mu.Unlock()
		close(s.done)
		if cancel != nil {
			cancel()
		}
		var closing sync.WaitGroup
		for _, c := range all {
			closing.Go(func() {
				closeErr := c.close()
				if c == current {
					err = closeErr
				}
			})
		}
		closing.Wait()
		s.tasks.Wait()
		_ = s.stderr.Close()
		err = errors.Join(err, s.closeFile())
	})
	return err
}
