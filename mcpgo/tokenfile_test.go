package mcpgo_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/mcpgo"
)

func readFile(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestTokenFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := tokenManager(t, "first")
		f, err := mcpgo.NewTokenFile(t.Context(), m, "")
		if err != nil {
			t.Fatal(err)
		}
		if got := readFile(t, f.Path()); got != "first" {
			t.Errorf("the file holds %q", got)
		}
		for path, want := range map[string]os.FileMode{f.Path(): 0o600, filepath.Dir(f.Path()): 0o700} {
			at, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			if runtime.GOOS != "windows" && at.Mode().Perm() != want {
				t.Errorf("%s has mode %v, want %v", path, at.Mode().Perm(), want)
			}
		}
		setToken(t, m, "second")
		synctest.Wait()
		if got := readFile(t, f.Path()); got != "second" {
			t.Errorf("after a rotation the file holds %q", got)
		}
		if at, _ := os.Stat(f.Path()); runtime.GOOS != "windows" && at.Mode().Perm() != 0o600 {
			t.Errorf("mode %v after a rotation", at.Mode().Perm())
		}
		if err := m.Revoke(t.Context()); err != nil {
			t.Log(err) // there is no server to tell
		}
		synctest.Wait()
		if got := readFile(t, f.Path()); got != "" {
			t.Errorf("after the token was forgotten the file holds %q", got)
		}
		setToken(t, m, "third")
		if err := m.Close(); err != nil { // before the file
			t.Error(err)
		}
		if err := errors.Join(f.Close(), f.Close()); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(filepath.Dir(f.Path())); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("after Close: %v, want the directory gone", err)
		}
		var closed *mcpgo.TokenFileError
		if err := f.Place(t.Context(), &auth.Token{AccessToken: "x"}, nil); !errors.As(err, &closed) || !errors.Is(err, os.ErrClosed) {
			t.Errorf("Place after Close: %v", err)
		}
	})
}

// Events are dropped when many come at once; the last token is not.
func TestTokenFileAfterManyRotations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := tokenManager(t, "first")
		f, err := mcpgo.NewTokenFile(t.Context(), m, "")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for i := range 100 {
			setToken(t, m, fmt.Sprint(i))
		}
		synctest.Wait()
		if got := readFile(t, f.Path()); got != "99" {
			t.Errorf("the file holds %q, want the last token", got)
		}
	})
}

// A path of the caller's: the file is replaced and removed, the rest is left.
func TestTokenFileAt(t *testing.T) {
	m := tokenManager(t, "first")
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte("of the last run, and longer"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Chdir(filepath.Dir(path))
	f, err := mcpgo.NewTokenFile(t.Context(), m, "token") // the reader may run elsewhere
	if err != nil {
		t.Fatal(err)
	}
	if got := readFile(t, path); f.Path() != path || got != "first" {
		t.Errorf("%s holds %q", f.Path(), got)
	}
	if at, _ := os.Stat(path); runtime.GOOS != "windows" && at.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", at.Mode().Perm())
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestTokenFileErrors(t *testing.T) {
	m := tokenManager(t, "first")
	var broken *mcpgo.TokenFileError
	_, err := mcpgo.NewTokenFile(t.Context(), m, filepath.Join(t.TempDir(), "nowhere", "token"))
	if !errors.As(err, &broken) || !errors.Is(err, os.ErrNotExist) || broken.Op != "write" {
		t.Errorf("got %v, want a *TokenFileError for a directory that is not there", err)
	}
	bound := &countingSource{token: &auth.Token{AccessToken: "x", TokenType: "dpop"}}
	var kind *mcpgo.TokenTypeError
	path := filepath.Join(t.TempDir(), "token")
	if _, err := mcpgo.NewTokenFile(t.Context(), bound, path); !errors.As(err, &kind) {
		t.Errorf("got %v, want a *TokenTypeError", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Error("a bound token was written")
	}
	if err := os.WriteFile(path, []byte("of another"), 0o600); err != nil {
		t.Fatal(err)
	}
	refused := &countingSource{err: errors.New("refused")}
	if _, err := mcpgo.NewTokenFile(t.Context(), refused, path); !errors.Is(err, refused.err) {
		t.Errorf("got %v, want the source's error", err)
	}
	if got := readFile(t, path); got != "of another" {
		t.Errorf("without a token to write, the file now holds %q", got)
	}
	t.Setenv("TMPDIR", filepath.Join(t.TempDir(), "nowhere"))
	if _, err := mcpgo.NewTokenFile(t.Context(), m, ""); runtime.GOOS != "windows" && !errors.As(err, &broken) {
		t.Errorf("got %v, want a *TokenFileError without a temporary directory", err)
	}
}

// turningSource's token is a new one whenever the test says so.
type turningSource struct {
	mu  sync.Mutex
	n   int
	now *auth.Token
}

func (s *turningSource) turn() *auth.Token {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n++
	s.now = &auth.Token{AccessToken: fmt.Sprintf("token-%06d", s.n)}
	return s.now
}

func (s *turningSource) Token(context.Context) (*auth.Token, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now, nil
}

func (s *turningSource) Resolve(ctx context.Context, _ *auth.Token, _ auth.Challenge) (*auth.Token, error) {
	return s.Token(ctx)
}

// Many callers place tokens of all ages: when a call returns, the file holds the
// token that it came with or a newer one, and it never goes back.
func TestTokenFilePlace(t *testing.T) {
	src := new(turningSource)
	src.turn()
	f, err := mcpgo.NewTokenFile(t.Context(), src, "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Place(t.Context(), nil, nil); err != nil { // a request without a token
		t.Error(err)
	}
	var callers sync.WaitGroup
	for range 8 {
		callers.Go(func() {
			var last string
			for range 20 {
				mine := src.turn()
				if err := f.Place(t.Context(), mine, nil); err != nil {
					t.Error(err)
				}
				data, err := os.ReadFile(f.Path())
				if err != nil {
					t.Error(err)
				}
				if now := string(data); now < mine.AccessToken || now < last {
					t.Errorf("the file holds %s after %s and %s", now, mine.AccessToken, last)
				} else {
					last = now
				}
			}
		})
	}
	callers.Wait()
	before, err := os.Stat(f.Path())
	if err != nil {
		t.Fatal(err)
	}
	old := &auth.Token{AccessToken: "token-000001"}
	if err := f.Place(t.Context(), old, nil); err != nil {
		t.Error(err)
	}
	if got := readFile(t, f.Path()); got != "token-000161" {
		t.Errorf("the file holds %s after an old token was placed", got)
	}
	if now, err := os.Stat(f.Path()); err != nil || !os.SameFile(before, now) {
		t.Errorf("the file was written again, with what it held: %v", err)
	}
}

// A file that cannot be written is tried again until it can.
func TestTokenFileRecovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := tokenManager(t, "first")
		dir := filepath.Join(t.TempDir(), "dir")
		away := dir + "-away"
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		f, err := mcpgo.NewTokenFile(t.Context(), m, filepath.Join(dir, "token"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := os.Rename(dir, away); err != nil {
			t.Fatal(err)
		}
		setToken(t, m, "second")
		time.Sleep(10 * time.Minute)
		var broken *mcpgo.TokenFileError
		token, _ := m.Token(t.Context())
		if err := f.Place(t.Context(), token, nil); !errors.As(err, &broken) || strings.Contains(broken.Error(), "second") {
			t.Errorf("Place: %v, want a *TokenFileError", err)
		}
		if err := os.Rename(away, dir); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		if got := readFile(t, f.Path()); got != "second" {
			t.Errorf("the file holds %q", got)
		}
	})
}

// Close does not wait for a refresh that hangs, nor do those who place a token.
func TestTokenFileCloseWhileRefreshing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, authtest.Config{})
		m := w.manager(t, w.headless())
		f, err := mcpgo.NewTokenFile(t.Context(), m, "") // logs in: nothing could challenge
		if err != nil {
			t.Fatal(err)
		}
		tok, err := m.Token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		w.as.Inject(authtest.TokenEndpoint, authtest.Delay(20*time.Second))
		dead := *tok
		dead.AccessToken, dead.Expiry = "dead", time.Now().Add(-time.Minute)
		if err := m.SetToken(t.Context(), &dead); err != nil {
			t.Fatal(err)
		}
		placed := make(chan error, 1)
		go func() { placed <- f.Place(context.WithoutCancel(t.Context()), &dead, nil) }()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := f.Place(ctx, &dead, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Place: %v, want its context's error", err)
		}
		start := time.Now()
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("Close took %v", took)
		}
		if err := <-placed; !errors.Is(err, os.ErrClosed) {
			t.Errorf("Place: %v, want os.ErrClosed", err)
		}
	})
}

// Whoever places a token after Close does not bring the file back.
func TestTokenFilePlaceAfterClose(t *testing.T) {
	src := new(turningSource)
	src.turn()
	f, err := mcpgo.NewTokenFile(t.Context(), src, filepath.Join(t.TempDir(), "token"))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	for range 50 { // it can be noticed in two places
		if err := f.Place(t.Context(), src.turn(), nil); !errors.Is(err, os.ErrClosed) {
			t.Errorf("Place after Close: %v", err)
		}
	}
	if _, err := os.Lstat(f.Path()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file is there again: %v", err)
	}
}
