package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWalk(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if status := run(t.Context(), nil, &stdout, &stderr); status != 0 {
		t.Fatalf("exit status %d\n%s%s", status, &stdout, &stderr)
	}
	for _, step := range []string{"elicited login", "next call", "allow more", "by the page", "link in a text", "background job", "log out", "user deleted"} {
		if !strings.Contains(stdout.String(), "ok    "+step+" ") {
			t.Errorf("step %q is not in the timeline:\n%s", step, &stdout)
		}
	}
	if said := stdout.String(); !strings.Contains(said, "replica 1") || !strings.Contains(said, "replica 2") {
		t.Errorf("one replica did nothing:\n%s", said)
	}
}

func TestBadFlags(t *testing.T) {
	for _, args := range [][]string{{"-nonsense"}, {"argument"}} {
		var stdout, stderr bytes.Buffer
		if status := run(t.Context(), args, &stdout, &stderr); status != 2 {
			t.Errorf("%q: exit status %d\n%s", args, status, &stderr)
		}
	}
}

// A gateway takes less than 60 lines, imports and comments included, and the whole
// example less than 400, which are those of code.
func TestSize(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	all := 0
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(data), "\n"); file == "gateway.go" && n >= 60 {
			t.Errorf("%s has %d lines", file, n)
		}
		for line := range strings.Lines(string(data)) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "//") {
				all++
			}
		}
	}
	if all == 0 || all >= 400 {
		t.Errorf("the example has %d lines of code", all)
	}
	t.Logf("the example has %d lines of code", all)
}
