package mcpgo

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"
	mcptransport "github.com/mark3labs/mcp-go/client/transport"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/internal/atomicfile"
	"github.com/mcptokens/mcptokens/internal/errtext"
)

// subscriber is what *[auth.Manager] has beside [auth.Source]: it says when
// there may be a new token.
type subscriber interface {
	Subscribe() (<-chan auth.Event, func())
}

// TokenFile keeps the access token in a file for a process that reads it there,
// such as a stdio server that outlives its first token. The file holds the
// token and nothing else, not even a newline, and only its owner can read it
// (mode 0600; on Windows, what the directory's access control list says). It is
// replaced as a whole, so a reader finds one token or the next. When the token
// is forgotten, the file is empty.
//
// All methods may be called by several goroutines at once.
type TokenFile struct {
	src     auth.Source
	path    string
	private string // the directory made for it; empty: the path was given

	turn    chan struct{} // holds one value while the file is being updated
	mu      sync.Mutex
	written string // what the file holds

	close   sync.Once
	closing chan struct{} // closed by Close
	done    chan struct{} // closed when follow has ended
}

// NewTokenFile writes src's token to the file at path and keeps the file up to
// date until Close. An empty path is a file in a private temporary directory.
// The directory of any other path has to exist; a file there is replaced, and
// removed by Close like the other. A process that is killed leaves it behind.
//
// The file follows src as long as src has a Subscribe method like that of
// *[auth.Manager], which refreshes tokens ahead of time by itself; else
// [TokenFile.Place] is what updates it. If src has no token yet, one is
// obtained, as by [CommandFunc]. ctx bounds this call only.
//
// Errors: *[TokenFileError], *[TokenTypeError], those of src.
func NewTokenFile(ctx context.Context, src auth.Source, path string) (*TokenFile, error) {
	src = sourceOf(src, "NewTokenFile")
	f := &TokenFile{src: src, turn: make(chan struct{}, 1), closing: make(chan struct{}), done: make(chan struct{})}
	var err error
	if path == "" {
		if f.private, err = os.MkdirTemp("", "mcptokens-"); err != nil { // mode 0700
			return nil, &TokenFileError{Op: "create", Path: os.TempDir(), Err: err}
		}
		path = filepath.Join(f.private, "token")
	}
	if f.path, err = filepath.Abs(path); err != nil { // the reader may run elsewhere
		return nil, &TokenFileError{Op: "create", Path: path, Err: err}
	}
	var events <-chan auth.Event
	unsubscribe := func() {}
	if s, ok := src.(subscriber); ok {
		events, unsubscribe = s.Subscribe() // first, so that nothing is missed
	}
	if _, err = startToken(ctx, src); err == nil {
		err = f.update(ctx)
	}
	if err != nil {
		unsubscribe()
		if f.private != "" { // a file at the caller's path is not ours yet
			err = errors.Join(err, f.remove())
		}
		return nil, err
	}
	go func() {
		defer close(f.done)
		defer unsubscribe()
		f.follow(context.WithoutCancel(ctx), events)
	}()
	return f, nil
}

var _ Placement = (*TokenFile)(nil).Place

// Path is where the file is, an absolute path.
func (f *TokenFile) Path() string { return f.path }

// Place is a [Placement], for servers that are not run by [NewStdio], which does
// this by itself: it brings the file up to date before request is sent, so that
// a server that had sent a challenge finds the token that answers it. Neither
// token nor request is changed. The file is never taken back to an older token
// than it holds.
//
// Errors: *[TokenFileError], *[TokenTypeError], those of the source, and ctx's.
func (f *TokenFile) Place(ctx context.Context, token *auth.Token, request *mcptransport.JSONRPCRequest) error {
	if token == nil || token.AccessToken != "" && token.AccessToken == f.holds() && !f.closed() {
		return nil
	}
	return f.update(ctx)
}

// holds is the access token in the file.
func (f *TokenFile) holds() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.written
}

func (f *TokenFile) closed() bool {
	select {
	case <-f.closing:
		return true
	default:
		return false
	}
}

// update writes the source's token. What the caller has may be older than what
// another one has written meanwhile, so the token is read when it is our turn.
func (f *TokenFile) update(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // Close does not wait for the source
		select {
		case <-f.closing:
			cancel()
		case <-ctx.Done():
		}
	}()
	select {
	case f.turn <- struct{}{}:
		defer func() { <-f.turn }()
	case <-ctx.Done():
		return f.stopped(ctx.Err())
	}
	var accessToken string
	token, err := f.src.Token(ctx)
	switch {
	case err == nil:
		if err := bearerOnly(token); err != nil {
			return err
		}
		accessToken = token.AccessToken
	case !errors.Is(err, auth.ErrNoToken):
		return f.stopped(err)
	}
	if f.closed() {
		return f.stopped(nil)
	}
	if f.holds() == accessToken {
		return nil
	}
	if err := atomicfile.Replace(f.path, []byte(accessToken)); err != nil {
		return &TokenFileError{Op: "write", Path: f.path, Err: err}
	}
	f.mu.Lock()
	f.written = accessToken
	f.mu.Unlock()
	return nil
}

// stopped is why an update did not happen: err, or Close.
func (f *TokenFile) stopped(err error) error {
	if f.closed() {
		return &TokenFileError{Op: "write", Path: f.path, Err: os.ErrClosed}
	}
	return err
}

// follow updates the file at each event. An event says that something happened,
// not what the token is now: those that come too fast are dropped. A file that
// cannot be written is tried again, soon at first.
func (f *TokenFile) follow(ctx context.Context, events <-chan auth.Event) {
	wait := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(100*time.Millisecond), backoff.WithMaxInterval(time.Minute), backoff.WithMaxElapsedTime(0))
	var retry <-chan time.Time
	for {
		select {
		case _, ok := <-events:
			if !ok {
				events = nil // the source is closed
				continue
			}
		case <-retry:
		case <-f.closing:
			return
		}
		retry = nil
		var broken *TokenFileError
		if err := f.update(ctx); errors.As(err, &broken) {
			retry = time.After(wait.NextBackOff())
		} else {
			wait.Reset()
		}
	}
}

// Close removes the file and ends what keeps it up to date, and waits for that.
// The process that reads it should have ended before.
func (f *TokenFile) Close() error {
	var err error
	f.close.Do(func() {
		close(f.closing)
		<-f.done
		f.turn <- struct{}{} // whoever is writing gets done
		defer func() { <-f.turn }()
		err = f.remove()
	})
	return err
}

// remove removes the file, and the directory if it was made for it.
func (f *TokenFile) remove() error {
	err := atomicfile.Remove(f.path)
	if f.private != "" {
		err = os.RemoveAll(f.private)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return &TokenFileError{Op: "remove", Path: f.path, Err: err}
	}
	return nil
}

// TokenFileError is a token file that could not be written or removed.
type TokenFileError struct {
	// Op is "create", "write" or "remove".
	Op string
	// Path is the file's.
	Path string
	// Err is the operating system's, or [os.ErrClosed] after Close.
	Err error `json:"-"`
}

// Error implements error; the text holds no secret.
func (e *TokenFileError) Error() string {
	cause := errtext.Describe(e.Err)
	if errors.Is(e.Err, os.ErrClosed) {
		cause = "it is closed"
	}
	return "mcpgo: token file: " + e.Op + " " + e.Path + ": " + cause
}

// Unwrap returns the cause, for errors.Is and errors.As.
func (e *TokenFileError) Unwrap() error { return e.Err }
