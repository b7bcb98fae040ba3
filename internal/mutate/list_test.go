package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const root = "../.."

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// threats returns the first column of the tables of SECURITY.md that make
// promises.
func threats(t *testing.T) map[string]bool {
	t.Helper()
	rows, promising := make(map[string]bool), false
	for line := range strings.SplitSeq(read(t, "SECURITY.md"), "\n") {
		switch {
		case strings.HasPrefix(line, "| threat |"):
			promising = true
		case !strings.HasPrefix(line, "|"):
			promising = false
		case promising && !strings.HasPrefix(line, "|---"):
			rows[strings.TrimSpace(strings.Split(line, "|")[1])] = true
		}
	}
	return rows
}

// Each threat of SECURITY.md has a break at least, and there is none for
// anything but a threat or an invariant.
func TestEveryPromiseIsBroken(t *testing.T) {
	rows, broken := threats(t), make(map[string]bool)
	if len(rows) < 30 {
		t.Fatalf("%d threats found: has the form of SECURITY.md changed?", len(rows))
	}
	invariant := regexp.MustCompile(`(?m)^(\d+)\. \*\*`)
	for _, m := range invariant.FindAllStringSubmatch(read(t, "docs/architecture.md"), -1) {
		rows["invariant "+m[1]] = false
	}
	for _, m := range mutations {
		broken[m.promise] = true
		if _, known := rows[m.promise]; !known {
			t.Errorf("%q is no threat of SECURITY.md and no invariant of docs/architecture.md", m.promise)
		}
	}
	for row, needed := range rows {
		if needed && !broken[row] {
			t.Errorf("no break for the threat %q", row)
		}
	}
	if len(mutations) < 80 {
		t.Errorf("%d breaks, want 80 at least", len(mutations))
	}
}

// The list fits the source: whoever changes a line that it breaks changes the
// list as well.
func TestListApplies(t *testing.T) {
	sources, names := make(map[string]string), make(map[string]bool)
	for _, m := range mutations {
		if _, err := apply(root, m); err != nil {
			t.Errorf("%s: %v", m.name, err)
		}
		if names[m.name] {
			t.Errorf("two breaks are called %q", m.name)
		}
		names[m.name] = true
		for _, test := range strings.Fields(m.tests) {
			pkg, name := test[:strings.LastIndexByte(test, '.')], test[strings.LastIndexByte(test, '.')+1:]
			if _, read := sources[pkg]; !read {
				files, err := filepath.Glob(filepath.Join(root, pkg, "*_test.go"))
				if err != nil {
					t.Fatal(err)
				}
				for _, file := range files {
					text, err := os.ReadFile(file)
					if err != nil {
						t.Fatal(err)
					}
					sources[pkg] += string(text)
				}
			}
			if !strings.Contains(sources[pkg], "\nfunc "+name+"(") {
				t.Errorf("%s: there is no test %s", m.name, test)
			}
		}
	}
}
