package sqlstore_test

import (
	"errors"
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/store/sqlstore"
)

// lose ends a lease as if its holder had been away for longer.
func lose(t *testing.T, d database) {
	t.Helper()
	exec(t, d.pool(t), `UPDATE mcptokens SET lock_until = 1`)
}

// A lease that ran out, since its holder was suspended, is another process's. What
// the late holder may do then depends on whether there is anything that it
// could destroy.
func TestFencing(t *testing.T) { fencing(t, newSQLite) }

func fencing(t *testing.T, open func(t *testing.T) database) {
	for name, tc := range map[string]struct {
		others  func(t *testing.T, b *sqlstore.Store, g uint64) // what happens meanwhile
		want    error                                           // of a save of what was loaded
		rereads error                                           // of a save after reading again
	}{
		"nobody came": {func(*testing.T, *sqlstore.Store, uint64) {}, nil, nil},
		// It holds the only copy of a token that replaced a spent one.
		"somebody holds it": {
			func(t *testing.T, b *sqlstore.Store, _ uint64) { t.Cleanup(mustLock(t, b)) }, nil, nil,
		},
		"somebody came and went": {
			func(t *testing.T, b *sqlstore.Store, _ uint64) { mustLock(t, b)() }, nil, nil,
		},
		"somebody wrote": {
			func(t *testing.T, b *sqlstore.Store, g uint64) {
				defer mustLock(t, b)()
				mustSave(t, b, record(g, "theirs"))
			}, auth.ErrConflict, auth.ErrConflict,
		},
		"somebody deleted": {
			func(t *testing.T, b *sqlstore.Store, g uint64) {
				defer mustLock(t, b)()
				if err := b.Delete(t.Context(), key, g); err != nil {
					t.Fatal(err)
				}
			}, auth.ErrConflict, auth.ErrConflict,
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := open(t)
			a, b := d.open(t, sqlstore.WithLease(time.Hour)), d.open(t)
			g := mustSave(t, a, record(0, "first"))
			unlock := mustLock(t, a)
			lose(t, d)
			tc.others(t, b, g)
			if _, err := a.Save(t.Context(), key, record(g, "late")); !errors.Is(err, tc.want) {
				t.Errorf("Save: %v, want %v", err, tc.want)
			}
			now, err := a.Load(t.Context(), key)
			if errors.Is(err, auth.ErrNotFound) {
				now = &auth.Record{}
			} else if err != nil {
				t.Fatal(err)
			}
			if _, err := a.Save(t.Context(), key, record(now.Generation, "later")); !errors.Is(err, tc.rereads) {
				t.Errorf("Save after Load: %v, want %v", err, tc.rereads)
			}
			if tc.rereads != nil && now.Generation > 0 {
				if err := a.Delete(t.Context(), key, now.Generation); !errors.Is(err, auth.ErrConflict) {
					t.Errorf("Delete: %v", err)
				}
			}
			unlock()
			if tc.rereads != nil {
				defer mustLock(t, a)() // the lock taken again, it may
				mustSave(t, a, record(now.Generation, "again"))
			}
		})
	}
}

// A lease is renewed while its holder lives, and when it dies the next one
// comes in once the lease has run out. The database says when that was: a machine
// may be too slow to renew a lease in time that nobody else asks for.
func TestHolderDies(t *testing.T) {
	t.Parallel()
	holderDies(t, newSQLite)
}

func holderDies(t *testing.T, open func(t *testing.T) database) {
	d := open(t)
	a, b := d.open(t, sqlstore.WithLease(shortLease)), d.open(t, sqlstore.WithLease(shortLease))
	db := d.pool(t)
	ends := func() (ms int64) {
		t.Helper()
		if err := db.QueryRowContext(t.Context(), `SELECT lock_until FROM mcptokens`).Scan(&ms); err != nil {
			t.Fatal(err)
		}
		return ms
	}
	unlock := mustLock(t, a)
	defer unlock()
	first := ends()
	until(t, "a lease that ends three leases later", func() bool { return ends() > first+3*shortLease.Milliseconds() })
	until(t, "a lease that is held", func() bool { return a.Held(key) })
	_ = a.Close() // its lease is not renewed any more, as after a kill
	last := ends()
	unlockB := mustLock(t, b)
	if taken := ends() - shortLease.Milliseconds(); taken < last {
		t.Errorf("the lock was taken %d ms before the lease ended", last-taken)
	}
	unlockB()
	if a.Held(key) {
		t.Error("held after another had it")
	}
}

// until waits for what has no way of its own to be waited for.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); <-time.After(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

// A lease that another took is not renewed behind its back.
func TestRenewalEnds(t *testing.T) {
	d := newSQLite(t)
	s := d.open(t, sqlstore.WithLease(shortLease))
	unlock := mustLock(t, s)
	db := d.pool(t)
	exec(t, db, `UPDATE mcptokens SET lock_holder = 'theirs', lock_until = 1`)
	until(t, "the end of a lease that another holds", func() bool { return !s.Held(key) })
	unlock()
	var holder string
	var until int64
	if err := db.QueryRowContext(t.Context(), `SELECT lock_holder, lock_until FROM mcptokens`).Scan(&holder, &until); err != nil || holder != "theirs" || until != 1 {
		t.Errorf("the lock is %q until %d, %v", holder, until, err)
	}
}
