package filestore

import (
	"strings"

	"github.com/mcptokens/mcptokens/internal/errtext"
)

// ErrUnsafe is the cause of an [*Error] about a file or directory that the
// store does not use as it is: others can read it, it is another user's, it is
// a link, or no file, or too large for a record.
var ErrUnsafe = errtext.Permanent("not safe to use")

// errNoConfigDir: os.UserConfigDir does not know it.
var errNoConfigDir = errtext.New("it is not known; set HOME (Windows: AppData), or use Open with a directory of your choice")

// Error is a failure that has to do with a file. It never holds what is in it.
type Error struct {
	// Op is what was tried: "open", "create", "read", "write", …
	Op string
	// Path is the file or the directory.
	Path string
	// Err is the cause: [ErrUnsafe], [store.ErrCorrupt],
	// [store.ErrNewer], an error of a context, or the operating system's,
	// such as [fs.ErrPermission].
	Err error `json:"-"`
	// Advice says what to do, or what was done; it may be empty.
	Advice string
}

// Error describes what went wrong and what to do.
func (e *Error) Error() string {
	s := "filestore: " + e.Op + " " + e.Path + ": " + strings.TrimPrefix(errtext.Describe(e.Err), "store: ")
	if e.Advice != "" {
		s += "; " + e.Advice
	}
	return s
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }
