package sqlstore_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/store"
	"github.com/mcptokens/mcptokens/auth/store/sqlstore"
	"github.com/mcptokens/mcptokens/auth/store/storetest"
)

func TestContract(t *testing.T) {
	t.Parallel()
	contract(t, newSQLite)
}

// contract tries a store, and another one on the same database.
func contract(t *testing.T, open func(t *testing.T) database) {
	databases := make(map[auth.Store]database)
	storetest.Suite{
		Open: func(t *testing.T) auth.Store {
			d := open(t)
			s := d.open(t)
			databases[s] = d
			return s
		},
		Reopen: func(t *testing.T, s auth.Store) auth.Store { return databases[s].open(t) },
	}.Run(t)
}

// A pool of one connection will do: nothing holds one that it does not need.
func TestContractWithOneConnection(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) auth.Store {
		d := newSQLite(t)
		db := d.pool(t)
		db.SetMaxOpenConns(1)
		return d.on(t, db)
	})
}

// What others put into the table is no record. A process that still has the token
// saves it in its place, as a first one; a record of a newer version stays as it is.
func TestCorrupt(t *testing.T) {
	other := key
	other.Subject = "another"
	theirs, err := store.Encode(other, record(1, "theirs"))
	if err != nil {
		t.Fatal(err)
	}
	ours, err := store.Encode(key, record(1, "ours"))
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		generation int
		data       string
		want       error
	}{
		"garbage":       {1, secret, store.ErrCorrupt},
		"empty":         {1, "", store.ErrCorrupt},
		"half":          {1, string(ours[:len(ours)/2]), store.ErrCorrupt},
		"another's":     {1, string(theirs), store.ErrCorrupt},
		"never saved":   {0, string(ours), store.ErrCorrupt},
		"counted below": {-1, string(ours), store.ErrCorrupt},
		"newer":         {1, `{"version":99}`, store.ErrNewer},
	} {
		t.Run(name, func(t *testing.T) {
			d := newSQLite(t)
			db := d.pool(t)
			s := d.on(t, db)
			exec(t, db, `INSERT INTO mcptokens (id, generation, record, saved) VALUES (?, ?, ?, 0)`, key.ID(), tc.generation, []byte(tc.data))
			check := func(err error, op string) {
				t.Helper()
				var failed *sqlstore.Error
				var says interface{ Retryable() bool }
				if !errors.Is(err, tc.want) || !errors.As(err, &failed) || failed.Op != op || failed.ID != key.ID() ||
					!errors.As(err, &says) || says.Retryable() || strings.Contains(err.Error(), secret) {
					t.Errorf("%s: %v", op, err)
				}
			}
			_, err := s.Load(t.Context(), key)
			check(err, "load")
			for _, err := range s.List(t.Context()) {
				check(err, "list")
			}
			g, err := s.Save(t.Context(), key, record(0, "first"))
			if tc.want == store.ErrNewer {
				var got string
				if scanned := db.QueryRowContext(t.Context(), `SELECT record FROM mcptokens`).Scan(&got); !errors.Is(err, auth.ErrConflict) || scanned != nil || got != tc.data {
					t.Errorf("Save: %v; now it is %q, %v", err, got, scanned)
				}
				return
			}
			if err != nil || g == 0 {
				t.Fatalf("Save: %d, %v", g, err)
			}
			if r, err := s.Load(t.Context(), key); err != nil || r.Token.AccessToken != "first" {
				t.Errorf("Load: %v, %v", r, err)
			}
			if _, err := s.Save(t.Context(), key, record(0, "another first")); !errors.Is(err, auth.ErrConflict) {
				t.Errorf("Save of what is good: %v", err)
			}
			mustSave(t, s, record(g, "second"))
		})
	}
}

// Nothing of a deleted record is left but its number, and no number comes twice
// when the table is emptied.
func TestWhatDeletingLeaves(t *testing.T) {
	d := newSQLite(t)
	db := d.pool(t)
	s := d.on(t, db)
	g := mustSave(t, s, record(0, "first"))
	if err := s.Delete(t.Context(), key, g); err != nil {
		t.Fatal(err)
	}
	var rows, records int
	if err := db.QueryRowContext(t.Context(), `SELECT count(*), count(record) FROM mcptokens`).Scan(&rows, &records); err != nil || rows != 1 || records != 0 {
		t.Errorf("%d rows and %d records are left, %v", rows, records, err)
	}
	exec(t, db, `DELETE FROM mcptokens`)
	if after := mustSave(t, s, record(0, "another")); after <= g+1 {
		t.Errorf("generation %d after %d", after, g+1)
	}
}

// A database that cannot be written to is found by the probe, which leaves
// nothing behind, and the error says what to do.
func TestProbe(t *testing.T) {
	d := newSQLite(t)
	db := d.pool(t)
	s := d.on(t, db)
	mustSave(t, s, record(0, "first"))
	if err := s.Probe(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	var rows int
	if err := db.QueryRowContext(t.Context(), `SELECT count(*) FROM mcptokens`).Scan(&rows); err != nil || rows != 1 {
		t.Errorf("%d rows, %v", rows, err)
	}
	for name, tc := range map[string]struct{ statement, says string }{
		"read-only": {`PRAGMA query_only = ON`, "SQLITE_READONLY"},
		"full":      {`PRAGMA max_page_count = 1`, "SQLITE_FULL; the disk is full"},
		"no table":  {`DROP TABLE mcptokens`, "call Store.Migrate"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newSQLite(t)
			db := d.pool(t)
			db.SetMaxOpenConns(1) // pragmas are a connection's
			s := d.on(t, db)
			exec(t, db, tc.statement)
			err := s.Probe(t.Context(), key)
			var failed *sqlstore.Error
			if !errors.As(err, &failed) || failed.Op != "probe" || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("Probe: %v, want %q", err, tc.says)
			}
		})
	}
}

func TestClosed(t *testing.T) {
	d := newSQLite(t)
	s := d.open(t)
	_ = s.Close()
	_ = s.Close()
	_, err := s.Load(t.Context(), key)
	_, saveErr := s.Save(t.Context(), key, record(0, "first"))
	_, lockErr := s.Lock(t.Context(), key)
	for _, err := range []error{err, saveErr, lockErr, s.Delete(t.Context(), key, 1), s.Probe(t.Context(), key), s.Migrate(t.Context())} {
		if !errors.Is(err, sqlstore.ErrClosed) {
			t.Errorf("error %v", err)
		}
	}
	for _, err := range s.List(t.Context()) {
		if !errors.Is(err, sqlstore.ErrClosed) {
			t.Errorf("List: %v", err)
		}
	}
	s.Watch(key, func() { t.Error("called") })()
}

func TestEndedContext(t *testing.T) {
	s := newSQLite(t).open(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Load(ctx, key)
	_, saveErr := s.Save(ctx, key, record(0, "first"))
	_, lockErr := s.Lock(ctx, key)
	for _, err := range []error{err, saveErr, lockErr, s.Delete(ctx, key, 1), s.Probe(ctx, key)} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
	}
}

func TestNames(t *testing.T) {
	db := newSQLite(t).pool(t)
	for name, want := range map[string]map[sqlstore.Dialect]bool{
		"":                         {sqlstore.PostgreSQL: true, sqlstore.SQLite: true},
		"tokens_2":                 {sqlstore.PostgreSQL: true, sqlstore.SQLite: true},
		"app.tokens":               {sqlstore.PostgreSQL: true},
		"a.b.c":                    {},
		"Tokens":                   {},
		"2tokens":                  {},
		"t; DROP TABLE users":      {},
		`t"`:                       {},
		strings.Repeat("long", 20): {},
	} {
		for _, dialect := range []sqlstore.Dialect{sqlstore.PostgreSQL, sqlstore.SQLite, "", "MySQL"} {
			_, err := sqlstore.New(db, dialect, sqlstore.WithTable(name))
			if (err == nil) != want[dialect] {
				t.Errorf("New, %s, %q: %v", dialect, name, err)
			}
			text, err := sqlstore.Schema(dialect, name)
			if (err == nil) != want[dialect] || err == nil && !strings.Contains(text, "CREATE TABLE IF NOT EXISTS "+name) {
				t.Errorf("Schema, %s, %q: %q, %v", dialect, name, text, err)
			}
		}
	}
}

// The statements of Schema are enough, and two tables are apart.
func TestSchemaAndTables(t *testing.T) {
	d := newSQLite(t)
	db := d.pool(t)
	for _, table := range []string{"one", "two"} {
		text, err := sqlstore.Schema(d.dialect, table)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			exec(t, db, text)
		}
	}
	one, two := d.on(t, db, sqlstore.WithTable("one")), d.on(t, db, sqlstore.WithTable("two"))
	mustSave(t, one, record(0, "first"))
	if _, err := two.Load(t.Context(), key); !errors.Is(err, auth.ErrNotFound) {
		t.Errorf("Load from the other table: %v", err)
	}
}
