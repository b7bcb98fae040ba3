package auth

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/mcptokens/mcptokens/auth/authtrace"
	"github.com/mcptokens/mcptokens/auth/discovery"
	"github.com/mcptokens/mcptokens/auth/internal/flight"
	"github.com/mcptokens/mcptokens/auth/internal/lifecycle"
	"github.com/mcptokens/mcptokens/auth/internal/tracing"
	"github.com/mcptokens/mcptokens/auth/registration"
	"github.com/mcptokens/mcptokens/internal/httpx"
)

const (
	// maxRetryAfter caps what a server can ask for with Retry-After.
	maxRetryAfter = 5 * time.Minute

	// The waits between attempts double up to retryMost: a server that works
	// again is noticed within that time.
	retryFirst = 250 * time.Millisecond
	retryMost  = 5 * time.Second

	// absence comes before the one repetition of a request whose endpoint was not
	// there: the server may be starting at this moment.
	absence = 5 * time.Second

	// ambiguousWait comes before the one repetition of a request whose answer
	// was lost. It is short: some servers repeat their answer for a moment.
	ambiguousWait = 50 * time.Millisecond
)

// failureOf says what an error means for the next try [invariant 14]. want are
// the scopes that the request asked for beyond those granted. Errors that are
// not a token endpoint's say themselves whether the same call can succeed
// later, by a method Retryable() bool; so can those of the program's own grant or
// store.
func failureOf(err error, want []string) lifecycle.Failure {
	f := lifecycle.Failure{Err: err, Class: lifecycle.Ours}
	var (
		token      *TokenError
		forgotten  *forgottenClient
		first      *unconfirmed
		held       *elsewhere
		doubt      *inDoubt
		store      *StoreError
		found      *discovery.Error
		registered *registration.Error
		says       interface{ Retryable() bool }
		link       *LoginRequiredError
	)
	switch {
	case err == nil:
		return lifecycle.Failure{}
	case errors.As(err, &link):
		f.Until, f.Scopes = link.Expires, link.Scopes
		return f
	case errors.As(err, &forgotten):
		f.Err, f.Class = forgotten.error, lifecycle.RefusedToken
		return f
	case errors.As(err, &first):
		f.Err, f.Class = first.error, lifecycle.Transient
		if errors.As(err, &token) && token.StatusCode == http.StatusNotFound {
			f.RetryAfter = absence // by then it is there again, if it was only away
		}
		return f
	case errors.As(err, &held):
		f.Err, f.Class = held.error, lifecycle.Elsewhere
		return f
	case errors.As(err, &token):
		f.Class, f.RetryAfter = token.meaning(len(want) > 0), token.RetryAfter
		return f
	case errors.Is(err, ErrNoToken), errors.Is(err, ErrNoRefreshToken), errors.Is(err, errMoved):
		f.Class = lifecycle.RefusedToken // what there was is gone
		return f
	case errors.Is(err, errNewer):
		f.Class = lifecycle.Transient
		return f
	case errors.As(err, &doubt):
		f.Err, f.Class, f.RetryAfter = doubt.error, lifecycle.Transient, doubt.left
		return f
	}
	retryable := errors.As(err, &says) && says.Retryable()
	if errors.As(err, &store) { // which is permanent only if it says so
		retryable = says == nil || retryable
	}
	if !retryable {
		return f
	}
	f.Class = lifecycle.Transient
	switch {
	case errors.As(err, &found):
		f.RetryAfter = min(found.RetryAfter, maxRetryAfter)
	case errors.As(err, &registered):
		f.RetryAfter = min(registered.RetryAfter, maxRetryAfter)
	}
	return f
}

// passes reports whether err goes away by itself.
func passes(err error) bool { return failureOf(err, nil).Class.Passes() }

// isBlameless reports whether err goes away by itself, no server asked for time, and no
// answer is missing.
func isBlameless(err error) bool {
	class := failureOf(err, nil).Class
	return class.Passes() && class != lifecycle.Throttled && class != lifecycle.Ambiguous
}

// isBusy reports whether err says that the server has too much to do.
func isBusy(err error) bool { return err != nil && failureOf(err, nil).Class == lifecycle.Throttled }

// meaning is the class of a failed token request.
func (e *TokenError) meaning(scoped bool) lifecycle.Class {
	if e.class != lifecycle.RefusedRequest {
		return e.class
	}
	switch e.Code {
	case "":
		if e.named && e.GrantType == "refresh_token" {
			return lifecycle.RefusedToken
		}
	case "invalid_grant", "refresh_token_not_found", "refresh_token_already_used", "session_not_found", "session_expired", "bad_refresh_token", "invalid_refresh_token":
		return lifecycle.RefusedToken // the first is RFC 6749's, the others are GoTrue's, GitHub's and Slack's
	case "invalid_client", "unauthorized_client", "invalid_dpop_proof", "invalid_credentials", "incorrect_client_credentials":
		return lifecycle.RefusedClient
	case "invalid_scope":
		if scoped {
			return lifecycle.RefusedScopes
		}
	}
	return lifecycle.RefusedRequest
}

// waits returns waits that double, each up to half longer or shorter at random,
// up to retryMost. After an operation that failed just before they are that from
// the start: the server is asked no more often than before.
func waits(prior int) func() time.Duration {
	b := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(retryFirst),
		backoff.WithMultiplier(2),
		backoff.WithRandomizationFactor(0.5),
		backoff.WithMaxElapsedTime(0), // the operation has its own bound
	)
	return func() time.Duration {
		if wait := b.NextBackOff(); prior == 0 && wait < retryMost {
			return wait
		}
		return retryMost - rand.N(retryMost/25)
	}
}

// retry runs attempt until it succeeds, fails for good, or the next wait would
// not end before ctx does. It returns how often it tried. prior is how many
// operations of this kind failed just before. If the end of ctx cuts the last
// attempt off, the error is that of the attempt before: it has a reason in it.
func retry(ctx context.Context, trace *tracing.Reporter, prior int, attempt func(ctx context.Context) error) (int, error) {
	var (
		next func() time.Duration
		last error
	)
	ambiguous, proof := prior > 0, false
	ctx = trace.CountResends(ctx)
	for n := 1; ; n++ {
		err := attempt(ctx)
		if err == nil {
			trace.Attempt(ctx, authtrace.Attempt{Number: n})
			return n, nil
		}
		if next == nil {
			next = waits(prior)
		}
		f := failureOf(err, nil)
		wait, stop := next(), !f.Class.Passes()
		switch {
		case f.RetryAfter > 0:
			// The server's wish is a floor, with jitter above it: clients that
			// were given the same second must not come back in the same second.
			wait += f.RetryAfter
		case f.Class == lifecycle.Ambiguous:
			stop, ambiguous, wait = ambiguous, true, ambiguousWait
		case isProofError(err) && !proof: // RFC 9449: perhaps it came too late, or twice
			stop, proof, wait = false, true, time.Millisecond
		}
		if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= wait {
			stop = true
		}
		if stop || ctx.Err() != nil {
			trace.Attempt(ctx, authtrace.Attempt{Number: n, Err: err})
			if last != nil && f.Class == lifecycle.Transient && cutOff(ctx, err) {
				err = last
			}
			return n, err
		}
		last = err
		noteTrouble(ctx, err)
		trace.Attempt(ctx, authtrace.Attempt{Number: n, Wait: wait, Err: err})
		if !sleep(ctx, wait) {
			if errors.Is(context.Cause(ctx), flight.ErrClosed) {
				err = ErrClosed
			}
			return n, err
		}
	}
}

// cutOff reports whether err says no more than that there was no time left.
func cutOff(ctx context.Context, err error) bool {
	return errors.Is(err, errOverdue) || ctx.Err() != nil && errors.Is(err, context.DeadlineExceeded)
}

// isProofError reports a DPoP proof that the server refused (RFC 9449 section
// 5). The next proof is a new one.
func isProofError(err error) bool {
	var te *TokenError
	return errors.As(err, &te) && te.Code == "invalid_dpop_proof"
}

// sleep waits for d. It reports false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// retryAfter is what the server asked for in either form of Retry-After (RFC
// 9110 section 10.2.3), at most [maxRetryAfter].
func retryAfter(h http.Header) time.Duration {
	return min(httpx.RetryAfter(h, time.Now()), maxRetryAfter)
}
