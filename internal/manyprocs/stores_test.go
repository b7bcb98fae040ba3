package manyprocs

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	_ "modernc.org/sqlite"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/store/filestore"
	"github.com/mcptokens/mcptokens/auth/store/keyringstore"
	"github.com/mcptokens/mcptokens/auth/store/redisstore"
	"github.com/mcptokens/mcptokens/auth/store/sqlstore"
)

// storeAt is where the store is: one of these.
type storeAt struct {
	Dir        string // files
	Redis      string // an address
	SQLite     string // a file
	PostgreSQL string // a URL
	Locks      string // of a keyring
	// Lease is that of Redis and of databases. Default: the store's.
	Lease time.Duration
}

// open opens the store, with a function that closes it.
func (at storeAt) open() (auth.Store, func(), error) {
	switch {
	case at.Dir != "":
		s, err := filestore.Open(at.Dir)
		return s, func() {}, err
	case at.Locks != "":
		s, err := keyringstore.Open("mcptokens manyprocs", keyringstore.WithLockDir(at.Locks))
		return s, func() {}, err
	case at.SQLite != "":
		return at.database(sqlstore.SQLite)
	case at.PostgreSQL != "":
		return at.database(sqlstore.PostgreSQL)
	}
	client := redis.NewClient(&redis.Options{Addr: at.Redis, ContextTimeoutEnabled: true})
	s := redisstore.New(client, redisstore.WithLease(at.Lease))
	return s, func() {
		_ = s.Close()
		_ = client.Close()
	}, nil
}

// source is what a database is opened with.
func (at storeAt) source() (driver, source string) {
	if at.SQLite != "" {
		return "sqlite", "file:" + at.SQLite + "?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(OFF)"
	}
	return "pgx", at.PostgreSQL
}

func (at storeAt) database(d sqlstore.Dialect) (auth.Store, func(), error) {
	db, err := sql.Open(at.source())
	if err != nil {
		return nil, nil, err
	}
	s, err := sqlstore.New(db, d, sqlstore.WithLease(at.Lease))
	if err == nil {
		err = s.Migrate(context.Background())
	}
	if err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	return s, func() {
		_ = s.Close()
		_ = db.Close()
	}, nil
}

// stores are those that need no server. A lease of theirs ends after a process
// was killed; one that lives may lose it on a machine that stands still for as long.
func stores(t *testing.T, lease time.Duration) map[string]storeAt {
	return map[string]storeAt{
		"file":   {Dir: filepath.Join(t.TempDir(), "tokens")},
		"redis":  {Redis: redisInMemory(t), Lease: lease},
		"sqlite": {SQLite: filepath.Join(t.TempDir(), "tokens.db"), Lease: lease},
	}
}

// redisInMemory runs a Redis whose leases end until the test does and returns its
// address. A process may leave one behind: on a machine that stands still the
// second is over in which it is given back.
func redisInMemory(t *testing.T) string {
	r := miniredis.RunT(t)
	r.ClockTTL(true)
	return r.Addr()
}
