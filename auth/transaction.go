package auth

import (
	"context"
	"errors"
	"time"

	"github.com/mcptokens/mcptokens/auth/authtrace"
)

// tx is a transaction on a credential: its lock is held, and what the store
// had to say is known.
type tx struct {
	v      *vault
	unlock func()
	locked bool // else the store could not be reached, and the token is refreshed from memory
	held
}

// begin locks the credential, reads it again, and makes sure that it can be
// written. The transaction is never nil, and has to be ended.
func (v *vault) begin(ctx context.Context) (*tx, error) {
	t := &tx{v: v, unlock: func() {}}
	began := false
	defer func() {
		if !began { // the store panicked
			t.unlock()
		}
	}()
	unlock, err := v.lock(ctx, v.key())
	if err == nil {
		t.unlock, t.locked = unlock, true
		if _, err = v.read(ctx); err == nil {
			err = v.probe(ctx)
		}
	}
	if v.cfg.anyway {
		err = nil
	} else {
		err = v.elsewhere(ctx, err)
	}
	if err == nil {
		err = v.doubted(ctx)
	}
	t.held = v.current()
	began = true
	return t, err
}

// elsewhere is why a lock could not be had by a process that can read the store:
// another one holds it.
type elsewhere struct{ error }

func (e *elsewhere) Unwrap() error { return e.error }

// elsewhere reads the store if all of ctx's time went by while another process had
// the lock: it may have stored a token that is good enough. It returns what err is.
func (v *vault) elsewhere(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	var store *StoreError
	if !errors.As(err, &store) || store.Op != "lock" || !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != context.DeadlineExceeded {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTimeout)
	defer cancel()
	if _, unread := v.read(ctx); unread != nil {
		return err
	}
	return &elsewhere{err}
}

func (t *tx) end() { t.unlock() }

// lost reports whether another process may have the lock by now: this one was
// suspended, or cut off from the store.
func (t *tx) lost() bool {
	l, ok := t.v.cfg.store.(Leaser)
	return ok && t.locked && !l.Held(t.v.key())
}

type guardedKey struct{}

// guarding returns a context for requests that are not sent once the lock is lost:
// a proof, a connection or a server that asks again may take long.
func (t *tx) guarding(ctx context.Context) context.Context {
	if t.v.cfg.private {
		return ctx // nobody else can have it
	}
	return context.WithValue(ctx, guardedKey{}, t)
}

// guardedBy is whose lock guards requests under ctx; nil: nobody's.
func guardedBy(ctx context.Context) *tx {
	t, _ := ctx.Value(guardedKey{}).(*tx)
	return t
}

// install stores rec and then puts it in use [invariant 3]. If storing fails
// it is used all the same, and the error is a *[StoreError].
func (t *tx) install(ctx context.Context, rec *Record) error {
	start := time.Now()
	err := t.v.save(ctx, rec)
	t.v.cfg.trace.Step(ctx, authtrace.StepSave, start, err)
	t.held = t.v.current()
	return err
}

// again reads the store once more in a transaction that took too long, or whose
// request was refused: another process may have taken the lock.
func (t *tx) again(ctx context.Context) error {
	_, err := t.v.read(ctx)
	t.held = t.v.current()
	return err
}

// dropRefused removes the refresh token that was sent and refused, and only
// that one [invariant 6]. The access token stays: it may still be good.
func (t *tx) dropRefused(ctx context.Context, sent string) {
	if t.Token == nil || t.Token.RefreshToken != sent {
		return
	}
	next, tok := *t.Record, t.Token.copy()
	tok.RefreshToken = ""
	next.Token = tok
	_ = t.v.save(ctx, &next) // a failure is retried in the background, as for any token
	t.held = t.v.current()
}
