package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// mutation is a deliberate break of a promise.
type mutation struct {
	promise string // see the type of that name
	edit
}

// edit breaks one line, and says who has to notice.
type edit struct {
	name  string // what it does, for people
	file  string // from the root of the module, with slashes
	old   string // what is there exactly once
	new   string // what takes its place
	tests string // "auth.TestA auth/grant.TestB": one that fails is enough
}

// verdict is what came of a mutation.
type verdict string

const (
	caught       verdict = "caught"
	survived     verdict = "SURVIVED"
	doesNotApply verdict = "does not apply" // the code has changed: so must the list
	doesNotBuild verdict = "does not build"
	cannotRun    verdict = "cannot run" // a test of the list that does not exist
)

// testTime ends a test that a break has hung, which counts as caught. Those of the
// list take a second or two.
const testTime = 10 * time.Second

// runner applies mutations to the module at root. The module itself is not
// touched: the go command is given the changed file as an overlay, so that all
// other packages come from the build cache.
type runner struct {
	root string
	temp string // a directory for the changed file and the test binary
}

// run returns what came of m, and a line or two that say why where that helps.
func (r *runner) run(ctx context.Context, m mutation) (v verdict, why string, err error) {
	changed, err := apply(r.root, m)
	if err != nil {
		return doesNotApply, err.Error(), nil
	}
	overlay, err := r.overlay(m.file, changed)
	if err != nil {
		return "", "", err
	}
	for _, test := range strings.Fields(m.tests) {
		i := strings.LastIndexByte(test, '.')
		if i < 0 {
			return cannotRun, test + " is no test: write package.TestName", nil
		}
		switch v, why, err = r.test(ctx, overlay, test[:i], test[i+1:]); {
		case err != nil || v != survived:
			return v, why, err
		}
	}
	if v == "" {
		return cannotRun, "no test is named", nil
	}
	return v, why, nil
}

// apply returns the file of m with the break in it.
func apply(root string, m mutation) ([]byte, error) {
	text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(m.file)))
	if err != nil {
		return nil, err
	}
	if n := bytes.Count(text, []byte(m.old)); m.old == "" || n != 1 {
		return nil, fmt.Errorf("%s has the text %d times, not once: %q", m.file, n, m.old)
	}
	return bytes.Replace(text, []byte(m.old), []byte(m.new), 1), nil
}

// overlay writes what go build -overlay reads, and returns its name.
func (r *runner) overlay(file string, changed []byte) (string, error) {
	original, err := filepath.Abs(filepath.Join(r.root, filepath.FromSlash(file)))
	if err != nil {
		return "", err
	}
	instead := filepath.Join(r.temp, "changed.go")
	if err := os.WriteFile(instead, changed, 0o600); err != nil {
		return "", err
	}
	text, err := json.Marshal(map[string]map[string]string{"Replace": {original: instead}})
	if err != nil {
		return "", err
	}
	name := filepath.Join(r.temp, "overlay.json")
	return name, os.WriteFile(name, text, 0o600)
}

// test builds the tests of a package with the overlay and runs one of them. The
// flags leave out what takes time and is of no use here.
func (r *runner) test(ctx context.Context, overlay, pkg, name string) (verdict, string, error) {
	dir := filepath.Join(r.root, filepath.FromSlash(pkg))
	binary := filepath.Join(r.temp, "tests.exe")
	build := exec.CommandContext(ctx, "go", "test", "-c", "-vet=off", "-gcflags=-dwarf=0", "-ldflags=-s -w", "-overlay", overlay, "-o", binary, ".")
	build.Dir = dir
	if text, err := build.CombinedOutput(); err != nil {
		if ctx.Err() != nil {
			return "", "", ctx.Err()
		}
		return doesNotBuild, firstLines(text), nil
	}
	run := exec.CommandContext(ctx, binary, "-test.run", "^"+name+"$", "-test.v", "-test.failfast", "-test.timeout", testTime.String())
	run.Dir = dir
	text, err := run.CombinedOutput()
	var failed *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return "", "", ctx.Err()
	case errors.As(err, &failed):
		return caught, "", nil
	case err != nil:
		return "", "", err
	case !bytes.Contains(text, []byte("--- PASS: "+name+" ")):
		return cannotRun, pkg + " has no test " + name + ", or it was skipped", nil
	}
	return survived, "", nil
}

func firstLines(text []byte) string {
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[:min(len(lines), 3)], "\n")
}
