package sqlstore

import (
	"context"
	"errors"
	"strings"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/internal/errtext"
)

// ErrClosed is returned by every method of a closed [Store].
var ErrClosed = errtext.New("sqlstore: the store is closed")

// Error is an operation that failed. Its text holds neither what is stored nor
// what the database said beyond its code.
type Error struct {
	// Op is "load", "save", "delete", "lock", "probe", "list" or "migrate".
	Op string
	// ID is the row's; empty where it is about none.
	ID string
	// Err is the cause. It is for errors.Is and errors.As; its own text may
	// quote what the database said.
	Err error `json:"-"`
}

// Error implements error; the text holds no secret.
func (e *Error) Error() string {
	s := "sqlstore: " + e.Op
	if e.ID != "" {
		s += " " + e.ID
	}
	return s + ": " + describe(e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// What to do about some codes of PostgreSQL.
var advice = map[string]string{
	"42P01": "the table does not exist; call Store.Migrate, or apply sqlstore.Schema",
	"42703": "the table has other columns; apply sqlstore.Schema to an empty one",
	"42501": "the database's user lacks a privilege: SELECT, INSERT, UPDATE and DELETE on the table are needed",
	"25006": "the database is read-only; connect to the primary",
	"53300": "the database has no connection left; limit them by DB.SetMaxOpenConns",
}

// describe puts in words what a driver reports.
func describe(err error) string {
	var (
		state  interface{ SQLState() string } // pgx and lib/pq
		coded  interface{ Code() int }        // modernc.org/sqlite
		detail string
	)
	switch {
	case errors.As(err, &state):
		code := state.SQLState()
		if len(code) != 5 || strings.Trim(code, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
			code = "unknown"
		}
		if detail = advice[code]; detail != "" {
			return detail + " (SQLSTATE " + code + ")"
		}
		return "the database answered with SQLSTATE " + code
	case errors.As(err, &coded):
		return "SQLite answered with " + sqliteText(coded.Code())
	}
	return strings.TrimPrefix(errtext.Describe(err), "store: ")
}

// sqliteText names the primary result codes that say what to do.
func sqliteText(code int) string {
	switch code & 0xff {
	case 1:
		return "SQLITE_ERROR; if the table does not exist, call Store.Migrate, or apply sqlstore.Schema"
	case 5, 6:
		return "SQLITE_BUSY; have the driver wait with busy_timeout"
	case 8:
		return "SQLITE_READONLY; the file or its directory cannot be written to"
	case 10:
		return "SQLITE_IOERR"
	case 11:
		return "SQLITE_CORRUPT; the file is damaged"
	case 13:
		return "SQLITE_FULL; the disk is full"
	case 14:
		return "SQLITE_CANTOPEN; the file cannot be opened"
	}
	return "an error"
}

// wrap names the operation in an error of the database. What ctx says is passed
// on as it is, and so is what this package says of itself.
func wrap(ctx context.Context, op, id string, err error) error {
	switch {
	case err == nil, errors.Is(err, ErrClosed), errors.Is(err, auth.ErrNotFound), errors.Is(err, auth.ErrConflict):
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return &Error{Op: op, ID: id, Err: err}
}
