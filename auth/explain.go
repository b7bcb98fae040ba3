package auth

import (
	"errors"
	"time"

	"github.com/mcptokens/mcptokens/auth/internal/lifecycle"
	"github.com/mcptokens/mcptokens/auth/internal/wire"
	"github.com/mcptokens/mcptokens/internal/errtext"
)

// explain is the error that a caller gets for a decision. The caller holds
// m.mu.
func (m *Manager) explain(d lifecycle.Decision, n lifecycle.Need, a asked) error {
	if d.Action != lifecycle.Fail {
		return nil
	}
	switch d.Reason {
	case lifecycle.Closed:
		return ErrClosed
	case lifecycle.NoToken:
		if refused := m.st.machine.Refused(); refused != nil && n.Kind == lifecycle.Renewal {
			return &refreshRefusedError{refused}
		}
		return ErrNoToken
	case lifecycle.Late:
		e := newTokenError(&Server{Issuer: m.st.held.Issuer}, "refresh_token")
		e.Err, e.class = errLate, lifecycle.Transient
		return e
	case lifecycle.NoRenewal:
		if errors.Is(n.Err, ErrNoRefreshToken) {
			return n.Err // which says more
		}
		return ErrNoRefreshToken
	case lifecycle.NoGrant:
		return &ConfigError{"Config.Grant", "is nil; set one of auth/grant, or call SetToken"}
	case lifecycle.Unauthorized, lifecycle.Useless:
		return m.reauthorization(n)
	case lifecycle.Nobody:
		m.remember(n.Scopes)
		e := m.reauthorization(n)
		e.nobody = true
		return e
	case lifecycle.AskedTooOften:
		return m.askedTooOften(n, d.RetryAt)
	case lifecycle.Rejected:
		return &RejectedError{Resource: m.vault.canonical, Rejections: d.Count, NextAttempt: d.RetryAt}
	case lifecycle.RejectedOperation:
		return &RejectedError{Resource: m.vault.canonical, Operation: n.Operation, Rejections: d.Count, NextAttempt: d.RetryAt}
	}
	var te *TokenError
	if m.cfg.obtainer.grant == nil && errors.As(d.Err, &te) && te.class == lifecycle.RefusedRequest && (te.unclear || te.Code == "invalid_request" && te.set == "" || te.Code != "" && !wire.Registered(te.Code)) {
		// A refusal in a server's own words, or without any, twice: most likely the refresh
		// token's. Obot, Metabase and FlowFuse say invalid_request for that. It is kept, and
		// tried again in pauses.
		e := m.reauthorization(n)
		e.Err, e.NextAttempt = te, te.NextAttempt
		return e
	}
	return d.Err
}

// errLate is why there is no token although the server issued some.
var errLate = errtext.New("the answers come later than their tokens expire; see whether the server is overloaded, or its tokens live for too short a time")

// askedTooOften is the error for a login that has to wait for a call of the
// program, or until at. The caller holds m.mu.
func (m *Manager) askedTooOften(n lifecycle.Need, at time.Time) error {
	e := m.reauthorization(n)
	e.NextAttempt = at
	return e
}

// reauthorization builds the error that demands an authorization for all that
// was granted or requested, and for what is needed. The caller holds m.mu.
func (m *Manager) reauthorization(n lifecycle.Need) *ReauthorizationRequiredError {
	rec := m.st.held.Record
	e := &ReauthorizationRequiredError{
		Scopes:   unionScopes(m.cfg.obtainer.asks.configured(), grantedScopes(rec), rec.Requested, n.Scopes),
		Issuer:   rec.Issuer,
		Resource: m.vault.canonical,
		Err:      ErrNoToken,
	}
	refused := m.st.machine.Refused()
	switch more := n.Kind == lifecycle.Scopes || n.Kind == lifecycle.Upgrade; {
	case more && m.st.machine.Usable(wallNow()):
		e.More, e.Err = true, nil
	case refused != nil:
		e.Err = refused
	}
	return e
}

// refreshRefusedError says why there is no token: the refresh was refused. It is
// [ErrNoToken], since a challenge leads to another one.
type refreshRefusedError struct{ cause error }

// Error implements error.
func (e *refreshRefusedError) Error() string { return ErrNoToken.Error() + ": " + safeCause(e.cause) }

// Unwrap returns what the error is and its cause.
func (e *refreshRefusedError) Unwrap() []error { return []error{ErrNoToken, e.cause} }

// withNextAttempt says in an error when the next attempt is due [invariant 15].
func withNextAttempt(err error, at time.Time) error {
	if at.IsZero() || err == nil {
		return err
	}
	if te, ok := err.(*TokenError); ok {
		timed := *te
		timed.NextAttempt = at
		return &timed
	}
	return &pausedError{err, at}
}

// pausedError is an error that callers get until the next attempt is due. It
// stands for the errors that have no field of their own for that.
type pausedError struct {
	Err         error `json:"-"`
	NextAttempt time.Time
}

// Error implements error.
func (e *pausedError) Error() string {
	return e.Err.Error() + "; next attempt at " + e.NextAttempt.UTC().Format(time.RFC3339)
}

// Unwrap returns the error itself.
func (e *pausedError) Unwrap() error { return e.Err }
