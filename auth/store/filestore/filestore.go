// Package filestore keeps tokens in files, one for each credential, that all
// processes of a user share:
//
//	store, err := filestore.OpenFor("my-client") // os.UserConfigDir()/mcptokens/my-client
//	// …
//	manager, err := auth.NewManager(auth.Config{Resource: url, Store: store})
//
// Each program has a directory of its own, so that none uses or ends another's login.
// Programs that are to share theirs open the same one with [Open].
//
// The files are not encrypted (package sealed does that); they are readable by
// their owner only. The store refuses files and directories that others can
// read or that belong to another user, root's too unless the process is root's,
// and a directory that is a link. On Windows that is left to the access control
// list that the user's profile has.
//
// # Files
//
// A credential has the files ID.json (the record, see [store.Encode]),
// ID.lock and ID.cas.lock (empty, never deleted), ID.gone once it was
// deleted (the last generation, no secret), and ID.damaged (empty) while a corrupt
// one was moved aside, where ID is [auth.Key.ID]. A record
// is written to a temporary file, flushed to the disk and renamed, so that it
// is the old one or the new one, whole, whenever a process or the machine dies.
// The temporary file of a writer that died is removed by [Open] after an hour.
//
// # Locks
//
// [Store.Lock] is an advisory lock of the operating system on ID.lock. The
// system releases it when its holder dies. A holder that is suspended (SIGSTOP,
// a laptop that sleeps) keeps it, since it may have sent the refresh token: others
// wait until their context ends, serve the token that they have, and their saves
// go on to work, by generation. When it goes on it stores the answer that waited
// for it. The directory has to be on a file
// system with working locks; network file systems may have none between
// machines, where redisstore is the better choice.
//
// # What can be wrong
//
// A file that holds half a record or none is moved to ID.json.corrupt-TIME, for
// a person to look at, and the call that found it returns an error that names
// both and is [store.ErrCorrupt]; for the next call there is no record, until a
// process that still has the token puts it back, or somebody logs in. A
// record of a newer version ([store.ErrNewer]), or a link, a directory or a
// file open to others in a file's place ([ErrUnsafe]) stays as it is and is an
// error until somebody fixes it. A full disk and a directory that cannot be
// written to are found by [Store.Probe], before a refresh token is spent: the
// manager serves the token in use until it expires, then its error is this one,
// and it goes on by itself once the cause is fixed. A clock that is wrong, or
// stepped, does no harm to what is stored: generations and locks decide who may
// refresh and save, and the clock only when somebody thinks that it is time. A
// token of a process whose clock is a day ahead looks fresh to the others for a
// day too long; the MCP server's 401 puts that right. All errors are of type [*Error], except
// [auth.ErrNotFound], [auth.ErrConflict]
// and those of a context that has ended.
package filestore

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/store"
	"github.com/mcptokens/mcptokens/internal/atomicfile"
	"github.com/mcptokens/mcptokens/internal/errtext"
	"github.com/mcptokens/mcptokens/internal/filelock"
)

// Store is an [auth.Store], [auth.Prober], [auth.Lister] and [auth.Leaser]. It
// holds no file open between calls but a lock's, and has nothing to close.
type Store struct {
	dir   string
	locks filelock.Locker
}

var (
	_ auth.Store  = (*Store)(nil)
	_ auth.Prober = (*Store)(nil)
	_ auth.Lister = (*Store)(nil)
	_ auth.Leaser = (*Store)(nil)
)

// OpenFor returns the store of a program, by its name: the directory
// mcptokens/PROGRAM in [os.UserConfigDir], opened as by [Open]. The name has letters,
// digits, ".", "-" and "_", at most 64, and begins with a letter or a digit; another
// one is an *[auth.ConfigError].
func OpenFor(program string) (*Store, error) {
	if !isName(program) {
		return nil, &auth.ConfigError{Field: "program", Problem: "is no name for a directory; use letters, digits, '.', '-' and '_', at most 64, a letter or digit first, such as my-client"}
	}
	config, err := os.UserConfigDir()
	if err != nil {
		return nil, &Error{Op: "find", Path: "the user's configuration directory", Err: errNoConfigDir}
	}
	return Open(filepath.Join(config, "mcptokens", program))
}

// isName reports whether s names a directory, the same one on all systems and in
// no other place.
func isName(s string) bool {
	other := func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune(".-_", r))
	}
	return s != "" && len(s) <= 64 && !strings.ContainsRune(".-_", rune(s[0])) && !strings.ContainsFunc(s, other)
}

// Open returns the store of a directory, which is created if need be, with
// mode 0700. All programs that open it share what is in it. An empty
// directory of this user, such as [testing.T.TempDir], gets that mode; one
// with something in it that others can enter, one of another user and one that
// is a link are [ErrUnsafe].
func Open(dir string) (*Store, error) {
	if dir == "" {
		return nil, &auth.ConfigError{Field: "dir", Problem: "is empty; name a directory, or use OpenFor with the name of your program"}
	}
	abs, err := filepath.Abs(dir) // the working directory may change
	if err != nil {
		return nil, &Error{Op: "open", Path: dir, Err: err}
	}
	s := &Store{dir: abs}
	if err := closeEmpty(abs); err != nil {
		return nil, err
	}
	if err := s.prepare(); err != nil {
		return nil, err
	}
	s.tidy()
	return s, nil
}

// Dir returns the directory, as an absolute path.
func (s *Store) Dir() string { return s.dir }

// Load implements [auth.Store].
func (s *Store) Load(ctx context.Context, key auth.Key) (*auth.Record, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r, err := s.read(key)
	switch {
	case errors.Is(err, auth.ErrNotFound) && s.damaged(key):
		return nil, errDamaged
	case !errors.Is(err, store.ErrCorrupt):
		return r, err
	}
	unlock, lockErr := s.swapLock(ctx, key)
	if lockErr != nil {
		return nil, err // it can wait to be moved aside
	}
	defer unlock()
	return s.current(key)
}

// Save implements [auth.Store]. The record is on the disk when it returns nil.
func (s *Store) Save(ctx context.Context, key auth.Key, r *auth.Record) (uint64, error) {
	unlock, err := s.swapLock(ctx, key)
	if err != nil {
		return 0, err
	}
	defer unlock()
	old, err := s.current(key)
	if err != nil && !errors.Is(err, auth.ErrNotFound) {
		return 0, err
	}
	next := *r
	switch {
	case generation(old) != r.Generation:
		return 0, auth.ErrConflict
	case old == nil:
		next.Generation = s.firstGeneration(key)
	default:
		next.Generation++
	}
	path := s.path(key, ".json")
	data, err := store.Encode(key, &next)
	if err != nil {
		return 0, &Error{Op: "encode", Path: path, Err: err}
	}
	if err := replace(path, data); err != nil {
		return 0, err
	}
	s.settle(key)
	return next.Generation, nil
}

// Delete implements [auth.Store].
func (s *Store) Delete(ctx context.Context, key auth.Key, generation uint64) error {
	unlock, err := s.swapLock(ctx, key)
	if err != nil {
		return err
	}
	defer unlock()
	old, err := s.current(key)
	switch {
	case errors.Is(err, auth.ErrNotFound):
		s.settle(key)
		return nil
	case err != nil:
		return err
	case old.Generation != generation:
		return auth.ErrConflict
	}
	s.bury(key, generation)
	return remove(s.path(key, ".json"))
}

// Lock implements [auth.Store].
func (s *Store) Lock(ctx context.Context, key auth.Key) (unlock func(), err error) {
	return s.lockFile(ctx, s.path(key, ".lock"))
}

// Held implements [auth.Leaser]. The lock is the operating system's: it is never
// lost before it is let go.
func (s *Store) Held(key auth.Key) bool { return s.locks.Held(s.path(key, ".lock")) }

// Probe implements [auth.Prober]: it does all that Save would, but to a file
// that it removes again, and which is larger than a record.
func (s *Store) Probe(ctx context.Context, key auth.Key) error {
	unlock, err := s.swapLock(ctx, key)
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := s.current(key); err != nil && !errors.Is(err, auth.ErrNotFound) {
		return err
	}
	path := s.path(key, ".json")
	size := 16 << 10
	if at, err := os.Stat(path); err == nil {
		size += int(at.Size())
	}
	temp, err := writeTemp(path, make([]byte, size))
	if err != nil {
		return err
	}
	return remove(temp)
}

func (s *Store) path(key auth.Key, suffix string) string {
	return filepath.Join(s.dir, key.ID()+suffix)
}

// prepare makes the directory and checks it, at every write: the user may
// have removed it, or opened it to others, while the program runs.
func (s *Store) prepare() error {
	_, missing := os.Lstat(s.dir)
	if missing != nil {
		if err := os.MkdirAll(s.dir, 0o700); err != nil {
			return &Error{Op: "create", Path: s.dir, Err: err}
		}
	}
	at, err := os.Lstat(s.dir)
	switch {
	case err != nil:
		return &Error{Op: "open", Path: s.dir, Err: err}
	case at.Mode()&fs.ModeSymlink != 0:
		err := errtext.Errorf(ErrUnsafe, "a symbolic link")
		return &Error{Op: "open", Path: s.dir, Err: err, Advice: "open the directory that it leads to"}
	case !at.IsDir():
		return &Error{Op: "open", Path: s.dir, Err: errtext.Errorf(ErrUnsafe, "not a directory"), Advice: "remove it, or open another"}
	}
	if missing != nil {
		_ = atomicfile.SyncDir(filepath.Dir(s.dir)) // may be another user's, and the next power failure is far
	}
	return private("open", s.dir, at)
}

// closeEmpty closes a directory to others in which there is nothing yet: a
// temporary directory of a test or of systemd, a volume that was just mounted.
// Nobody can have read what is not there, but somebody may have put it there,
// so it has to be empty afterwards too.
func closeEmpty(dir string) error {
	if at, err := os.Lstat(dir); err != nil || !at.IsDir() {
		return nil // prepare has the last word
	}
	f, err := openNoFollow(dir)
	if err != nil {
		return nil
	}
	defer func() { _ = f.Close() }()
	at, err := f.Stat()
	if err != nil || !at.IsDir() || private("open", dir, at) == nil || owned("open", dir, at) != nil || !empty(dir) {
		return nil
	}
	if err := f.Chmod(0o700); err != nil {
		return &Error{Op: "open", Path: dir, Err: err}
	}
	if !empty(dir) {
		err := errtext.Errorf(ErrUnsafe, "something was put into it while it was open to others")
		return &Error{Op: "open", Path: dir, Err: err, Advice: "look at what is in it, and remove it"}
	}
	return nil
}

func empty(dir string) bool {
	entries, err := os.ReadDir(dir)
	return err == nil && len(entries) == 0
}

// tidy removes what writers left that were killed. Whatever cannot be removed
// stays; it is in nobody's way.
func (s *Store) tidy() {
	entries, _ := os.ReadDir(s.dir)
	for _, e := range entries {
		if !strings.Contains(e.Name(), atomicfile.TempInfix) {
			continue
		}
		if at, err := e.Info(); err == nil && at.Mode().IsRegular() && time.Since(at.ModTime()) > time.Hour {
			_ = os.Remove(filepath.Join(s.dir, e.Name()))
		}
	}
}

// swapLock makes compare-and-swap one step for all processes. It is held for
// the time of a write, and apart from Lock, whose holder may be another than who saves.
func (s *Store) swapLock(ctx context.Context, key auth.Key) (unlock func(), err error) {
	return s.lockFile(ctx, s.path(key, ".cas.lock"))
}

func (s *Store) lockFile(ctx context.Context, path string) (unlock func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := s.prepare(); err != nil {
		return nil, err
	}
	unlock, err = s.locks.Lock(ctx, path)
	switch {
	case err == nil:
		return unlock, nil
	case ctx.Err() != nil:
		return nil, &Error{Op: "lock", Path: path, Err: ctx.Err(), Advice: "another holds the lock; if this lasts, look for a process that hangs or is suspended"}
	case errors.Is(err, filelock.ErrNotRegular):
		err = errtext.Errorf(ErrUnsafe, "not a regular file")
		return nil, &Error{Op: "lock", Path: path, Err: err, Advice: "remove it"}
	}
	return nil, &Error{Op: "lock", Path: path, Err: err}
}

// read returns the record of key. An error other than [auth.ErrNotFound] is an
// *Error.
func (s *Store) read(key auth.Key) (*auth.Record, error) {
	path := s.path(key, ".json")
	data, _, err := readPrivate(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, auth.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	whose, r, err := decode(data)
	switch {
	case err != nil:
		return nil, &Error{Op: "read", Path: path, Err: err}
	case whose != key:
		return nil, misplaced(path)
	}
	return r, nil
}

// misplaced is about a file whose name is that of another record.
func misplaced(path string) error {
	err := errtext.Errorf(ErrUnsafe, "it holds the record of another resource, issuer, client or subject")
	return &Error{Op: "read", Path: path, Err: err, Advice: "remove it"}
}

// current is read for a caller with the swap lock, who alone may move a
// corrupt file aside.
func (s *Store) current(key auth.Key) (*auth.Record, error) {
	r, err := s.read(key)
	var e *Error
	if errors.Is(err, store.ErrCorrupt) && errors.As(err, &e) {
		s.noteDamage(key)
		aside := e.Path + ".corrupt-" + time.Now().UTC().Format("20060102T150405.000000000Z")
		if moveErr := atomicfile.Rename(e.Path, aside); moveErr != nil {
			e.Advice = "move it away; it could not be moved to " + aside + ": " + errtext.Describe(moveErr)
		} else {
			e.Advice = "moved to " + aside
		}
	}
	return r, err
}
