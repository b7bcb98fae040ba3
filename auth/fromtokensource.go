package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/oauth2"

	"github.com/mcptokens/mcptokens/internal/errtext"
	"github.com/mcptokens/mcptokens/internal/httpx"
)

const (
	// sourceWindow is how long before a token's expiry its source is asked
	// again: when oauth2.ReuseTokenSource stops to hand it out, no earlier.
	sourceWindow = 10 * time.Second

	// sourcePause is the least time between two questions whose answers were
	// of no use.
	sourcePause = time.Second
)

// Why a source's answer was of no use, found in [TokenError.Err].
var (
	errNoAnswer    = errtext.New("the oauth2.TokenSource returned neither a token nor an error")
	errNoBearer    = errtext.New("the oauth2.TokenSource returned a token of a type other than Bearer")
	errExpired     = errtext.New("the oauth2.TokenSource returned a token that has expired")
	errStillAsking = errtext.New("auth: a call of oauth2.TokenSource.Token does not return; give its source a timeout")
)

// External is a [Source] whose tokens somebody else gets: see
// [FromTokenSource]. Its methods may be called from many goroutines at once.
type External struct {
	source   oauth2.TokenSource
	resource string

	current atomic.Pointer[snapshot]
	calls   sync.WaitGroup

	mu         sync.Mutex // never held while the source is asked
	token      *Token     // the newest; nil: none yet
	rejected   bool       // the server rejected it
	rejections rejections
	call       *sourceCall // the question under way
	err        error       // what came of the last one
	askAgain   time.Time   // not before
	closed     bool
}

var _ Source = (*External)(nil)

// sourceCall is one question that any number of callers wait for.
type sourceCall struct {
	done  chan struct{}
	token *Token // with err, to be read once done is closed
	err   error
}

// FromTokenSource returns a [Source] for the tokens of ts, such as the
// credentials of a cloud's workload identity. resource is the URL of the MCP
// server that they are for: transport.RoundTripper sends them to its origin
// only. Empty: to the origin of the first request.
//
// A token is handed out, without asking ts, until 10 seconds before its expiry;
// one without an expiry until the server rejects it. ts is asked by one
// goroutine at a time, however many callers wait, and each of them waits no
// longer than its own context, although ts knows none; [External.Close] waits
// for that goroutine.
//
// Nobody can tell ts what a server wants: a 401 has it asked again, and if it
// still returns the token that was rejected, the error is *[RejectedError]; for
// want of scopes it is *[InsufficientScopeError]. Other errors: *[TokenError]
// with that of ts in Err, *[ConfigError], [ErrClosed], and the context's own.
func FromTokenSource(ts oauth2.TokenSource, resource string) *External {
	return &External{source: ts, resource: resource}
}

// Resource returns the URL that FromTokenSource was given.
func (e *External) Resource() string { return e.resource }

// Token implements [Source].
func (e *External) Token(ctx context.Context) (*Token, error) {
	if s := e.current.Load(); s != nil && time.Now().UnixNano() < s.until {
		return s.token, nil
	}
	e.mu.Lock()
	now := wallNow()
	if err := e.unable(now); err != nil {
		e.mu.Unlock()
		return nil, err
	}
	tok, err, call := e.token, e.err, e.call
	usable := tok.live(now) && !e.rejected
	if call == nil && now.Before(e.askAgain) && (usable || err != nil) {
		e.mu.Unlock()
		if usable {
			return tok, nil
		}
		return nil, err
	}
	if call == nil {
		e.rejected = false // for long enough: if there is no other, the server decides anew
		call = e.ask()
	}
	e.mu.Unlock()
	if usable {
		return tok, nil // what is asked for is for those who come later
	}
	return call.wait(ctx)
}

// Resolve implements [Source].
func (e *External) Resolve(ctx context.Context, rejected *Token, c Challenge) (*Token, error) {
	if rejected == nil {
		return e.Token(ctx)
	}
	for {
		e.mu.Lock()
		now := wallNow()
		if !e.closed && !e.rejected && e.token.live(now) && !e.token.same(rejected) {
			tok := e.token
			e.mu.Unlock()
			return tok, nil // a late answer to an older token
		}
		if c.InsufficientScope() && !e.closed {
			e.mu.Unlock()
			return nil, &InsufficientScopeError{Required: c.Scopes, Granted: rejected.Scopes, Resource: e.resource, Operation: c.Operation}
		}
		if e.token.same(rejected) && !e.rejected {
			e.rejected = true
			e.current.Store(nil)
			e.rejections.note(now, rejectionsRenewed)
		}
		if err := e.unable(now); err != nil {
			e.mu.Unlock()
			return nil, err
		}
		call, ours := e.call, e.call == nil
		if ours {
			call = e.ask()
		}
		e.mu.Unlock()
		tok, err := call.wait(ctx)
		switch {
		case err != nil:
			return nil, err
		case !tok.same(rejected):
			return tok, nil
		case !ours: // asked before it was rejected
		default:
			return nil, e.bar(tok)
		}
	}
}

// Close ends the use of the source and waits for a call of its Token method
// that is under way. Nothing can end that, so after a few seconds the error
// says that it goes on. Afterwards every method returns [ErrClosed].
func (e *External) Close() error {
	e.mu.Lock()
	e.closed = true
	e.current.Store(nil)
	call := e.call
	e.mu.Unlock()
	if call != nil {
		grace := time.NewTimer(closeGrace)
		defer grace.Stop()
		select {
		case <-call.done:
		case <-grace.C:
			return errStillAsking
		}
	}
	e.calls.Wait()
	return nil
}

// Format makes every fmt verb print the source without its secrets.
func (e *External) Format(f fmt.State, _ rune) {
	redact(f, "auth.External{"+shownURL(e.resource)+"}")
}

// unable is the error for which the source is not even asked; the caller holds
// e.mu.
func (e *External) unable(now time.Time) error {
	switch {
	case e.closed:
		return ErrClosed
	case e.source == nil:
		return &ConfigError{"TokenSource", "is nil; give FromTokenSource an oauth2.TokenSource"}
	case e.rejected && e.rejections.barred(now):
		return e.rejectedError()
	}
	return nil
}

// bar stops the use of a token for a while that the source goes on returning
// although the server rejects it.
func (e *External) bar(tok *Token) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.token.same(tok) {
		e.rejected = true
		e.current.Store(nil)
		e.rejections.bar(wallNow(), e.rejections.inRow)
	}
	return e.rejectedError()
}

func (e *External) rejectedError() error {
	return e.rejections.error(e.resource)
}

// ask has a goroutine ask the source; the caller holds e.mu and has seen that
// nobody does yet.
func (e *External) ask() *sourceCall {
	call := &sourceCall{done: make(chan struct{})}
	e.call = call
	e.calls.Go(func() {
		raw, err := e.source.Token()
		e.mu.Lock()
		defer e.mu.Unlock()
		call.token, call.err = e.take(raw, err)
		e.call = nil
		close(call.done)
	})
	return call
}

func (c *sourceCall) wait(ctx context.Context) (*Token, error) {
	select {
	case <-c.done:
		return c.token, c.err
	case <-ctx.Done():
		return nil, fmt.Errorf("auth: gave up waiting for a token: %w", ctx.Err())
	}
}

// take puts what the source answered in use; the caller holds e.mu.
func (e *External) take(raw *oauth2.Token, err error) (*Token, error) {
	now := wallNow()
	if e.closed {
		return nil, ErrClosed
	}
	e.err = answerError(raw, err, now)
	if e.err != nil {
		e.askAgain = now.Add(sourcePause)
		e.err = withNextAttempt(e.err, e.askAgain)
		return nil, e.err
	}
	tok := tokenOf(raw)
	if old := e.token; old != nil && old.AccessToken == tok.AccessToken && old.Expiry.Equal(tok.Expiry) && slices.Equal(old.Scopes, tok.Scopes) {
		tok = old
		e.askAgain = now.Add(sourcePause) // it has no other yet
	} else {
		e.askAgain, e.rejected = time.Time{}, false
	}
	e.token = tok
	if e.rejected {
		return tok, nil // and whoever asked for another sees that
	}
	until := int64(1<<63 - 1)
	if !tok.Expiry.IsZero() {
		until = tok.Expiry.Add(-sourceWindow).UnixNano()
	}
	e.current.Store(&snapshot{token: tok, until: until})
	return tok, nil
}

// tokenOf is the token as this package has it. Its refresh token stays with the
// source, which may rotate it.
func tokenOf(raw *oauth2.Token) *Token {
	t := &Token{AccessToken: raw.AccessToken, Expiry: raw.Expiry}
	if scope, ok := raw.Extra("scope").(string); ok {
		t.Scopes = splitScopes(scope)
	}
	return t.seal()
}

// answerError says what is wrong with an answer. The source's own error may
// quote what a server sent, so it is only kept for errors.As.
func answerError(raw *oauth2.Token, err error, now time.Time) error {
	switch {
	case err != nil:
	case raw == nil || raw.AccessToken == "":
		return &TokenError{Err: errNoAnswer}
	case raw.Type() != "Bearer":
		return &TokenError{Err: errNoBearer}
	case !raw.Expiry.IsZero() && !now.Before(raw.Expiry.Round(0)):
		return &TokenError{Err: errExpired, class: classTransient}
	default:
		return nil
	}
	if _, ours := err.(errtext.Safe); ours { // Manager.TokenSource
		return err
	}
	fail := &TokenError{Err: err, class: classTransient}
	var answered *oauth2.RetrieveError
	if errors.As(err, &answered) {
		fail.Code = httpx.ErrorCode(answered.ErrorCode)
		rest := classPermanent
		if fail.Code == "" || fail.Code == "temporarily_unavailable" || fail.Code == "server_error" {
			rest = classTransient
		}
		fail.class = rest
		if answered.Response != nil {
			fail.StatusCode = answered.Response.StatusCode
			fail.RetryAfter = retryAfter(answered.Response.Header)
			fail.class = statusClass(fail.StatusCode, rest)
		}
	}
	return fail
}
