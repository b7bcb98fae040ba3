package auth

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/mcptokens/mcptokens/auth/admission"
	"github.com/mcptokens/mcptokens/auth/authtrace"
	"github.com/mcptokens/mcptokens/auth/internal/flight"
	"github.com/mcptokens/mcptokens/auth/internal/lifecycle"
	"github.com/mcptokens/mcptokens/internal/errtext"
)

// A login uses the grant from nothing to token. It may involve a person, so it
// looks first whether another process has logged in already.

// login is one that was asked for.
type login struct {
	trigger authtrace.Trigger
	wants   *wants
	values  *callersValues
	// challenge says where to look and what to ask for.
	challenge Challenge
	// before is the credential that is not good enough.
	before held
	// limit is how long a person is waited for.
	limit time.Duration
	// waits is called when another process asks a person.
	waits func()
}

// patience is how long another process that asks a person is waited for: until
// one whose person does not answer has told the others, and one that came in place
// of a process that died.
func (j *login) patience() time.Duration { return 2*j.limit + saveTimeout }

// loggedIn is how it went.
type loggedIn struct {
	held
	adopted bool // another process did it
	saveErr error
	// unregistered is why a client that was registered could not be stored.
	unregistered error
	failure      lifecycle.Failure
	took         time.Duration // of the token request; 0: not known
}

// errElsewhere is the cause of a login's end when the person has logged in by
// another way, or on another replica.
var errElsewhere = errors.New("logged in elsewhere meanwhile")

// errForgotten is the cause of a login's end when Revoke was called.
var errForgotten = errors.New("revoked meanwhile")

// login runs one, for as long as it may take. t has its place unless the wait for
// that was given up; nil: it needs none.
func (o *obtainer) login(run flight.Run, caller context.Context, t *admission.Ticket, v *vault, target resource, job login, begun func(context.Context)) loggedIn {
	ctx := o.trace.StartLinked(run.Context, caller, authtrace.AuthorizationStart{
		Resource: target.canonical, Grant: o.grant.Type(), Trigger: job.trigger, Scopes: unionScopes(job.challenge.Scopes, job.wants.asked()),
	})
	begun(ctx)
	ctx = job.values.of(ctx, caller)
	said := []slog.Attr{slog.String("resource", target.canonical), slog.String("grant", o.grant.Type()), slog.String("trigger", string(job.trigger))}
	o.trace.Say(ctx, "authorization begins", nil, said...)
	var res loggedIn
	if t != nil {
		defer func() { t.Done(res.took, isBusy(res.failure.Err)) }()
	}
	waits := job.waits
	job.waits = func() {
		o.trace.Say(ctx, "another process asks the user to log in; waiting for it", nil, said...)
		waits()
	}
	var issuer string
	err := unplaced(run, t, job.before.Issuer, o.grant.Type())
	if err == nil {
		issuer, err = o.logInInTurn(ctx, v, target, job, job.wants.seal(ctx), &res)
	}
	res.held = v.current()
	if err != nil && errors.Is(context.Cause(ctx), errElsewhere) {
		res.adopted, err = true, nil
	}
	if err == nil && res.Token == nil {
		err = ErrNoToken // revoked as soon as it was there
	}
	known := res.failure
	end := authtrace.AuthorizationEnd{Issuer: issuer, Unsaved: res.saveErr != nil || res.unregistered != nil, Err: err}
	said = append(said, slog.String("issuer", issuer))
	if err != nil {
		res.failure = failureOf(err, nil)
		res.failure.Asked, res.failure.Input = known.Asked && res.failure.Until.IsZero(), known.Input
		if res.failure.Until.IsZero() {
			o.trace.Say(ctx, "authorization failed", err, said...)
		} else {
			var link *LoginRequiredError
			if errors.As(err, &link) {
				link.More = len(job.wants.asked()) > 0 && res.Token.live(wallNow())
			}
			o.trace.Say(ctx, "link for a login made", nil, append(said, slog.Time("expires", res.failure.Until))...)
		}
	} else {
		res.failure = lifecycle.Failure{Asked: known.Asked}
		end.Scopes, end.Expiry = res.Token.Scopes, res.Token.Expiry
		o.trace.Say(ctx, "authorized", nil, append(said, slog.Time("expiry", res.Token.Expiry))...)
	}
	o.trace.End(ctx, end)
	return res
}

// Causes of an [AuthorizationError] for what another process asked.
var (
	errRefusedElsewhere = errtext.New("another process asked the user")
	errSilentElsewhere  = errtext.New("another process asked the user, who did not answer in time")
)

// logInInTurn uses what came of it when another process asked a person, or
// asks one itself [invariant 13].
func (o *obtainer) logInInTurn(ctx context.Context, v *vault, target resource, job login, extra []string, res *loggedIn) (issuer string, err error) {
	if err := o.look(ctx, v); err != nil {
		return "", err
	}
	more := len(extra) > 0
	extra = unionScopes(extra, v.wanted())
	need := unionScopes(extra, job.challenge.Scopes)
	now := v.current()
	before := now.Refusal
	helped := func() bool {
		now = v.current()
		return helps(now.Token, job.before.Token, need, more)
	}
	if o.grant.Interactive() && !helped() {
		turn, err := v.takeTurn(ctx, job.patience(), func(ctx context.Context) bool { return o.look(ctx, v) == nil && helped() }, job.waits)
		if err != nil {
			return now.Issuer, &AuthorizationError{Issuer: now.Issuer, Err: err}
		}
		defer turn.End()
		if r := v.current().Refusal; !turn.Done && r.after(before) && coversScopes(r.Scopes, need) {
			res.failure.Asked = true
			if r.Code == "" {
				return r.Issuer, &AuthorizationError{Issuer: r.Issuer, Err: errSilentElsewhere}
			}
			return r.Issuer, &AuthorizationError{Issuer: r.Issuer, Code: r.Code, Err: errRefusedElsewhere}
		}
	}
	if helped() {
		res.adopted = true
		return now.Issuer, nil
	}
	ctx, cancel := context.WithTimeout(ctx, job.limit)
	defer cancel()
	return o.logInOnce(ctx, v, target, job, extra, res)
}

// after reports whether r is news for who knew before.
func (r *LoginRefusal) after(before *LoginRefusal) bool {
	return r != nil && (before == nil || !r.At.Equal(before.At))
}

// logInOnce gets a token by the grant and stores it.
func (o *obtainer) logInOnce(ctx context.Context, v *vault, target resource, job login, extra []string, res *loggedIn) (issuer string, err error) {
	now := v.current()
	res.failure.Asked = o.grant.Interactive()
	got, err := o.obtain(ctx, v, target, now.Record, &job.challenge, extra, false)
	res.unregistered, res.failure.Input, res.took = got.unsaved, got.input, got.took
	if err != nil {
		if got.issuer == "" {
			res.failure.Asked = false // no server was found to ask at
		}
		if got.refusal != nil {
			v.refused(ctx, got.refusal)
		}
		return got.issuer, err
	}
	res.saveErr, err = o.keep(ctx, v, target, got)
	return got.issuer, err
}

// keep stores what came of a login and puts it in use. A saveErr is why it is only
// used, err why it is not.
func (o *obtainer) keep(ctx context.Context, v *vault, target resource, got obtained) (saveErr, err error) {
	ctx = o.trace.At(ctx, got.rec.Issuer)
	locked, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTimeout)
	defer cancel()
	// Without the lock the generation still guards the record.
	if unlock, err := v.lock(locked, v.key()); err == nil {
		defer unlock()
		if now, err := v.read(locked); err == nil {
			got.rec.Generation = now.Generation
		}
	}
	if errors.Is(context.Cause(ctx), errForgotten) { // Revoke has not seen this token
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), o.timeout)
		defer cancel()
		_ = o.revoke(bounded, target, got.rec)
		return nil, ErrNoToken
	}
	tx := &tx{v: v}
	return tx.install(ctx, got.rec), nil
}

// look reads the store before a person is asked, and makes sure that what they
// grant can be kept.
func (o *obtainer) look(ctx context.Context, v *vault) error {
	ctx, cancel := context.WithTimeout(ctx, o.timeout/2)
	defer cancel()
	_, err := v.read(ctx)
	if err == nil {
		err = v.probe(ctx)
	}
	if v.cfg.anyway {
		return nil
	}
	return err
}

// helps reports whether the token that the store holds now makes a login
// needless: it can be used, or refreshed. more: scopes are what before lacks.
func helps(now, before *Token, need []string, more bool) bool {
	switch {
	case now == nil || now.same(before):
		return false
	case now.Scopes == nil && more && before != nil && before.Scopes == nil:
		return false // a refresh of it, or a login that asked for nothing in particular
	case now.Scopes != nil && !coversScopes(now.Scopes, need):
		return false
	}
	return now.live(wallNow()) || now.RefreshToken != ""
}
