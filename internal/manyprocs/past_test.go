package manyprocs

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/mcptokens/mcptokens/auth/authtest"
)

// The store goes back to a refresh token that is spent, as when a backup is restored
// or a replica takes over that was behind, while processes have newer ones. None of
// what is spent is sent.
func TestStoreGoesBackUnderProcesses(t *testing.T) {
	t.Parallel()
	for name, at := range stores(t, time.Minute) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			goesBack(t, at)
		})
	}
}

func goesBack(t *testing.T, at storeAt) {
	disturbed(t, at, func(f *fleet) {
		past := f.read()
		f.rotate(3)
		f.write(past)
	})
}

// The record is damaged while processes have the token: one of them stores it again.
func TestRecordIsDamagedUnderProcesses(t *testing.T) {
	t.Parallel()
	for name, at := range stores(t, time.Minute) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			isDamaged(t, at)
		})
	}
}

func isDamaged(t *testing.T, at storeAt) {
	disturbed(t, at, func(f *fleet) {
		f.write(stored{generation: f.read().generation, data: []byte("no record")})
	})
}

// disturbed has four processes use tokens that live for a second, while something
// happens to the store. They go on without a login.
func disturbed(t *testing.T, at storeAt, disturb func(f *fleet)) {
	f := newFleet(t, at, false, authtest.Config{AccessTokenTTL: time.Second})
	f.crowd()
	f.uneasily(true) // the store went back in time
	disturb(f)
	f.rotate(3)
	f.stop()
	f.uneasily(false)
	if at.Dir != "" { // what was damaged was moved aside
		aside, _ := filepath.Glob(filepath.Join(at.Dir, "*corrupt*"))
		for _, name := range aside {
			must(t, os.Remove(name))
		}
	}
	n := f.srv.Counts()
	if n.ReusedRefreshTokens != 0 || n.FamiliesRevoked != 0 || f.lost != 0 {
		t.Errorf("%d refresh tokens were reused, %d families revoked, %d lost", n.ReusedRefreshTokens, n.FamiliesRevoked, f.lost)
	}
	f.check()
}

// rotate waits for some rotations.
func (f *fleet) rotate(times int) {
	f.t.Helper()
	until := f.srv.Counts().RotationsIssued + times
	f.until("rotations", func() bool { return f.srv.Counts().RotationsIssued >= until })
}

// stored is what a store has of the workers' record.
type stored struct {
	generation string
	data       []byte
}

// read and write go past the store.
func (f *fleet) read() (s stored) {
	f.t.Helper()
	f.past(func(path string) (err error) {
		s.data, err = os.ReadFile(path)
		return err
	}, func(ctx context.Context, c *redis.Client, key string) error {
		return c.HMGet(ctx, key, "g", "d").Scan(&struct {
			G *string `redis:"g"`
			D *[]byte `redis:"d"`
		}{&s.generation, &s.data})
	}, func(ctx context.Context, db *sql.DB, id string) error {
		return db.QueryRowContext(ctx, `SELECT generation, record FROM mcptokens WHERE id = $1`, id).Scan(&s.generation, &s.data)
	})
	return s
}

func (f *fleet) write(s stored) {
	f.t.Helper()
	f.past(func(path string) error {
		// Whole, as a backup is put in place, and while nobody writes.
		unlock, err := f.view.Lock(f.t.Context(), f.key())
		if err != nil {
			return err
		}
		defer unlock()
		if err := os.WriteFile(path+".past", s.data, 0o600); err != nil {
			return err
		}
		return os.Rename(path+".past", path)
	}, func(ctx context.Context, c *redis.Client, key string) error {
		return c.HSet(ctx, key, "g", s.generation, "d", s.data).Err()
	}, func(ctx context.Context, db *sql.DB, id string) error {
		_, err := db.ExecContext(ctx, `UPDATE mcptokens SET generation = CAST($2 AS bigint), record = $3 WHERE id = $1`, id, s.generation, s.data)
		return err
	})
}

// past does one of these.
func (f *fleet) past(file func(path string) error, server func(ctx context.Context, c *redis.Client, key string) error, database func(ctx context.Context, db *sql.DB, id string) error) {
	f.t.Helper()
	at, id := f.job.Store, f.key().ID()
	switch {
	case at.Dir != "":
		must(f.t, file(f.record()))
	case at.Redis != "":
		c := redis.NewClient(&redis.Options{Addr: at.Redis})
		defer func() { _ = c.Close() }()
		must(f.t, server(f.t.Context(), c, "mcptokens:{"+id+"}:rec"))
	default:
		driver, source := at.source()
		db, err := sql.Open(driver, source)
		must(f.t, err)
		defer func() { _ = db.Close() }()
		must(f.t, database(f.t.Context(), db, id))
	}
}

// record is the file of the workers' token.
func (f *fleet) record() string { return filepath.Join(f.job.Store.Dir, f.key().ID()+".json") }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
