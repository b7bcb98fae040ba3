package mcpgo

import (
	"context"

	mcptransport "github.com/mark3labs/mcp-go/client/transport"
)

// listen sends a subscriptions/listen request, which has no answer until the
// client or the server ends it (MCP 2026-07-28). It is not waited for when the
// server is restarted, but sent again to the process that took over, with the
// same ID: the client cancels it by that.
func (s *Stdio) listen(ctx context.Context, request mcptransport.JSONRPCRequest) (*mcptransport.JSONRPCResponse, error) {
	c, err := s.enter(ctx, request.Method)
	if err != nil {
		return nil, err
	}
	s.leave(c, request.Method)
	for {
		response, err := c.untilRetired(ctx, request)
		select {
		case <-c.retired:
		default:
			return response, err
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		s.mu.Lock()
		c, err = s.current, s.unusable()
		s.mu.Unlock()
		if err != nil {
			return nil, err
		}
	}
}

// untilRetired sends a request and stops waiting for its answer when another
// child has taken over.
func (c *child) untilRetired(ctx context.Context, request mcptransport.JSONRPCRequest) (*mcptransport.JSONRPCResponse, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-c.retired:
			cancel()
		case <-ctx.Done():
		}
	}()
	return c.SendRequest(ctx, request)
}
