package mcpgo

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/internal/loginwait"
)

// ElicitLogin tells the clients of an MCP server built with mcp-go where their
// user has to log in, when a tool's handler returns an *[auth.LoginRequiredError]:
// a gateway's, whose tools call other MCP servers. The zero value is ready:
//
//	elicit := &mcpgo.ElicitLogin{}
//	s := server.NewMCPServer("gateway", "1", server.WithToolHandlerMiddleware(elicit.Tools), server.WithElicitation())
//
// What a client gets depends on what it knows:
//
//   - Protocol 2026-07-28 with URL elicitation: a request for input. When the user
//     has agreed to open the URL, the client sends the call again, which waits for
//     the login, if the source is a weblogin.Patient; else it asks again.
//   - Older protocols with URL elicitation: mcp.URLElicitationRequiredError, and,
//     with Pool and Subject, notifications/elicitation/complete when the login ends,
//     on whichever replica it does.
//   - Any other: a tool's error with the URL in its text.
//
// The URL goes to the client. That it is opened by the user whom the call is for is
// what the program behind it has to check, as weblogin does (MCP 2026-07-28, "URL
// Mode Elicitation", phishing).
type ElicitLogin struct {
	// Pool and Subject say whose login has to end for a notification: Subject
	// returns the subject of a call's context. Default: no notifications.
	Pool    *auth.Pool
	Subject func(ctx context.Context) string

	// Wait is how long a call waits whose user has agreed to open the URL. Default:
	// 30 seconds; negative: not at all.
	Wait time.Duration

	mu      sync.Mutex
	pending map[string]context.CancelFunc // notifications to come, by session and ID
	closed  bool
	work    sync.WaitGroup
}

// elicitID names the request for input that this makes.
const elicitID = "login"

const (
	elicitWait = 30 * time.Second
	// maxElicited bounds the notifications that wait; a client without one asks again.
	maxElicited = 1000
	// elicitPoll is how often a login is looked for in a store that gives no hints.
	elicitPoll = 2 * time.Second
)

// Tools is a middleware for server.WithToolHandlerMiddleware.
func (e *ElicitLogin) Tools(next server.ToolHandlerFunc) server.ToolHandlerFunc {
	return func(ctx context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		answer := server.ElicitationResponse(r.Params.InputResponses, elicitID)
		agreed := answer != nil && answer.Action == mcp.ElicitationResponseActionAccept
		if wait := e.wait(); agreed && wait > 0 {
			ctx = loginwait.With(ctx, wait)
		}
		result, err := next(ctx, r)
		var required *auth.LoginRequiredError
		if !errors.As(err, &required) {
			return result, err
		}
		modern := mcp.IsModernProtocol(server.RequestProtocolVersion(ctx))
		switch {
		case answer != nil && !agreed:
			return mcp.NewToolResultError("The user did not agree to log in for " + hostOf(required.Resource) + "."), nil
		case !takesURLs(ctx):
			return mcp.NewToolResultError(message(required) + " Open " + required.URL + " and then try again."), nil
		case modern:
			return server.NewInputRequestBuilder("").Elicit(elicitID, elicitation(required)).ToolResult(), nil
		}
		params := elicitation(required)
		e.notify(ctx, params.ElicitationID, required)
		return nil, mcp.URLElicitationRequiredError{Elicitations: []mcp.ElicitationParams{params}}
	}
}

func (e *ElicitLogin) wait() time.Duration {
	if e.Wait == 0 {
		return elicitWait
	}
	return e.Wait
}

// takesURLs reports whether the client says that it can show a URL.
func takesURLs(ctx context.Context) bool {
	var caps mcp.ClientCapabilities
	if info := server.RequestProtocolInfoFromContext(ctx); info != nil && info.ClientCapabilities != nil {
		caps = *info.ClientCapabilities
	} else if session, ok := server.ClientSessionFromContext(ctx).(server.SessionWithClientInfo); ok {
		caps = session.GetClientCapabilities()
	}
	return caps.Elicitation != nil && caps.Elicitation.URL != nil
}

// elicitation is what the client shows. Its ID is the same for the same link.
func elicitation(required *auth.LoginRequiredError) mcp.ElicitationParams {
	sum := sha256.Sum256([]byte(required.URL))
	return mcp.ElicitationParams{
		Mode: mcp.ElicitationModeURL, ElicitationID: hex.EncodeToString(sum[:16]), URL: required.URL, Message: message(required),
	}
}

func message(required *auth.LoginRequiredError) string {
	if required.More {
		return fmt.Sprintf("%s needs more permissions from you.", hostOf(required.Resource))
	}
	return fmt.Sprintf("You have to log in for %s.", hostOf(required.Resource))
}

func hostOf(resource string) string {
	if u, err := url.Parse(resource); err == nil && u.Host != "" {
		return u.Host
	}
	return "the MCP server"
}

// notify has the client told when the login ends.
func (e *ElicitLogin) notify(ctx context.Context, id string, required *auth.LoginRequiredError) {
	s, session := server.ServerFromContext(ctx), server.ClientSessionFromContext(ctx)
	if e.Pool == nil || e.Subject == nil || s == nil || session == nil {
		return
	}
	name := session.SessionID() + " " + id
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed || e.pending[name] != nil || len(e.pending) >= maxElicited {
		return
	}
	if e.pending == nil {
		e.pending = make(map[string]context.CancelFunc)
	}
	src := e.Pool.Source(e.Subject(ctx), required.Resource)
	waiting, cancel := context.WithDeadline(context.WithoutCancel(ctx), required.Expires.Add(time.Minute))
	e.pending[name] = cancel
	e.work.Go(func() {
		defer func() {
			cancel()
			e.mu.Lock()
			defer e.mu.Unlock()
			delete(e.pending, name)
		}()
		if loginEnds(waiting, src) {
			_ = s.SendElicitationComplete(waiting, session, id) // who is gone needs it no more
		}
	})
}

// loginEnds waits until there is another token than now, and reports false if ctx
// ends before.
func loginEnds(ctx context.Context, src *auth.PoolSource) (ended bool) {
	_ = src.Use(func(m *auth.Manager) error {
		events, stop := m.Subscribe()
		defer stop()
		before, _ := m.Token(ctx)
		poll := time.NewTicker(elicitPoll)
		defer poll.Stop()
		for {
			select {
			case e, open := <-events:
				if ended = e.Type == auth.EventTokenUpdated; ended || !open {
					return nil
				}
			case <-poll.C:
				if tok, err := m.Token(ctx); err == nil && (before == nil || tok.AccessToken != before.AccessToken) {
					ended = true
					return nil
				}
			case <-ctx.Done():
				return nil
			}
		}
	})
	return ended
}

// Close ends what waits for logins, and waits for it.
func (e *ElicitLogin) Close() error {
	e.mu.Lock()
	e.closed = true
	for _, cancel := range e.pending {
		cancel()
	}
	e.mu.Unlock()
	e.work.Wait()
	return nil
}
