// Package filelock makes one process, and one goroutine in it, wait for
// another by a file:
//
//	var locks filelock.Locker
//	unlock, err := locks.Lock(ctx, "/home/me/.config/app/token.lock")
//	defer unlock()
//
// The lock is the operating system's, on an open file: it ends with the
// process that holds it, however that ends, and a process that is suspended
// keeps it. The lock file stays where it is when nobody holds the lock; to
// delete it would let two in, each with a file of its own.
package filelock

import (
	"context"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"github.com/gofrs/flock"

	"github.com/mcptokens/mcptokens/internal/errtext"
)

// A lock that another process holds is tried again after 1 ms, then ever less
// often, up to every 32 ms: the system offers no wait that a context can end.
const (
	pollFirst = time.Millisecond
	pollMax   = 32 * time.Millisecond
)

// ErrNotRegular says that something else than a file is in a lock file's place.
var ErrNotRegular = errtext.New("not a regular file")

// Locker holds locks. The zero value is ready. Goroutines that share one hand
// a lock on to each other at once; with Lockers of their own they exclude each
// other as processes do.
type Locker struct {
	mu   sync.Mutex
	held map[string]*hold
}

// hold is a path that a goroutine has entered.
type hold struct {
	left   chan struct{} // closed when it is let go
	locked bool          // against other processes too
}

// Held reports whether the lock of path is held through l.
func (l *Locker) Held(path string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.held[path]
	return h != nil && h.locked
}

// Lock waits until the caller alone holds the lock that the file path stands
// for, or until ctx ends, and returns ctx's error then. The file is created
// with mode 0600; its directory has to exist. The text of an error is safe to
// show: an operating system's word and path. unlock must be called once.
func (l *Locker) Lock(ctx context.Context, path string) (unlock func(), err error) {
	leave, err := l.enter(ctx, path)
	if err != nil {
		return nil, err
	}
	file, err := lockFile(ctx, path)
	if err != nil {
		leave()
		return nil, err
	}
	l.mu.Lock()
	l.held[path].locked = true
	l.mu.Unlock()
	return func() {
		_ = file.Unlock() // fails for an open file that is none any more
		leave()
	}, nil
}

// enter waits for the goroutines that share l.
func (l *Locker) enter(ctx context.Context, path string) (leave func(), err error) {
	for {
		l.mu.Lock()
		taken, ok := l.held[path]
		if !ok {
			if l.held == nil {
				l.held = make(map[string]*hold)
			}
			mine := &hold{left: make(chan struct{})}
			l.held[path] = mine
			l.mu.Unlock()
			return func() {
				l.mu.Lock()
				delete(l.held, path)
				l.mu.Unlock()
				close(mine.left)
			}, nil
		}
		l.mu.Unlock()
		select {
		case <-taken.left:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// lockFile waits for other processes.
func lockFile(ctx context.Context, path string) (*flock.Flock, error) {
	file := flock.New(path, flock.SetPermissions(0o600))
	for wait := pollFirst; ; wait = min(2*wait, pollMax) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		// A link could have us create a file elsewhere.
		if at, err := os.Lstat(path); err == nil && !at.Mode().IsRegular() {
			return nil, errtext.Errorf(ErrNotRegular, "remove %s", path)
		}
		ok, err := file.TryLock()
		switch {
		case err != nil:
			return nil, err
		case ok && inPlace(file, path):
			return file, nil
		case ok:
			// The lock file was deleted after all, by hand: who comes now
			// locks another one.
			_ = file.Unlock()
			continue
		}
		timer := time.NewTimer(wait/2 + rand.N(wait))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, ctx.Err()
		}
	}
}

// inPlace reports whether the file locked is the one that path names.
func inPlace(file *flock.Flock, path string) bool {
	locked, err := file.Stat()
	if err != nil {
		return false
	}
	named, err := os.Stat(path)
	return err == nil && os.SameFile(locked, named)
}
