// Package external uses tokens that another library gets, such as the credentials
// of a cloud's workload identity, as an [auth.Source]:
//
//	source := external.FromTokenSource(ts, "https://mcp.example.com/mcp")
//	defer source.Close()
//	client := &http.Client{Transport: &transport.RoundTripper{Source: source}}
//
// There is no manager then: nothing is discovered, stored or refreshed here.
package external

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/oauth2"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/internal/flight"
	"github.com/mcptokens/mcptokens/auth/internal/lifecycle"
	"github.com/mcptokens/mcptokens/internal/httpx"
)

const (
	// sourceWindow is how long before a token's expiry its source is asked
	// again: about when oauth2.ReuseTokenSource stops handing it out.
	sourceWindow = 10 * time.Second

	// closeGrace is how long Close waits for a call of the source.
	closeGrace = 5 * time.Second
)

// errStillAsking is what Close returns when nothing else helps.
var errStillAsking = errors.New("external: a call of oauth2.TokenSource.Token does not return; give its source a timeout")

// Source is an [auth.Source] whose tokens another library gets: see
// [FromTokenSource]. It is an [auth.Accepter] too. Its methods may be called
// from many goroutines at once.
//
// Like an [auth.Manager] it is a shell around the state machine of package
// lifecycle, for which the oauth2.TokenSource is a grant that needs nobody.
type Source struct {
	source   oauth2.TokenSource
	resource string
	policy   lifecycle.Policy
	flights  flight.Group
	closing  chan struct{} // closed by Close
	current  atomic.Pointer[snapshot]

	mu sync.Mutex // guards st; never held while the source is asked
	st state
}

// state is what a source knows and does.
type state struct {
	machine lifecycle.Machine
	token   *auth.Token // the newest; nil: none yet
	id      uint32      // the machine's name for it
	version uint64      // of the last answer
	asking  *operation  // the question under way
	tries   tries
}

// snapshot is what callers read without a lock: a token, and until when it may
// be handed out without a question, in Unix nanoseconds.
type snapshot struct {
	token *auth.Token
	until int64
	known bool // that the token is accepted
}

var (
	_ auth.Source   = (*Source)(nil)
	_ auth.Accepter = (*Source)(nil)
)

// FromTokenSource returns an [auth.Source] for the tokens of ts, such as the
// credentials of a cloud's workload identity. resource is the URL of the MCP
// server that they are for: transport.RoundTripper sends them to its origin
// only. Empty: to the origin of the first request.
//
// A token is handed out, without asking ts, until about 10 seconds before its
// expiry, or for half of its life if that is shorter; one without an expiry
// until the server rejects it. ts is asked by one goroutine at a time, however
// many callers wait, and each of them waits no longer than its own context,
// although ts knows none; [Source.Close] waits for that goroutine. After a
// failure callers who need a token get the same error until the next attempt is
// due: a second at first, then up to 5 seconds, or up to 5 minutes if the
// failure does not pass by itself, and no less than what the server behind ts
// asked for.
func FromTokenSource(ts oauth2.TokenSource, resource string) *Source {
	s := &Source{source: ts, resource: resource, closing: make(chan struct{})}
	s.policy = lifecycle.Policy{Window: sourceWindow, Grant: lifecycle.Alone, Jitter: rand.Float64, Timed: withNextAttempt}
	s.st.machine = lifecycle.New(&s.policy, true) // there is no store to read
	s.put(wallNow(), nil, time.Time{})
	return s
}

// Resource returns the URL that FromTokenSource was given.
func (s *Source) Resource() string { return s.resource }

// Token implements [auth.Source].
//
// Errors: *[Error] with that of the oauth2.TokenSource in Err;
// [auth.ErrNoToken] if that is what it says; *[auth.RejectedError] when the
// server rejects every token; *[auth.ConfigError] without a source;
// [auth.ErrClosed]; and ctx's own.
func (s *Source) Token(ctx context.Context) (*auth.Token, error) {
	if now := s.current.Load(); now != nil && time.Now().UnixNano() < now.until {
		return now.token, nil
	}
	return s.serve(ctx, lifecycle.Need{Kind: lifecycle.Fresh}, nil)
}

// Resolve implements [auth.Source]. Evidence decides what a 401 means, by the
// same rules as [auth.Manager.Resolve]: a token that is seconds old, or that
// other requests are accepted with, is returned once more, after a short wait.
// Then the oauth2.TokenSource is asked for another one. Nobody can tell it what
// the server wants, so missing scopes are *[auth.InsufficientScopeError].
//
// Errors: *[auth.RejectedError], with Operation when other requests go on;
// *[auth.InsufficientScopeError]; and those of [Source.Token].
func (s *Source) Resolve(ctx context.Context, rejected *auth.Token, c auth.Challenge) (*auth.Token, error) {
	if rejected != nil && c.InsufficientScope() && s.inUse(rejected) {
		return nil, &auth.InsufficientScopeError{Required: c.Scopes, Granted: rejected.Scopes, Resource: s.resource, Operation: c.Operation}
	}
	return s.serve(ctx, s.needOf(rejected, c), rejected)
}

// needOf is what a caller needs whose request was refused.
func (s *Source) needOf(rejected *auth.Token, c auth.Challenge) lifecycle.Need {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := s.st.tries.take(wallNow(), rejected)
	return lifecycle.Need{
		Kind: lifecycle.Challenged, Operation: c.Operation,
		NoLogin: c.Method == http.MethodDelete, Stream: c.Stream,
		Tries: last.tries, Replaced: last.replaced, Since: last.since,
	}
}

// Accepted implements [auth.Accepter]: the server accepted t. It costs one
// atomic load once that is known.
func (s *Source) Accepted(t *auth.Token) {
	if t == nil {
		return
	}
	if now := s.current.Load(); now != nil && now.token == t && now.known {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := wallNow()
	s.st.tries.take(now, t)
	if s.st.machine.Accepted(s.idOf(t)) {
		s.publish(now)
	}
}

// Close ends the use of the source and waits for a call of its Token method
// that is under way. Nothing can end that, so after 5 seconds the error says
// that it goes on. Afterwards every method returns [auth.ErrClosed].
func (s *Source) Close() error {
	s.mu.Lock()
	if !s.st.machine.Closed() {
		close(s.closing)
	}
	s.st.machine.Close()
	s.publish(wallNow())
	asking := s.st.asking
	s.mu.Unlock()
	if asking != nil {
		grace := time.NewTimer(closeGrace)
		defer grace.Stop()
		select {
		case <-asking.flight.Done():
		case <-grace.C:
			return errStillAsking
		}
	}
	s.flights.Close(0)
	return nil
}

// Format makes every fmt verb print the source without its secrets.
func (s *Source) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "external.Source{"+cmp.Or(httpx.ShownURL(s.resource), "(not a URL)")+"}")
}
