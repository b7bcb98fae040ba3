package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fake is a module with a test that looks at half of it.
var fake = map[string]string{
	"go.mod": "module fake\n\ngo 1.26\n",
	"limit/limit.go": `package limit

func Allowed(n int) bool { return n < 10 }

func Name() string { return "limit" }
`,
	"limit/limit_test.go": `package limit

import "testing"

func TestAllowed(t *testing.T) {
	if Allowed(10) {
		t.Error("10 is allowed")
	}
}

func TestName(t *testing.T) {}

func TestNowhere(t *testing.T) { t.Skip() }
`,
}

func fakeModule(t *testing.T) *runner {
	t.Helper()
	root := t.TempDir()
	for name, text := range fake {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return &runner{root: root, temp: t.TempDir()}
}

func TestRun(t *testing.T) {
	limit := func(old, new, tests string) mutation {
		return mutation{"p", edit{"n", "limit/limit.go", old, new, tests}}
	}
	list := []struct {
		name string
		m    mutation
		want verdict
		why  string
	}{
		{"caught", limit("n < 10", "n <= 10", "limit.TestAllowed"), caught, ""},
		{"caught by a panic", limit("return n < 10", `panic("broken")`, "limit.TestAllowed"), caught, ""},
		{"caught by the second", limit("n < 10", "true", "limit.TestName limit.TestAllowed"), caught, ""},
		{"survived", limit(`"limit"`, `"other"`, "limit.TestAllowed limit.TestName"), survived, ""},
		{"gone", limit("n < 11", "true", "limit.TestAllowed"), doesNotApply, "0 times"},
		{"there twice", limit("return", "panic", "limit.TestAllowed"), doesNotApply, "2 times"},
		{"nothing to replace", limit("", "x", "limit.TestAllowed"), doesNotApply, "not once"},
		{"no file", mutation{"p", edit{"n", "limit/gone.go", "x", "y", "limit.TestAllowed"}}, doesNotApply, "gone.go"},
		{"does not build", limit("n < 10", "n < ten", "limit.TestAllowed"), doesNotBuild, "undefined: ten"},
		{"no such test", limit("n < 10", "true", "limit.TestOther"), cannotRun, "no test TestOther"},
		{"skipped", limit("n < 10", "true", "limit.TestNowhere"), cannotRun, "skipped"},
		{"no test named", limit("n < 10", "true", ""), cannotRun, "no test"},
		{"no package named", limit("n < 10", "true", "TestAllowed"), cannotRun, "package.TestName"},
	}
	r := fakeModule(t)
	var all []mutation
	t.Run("each", func(t *testing.T) {
		for _, tt := range list {
			all = append(all, tt.m)
			t.Run(tt.name, func(t *testing.T) {
				t.Parallel() // it waits for the go command most of the time
				own := &runner{root: r.root, temp: t.TempDir()}
				got, why, err := own.run(t.Context(), tt.m)
				if err != nil || got != tt.want || !strings.Contains(why, tt.why) {
					t.Errorf("%s (%s), %v; want %s with %q", got, why, err, tt.want, tt.why)
				}
			})
		}
	})
	for name, text := range fake {
		if now, err := os.ReadFile(filepath.Join(r.root, name)); err != nil || string(now) != text {
			t.Errorf("%s was changed: %v", name, err)
		}
	}

	var out bytes.Buffer
	err := r.report(t.Context(), &out, []mutation{all[0], all[3], all[4], all[8]})
	if err == nil || err.Error() != "3 of 4 breaks were not caught" {
		t.Errorf("error of a list with survivors: %v", err)
	}
	for _, want := range []string{"  1/4  caught ", "SURVIVED", "does not apply", "does not build", "1 caught, 1 SURVIVED, 1 does not apply, 1 does not build\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the table has no %q:\n%s", want, &out)
		}
	}
	if err := r.report(t.Context(), &out, all[:1]); err != nil {
		t.Errorf("error where all are caught: %v", err)
	}
}

func TestChoose(t *testing.T) {
	all := []mutation{{"", edit{name: "a"}}, {"", edit{name: "b", file: "x/PKCE.go"}}, {"", edit{name: "c"}}, {"pkce", edit{name: "d"}}, {"", edit{name: "e"}}}
	for _, tt := range []struct{ part, only, want string }{
		{"0/1", "", "abcde"}, {"0/2", "", "ace"}, {"1/2", "", "bd"}, {"4/5", "", "e"}, {"0/1", "PKCE", "bd"},
		{"5/5", "", ""}, {"-1/5", "", ""}, {"x", "", ""}, {"1/0", "", ""}, {"0/1", "nowhere", ""},
	} {
		chosen, err := choose(all, tt.part, tt.only)
		got := ""
		for _, m := range chosen {
			got += m.name
		}
		if got != tt.want || (err != nil) != (tt.want == "") {
			t.Errorf("choose(%q, %q) = %s, %v; want %s", tt.part, tt.only, got, err, tt.want)
		}
	}
}
