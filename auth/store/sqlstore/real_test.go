//go:build realservers

package sqlstore_test

import (
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/store/sqlstore"
	"github.com/mcptokens/mcptokens/internal/realservers"
	"github.com/mcptokens/mcptokens/internal/webtest"
)

// postgres starts a server and returns a function that makes databases on it.
func postgres(t *testing.T, more ...string) func(t *testing.T) database {
	t.Helper()
	server := realservers.StartPostgreSQL(t, more...)
	var n atomic.Int32
	return func(t *testing.T) database {
		t.Helper()
		admin := database{"pgx", server, sqlstore.PostgreSQL}.pool(t)
		name := fmt.Sprint("test", n.Add(1))
		exec(t, admin, "CREATE DATABASE "+name)
		u, err := url.Parse(server)
		if err != nil {
			t.Fatal(err)
		}
		u.Path = "/" + name
		return database{"pgx", u.String(), sqlstore.PostgreSQL}
	}
}

func TestRealContract(t *testing.T) { contract(t, postgres(t)) }

// Above READ COMMITTED the database may refuse what it cannot put in order;
// nothing is lost by that.
func TestRealSerializable(t *testing.T) {
	open := postgres(t, "-c", "default_transaction_isolation=serializable")
	d := open(t)
	a, b := d.open(t), d.open(t)
	g := mustSave(t, a, record(0, "first"))
	var wg sync.WaitGroup
	var saved, conflicts atomic.Int32
	for _, s := range []*sqlstore.Store{a, b, a, b} {
		wg.Go(func() {
			for {
				_, err := s.Save(t.Context(), key, record(g, "next"))
				var failed *sqlstore.Error
				switch {
				case err == nil:
					saved.Add(1)
				case errors.Is(err, auth.ErrConflict):
					conflicts.Add(1)
				case errors.As(err, &failed) && strings.Contains(err.Error(), "SQLSTATE 40001"):
					continue // to be tried again, as the manager does
				default:
					t.Error(err)
				}
				return
			}
		})
	}
	wg.Wait()
	if saved.Load() != 1 || conflicts.Load() != 3 {
		t.Errorf("%d saves and %d conflicts; want 1 and 3", saved.Load(), conflicts.Load())
	}
}

func TestRealFencing(t *testing.T) { fencing(t, postgres(t)) }

func TestRealHolderDies(t *testing.T) { holderDies(t, postgres(t)) }

// A table in a schema of its own, made by the text of Schema, and used by one
// who has no more than the privileges that the package's comment names.
func TestRealPrivileges(t *testing.T) {
	d := postgres(t)(t)
	admin := d.pool(t)
	text, err := sqlstore.Schema(d.dialect, "app.tokens")
	if err != nil {
		t.Fatal(err)
	}
	exec(t, admin, "CREATE SCHEMA app")
	for range 2 {
		exec(t, admin, text)
	}
	exec(t, admin, "CREATE ROLE program LOGIN; GRANT USAGE ON SCHEMA app TO program")
	u, err := url.Parse(d.source)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.User("program")
	d.source = u.String()
	s, err := sqlstore.New(d.pool(t), d.dialect, sqlstore.WithTable("app.tokens"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	failing(t, s, "42501", "SELECT, INSERT, UPDATE and DELETE")
	exec(t, admin, "GRANT SELECT, INSERT, UPDATE, DELETE ON app.tokens TO program")
	unlock := mustLock(t, s)
	g := mustSave(t, s, record(0, "first"))
	if err := s.Probe(t.Context(), key); err != nil {
		t.Error(err)
	}
	unlock()
	if err := s.Delete(t.Context(), key, g); err != nil {
		t.Error(err)
	}
}

// What the database says is put in words that say what to do.
func TestRealErrors(t *testing.T) {
	d := postgres(t)(t)
	db := d.pool(t)
	s, err := sqlstore.New(db, d.dialect)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	failing(t, s, "42P01", "call Store.Migrate")
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	exec(t, db, "ALTER DATABASE "+nameOf(t, db)+" SET default_transaction_read_only = on")
	readOnly := d.pool(t)
	s, err = sqlstore.New(readOnly, d.dialect)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	failing(t, s, "25006", "connect to the primary")
}

func nameOf(t *testing.T, db *sql.DB) (name string) {
	t.Helper()
	if err := db.QueryRowContext(t.Context(), "SELECT current_database()").Scan(&name); err != nil {
		t.Fatal(err)
	}
	return name
}

// failing checks that whatever writes says why it cannot.
func failing(t *testing.T, s *sqlstore.Store, code, says string) {
	t.Helper()
	_, saveErr := s.Save(t.Context(), key, record(0, "first"))
	unlock, lockErr := s.Lock(t.Context(), key)
	if lockErr == nil {
		unlock()
	}
	for op, err := range map[string]error{"save": saveErr, "lock": lockErr, "probe": s.Probe(t.Context(), key)} {
		var failed *sqlstore.Error
		if !errors.As(err, &failed) || failed.Op != op || !strings.Contains(err.Error(), code) || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", op, err)
		}
	}
}

// A call that waits on one replica goes on within a second after the login ended on
// another, by the store's defaults.
func TestRealWaking(t *testing.T) {
	d := postgres(t)(t)
	var stores [2]*sqlstore.Store
	for i := range stores {
		s, err := sqlstore.New(d.pool(t), d.dialect)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		if err := s.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		stores[i] = s
	}
	if took := webtest.Waking(t, stores[0], stores[1], 8); took[len(took)-1] > time.Second {
		t.Errorf("a call waits for %v after the login", took)
	}
}
