package browser

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// ServeHTTP answers the two addresses of a login, that which is opened and that
// which the answer comes to.
func (s *session) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	serve := s.receive
	switch {
	case r.Host != s.hosts[0] && r.Host != s.hosts[1]:
		// A page of a foreign name that resolves to 127.0.0.1 (DNS rebinding).
		s.pages.refuse(w, http.StatusMisdirectedRequest)
		return
	case r.URL.Path == s.path:
	case r.URL.Path == s.startPath:
		serve = s.begin
	default:
		s.pages.refuse(w, http.StatusNotFound)
		return
	}
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", http.MethodGet)
		s.pages.refuse(w, http.StatusMethodNotAllowed)
		return
	}
	serve(w, r)
}

// begin sends the browser to the authorization server, once. What is opened is
// an argument of a program, which every user of this machine can read: with the
// authorization URL they would have the state and the challenge. A second
// visitor sees that there was a first.
func (s *session) begin(w http.ResponseWriter, r *http.Request) {
	target := s.takeTarget()
	if target == "" {
		s.pages.show(w, r, s.pages.outcome(OutcomeOpened))
		return
	}
	h := w.Header()
	h.Set("Location", target)
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	write(w, http.StatusFound, "")
}

// takeTarget returns the authorization URL the first time, while there is no
// answer.
func (s *session) takeTarget() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	target := s.target
	s.target = ""
	return target
}

func (s *session) receive(w http.ResponseWriter, r *http.Request) {
	answer := readAnswer(r.URL.RawQuery)
	switch s.accept(answer) {
	case foreign:
		// An error without a state can come from anybody: it ends nothing, but the
		// person reads what came.
		o := s.pages.outcome(OutcomeForeign)
		o.Said = saidError(answer)
		s.pages.show(w, r, o)
	case used:
		s.pages.show(w, r, s.pages.outcome(OutcomeUsed))
	case first:
		defer close(s.shown)
		s.answer <- answer // has room for the one answer
		s.pages.show(w, r, s.hold(r.Context(), saidError(answer, answer.Get("state"))))
	}
}

type verdict int

const (
	foreign verdict = iota // not of this login
	used                   // of this login, but it has its answer
	first
)

// accept judges a redirect by its state.
func (s *session) accept(answer url.Values) verdict {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !carries(answer, s.state):
		return foreign
	case s.answered:
		return used
	}
	s.answered, s.target = true, ""
	return first
}

// hold waits until it is known how the login ended. said is the error that its
// answer carried.
func (s *session) hold(ctx context.Context, said string) Outcome {
	timer := time.NewTimer(holdPage)
	defer timer.Stop()
	select {
	case <-s.finished:
		if s.outcome != nil {
			return s.pages.failed(s.outcome, said)
		}
		return s.pages.outcome(OutcomeSignedIn)
	case <-timer.C:
	case <-ctx.Done():
	}
	return s.pages.outcome(OutcomePending)
}
