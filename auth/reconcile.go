package auth

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/mcptokens/mcptokens/auth/internal/lineage"
	"github.com/mcptokens/mcptokens/internal/errtext"
)

// What a vault makes of the store's contents: another process's record is
// adopted, unless what is held and could not be stored is worth more.

// catchUp takes over what the store holds, unless what is in use is worth
// more. It reports whether it did. The caller holds v.mu.
func (v *vault) catchUp(rec *Record, key *binding) (adopted bool) {
	var undeleted *Token
	unsaved, replaced := false, []string(nil)
	if e := v.extra; e != nil {
		undeleted, unsaved, replaced = e.undeleted, e.token, e.replaced
	}
	v.doubtWith(rec)
	same := rec.Generation == v.held.Generation
	switch {
	case same && (unsaved || v.held.Token == nil || v.held.Token.alike(rec.Token)):
		return false
	case undeleted.left(rec.Token):
		v.renumber(rec.Generation)
		return false
	case v.held.outlasts(rec):
		// The store lost what we saved, in a failover say, and its refresh token
		// is spent. Ours is saved again.
		v.renumber(rec.Generation)
		e := v.more()
		if e.token = true; !unsaved {
			e.doubt = time.Now().Add(doubtTime)
		}
		return false
	case unsaved && (outlives(v.held.Token, rec.Token, replaced) || v.held.renewed(rec)):
		v.renumber(rec.Generation) // to be replaced by the next save
		return false
	}
	v.adopt(rec, key)
	return true
}

// doubtTime is how long no refresh token is sent after the store went back in time.
// The refresh token that is held here may be spent too, by a process that has not
// looked into the store since; while callers come it does every four seconds.
const doubtTime = 6 * time.Second

// restored is when the store was found to have gone back; zero: that is over. The
// caller holds v.mu.
func (v *vault) restored() *time.Time {
	if v.extra == nil || !time.Now().Before(v.extra.doubt) {
		return nil
	}
	at := v.extra.doubt.Add(-doubtTime)
	return &at
}

// doubtWith takes over the doubt of another process that found it. The caller holds
// v.mu.
func (v *vault) doubtWith(rec *Record) {
	if rec.Restored == nil {
		return
	}
	if ago := time.Since(*rec.Restored); -doubtTime < ago && ago < doubtTime { // else a clock is wrong
		if e := v.more(); rec.Restored.Add(doubtTime).After(e.doubt) {
			e.doubt = rec.Restored.Add(doubtTime)
		}
	}
}

// errDoubt delays a refresh after the store went back in time.
var errDoubt = errtext.New("the store went back in time; another process may have a newer token and is waited for")

// inDoubt is errDoubt for as long as there is reason to.
type inDoubt struct {
	error
	left time.Duration
}

func (e *inDoubt) Unwrap() error { return e.error }

// doubted keeps a refresh from spending a token that may be spent, and shows the
// others what is held here. It is called under the store's lock.
func (v *vault) doubted(ctx context.Context) error {
	v.mu.Lock()
	var left time.Duration
	save := false
	if e := v.extra; e != nil {
		left, save = time.Until(e.doubt), e.token
	}
	v.mu.Unlock()
	if left <= 0 {
		return nil
	}
	if save {
		rec := *v.current().Record
		_ = v.save(ctx, &rec) // a failure is retried behind
	}
	return &inDoubt{errDoubt, left}
}

// replaceCorrupt stores the token that is held in place of a record that is none
// any more. Another process may have a newer one and does the same.
func (v *vault) replaceCorrupt(ctx context.Context, held held) bool {
	rec := *held.Record
	now := wallNow()
	rec.Generation, rec.Restored = 0, &now
	generation, err := v.write(ctx, &rec)
	if err != nil && !errors.Is(err, ErrConflict) { // a conflict: another was faster
		return false
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if err == nil && v.held == held.Record {
		v.renumber(generation)
		v.more().doubt = time.Now().Add(doubtTime)
	}
	return true
}

// isLost reports whether a read that ended in err has found a corrupt record for so
// long that no running process has another one to put in its place. A login does.
func (v *vault) isLost(err error) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case v.held.Token != nil || !errors.Is(err, errtext.Corrupt) || errors.Is(err, ErrNotFound):
		if v.extra != nil && (err == nil || errors.Is(err, ErrNotFound)) {
			v.extra.corrupt = time.Time{}
			v.tidy()
		}
		return false
	case v.more().corrupt.IsZero():
		v.extra.corrupt = time.Now()
	}
	return time.Since(v.extra.corrupt) >= doubtTime
}

// outlasts reports whether r is newer than what the store has: by what either
// replaced, else by when it was obtained if the store's counter went back.
func (r *Record) outlasts(stored *Record) bool {
	ours, theirs := r.Token, stored.Token
	switch {
	case ours == nil || lineage.List(stored.Replaced).Has(ours.RefreshToken):
		return false
	case theirs != nil && lineage.List(r.Replaced).Has(theirs.RefreshToken):
		return true
	}
	return stored.Generation <= r.Generation && !stored.Obtained.After(r.Obtained)
}

// catchUpWithNothing is catchUp with a store that has no record.
func (v *vault) catchUpWithNothing() {
	switch {
	case v.held.Generation == 0:
	case v.extra != nil && v.extra.token: // it is saved again
		v.renumber(0)
	default:
		v.drop()
	}
}

// renumber gives the record in use the generation that the store has.
func (v *vault) renumber(generation uint64) {
	ours := *v.held
	ours.Generation = generation
	v.held = &ours
	v.version++
}

// adopt puts a record of the store in use, with the key that its token is
// bound to; the caller holds v.mu.
func (v *vault) adopt(rec *Record, key *binding) {
	if key != nil {
		v.more().binding = key
	}
	if rec.Token != nil && rec.Token.TokenType == "DPoP" && key == nil {
		rec.Token = nil // bound to a key that we do not have
	}
	if rec.Token != nil {
		rec.Token = rec.Token.seal()
		rec.Token.binding = key
		if old := v.held.Token; old.alike(rec.Token) {
			// Still the same token, and what is known of it stays.
			rec.Token.evidence = old.evidence
		}
	}
	if rec.Issuer == v.held.Issuer {
		rec.Issuer = v.held.Issuer // one string in memory, not two
	}
	if rec.Resource == v.held.Resource {
		rec.Resource = v.held.Resource
	}
	if e := v.extra; e != nil {
		e.token, e.replaced = false, nil
		v.tidy()
	}
	v.name(rec)
	v.put(rec)
}

// drop forgets the credential; the caller holds v.mu.
func (v *vault) drop() {
	if e := v.extra; e != nil {
		*e = extra{binding: e.binding}
		v.tidy()
	}
	issuer := v.cfg.first()
	if v.cfg.client.ID != "" {
		issuer = v.held.Issuer // which the client stays bound to
	}
	v.put(&Record{Resource: v.held.Resource, Issuer: issuer})
}

// prefers reports whether another process's record wins over ours, which could
// not be stored because of it: if theirs works and ours did not replace it, or if
// ours has no refresh token and theirs has.
func prefers(theirs, ours *Record, replaced []string) bool {
	return !outlives(ours.Token, theirs.Token, replaced) &&
		(theirs.Token.live(wallNow()) || outlives(theirs.Token, ours.Token, nil))
}

// outlives reports whether our token, not stored yet, is worth more than what
// another process has stored. A process that was refused with the refresh token
// that ours replaced has dropped only that one [invariant 6]; a process that
// stored something else may have left it there.
func outlives(ours, theirs *Token, replaced []string) bool {
	switch {
	case ours == nil:
		return false
	case theirs == nil || theirs.RefreshToken == "":
		return ours.RefreshToken != ""
	}
	return slices.Contains(replaced, theirs.RefreshToken) && !slices.Contains(replaced, ours.RefreshToken)
}

// renewed reports whether r has a newer access token than old by the same
// refresh token, from a server that does not rotate.
func (r *Record) renewed(old *Record) bool {
	return r.Token != nil && old.Token != nil && r.Token.RefreshToken != "" && r.Token.RefreshToken == old.Token.RefreshToken &&
		!r.Obtained.Before(old.Obtained)
}

// alike reports whether u has the same access token, or, without one, the same
// refresh token.
func (t *Token) alike(u *Token) bool {
	return t != nil && t.AccessToken == u.AccessToken && (t.AccessToken != "" || t.RefreshToken == u.RefreshToken)
}

// left reports whether found is what is left of the forgotten token t: a
// process that could no longer refresh it has stored it without its refresh
// token.
func (t *Token) left(found *Token) bool {
	switch {
	case t == nil || found == nil:
		return false
	case t.AccessToken != "":
		return t.AccessToken == found.AccessToken
	}
	return t.RefreshToken == found.RefreshToken
}
