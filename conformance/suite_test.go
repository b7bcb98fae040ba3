package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestPinned holds the suite's files to what fetch relies on: exact versions, hashes for all, a
// Node.js that is new enough for each platform, and nothing that wants to run at installation.
func TestPinned(t *testing.T) {
	type deps map[string]string
	var manifest struct{ Dependencies, OptionalDependencies deps }
	var lock struct {
		Packages map[string]struct {
			Version, Integrity                 string
			HasInstallScript                   bool
			OptionalDependencies, Dependencies deps
		}
	}
	for file, v := range map[string]any{"package.json": &manifest, "package-lock.json": &lock} {
		b, err := pinned.ReadFile("suite/" + file)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(b, v); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
	}
	if got := manifest.Dependencies[suitePackage]; got != "0.2.0-alpha.12" {
		t.Errorf("suite %s is pinned; expectedCells was written for 0.2.0-alpha.12", got)
	}
	for name, p := range lock.Packages {
		if name == "" {
			continue
		}
		if p.Integrity == "" || p.HasInstallScript {
			t.Errorf("%s: hash %q, has an install script: %v", name, p.Integrity, p.HasInstallScript)
		}
	}
	for _, platform := range []string{"linux/amd64", "linux/arm64", "darwin/amd64", "darwin/arm64", "windows/amd64"} {
		goos, goarch, _ := strings.Cut(platform, "/")
		name := nodePackage(goos, goarch)
		want := manifest.OptionalDependencies[name]
		if !strings.HasPrefix(want, "22.") || lock.Packages["node_modules/"+name].Version != want {
			t.Errorf("%s: %s is pinned to %q and locked to %q", platform, name, want, lock.Packages["node_modules/"+name].Version)
		}
	}
	if got := nodePackage("plan9", "amd64"); got != "" {
		t.Errorf("a Node.js for Plan 9: %s", got)
	}
}

func TestCacheDir(t *testing.T) {
	got, err := cacheDir("sub")
	if err != nil || !filepath.IsAbs(got) || filepath.Base(got) != "sub" {
		t.Errorf("given: %s, %v", got, err)
	}
	user, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := cacheDir(""); err != nil || got != filepath.Join(user, "mcptokens") {
		t.Errorf("default: %s, %v", got, err)
	}
	for _, name := range []string{"HOME", "XDG_CACHE_HOME", "LocalAppData", "home"} {
		t.Setenv(name, "")
	}
	if _, err := cacheDir(""); err == nil || !strings.Contains(err.Error(), "-cache") {
		t.Errorf("no home: %v, want advice to give -cache", err)
	}
}

func TestFetchFails(t *testing.T) {
	newBench(t)
	file := filepath.Join(t.TempDir(), "file")
	write(t, file, "")
	if err := fetch(t.Context(), filepath.Join(file, "x", "suite")); err == nil {
		t.Error("fetched into a file")
	}
}

func TestShellCommand(t *testing.T) {
	if runtime.GOOS == "windows" {
		if got := shellCommand(`C:\a b\c.exe`); got != `"C:\a b\c.exe"` {
			t.Errorf("got %s", got)
		}
		return
	}
	for _, name := range []string{"client", "a client", "it's", "two  blanks", "$HOME;exit"} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), name)
			if err := os.WriteFile(path, []byte("#!/bin/sh\necho $1 $$\n"), 0o755); err != nil {
				t.Fatal(err)
			}
			// The suite takes the command apart at blanks and its shell gets it joined again.
			line := strings.Join(append(strings.Split(shellCommand(path), " "), "http://localhost:1/mcp"), " ")
			shell := exec.CommandContext(t.Context(), "/bin/sh", "-c", line)
			out, err := shell.Output()
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			want := fmt.Sprintf("http://localhost:1/mcp %d\n", shell.Process.Pid) // the client is the shell's process
			if string(out) != want {
				t.Errorf("%s: %q, want %q", line, out, want)
			}
		})
	}
}

func TestSuiteDoesNotStart(t *testing.T) {
	s := &suite{node: filepath.Join(t.TempDir(), "node")}
	r := s.run(t.Context(), cell{"auth/dpop", extension}, "client", t.TempDir(), time.Minute)
	if r.verdict != broken || r.note == "" {
		t.Errorf("got %s %q, want %s and why", r.verdict, r.note, broken)
	}
}
