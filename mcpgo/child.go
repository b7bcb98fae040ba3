package mcpgo

import (
	"context"
	"errors"
	"os/exec"
	"time"

	mcptransport "github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"

	"github.com/mcptokens/mcptokens/auth"
)

// child is one process of the server, with mcp-go's transport to it.
type child struct {
	mcptransport.BidirectionalInterface
	token   string             // the access token that it was started with
	retired chan struct{}      // closed when another child has taken over
	end     context.CancelFunc // ends the handling of its requests

	// The rest is guarded by Stdio.mu.
	requests int           // that have no answer yet, in both directions
	opening  int           // of these, those that are the client's handshake
	idle     chan struct{} // closed when requests is 0; nil: nobody waits
}

// connector makes the transport to a process that is not started yet.
type connector func(name string, args []string, options *commandOptions, command mcptransport.CommandFunc) mcptransport.BidirectionalInterface

func newMCPGoStdio(name string, args []string, options *commandOptions, command mcptransport.CommandFunc) mcptransport.BidirectionalInterface {
	return mcptransport.NewStdioWithOptions(name, nil, args,
		mcptransport.WithCommandFunc(command), mcptransport.WithCommandLogger(options.logger))
}

// outputDelay is how long standard error may stay open after the server has
// ended, in a process that it started.
const outputDelay = time.Second

// spawn starts a process with token. It ends when ctx does.
func (s *Stdio) spawn(ctx context.Context, token *auth.Token) (*child, error) {
	s.mu.Lock()
	file := s.file
	s.mu.Unlock()
	c := &child{token: token.AccessToken, retired: make(chan struct{})}
	c.BidirectionalInterface = s.connect(s.name, s.args, s.options, func(ctx context.Context, name string, env, args []string) (*exec.Cmd, error) {
		cmd, err := s.options.command(ctx, name, env, args, token, file)
		if err == nil && cmd.Stderr == nil {
			cmd.Stderr = s.stderr
			if cmd.WaitDelay == 0 {
				cmd.WaitDelay = outputDelay
			}
		}
		return cmd, err
	})
	// A request that is made while one of the child's is handled is part of that.
	handling, end := context.WithCancel(context.WithValue(ctx, askedBy{s}, c))
	c.end = end
	c.SetNotificationHandler(func(notification mcp.JSONRPCNotification) {
		s.mu.Lock()
		handler := s.onNotification
		s.mu.Unlock()
		if handler != nil {
			handler(notification)
		}
	})
	c.SetRequestHandler(func(_ context.Context, request mcptransport.JSONRPCRequest) (*mcptransport.JSONRPCResponse, error) {
		s.mu.Lock()
		handler := s.onRequest
		c.requests++
		s.mu.Unlock()
		defer s.leave(c, "")
		if handler == nil {
			return mcptransport.NewJSONRPCErrorResponse(request.ID, mcp.METHOD_NOT_FOUND, "No request handler configured", nil), nil
		}
		return handler(handling, request)
	})
	if err := c.Start(ctx); err != nil {
		end()
		return nil, err
	}
	s.mu.Lock()
	closed := s.closed
	if !closed {
		s.children[c] = struct{}{}
	}
	s.mu.Unlock()
	if closed {
		_ = c.close()
		return nil, mcptransport.ErrTransportClosed
	}
	return c, nil
}

// askedBy is the key of the child whose request a context belongs to.
type askedBy struct{ s *Stdio }

func (c *child) close() error {
	c.end()
	err := c.Close()
	if errors.Is(err, exec.ErrWaitDelay) {
		return nil // another process has standard error open still
	}
	return err
}

// discard ends a child for good.
func (s *Stdio) discard(c *child) {
	_ = c.close()
	s.mu.Lock()
	delete(s.children, c)
	s.mu.Unlock()
}

// count notes that a request or notification goes to c. The caller holds s.mu.
func (c *child) count(method string) {
	c.requests++
	if isOpening(method) {
		c.opening++
	}
}

// leave notes that it has its answer.
func (s *Stdio) leave(c *child, method string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.requests--
	if isOpening(method) {
		c.opening--
	}
	if c.requests == 0 && c.idle != nil {
		close(c.idle)
		c.idle = nil
	}
}

// whenIdle returns a channel that is closed when no request to or from c is
// without an answer.
func (s *Stdio) whenIdle(c *child) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.idle == nil {
		c.idle = make(chan struct{})
	}
	idle := c.idle
	if c.requests == 0 {
		close(idle)
		c.idle = nil
	}
	return idle
}
