package main

import (
	"go/ast"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const root = "../.."

// The page says what the comments beside the tests say, and each test that it
// names exists.
func TestPageIsCurrent(t *testing.T) {
	want, err := text(root)
	if err != nil {
		t.Fatal(err)
	}
	have, err := os.ReadFile(filepath.Join(root, page))
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != want {
		t.Errorf("%s is old: run go run ./internal/compat", page)
	}
	for _, s := range sections {
		if !strings.Contains(want, "\n## "+s.title+"\n\n| behaviour | by default | setting | test | the attack beside it |\n|---|---|---|---|---|\n| ") {
			t.Errorf("%s has no rows in %q", page, s.title)
		}
	}
}

// A row that lacks something, or names what is not there, is found.
func TestRowsThatLackSomething(t *testing.T) {
	const test = "auth.TestA"
	tests := map[string]bool{test: true, "auth.TestB": true, "transport.TestC": true}
	for _, tt := range []struct {
		name, lines, attack, err string
	}{
		{"the same test", "reading x\ndefault y\nattack same", test, ""},
		{"another of the package", "reading x\ndefault y\nsetting Config.X\nattack TestB", "auth.TestB", ""},
		{"another package's", "reading x\ndefault y\nattack transport.TestC", "transport.TestC", ""},
		{"no default", "reading x\nattack same", "", "no compat:default"},
		{"no attack", "reading x\ndefault y", "", "no compat:attack"},
		{"no such test", "reading x\ndefault y\nattack TestD", "", "no test auth.TestD"},
		{"a column", "reading a|b\ndefault y\nattack same", "", "break the table"},
		{"an unknown word", "reading x\ndefualt y\nattack same", "", "compat:defualt is unknown"},
		{"no behaviour", "default y\nattack same", "", "before the behaviour"},
		{"a section that is not there", "wording x\ndefault y", "", "before the behaviour"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			comments := []*ast.Comment{{Text: "// A test."}}
			for line := range strings.SplitSeq(tt.lines, "\n") {
				comments = append(comments, &ast.Comment{Text: "//compat:" + line})
			}
			all, err := ofTest(comments, test, "a_test.go:1")
			if err == nil {
				err = all[0].problem(tests)
			}
			switch {
			case tt.err == "" && (err != nil || len(all) != 1 || all[0].attack != tt.attack || all[0].fallback != "y"):
				t.Errorf("%+v, %v", all, err)
			case tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)):
				t.Errorf("error %v, want %q", err, tt.err)
			}
		})
	}
}
