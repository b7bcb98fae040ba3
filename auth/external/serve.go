package external

import (
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/oauth2"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/internal/flight"
	"github.com/mcptokens/mcptokens/auth/internal/lifecycle"
)

// maxRounds bounds how often one call asks the machine. Each round ends a
// question, so it is far more than a call needs.
const maxRounds = 8

// operation is one question that any number of callers wait for.
type operation struct {
	flight *flight.Flight[result]
	// challenged: it was asked because a server refused the token in use.
	challenged bool
}

// result is what came of a question.
type result struct {
	token   *oauth2.Token
	failure lifecycle.Failure
	// same: it is the token that was in use already.
	same bool
}

// serve gets the caller a token: it asks the machine what to do, and does that,
// until there is a token or an error.
func (s *Source) serve(ctx context.Context, n lifecycle.Need, rejected *auth.Token) (*auth.Token, error) {
	for range maxRounds {
		s.mu.Lock()
		n.Token = s.idOf(rejected)
		now := wallNow()
		d := s.st.machine.Next(now, &n)
		var op *operation
		if d.Op != lifecycle.None {
			op = s.ask(d, &n)
		}
		tok := s.st.token
		if d.Action == lifecycle.Use && n.Kind == lifecycle.Challenged && n.Done != 0 {
			tok = s.st.tries.put(tok, try{replaced: true, begun: now})
		}
		s.publish(now)
		s.mu.Unlock()
		switch d.Action {
		case lifecycle.Fail:
			return nil, s.explain(d, n)
		case lifecycle.Use, lifecycle.UseAndRenew:
			return tok, nil
		case lifecycle.Resend:
			if err := s.pause(ctx, d.Delay); err != nil {
				return nil, err
			}
			if again := s.again(tok, n); again != nil {
				return again, nil
			}
			continue // a better one came meanwhile
		}
		res, err := op.flight.Wait(ctx)
		if err != nil {
			return nil, gaveUp(err)
		}
		if res.same && n.Kind == lifecycle.Challenged && !op.challenged {
			continue // what was asked before the refusal says nothing about it
		}
		n.After(d.Op, res.failure)
	}
	return nil, withNextAttempt(errTooShort, wallNow())
}

// ask returns the question under way, or asks. The caller holds s.mu and the
// machine is open.
func (s *Source) ask(d lifecycle.Decision, n *lifecycle.Need) *operation {
	if s.st.asking != nil {
		return s.st.asking
	}
	op := &operation{challenged: d.Action == lifecycle.Wait && n.Kind == lifecycle.Challenged && n.Token == s.st.id}
	s.st.asking = op
	s.st.machine.Started(d.Op)
	// The source knows no context, so that no bound would be of use.
	op.flight = flight.Start(&s.flights, flight.Options{},
		func(flight.Run) (result, error) {
			if s.source == nil {
				return result{}, &auth.ConfigError{Field: "FromTokenSource", Problem: "has no oauth2.TokenSource; give it one"}
			}
			tok, err := s.source.Token()
			return result{token: tok}, answerError(tok, err, wallNow())
		},
		func(res result, err error) (result, error) { return s.ended(d.Op, op, res, err), nil })
	return op
}

// ended applies what the source answered.
func (s *Source) ended(kind lifecycle.Op, op *operation, res result, err error) result {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, machine := wallNow(), &s.st.machine
	machine.Ended(kind)
	s.st.asking = nil
	switch {
	case machine.Closed():
		res.failure = lifecycle.Failure{Class: lifecycle.Ours, Err: auth.ErrClosed}
	case err == auth.ErrNoToken: // of Manager.TokenSource, which knows when to ask
		res.failure = lifecycle.Failure{Err: err}
		machine.NothingNew(now, false)
	case err != nil:
		res.failure = failureOf(err)
		machine.RenewFailed(now, res.failure)
	default:
		tok := tokenOf(res.token)
		if res.same = s.st.token != nil && same(s.st.token, tok); !res.same || !alike(s.st.token, tok) {
			s.put(now, tok, now)
		}
		if res.same {
			machine.NothingNew(now, op.challenged)
		}
	}
	s.publish(now)
	return res
}

// put brings a token into use; nil: there is none yet, and the source can be
// asked for it. The caller holds s.mu.
func (s *Source) put(now time.Time, t *auth.Token, obtained time.Time) {
	if t == nil || s.st.token == nil || !same(s.st.token, t) {
		s.st.id++
	}
	s.st.version++
	facts := lifecycle.Token{ID: s.st.id, Access: t != nil, Obtained: obtained}
	if t != nil {
		facts.Expiry, facts.Scopes = t.Expiry, &t.Scopes
	}
	s.st.token = t
	s.st.machine.Put(now, facts, s.st.version)
}

// publish makes what the machine says visible to callers who take no lock. The
// caller holds s.mu.
func (s *Source) publish(now time.Time) {
	var next *snapshot
	if until := s.st.machine.Until(now); !until.IsZero() {
		next = &snapshot{s.st.token, until.UnixNano(), s.st.machine.Known()}
	}
	if old := s.current.Load(); !(old == next || old != nil && next != nil && *old == *next) {
		s.current.Store(next)
	}
}

// idOf is the machine's name for a token. The caller holds s.mu.
func (s *Source) idOf(t *auth.Token) uint32 {
	switch {
	case t == nil:
		return 0
	case s.st.token != nil && same(s.st.token, t):
		return s.st.id
	}
	return 1<<32 - 1 // an older one
}

// inUse reports whether t is the newest token.
func (s *Source) inUse(t *auth.Token) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.st.token != nil && same(s.st.token, t) && !s.st.machine.Closed()
}

// again returns a copy of t for a request that is sent again; nil if t is no
// longer in use.
func (s *Source) again(t *auth.Token, n lifecycle.Need) *auth.Token {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.st.token != t || s.st.machine.Closed() {
		return nil
	}
	return s.st.tries.put(t, try{tries: n.Tries + 1, replaced: n.Replaced, since: n.Since, begun: wallNow()})
}

// pause waits before a request is sent again.
func (s *Source) pause(ctx context.Context, d time.Duration) error {
	if d == 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-s.closing:
		return auth.ErrClosed
	case <-ctx.Done():
		return gaveUp(ctx.Err())
	}
}

// explain is the error that a caller gets for a decision.
func (s *Source) explain(d lifecycle.Decision, n lifecycle.Need) error {
	switch d.Reason {
	case lifecycle.Closed:
		return auth.ErrClosed
	case lifecycle.Rejected:
		return &auth.RejectedError{Resource: s.resource, Rejections: d.Count, NextAttempt: d.RetryAt}
	case lifecycle.RejectedOperation:
		return &auth.RejectedError{Resource: s.resource, Operation: n.Operation, Rejections: d.Count, NextAttempt: d.RetryAt}
	case lifecycle.Failed:
		return d.Err
	}
	return withNextAttempt(errTooShort, wallNow()) // there is always a way to ask
}

func gaveUp(err error) error { return fmt.Errorf("external: gave up waiting for a token: %w", err) }

// same reports whether t and u are one token to a server.
func same(t, u *auth.Token) bool { return t.AccessToken == u.AccessToken }

// alike reports whether what is known of t and u is the same as well.
func alike(t, u *auth.Token) bool {
	return t.Expiry.Equal(u.Expiry) && slices.Equal(t.Scopes, u.Scopes)
}

// wallNow has no monotonic part: expiries are by the wall clock, which goes on
// while a machine sleeps.
func wallNow() time.Time { return time.Now().Round(0) }
