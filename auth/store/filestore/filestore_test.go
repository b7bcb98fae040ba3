package filestore_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/store"
	"github.com/mcptokens/mcptokens/auth/store/filestore"
	"github.com/mcptokens/mcptokens/auth/store/storetest"
)

var key = auth.Key{Resource: "https://mcp.example/mcp", Issuer: "https://as.example", Subject: "alice"}

func TestContract(t *testing.T) {
	t.Parallel()
	storetest.Suite{
		Open: func(t *testing.T) auth.Store { return open(t, filepath.Join(t.TempDir(), "tokens")) },
		Reopen: func(t *testing.T, s auth.Store) auth.Store {
			return open(t, s.(*filestore.Store).Dir())
		},
	}.Run(t)
}

// open opens the store of dir.
func open(t *testing.T, dir string) *filestore.Store {
	t.Helper()
	s, err := filestore.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// record is what the tests save; no error may show what is in it.
func record(generation uint64) *auth.Record {
	return &auth.Record{Generation: generation, Token: &auth.Token{AccessToken: secret, RefreshToken: secret}}
}

const secret = "planted-secret"

// stored returns a store with a record of key, the record's path and its
// generation.
func stored(t *testing.T) (s *filestore.Store, path string, generation uint64) {
	t.Helper()
	s = open(t, filepath.Join(t.TempDir(), "tokens"))
	return s, filepath.Join(s.Dir(), key.ID()+".json"), save(t, s, 0)
}

// save saves a record where generation is.
func save(t *testing.T, s *filestore.Store, generation uint64) uint64 {
	t.Helper()
	g, err := s.Save(t.Context(), key, record(generation))
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// fails checks that err is of its kind, names the path and holds no secret.
func fails(t *testing.T, err, is error, texts ...string) {
	t.Helper()
	var e *filestore.Error
	if !errors.Is(err, is) || !errors.As(err, &e) {
		t.Fatalf("error %v (%T); want an *Error that is %v", err, err, is)
	}
	if is == store.ErrNewer || is == store.ErrCorrupt || is == filestore.ErrUnsafe {
		var says interface{ Retryable() bool }
		if !errors.As(err, &says) || says.Retryable() {
			t.Errorf("error %q does not say that it is permanent", err)
		}
	}
	for _, want := range texts {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not say %q", err, want)
		}
	}
	if strings.Contains(err.Error(), secret) {
		t.Errorf("error %q tells the record", err)
	}
}

// everyCall returns what each method says that looks at the record.
func everyCall(t *testing.T, s *filestore.Store) map[string]error {
	t.Helper()
	errs := make(map[string]error)
	_, errs["Load"] = s.Load(t.Context(), key)
	_, errs["Save"] = s.Save(t.Context(), key, record(0))
	errs["Delete"] = s.Delete(t.Context(), key, 1)
	errs["Probe"] = s.Probe(t.Context(), key)
	return errs
}

func TestDefaultDirectory(t *testing.T) {
	home := t.TempDir()
	for _, name := range []string{"HOME", "XDG_CONFIG_HOME", "AppData", "home"} { // whatever the system goes by
		t.Setenv(name, home)
	}
	config, err := os.UserConfigDir()
	if err != nil {
		t.Fatal(err)
	}
	s, err := filestore.OpenFor("my-client.2")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := s.Dir(), filepath.Join(config, "mcptokens", "my-client.2"); got != want {
		t.Errorf("Dir = %q, want %q", got, want)
	}
	other, err := filestore.OpenFor("another")
	if err != nil {
		t.Fatal(err)
	}
	save(t, s, 0)
	if _, err := other.Load(t.Context(), key); !errors.Is(err, auth.ErrNotFound) {
		t.Errorf("another program's record: %v", err)
	}
	for _, name := range []string{"HOME", "XDG_CONFIG_HOME", "AppData", "home"} {
		t.Setenv(name, "")
	}
	_, err = filestore.OpenFor("my-client")
	if err == nil || !strings.Contains(err.Error(), "the user's configuration directory: it is not known; set HOME") {
		t.Errorf("OpenFor without a home: %v", err)
	}
	_, err = filestore.Open("")
	var config2 *auth.ConfigError
	if !errors.As(err, &config2) || !strings.Contains(err.Error(), "OpenFor") {
		t.Errorf("Open without a directory: %v", err)
	}
	for _, name := range []string{"", ".", "..", "-x", "a/b", `a\b`, "C:", "a b", "ä", strings.Repeat("a", 65)} {
		if _, err := filestore.OpenFor(name); !errors.As(err, &config2) {
			t.Errorf("OpenFor(%q): %v", name, err)
		}
	}
}

func TestRelativeDirectory(t *testing.T) {
	t.Chdir(t.TempDir())
	s := open(t, "tokens")
	save(t, s, 0)
	t.Chdir(t.TempDir())
	if _, err := s.Load(t.Context(), key); err != nil {
		t.Errorf("after the working directory changed: %v", err)
	}
}

// A record that is not whole is kept for a person to look at, once, and is
// then no record: somebody has to log in again, nobody is stuck.
func TestCorrupt(t *testing.T) {
	whole, err := store.Encode(key, record(7))
	if err != nil {
		t.Fatal(err)
	}
	unsaved, err := store.Encode(key, record(0))
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"empty":         "",
		"half":          string(whole[:len(whole)/2]),
		"garbage":       "\x00\xff" + secret,
		"zeros":         strings.Repeat("\x00", len(whole)), // a file system after a power failure
		"two":           string(whole) + string(whole),
		"no version":    `{"token":{"access_token":"` + secret + `"}}`,
		"wrong version": `{"version":-1}`,
		"wrong type":    `{"version":1,"generation":"` + secret + `"}`,
		"null":          "null",
		"never saved":   string(unsaved),
	} {
		for _, call := range []string{"Load", "Save", "Delete", "Probe"} {
			t.Run(name+"/"+call, func(t *testing.T) {
				s, path, last := stored(t)
				write(t, path, content)
				var err error
				switch call {
				case "Load":
					_, err = s.Load(t.Context(), key)
				case "Save":
					_, err = s.Save(t.Context(), key, record(last))
				case "Delete":
					err = s.Delete(t.Context(), key, last)
				case "Probe":
					err = s.Probe(t.Context(), key)
				}
				fails(t, err, store.ErrCorrupt, path, "moved to "+path+".corrupt-2")

				aside, _ := filepath.Glob(path + ".corrupt-*")
				if len(aside) != 1 || read(t, aside[0]) != content {
					t.Errorf("files %q are not the one that was corrupt", aside)
				}
				if _, err := s.Load(t.Context(), key); !errors.Is(err, auth.ErrNotFound) {
					t.Errorf("Load after that: %v", err)
				}
				if _, err := s.Save(t.Context(), key, record(last)); !errors.Is(err, auth.ErrConflict) {
					t.Errorf("Save of the generation before: %v", err)
				}
				if g := save(t, s, 0); g <= last {
					t.Errorf("generation %d after %d: a process that slept takes it for the old record", g, last)
				}
			})
		}
	}
}

// A record that cannot be moved aside now is not lost either.
func TestCorruptAndLocked(t *testing.T) {
	s, path, _ := stored(t)
	write(t, path, "half")
	lock := filepath.Join(s.Dir(), key.ID()+".cas.lock")
	if err := os.Remove(lock); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(lock, 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := s.Load(t.Context(), key)
	fails(t, err, store.ErrCorrupt, path)
	if read(t, path) != "half" {
		t.Error("the file is another one")
	}
}

// What a newer version wrote, and what belongs to another key, is not touched.
func TestNotOurs(t *testing.T) {
	other, err := store.Encode(auth.Key{Subject: "mallory"}, record(1))
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		content string
		is      error
	}{
		"newer":       {`{"version":99,"x":"` + secret + `"}`, store.ErrNewer},
		"another key": {string(other), filestore.ErrUnsafe},
	} {
		t.Run(name, func(t *testing.T) {
			s, path, _ := stored(t)
			write(t, path, tc.content)
			for _, err := range everyCall(t, s) {
				fails(t, err, tc.is, path)
			}
			if read(t, path) != tc.content {
				t.Error("the file was changed")
			}
			if names := entries(t, s.Dir()); len(names) != 2 {
				t.Errorf("files %q; want the record and its swap lock", names)
			}
		})
	}
}

// The clock may be set back between a logout and the next login: generations
// rise all the same, or a process that slept would not see the new login.
func TestGenerationsWithoutClock(t *testing.T) {
	s, path, g := stored(t)
	ahead := g + uint64(24*time.Hour/time.Microsecond)
	data, err := store.Encode(key, record(ahead))
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, string(data))
	if err := s.Delete(t.Context(), key, ahead); err != nil {
		t.Fatal(err)
	}
	if g := save(t, open(t, s.Dir()), 0); g != ahead+1 {
		t.Errorf("generation %d, want %d", g, ahead+1)
	}
}

// The user may remove everything while the program runs: that is a logout, and
// the next login is stored.
func TestDirectoryRemoved(t *testing.T) {
	s, _, last := stored(t)
	if err := os.RemoveAll(s.Dir()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Load(t.Context(), key); !errors.Is(err, auth.ErrNotFound) {
		t.Errorf("Load: %v", err)
	}
	if g := save(t, s, 0); g <= last {
		t.Errorf("generation %d after %d", g, last)
	}
}

// A directory that a file has replaced is an error for every call.
func TestDirectoryReplaced(t *testing.T) {
	s, _, _ := stored(t)
	if err := os.RemoveAll(s.Dir()); err != nil {
		t.Fatal(err)
	}
	write(t, s.Dir(), "")
	errs := everyCall(t, s)
	_, errs["Lock"] = s.Lock(t.Context(), key)
	_, errs["Open"] = filestore.Open(s.Dir())
	for call, err := range errs {
		var e *filestore.Error
		if !errors.As(err, &e) || errors.Is(err, auth.ErrNotFound) || !strings.Contains(e.Error(), s.Dir()) {
			t.Errorf("%s: %v", call, err)
		}
	}
}

// Open removes what killed writers left behind, but nothing of one that may
// live.
func TestLeftovers(t *testing.T) {
	s, path, _ := stored(t)
	old, young, others := path+".tmp-1", path+".tmp-2", filepath.Join(s.Dir(), "notes.txt")
	for _, file := range []string{old, young, others} {
		write(t, file, "")
	}
	for _, file := range []string{path, old, others} {
		past := time.Now().Add(-61 * time.Minute)
		if err := os.Chtimes(file, past, past); err != nil {
			t.Fatal(err)
		}
	}
	open(t, s.Dir())
	if _, err := os.Stat(old); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the old temporary file is still there: %v", err)
	}
	for _, file := range []string{path, young, others} {
		if _, err := os.Stat(file); err != nil {
			t.Error(err)
		}
	}
}

// The error of an ended context is returned as it is, and nothing is begun.
func TestEndedContext(t *testing.T) {
	s, _, g := stored(t)
	ctx, cancel := canceled(t)
	defer cancel()
	_, loadErr := s.Load(ctx, key)
	_, saveErr := s.Save(ctx, key, record(g))
	_, lockErr := s.Lock(ctx, key)
	for call, err := range map[string]error{"Load": loadErr, "Save": saveErr, "Lock": lockErr, "Delete": s.Delete(ctx, key, g), "Probe": s.Probe(ctx, key)} {
		if !errors.Is(err, ctx.Err()) {
			t.Errorf("%s: %v", call, err)
		}
	}
	if r, err := s.Load(t.Context(), key); err != nil || r.Generation != g {
		t.Errorf("Load: %v, %v", r, err)
	}
}

// A record that cannot be encoded replaces nothing.
func TestUnencodable(t *testing.T) {
	s, path, g := stored(t)
	r := record(g)
	r.Token.Expiry = time.Date(12025, 1, 1, 0, 0, 0, 0, time.UTC) // no RFC 3339 time
	_, err := s.Save(t.Context(), key, r)
	var e *filestore.Error
	if !errors.As(err, &e) || e.Path != path {
		t.Errorf("Save: %v", err)
	}
	if r, err := s.Load(t.Context(), key); err != nil || r.Generation != g {
		t.Errorf("Load: %v, %v", r, err)
	}

	odd := key
	odd.Subject = "\xff" // JSON would make another subject of it
	if _, err := s.Save(t.Context(), odd, record(0)); !errors.As(err, &e) || !strings.Contains(err.Error(), "UTF-8") {
		t.Errorf("Save of a subject that is not UTF-8: %v", err)
	}
	if _, err := s.Load(t.Context(), odd); !errors.Is(err, auth.ErrNotFound) {
		t.Errorf("Load of a subject that is not UTF-8: %v", err)
	}
}

// Nothing but the files that the package comment lists is left behind.
func TestFiles(t *testing.T) {
	s, _, g := stored(t)
	if err := s.Probe(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	unlock, err := s.Lock(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	unlock()
	g = save(t, s, g)
	id := key.ID()
	if got, want := strings.Join(entries(t, s.Dir()), " "), id+".cas.lock "+id+".json "+id+".lock"; got != want {
		t.Errorf("files %s, want %s", got, want)
	}
	if err := s.Delete(t.Context(), key, g); err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(entries(t, s.Dir()), " "), id+".cas.lock "+id+".gone "+id+".lock"; got != want {
		t.Errorf("files after Delete %s, want %s", got, want)
	}
	if gone := read(t, filepath.Join(s.Dir(), id+".gone")); strings.Trim(gone, "0123456789") != "" {
		t.Errorf("the deleted record's file says more than a generation: %q", gone)
	}
}
