package auth

import (
	"context"
	"errors"
	"runtime/debug"
	"slices"
	"time"

	"github.com/mcptokens/mcptokens/auth/authtrace"
	"github.com/mcptokens/mcptokens/auth/internal/flight"
	"github.com/mcptokens/mcptokens/auth/internal/lineage"
)

// save stores rec and puts it in use, stored or not.
func (v *vault) save(ctx context.Context, rec *Record) error {
	if !v.cfg.private { // a save to our own memory waits for nothing
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTimeout)
		defer cancel()
		ctx = bounded
	}
	if t := rec.Token; t != nil && t.binding != nil {
		rec.ProofKey = t.binding.data
	}
	v.mu.Lock()
	v.name(rec)
	replaced := v.replacedBy(rec.Token)
	rec.Replaced = v.held.Replaced
	if old := v.held.Token; old != nil && (rec.Token == nil || rec.Token.RefreshToken != old.RefreshToken) {
		rec.Replaced = string(lineage.List(rec.Replaced).With(old.RefreshToken))
	}
	rec.Restored = v.restored()
	if v.extra != nil && v.extra.hasLimits {
		rec.StepUps = v.extra.limits
	}
	if v.extra != nil && v.extra.wanted != nil {
		rec.Requested = unionScopes(rec.Requested, v.extra.wanted)
	}
	v.mu.Unlock()
	generation, err := v.write(ctx, rec)
	if errors.Is(err, ErrConflict) {
		// Another process wrote without our seeing it: the lock was not kept,
		// or was lost.
		theirs, loadErr := v.cfg.store.Load(ctx, v.key())
		switch {
		case loadErr == nil && prefers(theirs, rec, replaced):
			key := v.loadKey(theirs)
			v.mu.Lock()
			defer v.mu.Unlock()
			v.adopt(theirs, key)
			return nil
		case loadErr == nil:
			rec.Generation = theirs.Generation
		default:
			rec.Generation = 0
		}
		generation, err = v.write(ctx, rec)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if err != nil {
		err = &StoreError{Op: "save", Err: err}
		e := v.more()
		e.token, e.replaced = true, replaced
	} else {
		if rec.Generation != generation { // our own memory has set it
			rec.Generation = generation
		}
		if e := v.extra; e != nil {
			e.token, e.replaced = false, nil
			e.limits, e.hasLimits, e.wanted = nil, false, nil
			v.tidy()
		}
	}
	v.put(rec)
	return err
}

// write stores rec under its generation. Our own memory may keep the record
// itself, since no vault changes one in place.
//
// A store that panics has not stored it, and nothing more: the record may be
// the only copy of a rotated refresh token.
func (v *vault) write(ctx context.Context, rec *Record) (generation uint64, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &flight.PanicError{Value: p, Stack: debug.Stack()}
		}
	}()
	if m, ok := v.cfg.store.(*MemoryStore); ok {
		return m.keep(v.key(), rec, v.watch.Load())
	}
	return v.cfg.store.Save(ctx, v.key(), rec)
}

// needsSave reports whether the token, or the step-up limits, are not stored.
func (v *vault) needsSave() (token, limits bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.extra == nil {
		return false, false
	}
	return v.extra.token, v.extra.hasLimits || v.extra.wanted != nil
}

// want keeps scopes for the next login and the next save. It reports false if they
// are kept already.
func (v *vault) want(scopes []string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	e := v.more()
	if coversScopes(e.wanted, scopes) {
		v.tidy()
		return false
	}
	e.wanted = unionScopes(e.wanted, scopes)
	return true
}

// wanted are the scopes that are kept for the next login and not stored yet.
func (v *vault) wanted() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.extra == nil {
		return nil
	}
	return v.extra.wanted
}

// setLimits keeps the limits of step-ups for the next save.
func (v *vault) setLimits(limits []StepUpLimit) {
	v.mu.Lock()
	defer v.mu.Unlock()
	e := v.more()
	e.limits, e.hasLimits = limits, true
}

// saveUnsaved stores what could not be stored before, if there is something.
// Another process may have read and replaced it already: a save that failed may
// have arrived.
func (v *vault) saveUnsaved(ctx context.Context) error {
	if token, limits := v.needsSave(); !token && !limits {
		return nil
	}
	bounded, cancel := context.WithTimeout(ctx, saveTimeout)
	defer cancel()
	unlock, err := v.lock(bounded, v.key())
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := v.read(bounded); err != nil {
		return err
	}
	if token, limits := v.needsSave(); !token && !limits {
		return nil // a refresh came first
	}
	rec := *v.current().Record
	start := time.Now()
	err = v.save(ctx, &rec)
	v.cfg.trace.Step(ctx, authtrace.StepSave, start, err)
	return err
}

// forget takes the credential out of the store and out of use, and returns it.
// It does so under the store's lock: no refresh may rotate away what is to be
// revoked.
func (v *vault) forget(ctx context.Context) (*Record, error) {
	unlock, err := v.lock(ctx, v.key())
	if err == nil {
		defer unlock()
		_, err = v.read(ctx)
	}
	v.mu.Lock()
	rec := v.held
	var undeleted *Token
	if v.extra != nil {
		undeleted = v.extra.undeleted
	}
	v.mu.Unlock()
	if rec.Token != nil {
		undeleted = rec.Token
	} else if undeleted == nil && rec.Generation == 0 { // else it has scopes for the next login
		return rec, err
	}
	delErr := v.cfg.store.Delete(context.WithoutCancel(ctx), v.key(), rec.Generation)
	if delErr != nil {
		err = errors.Join(err, &StoreError{Op: "delete", Err: delErr})
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.drop()
	if delErr != nil {
		// It does not come back into use when the store is read again.
		left := *v.held
		left.Generation = rec.Generation
		v.held = &left
		v.more().undeleted = undeleted
	}
	return rec, err
}

// maxReplaced is how many refresh tokens in a row are remembered that no save
// is known to have replaced.
const maxReplaced = 32

// replacedBy are the refresh tokens that led to t, as far back as the store
// may be; the caller holds v.mu.
func (v *vault) replacedBy(t *Token) []string {
	var replaced []string
	if v.extra != nil {
		replaced = v.extra.replaced
	}
	old := v.held.Token
	if old == nil || old.RefreshToken == "" || slices.Contains(replaced, old.RefreshToken) || (t != nil && t.RefreshToken == old.RefreshToken) {
		return replaced
	}
	return append(slices.Clone(replaced[max(0, len(replaced)-maxReplaced+1):]), old.RefreshToken)
}
