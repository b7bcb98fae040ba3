package auth

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/mcptokens/mcptokens/auth/discovery"
	"github.com/mcptokens/mcptokens/auth/registration"
	"github.com/mcptokens/mcptokens/internal/httpx"
)

// MaxRetryAfter caps what a server can ask for with Retry-After.
const MaxRetryAfter = 5 * time.Minute

const (
	// First wait 0…500 ms, then twice that, up to 0…1 minute: full jitter.
	backoffInitial = 250 * time.Millisecond
	backoffMax     = 30 * time.Second

	// ambiguousWait comes before the one repetition of a request whose answer
	// was lost: at once, for a grace period of the server to still run.
	ambiguousWait = 50 * time.Millisecond

	// ambiguousPause follows a refresh whose answers were lost twice; it
	// doubles each time.
	ambiguousPause = 5 * time.Second

	// permanentWait is the least time for which the callers get the same error,
	// also when a request fails for a reason that only an operator can mend.
	permanentWait = time.Second
)

// retryClass says what a failure means for the next try (design invariant 10).
type retryClass uint8

const (
	// classPermanent: the same request fails again.
	classPermanent retryClass = iota
	// classTransient: nothing came of it; the same request may work later.
	classTransient
	// classThrottled: the server is busy and may have said for how long.
	classThrottled
	// classAmbiguous: the request was written and its answer was lost. A
	// rotating refresh token may be spent.
	classAmbiguous
)

// classify returns the class of err and how long the server asked to wait.
func classify(err error) (retryClass, time.Duration) {
	if err == nil {
		return classPermanent, 0
	}
	var te *TokenError
	if errors.As(err, &te) {
		return te.class, te.RetryAfter
	}
	// Store errors, discovery and registration say it themselves.
	var se *StoreError
	if errors.As(err, &se) {
		return classTransient, 0
	}
	var de *discovery.Error
	if errors.As(err, &de) && de.Temporary() {
		return classTransient, min(de.RetryAfter, MaxRetryAfter)
	}
	var re *registration.Error
	if errors.As(err, &re) && re.Temporary() {
		return classTransient, min(re.RetryAfter, MaxRetryAfter)
	}
	return classPermanent, 0
}

// newBackOff returns exponential backoff with full jitter: each wait is drawn
// from zero to twice the interval.
func newBackOff() *backoff.ExponentialBackOff {
	return backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(backoffInitial),
		backoff.WithMultiplier(2),
		backoff.WithRandomizationFactor(1),
		backoff.WithMaxInterval(backoffMax),
		backoff.WithMaxElapsedTime(0), // the operation has its own bound
	)
}

// retried is the result of retry.
type retried struct {
	attempts int
	// next is how long to leave the server alone after a failure.
	next time.Duration
}

// retry runs attempt until it succeeds, fails for good, or the next wait would
// not end before ctx does. prior is how many operations of this kind failed
// just before, so that the waits go on growing across them.
func (m *Manager) retry(ctx context.Context, prior int, attempt func(ctx context.Context) error) (retried, error) {
	var r retried
	var b *backoff.ExponentialBackOff
	ambiguous := false
	ctx = m.cfg.trace.withResends(ctx)
	for {
		r.attempts++
		err := attempt(ctx)
		if err == nil {
			m.cfg.trace.attempted(ctx, Attempt{Number: r.attempts})
			return r, nil
		}
		if b == nil {
			b = newBackOff()
			for range min(prior, 16) {
				b.NextBackOff()
			}
		}
		class, after := classify(err)
		// The server's wish is a floor, with jitter above it: clients that
		// were told the same second must not come back in the same second.
		r.next = max(after+b.NextBackOff(), time.Millisecond)
		wait := r.next
		stop := false
		switch class {
		case classPermanent:
			stop = true
		case classAmbiguous:
			stop, ambiguous, wait = ambiguous, true, ambiguousWait
		}
		if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= wait {
			stop = true
		}
		if stop || ctx.Err() != nil {
			m.cfg.trace.attempted(ctx, Attempt{Number: r.attempts, Err: err})
			return r, err
		}
		m.cfg.trace.attempted(ctx, Attempt{Number: r.attempts, Wait: wait, Err: err})
		if ended := m.sleep(ctx, wait); errors.Is(ended, ErrClosed) {
			return r, ErrClosed
		} else if ended != nil {
			return r, err
		}
	}
}

// sleep waits for d. It ends early with ErrClosed when the manager is closed,
// which lets requests under way finish but not begin anew, or with ctx's error.
func (m *Manager) sleep(ctx context.Context, d time.Duration) error {
	m.mu.Lock()
	s := &m.st
	if s.closed {
		m.mu.Unlock()
		return ErrClosed
	}
	if s.wake == nil {
		s.wake = make(chan struct{})
	}
	wake := s.wake
	s.sleepers++
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if s.sleepers--; s.sleepers == 0 {
			s.wake = nil
		}
	}()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-wake:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// retryAfter is what the server asked for in either form of Retry-After (RFC
// 9110 section 10.2.3), at most [MaxRetryAfter].
func retryAfter(h http.Header) time.Duration {
	return min(httpx.RetryAfter(h, time.Now()), MaxRetryAfter)
}
