package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// The tests need no npm, no network and no Node.js: the test binary stands in for both programs,
// under their names, and plays back what the real suite was recorded to print.
func TestMain(m *testing.M) {
	switch strings.TrimSuffix(filepath.Base(os.Args[0]), ".exe") {
	case "npm":
		os.Exit(fakeNPM())
	case "node":
		os.Exit(fakeNode(os.Args[1:]))
	}
	goleak.VerifyTestMain(m)
}

// The environment variables that steer the stand-ins.
const (
	envTestdata = "CONFORMANCE_TESTDATA" // where the recordings are
	envFault    = "CONFORMANCE_FAULT"    // what goes wrong
	envRecord   = "CONFORMANCE_RECORD"   // file to which each run of a cell adds its arguments
	envHold     = "CONFORMANCE_HOLD"     // address that a hanging process connects to
	envHeld     = "CONFORMANCE_HELD"     // set in the process that a hanging one has started
)

// fakeNPM installs, in the current folder, a Node.js that is the test binary again.
func fakeNPM() int {
	if os.Getenv(envFault) == "npm" {
		fmt.Println("npm error code EINTEGRITY")
		return 1
	}
	self, err := os.Executable()
	if err != nil {
		return 3
	}
	bin := filepath.Join("node_modules", nodePackage(runtime.GOOS, runtime.GOARCH), "bin")
	node := "node"
	if runtime.GOOS == "windows" {
		node += ".exe"
	}
	if os.MkdirAll(bin, 0o755) != nil || os.Symlink(self, filepath.Join(bin, node)) != nil {
		return 3
	}
	return 0
}

// fakeNode plays the suite: "--version", "<script> list --client", "<script> client --command …".
func fakeNode(args []string) int {
	play := func(name string) {
		b, err := os.ReadFile(filepath.Join(os.Getenv(envTestdata), name))
		if err != nil {
			fmt.Println(err)
		}
		os.Stdout.Write(b)
	}
	fault := os.Getenv(envFault)
	if len(args) == 1 && args[0] == "--version" {
		if fault == "node" {
			return 1
		}
		fmt.Println("v22.0.0")
		return 0
	}
	switch line := strings.Join(args[1:], " "); {
	case line == "list --client":
		if fault == "list" {
			return 1
		}
		if fault == "empty list" {
			return 0
		}
		play("list.txt")
		return 0
	default:
		f, err := os.OpenFile(os.Getenv(envRecord), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		if err != nil {
			return 3
		}
		fmt.Fprintln(f, line)
		f.Close()
		switch {
		case fault == "hang":
			return hang(args)
		case strings.Contains(line, "auth/basic-cimd"):
			play("warned.txt")
			return 1
		case strings.Contains(line, "auth/dpop-nonce"):
			play("exited.txt")
			return 1
		case strings.Contains(line, "auth/wif-jwt-bearer"):
			play("skipped.txt")
			return 0
		}
		play("passed.txt")
		return 0
	}
}

// hang starts another process like this one, as the suite does the client, connects to the test if
// it listens, and waits to be killed.
func hang(args []string) int {
	if os.Getenv(envHold) == "" {
		<-time.After(time.Hour)
		return 0
	}
	if os.Getenv(envHeld) == "" {
		os.Setenv(envHeld, "1")
		self := exec.Command(os.Args[0], args...)
		self.Stdout = os.Stdout
		if self.Start() != nil {
			return 3
		}
	}
	conn, err := net.Dial("tcp", os.Getenv(envHold))
	if err != nil {
		return 3
	}
	conn.Read(make([]byte, 1)) // the test never writes
	return 0
}

// bench is a command under test in surroundings of its own.
type bench struct {
	app
	out, log bytes.Buffer
	cache    string // -cache
	record   string // arguments of the cells that ran
}

func newBench(t *testing.T) *bench {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	npm := "npm"
	if runtime.GOOS == "windows" {
		npm += ".exe"
	}
	if err := os.Symlink(self, filepath.Join(bin, npm)); err != nil {
		t.Fatal(err)
	}
	testdata, err := filepath.Abs("testdata")
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{cache: t.TempDir(), record: filepath.Join(t.TempDir(), "record")}
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	t.Setenv("GORACE", "atexit_sleep_ms=0") // or each stand-in lingers for a second under -race
	t.Setenv(envTestdata, testdata)
	t.Setenv(envRecord, b.record)
	b.app = app{stdout: &b.out, stderr: &b.log, dir: ".", timeout: cellTimeout,
		now: func() time.Time { return time.Date(2026, 11, 23, 23, 0, 0, 0, time.UTC) }}
	return b
}

// do runs the command with the bench's cache, and fails the test if the exit status is another.
func (b *bench) do(t *testing.T, want int, args ...string) {
	t.Helper()
	b.out.Reset()
	b.log.Reset()
	if got := b.main(t.Context(), append([]string{"-cache", b.cache}, args...)); got != want {
		t.Fatalf("exit status %d, want %d\n%s%s", got, want, &b.out, &b.log)
	}
}

// lastLine returns the last line of what was printed.
func (b *bench) lastLine() string {
	lines := strings.Split(strings.TrimRight(b.out.String(), "\n"), "\n")
	return lines[len(lines)-1]
}

// program makes a file that can be named with -client.
func program(t *testing.T) string {
	t.Helper()
	p := filepath.Join(t.TempDir(), "a client")
	if err := os.WriteFile(p, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return p
}

// module makes a module whose conformance/client has the given source, and returns its root.
func module(t *testing.T, source string) string {
	t.Helper()
	root := t.TempDir()
	write(t, filepath.Join(root, "go.mod"), "module example.com/m\n\ngo 1.25\n")
	write(t, filepath.Join(root, "conformance", "client", "main.go"), source)
	return root
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestAllCells(t *testing.T) {
	b := newBench(t)
	b.dir = module(t, "package main\n\nfunc main() {}\n")
	b.do(t, exitFailed, "-v")

	// Two cells warn, one client exits with an error, one cell is skipped.
	if got, want := b.lastLine(), "46 passed, 4 failed"; got != want {
		t.Errorf("last line %q, want %q", got, want)
	}
	for _, want := range []string{
		"=== auth/wif-jwt-bearer@extension: skipped\nSKIPPED:",
		"=== auth/basic-cimd@2025-11-25: failed\n",
		"sep-1932-client-fresh-proof, client exited with 3\n",
	} {
		if !strings.Contains(b.out.String(), want) {
			t.Errorf("output lacks %q", want)
		}
	}
	if strings.Contains(b.out.String(), "=== auth/resource-mismatch") {
		t.Error("-v printed the output of a cell that passed")
	}
	if !strings.Contains(b.log.String(), "[50/50] ") {
		t.Errorf("no progress to the 50th cell:\n%s", &b.log)
	}

	file := filepath.Join(b.dir, "conformance", "RESULTS.md")
	results := read(t, file)
	for _, want := range []string{
		"| Date | 2026-11-23 |\n",
		"| Suite | `@modelcontextprotocol/conformance` 0.2.0-alpha.12 |\n",
		"| Node.js | v22.0.0 |\n",
		"| Go | " + runtime.Version(),
		"| **This library on mcp-go** | **46 of 50** |\n",
		"| The official Go SDK | 44 of 50 (45 with its extension handlers) |\n",
		"| mcp-go's own OAuth handler | 16 of 50 |\n",
		"| auth/basic-cimd | 2026-07-28 | failed | 11 | 0 | 1 | cimd-client-id-used |\n",
		"| auth/dpop | extension | passed | 2 | 0 | 0 |  |\n",
	} {
		if !strings.Contains(results, want) {
			t.Errorf("results lack %q", want)
		}
	}
	if strings.Contains(results, "Cells run") {
		t.Error("results of a whole run say that some cells were chosen")
	}

	// Each cell ran once, in a process of its own, and extensions without a version.
	lines := strings.Split(strings.TrimSpace(read(t, b.record)), "\n")
	if len(lines) != 50 {
		t.Fatalf("%d runs of the suite, want 50", len(lines))
	}
	seen := make(map[string]bool)
	form := regexp.MustCompile(`^client --command \S.*client.* --scenario (auth/\S+)( --spec-version 20\d\d-\d\d-\d\d)?$`)
	for _, line := range lines {
		m := form.FindStringSubmatch(line)
		if m == nil || seen[m[1]+m[2]] {
			t.Errorf("unexpected or repeated run: %s", line)
			continue
		}
		seen[m[1]+m[2]] = true
	}
	if !seen["auth/dpop"] || !seen["auth/iss-supported --spec-version 2026-07-28"] {
		t.Errorf("versions were not passed as they should be: %v", lines)
	}

	// The same run again gives the same file.
	b.do(t, exitFailed, "-j", "1")
	if read(t, file) != results {
		t.Error("the results file differs between equal runs")
	}
}

func TestChosenCells(t *testing.T) {
	b := newBench(t)
	b.dir = module(t, "package main\n\nfunc main() {}\n")
	b.do(t, exitPassed, "-run", "iss-.*@2026")
	if got, want := b.lastLine(), "6 passed, 0 failed"; got != want {
		// iss-supported, -not-advertised, -supported-missing, -wrong-issuer, -unexpected, -normalized
		t.Errorf("last line %q, want %q", got, want)
	}
	if _, err := os.Stat(filepath.Join(b.dir, "conformance", "RESULTS.md")); err == nil {
		t.Error("a run of some cells overwrote the results of all")
	}

	file := filepath.Join(t.TempDir(), "some.md")
	b.do(t, exitPassed, "-run", "iss-", "-results", file)
	if got := read(t, file); !strings.Contains(got, "| Cells run | 6 of 50 |") || !strings.Contains(got, "**6 of 6**") {
		t.Errorf("results do not say that some cells were chosen:\n%s", got)
	}
}

func TestOtherClient(t *testing.T) {
	b := newBench(t)
	b.dir = t.TempDir() // no module: none is needed
	file := filepath.Join(t.TempDir(), "r.md")
	b.do(t, exitFailed, "-client", program(t), "-results", file)
	got := read(t, file)
	if !strings.Contains(got, "| **The program a client** | **46 of 50** |") {
		t.Errorf("results do not name the client:\n%s", got)
	}
	if strings.Contains(got, "This library") || strings.Contains(got, "| Go |") {
		t.Errorf("results of another client claim to be this library's:\n%s", got)
	}
}

func TestSuiteIsFetchedOnce(t *testing.T) {
	b := newBench(t)
	client := program(t)
	once := func() string {
		b.do(t, exitPassed, "-client", client, "-run", "iss-supported@")
		return b.log.String()
	}
	if !strings.Contains(once(), "fetching @modelcontextprotocol/conformance 0.2.0-alpha.12") {
		t.Error("the first run did not fetch the suite")
	}
	if strings.Contains(once(), "fetching") {
		t.Error("the second run fetched the suite again")
	}
	write(t, filepath.Join(b.cache, "conformance-0.2.0-alpha.12", "package-lock.json"), "{}")
	if !strings.Contains(once(), "fetching") {
		t.Error("a suite pinned otherwise was taken as it is")
	}
	left, err := filepath.Glob(filepath.Join(b.cache, "*"))
	if err != nil || len(left) != 1 {
		t.Errorf("left in the cache: %v, %v", left, err)
	}
}

func TestCannotRun(t *testing.T) {
	tests := []struct {
		name  string
		fault string
		args  []string
		dir   func(*testing.T) string
		want  string
	}{
		{name: "unknown flag", args: []string{"-x"}, want: "flag provided but not defined"},
		{name: "bad regexp", args: []string{"-run", "("}, want: "missing closing )"},
		{name: "no jobs", args: []string{"-j", "0"}, want: "-j 0: want at least 1"},
		{name: "jobs not a number", args: []string{"-j", "2x"}, want: "invalid value"},
		{name: "argument", args: []string{"auth/dpop"}, want: "cells are chosen with -run"},
		{name: "no such cell", args: []string{"-run", "nothing"}, want: "-run nothing matches none of the 50 cells"},
		{name: "no such client", args: []string{"-client", "/nonexistent/client"}, want: "-client: "},
		{name: "npm fails", fault: "npm", want: "EINTEGRITY"},
		{name: "node does not run", fault: "node", want: "delete "},
		{name: "suite cannot list", fault: "list", want: "list the suite's scenarios"},
		{name: "suite lists nothing", fault: "empty list", want: "no auth/ scenario"},
		{name: "no module", dir: (*testing.T).TempDir, want: "not inside a Go module"},
		{name: "no folder", dir: func(*testing.T) string { return "/nonexistent" }, want: "go env GOMOD"},
		{
			name: "client does not compile",
			dir:  func(t *testing.T) string { return module(t, "package main\n\nfunc main() { undefined() }\n") },
			want: "undefined: undefined",
		},
		{
			name: "results not writable",
			args: []string{"-run", "dpop@", "-results", "/nonexistent/r.md"},
			dir:  func(t *testing.T) string { return module(t, "package main\n\nfunc main() {}\n") },
			want: "write the results",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			t.Setenv(envFault, tt.fault)
			if tt.dir != nil {
				b.dir = tt.dir(t)
			}
			b.do(t, exitBroken, tt.args...)
			if !strings.Contains(b.log.String(), tt.want) {
				t.Errorf("message lacks %q:\n%s", tt.want, &b.log)
			}
			if b.out.Len() > 0 && tt.name != "results not writable" {
				t.Errorf("printed results all the same:\n%s", &b.out)
			}
		})
	}
}

func TestNoNPM(t *testing.T) {
	b := newBench(t)
	t.Setenv("PATH", t.TempDir())
	b.do(t, exitBroken)
	if !strings.Contains(b.log.String(), "npm is not in PATH") {
		t.Errorf("message: %s", &b.log)
	}
}

func TestHelp(t *testing.T) {
	b := newBench(t)
	b.do(t, exitPassed, "-h")
	for _, want := range []string{"-run regexp", "-j N", "-v", "-cache DIR", "-results FILE", "-client PATH"} {
		if !strings.Contains(b.log.String(), want) {
			t.Errorf("help lacks %q", want)
		}
	}
}

func TestHungCell(t *testing.T) {
	b := newBench(t)
	client := program(t)
	b.do(t, exitPassed, "-client", client, "-run", "iss-supported@") // fetch without the fault
	t.Setenv(envFault, "hang")
	b.timeout = 200 * time.Millisecond
	b.do(t, exitFailed, "-client", client, "-run", "iss-supported@")
	if got := b.out.String(); !strings.Contains(got, "timeout") || !strings.Contains(got, "did not end within 200ms") {
		t.Errorf("a hung cell is not reported as such:\n%s", got)
	}
}

// TestInterruptEndsAll interrupts the command while the suite, and what the suite has started, hang.
func TestInterruptEndsAll(t *testing.T) {
	b := newBench(t)
	client := program(t)
	b.do(t, exitPassed, "-client", client, "-run", "iss-supported@") // fetch without the fault
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	t.Setenv(envFault, "hang")
	t.Setenv(envHold, ln.Addr().String())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	file := filepath.Join(t.TempDir(), "r.md")
	b.out.Reset()
	status := make(chan int)
	go func() {
		status <- b.main(ctx, []string{"-cache", b.cache, "-client", client, "-results", file, "-run", "iss-supported@"})
	}()
	ln.(*net.TCPListener).SetDeadline(time.Now().Add(time.Minute))
	var conns []net.Conn
	for range 2 {
		conn, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conns = append(conns, conn)
	}
	cancel()
	if got := <-status; got != exitBroken || !strings.Contains(b.log.String(), "interrupted") {
		t.Errorf("exit status %d\n%s", got, &b.log)
	}
	for _, conn := range conns {
		conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := conn.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error("a process of the suite lives on")
		}
	}
	if _, err := os.Stat(file); err == nil || b.out.Len() > 0 {
		t.Errorf("an interrupted run gave results:\n%s", &b.out)
	}
}
