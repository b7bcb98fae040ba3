package keyringstore

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/store"
	"github.com/mcptokens/mcptokens/internal/filelock"
)

// Store is an [auth.Store], [auth.Prober] and [auth.Leaser] on a keyring.
type Store struct {
	ring     backend
	service  string
	maxEntry int
	maxParts int
	lockDir  string
	locks    filelock.Locker

	// gate is full while the keyring is asked: one call at a time, so that one
	// that waits for a person is the only one.
	gate chan struct{}
}

var (
	_ auth.Store  = (*Store)(nil)
	_ auth.Prober = (*Store)(nil)
	_ auth.Leaser = (*Store)(nil)
)

// Option changes a default of [Open].
type Option func(*Store)

// WithLockDir sets where the lock files are; all processes that share the
// keyring need the same. It is created if it is not there. Default:
// mcptokens/locks in [os.UserConfigDir].
func WithLockDir(dir string) Option { return func(s *Store) { s.lockDir = dir } }

// Open returns a store whose entries belong to service: the name under which
// people find them in their keyring. It does not ask the keyring yet, so it
// opens no dialog; [Store.Probe] does. Errors: one about service, and *[Error]
// about the directory of the locks.
func Open(service string, opts ...Option) (*Store, error) { return open(system{}, service, opts...) }

func open(ring backend, service string, opts ...Option) (*Store, error) {
	printable := func(r rune) bool { return r >= ' ' && r <= '~' }
	if service == "" || len(service) > 128 || strings.TrimFunc(service, printable) != "" {
		return nil, errService
	}
	s := &Store{ring: ring, service: service, maxEntry: maxEntry, maxParts: maxParts, gate: make(chan struct{}, 1)}
	for _, o := range opts {
		o(s)
	}
	if s.lockDir == "" {
		config, err := os.UserConfigDir()
		if err != nil {
			return nil, &Error{Op: "open", Name: "the user's configuration directory", Err: errNoConfigDir}
		}
		s.lockDir = filepath.Join(config, "mcptokens", "locks")
	}
	if err := os.MkdirAll(s.lockDir, 0o700); err != nil {
		return nil, &Error{Op: "open", Name: s.lockDir, Err: err}
	}
	return s, nil
}

// Load implements [auth.Store]. Errors: [auth.ErrNotFound],
// *[UnavailableError], *[Error], and ctx's own.
func (s *Store) Load(ctx context.Context, key auth.Key) (*auth.Record, error) {
	id := key.ID()
	return ask(ctx, s, "load", id, func() (*auth.Record, error) {
		r, err := s.read(key, id)
		if !errors.Is(err, store.ErrCorrupt) {
			return r, err
		}
		// Somebody may have written meanwhile. If not so, it is corrupt.
		unlock, err := s.lock(ctx, id, ".save.lock")
		if err != nil {
			return nil, err
		}
		defer unlock()
		r, err = s.read(key, id)
		if errors.Is(err, store.ErrCorrupt) {
			if moved := s.setAside(id); moved != nil {
				return nil, moved
			}
		}
		return r, err
	})
}

// Save implements [auth.Store]. Errors: [auth.ErrConflict],
// *[UnavailableError], *[Error], and ctx's own. After one of the last three it
// may have been saved or not.
func (s *Store) Save(ctx context.Context, key auth.Key, r *auth.Record) (uint64, error) {
	id := key.ID()
	next := *r
	return ask(ctx, s, "save", id, func() (uint64, error) {
		unlock, err := s.lock(ctx, id, ".save.lock")
		if err != nil {
			return 0, err
		}
		defer unlock()
		old, err := s.readHead(id)
		if err != nil && !errors.Is(err, auth.ErrNotFound) {
			return 0, err
		}
		if old.Generation != next.Generation {
			return 0, auth.ErrConflict
		}
		next.Generation++
		if old.Generation == 0 {
			next.Generation = s.firstGeneration(id)
		}
		data, err := store.Encode(key, &next)
		if err != nil {
			return 0, err
		}
		return next.Generation, s.write(id, old, next.Generation, data)
	})
}

// Delete implements [auth.Store]. Errors: [auth.ErrConflict],
// *[UnavailableError], *[Error], and ctx's own.
func (s *Store) Delete(ctx context.Context, key auth.Key, generation uint64) error {
	id := key.ID()
	_, err := ask(ctx, s, "delete", id, func() (struct{}, error) {
		unlock, err := s.lock(ctx, id, ".save.lock")
		if err != nil {
			return struct{}{}, err
		}
		defer unlock()
		h, err := s.readHead(id)
		switch {
		case errors.Is(err, auth.ErrNotFound):
			return struct{}{}, nil
		case err != nil:
			return struct{}{}, err
		case h.Generation != generation:
			return struct{}{}, auth.ErrConflict
		}
		s.bury(id, generation)
		return struct{}{}, s.remove(id)
	})
	return err
}

// Probe implements [auth.Prober]: it writes an entry and deletes it again.
// Errors: *[UnavailableError], *[Error], and ctx's own.
func (s *Store) Probe(ctx context.Context, key auth.Key) error {
	name := key.ID() + ".probe"
	_, err := ask(ctx, s, "probe", name, func() (struct{}, error) {
		// Others probe too, and would find the entry gone.
		unlock, err := s.lock(ctx, key.ID(), ".save.lock")
		if err != nil {
			return struct{}{}, err
		}
		defer unlock()
		if err := s.ring.Set(s.service, name, "probe"); err != nil {
			return struct{}{}, err
		}
		return struct{}{}, s.ring.Delete(s.service, name)
	})
	return err
}

// Lock implements [auth.Store]. It does not ask the keyring. Errors: *[Error],
// and ctx's own.
func (s *Store) Lock(ctx context.Context, key auth.Key) (unlock func(), err error) {
	return s.lock(ctx, key.ID(), ".lock")
}

// Held implements [auth.Leaser]. The lock is the operating system's: it is never
// lost before it is let go.
func (s *Store) Held(key auth.Key) bool { return s.locks.Held(s.path(key.ID(), ".lock")) }

func (s *Store) lock(ctx context.Context, id, suffix string) (unlock func(), err error) {
	path := s.path(id, suffix)
	unlock, err = s.locks.Lock(ctx, path)
	if err != nil && ctx.Err() == nil {
		err = &Error{Op: "lock", Name: path, Err: err}
	}
	return unlock, err
}

// path is a file's. Services have their own.
func (s *Store) path(id, suffix string) string {
	sum := sha256.Sum256([]byte(s.service))
	return filepath.Join(s.lockDir, "keyring-"+hex.EncodeToString(sum[:4])+"-"+id+suffix)
}

// firstGeneration is for a record where there is none. It must not be one that
// another process remembers of a record that was there before: it would take
// the new one for that, and go on with a spent refresh token. After Delete a
// file tells, so that nothing is left in the keyring; else the clock has to do,
// which in microseconds is ahead of any count of saves.
func (s *Store) firstGeneration(id string) uint64 {
	var last uint64
	if data, err := os.ReadFile(s.path(id, ".gone")); err == nil {
		last, _ = strconv.ParseUint(string(data), 10, 64)
	}
	return max(last+1, uint64(time.Now().UnixMicro()))
}

// bury notes the generation that is about to be deleted.
func (s *Store) bury(id string, generation uint64) {
	_ = os.WriteFile(s.path(id, ".gone"), strconv.AppendUint(nil, generation, 10), 0o600)
}

// ask runs f, which asks the keyring, and returns when it ends or ctx does,
// whichever comes first: go-keyring knows no contexts. f goes on then, and
// the next call waits for it.
func ask[T any](ctx context.Context, s *Store, op, name string, f func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	var none T
	if err := ctx.Err(); err != nil {
		return none, err
	}
	select {
	case s.gate <- struct{}{}:
	case <-ctx.Done():
		return none, &UnavailableError{Reason: NoAnswer, Err: ctx.Err()}
	}
	done := make(chan result, 1)
	go func() {
		var r result
		r.value, r.err = f()
		<-s.gate
		done <- r
	}()
	select {
	case r := <-done:
		if r.err != nil {
			return none, explain(ctx, op, name, r.err)
		}
		return r.value, nil
	case <-ctx.Done():
		return none, &UnavailableError{Reason: NoAnswer, Err: ctx.Err()}
	}
}

// explain makes what went wrong an error of this package.
func explain(ctx context.Context, op, name string, err error) error {
	switch {
	case err == auth.ErrNotFound, err == auth.ErrConflict:
		return err
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return err
	}
	var ours *Error
	if errors.As(err, &ours) { // about a lock
		return err
	}
	if why, ok := reason(err); ok {
		return &UnavailableError{Reason: why, Err: err}
	}
	return &Error{Op: op, Name: name, Err: err}
}
