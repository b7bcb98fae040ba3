package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/mcptokens/mcptokens/auth/admission"
	"github.com/mcptokens/mcptokens/auth/authtrace"
	"github.com/mcptokens/mcptokens/auth/internal/flight"
	"github.com/mcptokens/mcptokens/auth/internal/lifecycle"
	"github.com/mcptokens/mcptokens/internal/errtext"
)

// A renewal gets a fresh token without a person: by the refresh token, else by
// a grant that needs no person. Each request is a transaction on the vault: lock,
// read again, use what another process got, or request, store, put in use,
// unlock. Waits between requests are outside of it.

// renewer renews. It has no state of its own.
type renewer struct{ obtainer *obtainer }

// renewal is one that was asked for.
type renewal struct {
	trigger authtrace.Trigger
	wants   *wants
	values  *callersValues
	// challenge made it necessary: the resource may have moved to another
	// authorization server.
	challenge *Challenge
	// before is the credential that is to be replaced.
	before held
	// failures there were in a row before this one.
	failures int
}

// renewed is how it went.
type renewed struct {
	held
	began    held // what the last transaction found
	outcome  authtrace.Outcome
	grant    string // what got the token
	attempts int
	rotated  bool
	saveErr  error // the token is used but not stored
	// unregistered is why a client that was registered could not be stored.
	unregistered error
	narrow       bool          // the server did not widen the scopes
	unclear      int           // refusals that say nothing
	took         time.Duration // of the last request; 0: none was sent
	failure      lifecycle.Failure
	// later is why a further request with the refresh token failed, after one
	// that went well: it delays the next one, or the refresh token is dead.
	later *lifecycle.Failure
}

// errOverdue ends an attempt before its refresh token is sent: the store was
// read too long ago or its lock is lost, because the process was suspended, or
// there would be no time to wait for the answer.
var errOverdue = errtext.New("the attempt took too long before its request was sent; it has to begin again")

// errNewer ends an attempt whose refresh token was refused while the store has
// another one: the next attempt uses that.
var errNewer = errtext.New("another process stored a newer refresh token meanwhile")

// run renews v's credential, with retries, for as long as it may take. t has the
// place for the first attempt, unless the wait for that was given up.
func (r renewer) run(run flight.Run, caller context.Context, t *admission.Ticket, v *vault, target resource, job renewal, begun func(context.Context)) renewed {
	defer t.Done(0, false)
	o := r.obtainer
	whole := o.trace.StartRefresh(run.Context, caller, authtrace.RefreshStart{
		Resource: target.canonical, Issuer: job.before.Issuer, Trigger: job.trigger, Scopes: job.wants.asked(),
	})
	begun(whole)
	ctx := o.trace.CountResends(job.values.of(whole, caller))

	res := renewed{began: v.current(), outcome: authtrace.OutcomeFailed, grant: "refresh_token"}
	var want []string
	attempts, err := 0, unplaced(run, t, job.before.Issuer, "refresh_token")
	if err == nil {
		err = run.Awake(ctx, isBlameless, func(ctx context.Context) error {
			// No attempt begins that could not have its whole time: one that is cut off
			// has perhaps spent the refresh token.
			starts := run.Starts(ctx, time.Now().Add(o.timeout-o.requestTime()))
			defer starts.End()
			want = job.wants.seal(starts)
			n, err := retry(starts, o.trace, job.failures, func(starts context.Context) error {
				return admitted(starts, t, job.before.Issuer, &res, func() error { return r.once(starts, ctx, v, target, job, want, &res) })
			})
			attempts += n
			return err
		})
	}
	res.held, res.attempts = v.current(), attempts
	if err == nil && res.Token == nil {
		err = ErrNoToken // revoked as soon as it was there
	}
	end := authtrace.RefreshEnd{
		Outcome: res.outcome, Issuer: res.Issuer, Grant: res.grant, Attempts: attempts,
		Rotated: res.rotated, Unsaved: res.saveErr != nil || res.unregistered != nil, Err: err,
	}
	room := [6]slog.Attr{slog.String("resource", target.canonical), slog.String("issuer", res.Issuer), slog.String("trigger", string(job.trigger)), slog.Int("attempts", attempts)}
	said := room[:4]
	if err != nil {
		end.Outcome = authtrace.OutcomeFailed
		input := res.failure.Input
		res.failure = failureOf(err, want)
		res.failure.Input = input
		if t := res.began.Token; t != nil {
			res.failure.Renewal = t.evidence.renewal
		}
		o.trace.Say(ctx, "token refresh failed", err, said...)
	} else {
		res.failure = lifecycle.Failure{}
		end.Expiry, end.Scopes = res.Token.Expiry, res.Token.Scopes
		done := "token refreshed"
		if res.outcome == authtrace.OutcomeAdopted {
			done = "token of another process taken over"
		}
		o.trace.Say(ctx, done, nil, append(said, slog.Time("expiry", res.Token.Expiry))...)
	}
	o.trace.EndRefresh(ctx, end)
	return res
}

// once is one transaction, which may wait for the store until starts ends and
// lasts no longer than whole.
func (r renewer) once(starts, whole context.Context, v *vault, target resource, job renewal, want []string, res *renewed) error {
	o := r.obtainer
	tx, err := v.begin(starts)
	defer tx.end()
	res.began = tx.held
	if err != nil {
		var held *elsewhere
		if errors.As(err, &held) && tx.better(job.before.Token, want) {
			res.outcome = authtrace.OutcomeAdopted
			return nil
		}
		return err
	}
	ctx, cancel := context.WithTimeout(whole, o.requestTime())
	defer cancel()
	switch {
	case tx.Token == nil:
		return ErrNoToken // another process has logged out
	case tx.better(job.before.Token, want):
		res.outcome = authtrace.OutcomeAdopted
		return nil
	}
	alone := o.grant != nil && !o.grant.Interactive()
	var refused error
	if job.challenge != nil {
		if refused = o.finder.Moved(ctx, target.query(tx.Record, *job.challenge)); refused != nil && !alone {
			return refused
		}
	}
	if tx.Token.RefreshToken != "" && refused == nil {
		err := res.confirm(r.refresh(ctx, whole, &spending{obtainer: o, tx: tx, target: target, want: want, res: res}))
		if reg := tx.Registration; reg != nil {
			err = o.clients.confirm(tx.Issuer, reg.ClientID, err)
		}
		if err == nil {
			return nil
		}
		if passes(err) {
			if overdue(ctx) && !errors.Is(context.Cause(whole), flight.ErrClosed) && r.renewedElsewhere(whole, tx, job.before.Token, want) {
				res.outcome = authtrace.OutcomeAdopted
				return nil
			}
			return err
		}
		if err = r.refuse(whole, tx, want, err); err == nil {
			res.outcome = authtrace.OutcomeAdopted
			return nil
		}
		if !alone || passes(err) {
			return err
		}
		refused = err
	}
	if !alone {
		if refused == nil {
			refused = withoutRenewal(job.before.Token, tx.Token)
		}
		return refused
	}
	res.grant = o.grant.Type()
	got, err := o.obtain(ctx, v, target, tx.Record, job.challenge, want, true)
	res.unregistered, res.failure.Input, res.took = got.unsaved, got.input, got.took
	if err != nil {
		return err
	}
	res.outcome = authtrace.OutcomeRefreshed
	res.saveErr = tx.install(ctx, got.rec)
	return nil
}

// confirm makes sure of a refusal that says nothing, such as a bare 400: the server is
// asked once more, with its endpoints found again. Then it counts as a refusal of the
// request: a login helps, and the refresh token is kept.
func (res *renewed) confirm(err error) error {
	if err == nil {
		return nil
	}
	var te *TokenError
	if !errors.As(err, &te) || !te.unclear {
		return err
	}
	if res.unclear++; res.unclear == 1 {
		return &unconfirmed{err}
	}
	sure := *te
	sure.class = lifecycle.RefusedRequest
	return &sure
}

// unconfirmed is a refusal that says nothing, the first time.
type unconfirmed struct{ error }

func (e *unconfirmed) Unwrap() error { return e.error }

// better reports whether the token in use can be handed out instead of before.
func (t *tx) better(before *Token, want []string) bool {
	return t.Token.live(wallNow()) && !t.Token.same(before) && coversScopes(t.Token.Scopes, want)
}

// refuse looks at what a refusal means for the refresh token that was sent, and
// only for that one [invariant 6]. It returns nil if another process's token is
// in use now.
func (r renewer) refuse(ctx context.Context, tx *tx, want []string, err error) error {
	sent := tx.Record
	switch failureOf(err, want).Class {
	case lifecycle.RefusedToken:
		if reg := sent.Registration; reg != nil { // some servers call a client that they forgot this
			r.obtainer.clients.seen().Doubt(sent.Issuer, reg.ClientID)
		}
		again, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTimeout)
		defer cancel()
		unread := tx.again(again) // if that fails: the refresh token that was sent is dead in any case
		switch {
		case unread == nil && tx.better(sent.Token, want):
			return nil
		case tx.Token == nil:
			return ErrNoToken
		case tx.Token.RefreshToken != "" && tx.Token.RefreshToken != sent.Token.RefreshToken:
			return errNewer
		}
		tx.dropRefused(ctx, sent.Token.RefreshToken)
		if tx.better(sent.Token, want) {
			return nil // another process logged in meanwhile
		}
	case lifecycle.RefusedClient:
		if reg := sent.Registration; reg != nil && refusesClient(err) {
			// The refresh token belongs to a client that the server forgot.
			r.obtainer.clients.forget(ctx, sent.Issuer, reg.ClientID)
			tx.v.forgetClient(ctx, reg.ClientID)
			tx.held = tx.v.current()
			return &forgottenClient{err}
		}
	}
	return err
}

// errGoneElsewhere: this process did not meet the refusal itself.
var errGoneElsewhere = fmt.Errorf("%w: another process sent it, and the authorization server refused it", ErrNoRefreshToken)

// withoutRenewal is why a token has no refresh token, which was had before.
func withoutRenewal(before, now *Token) error {
	if before != nil && before.RefreshToken != "" && now.AccessToken == before.AccessToken {
		return errGoneElsewhere // nobody else takes it away from the access token, see dropRefused
	}
	return ErrNoRefreshToken
}

// forgottenClient is a refusal of a registered client: its refresh token no longer
// works.
type forgottenClient struct{ error }

func (e *forgottenClient) Unwrap() error { return e.error }

// renewedElsewhere reads the store after an attempt that lasted too long, for
// example in a process that was suspended: another process may have taken the
// lock. It reports whether a token of another process is in use now.
func (r renewer) renewedElsewhere(ctx context.Context, tx *tx, before *Token, want []string) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTimeout)
	defer cancel()
	return tx.again(ctx) == nil && tx.better(before, want)
}
