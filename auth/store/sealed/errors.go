package sealed

import (
	"fmt"
	"strings"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/internal/errtext"
)

// Why a record cannot be used; [errors.Is] finds them in an *[Error]. Such a
// record is never overwritten.
var (
	// ErrUnknownKey: the record was sealed with a key that is not among those
	// of [New].
	ErrUnknownKey = errtext.Permanent("this program was not given the key; add it to sealed.New as an older one, or delete the record to log in again")
	// ErrWrongKey: the record does not open. The key of that ID has another
	// secret, or the record was changed, is another user's or is an old one
	// that was put back.
	ErrWrongKey = errtext.Permanent("the record does not open: it was sealed with another secret, or was changed or put back since; give the secret that it was sealed with, or delete the record to log in again")
	// ErrUnsealed: there is a record that nobody has sealed, as whoever can
	// write to the store may have put there.
	ErrUnsealed = errtext.Permanent("the record is not sealed; delete it to log in again")
	// ErrMiscounted: the store below does not give a record the number after
	// the one that it replaces, so what it holds could not be opened.
	ErrMiscounted = errtext.Permanent("the store below does not count the saves of a record by one, as auth.Store asks; use another")
)

// Error is a record that cannot be used or saved. Its text holds no secret.
type Error struct {
	// Op is "load", "save" or "list".
	Op string
	// KeyID is the key that the record was sealed with; empty when it does not
	// say.
	KeyID string
	// Stored and Generation are what Delete of the store below needs to remove
	// the record.
	Stored     auth.Key
	Generation uint64
	// Err is the cause: one of this package's, or [store.ErrNewer],
	// [store.ErrCorrupt] and what else [store.Encode] and [store.Decode] say.
	Err error `json:"-"`
}

// Error implements error.
func (e *Error) Error() string {
	s := "sealed: " + e.Op + " " + e.Stored.Subject + ": "
	if e.KeyID != "" {
		s += fmt.Sprintf("key %q: ", e.KeyID)
	}
	return s + strings.TrimPrefix(errtext.Describe(e.Err), "store: ")
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }
