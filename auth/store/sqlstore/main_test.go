package sqlstore_test

import (
	"context"
	"database/sql"
	"net/url"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
	_ "modernc.org/sqlite"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/store/sqlstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var key = auth.Key{Resource: "https://mcp.example/mcp", Issuer: "https://as.example", ClientID: "client", Subject: "subject"}

const (
	secret = "planted-secret"
	// shortLease is for tests that wait until one ends.
	shortLease = 400 * time.Millisecond
	// shortPoll keeps those short that wait for hints.
	shortPoll = 5 * time.Millisecond
)

// record has a token that says what.
func record(generation uint64, what string) *auth.Record {
	return &auth.Record{
		Generation: generation, Issuer: key.Issuer, Resource: key.Resource,
		Token: &auth.Token{AccessToken: what, TokenType: "Bearer", RefreshToken: secret},
	}
}

// database is one that a test has for itself, with as many pools as it likes.
type database struct {
	driver, source string
	dialect        sqlstore.Dialect
}

// newSQLite returns an empty file, as the package's comment has it.
func newSQLite(t *testing.T) database {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tokens.db")
	// No synchronous: what a power failure would cost is not tested here.
	options := url.Values{"_pragma": {"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(OFF)"}}
	return database{"sqlite", "file:" + path + "?" + options.Encode(), sqlstore.SQLite}
}

// pool opens connections of its own, as another process has them.
func (d database) pool(t *testing.T) *sql.DB {
	t.Helper()
	db, err := sql.Open(d.driver, d.source)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(8)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// open returns a store on a pool of its own.
func (d database) open(t *testing.T, opts ...sqlstore.Option) *sqlstore.Store {
	t.Helper()
	return d.on(t, d.pool(t), opts...)
}

// on returns a store on a pool, with its table.
func (d database) on(t *testing.T, db *sql.DB, opts ...sqlstore.Option) *sqlstore.Store {
	t.Helper()
	s, err := sqlstore.New(db, d.dialect, append([]sqlstore.Option{sqlstore.WithPoll(shortPoll)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

func exec(t *testing.T, db *sql.DB, statement string, args ...any) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), statement, args...); err != nil {
		t.Fatal(err)
	}
}

func mustSave(t *testing.T, s auth.Store, r *auth.Record) uint64 {
	t.Helper()
	g, err := s.Save(t.Context(), key, r)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// mustLock takes the lock, which has to be free or to become so.
func mustLock(t *testing.T, s auth.Store) (unlock func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	unlock, err := s.Lock(ctx, key)
	if err != nil {
		t.Fatal(err)
	}
	return unlock
}
