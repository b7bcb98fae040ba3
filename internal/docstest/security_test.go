// Package docstest holds documents to what they say of the code.
package docstest

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const root = "../.."

// named is a test in a document: `auth/store/filestore.TestModes`.
var named = regexp.MustCompile("`([a-z0-9/-]+)\\.((?:Test|Fuzz)[A-Za-z0-9]+)`")

// Every row of SECURITY.md that makes a promise names a test, and every test
// that it names exists.
func TestSecurityNamesItsTests(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "SECURITY.md"))
	if err != nil {
		t.Fatal(err)
	}
	promises, promising := 0, false
	for i, line := range strings.Split(string(text), "\n") {
		switch {
		case strings.HasPrefix(line, "| threat |"):
			promising = true
		case !strings.HasPrefix(line, "|"):
			promising = false
		case promising && !strings.HasPrefix(line, "|---"):
			promises++
			if strings.Count(line, "|") != 4 || !named.MatchString(line[strings.LastIndex(line[:len(line)-1], "|"):]) {
				t.Errorf("SECURITY.md:%d: no test is named in the third column", i+1)
			}
		}
	}
	if promises < 30 {
		t.Errorf("%d promises found: has the form of the tables changed?", promises)
	}
	for _, missing := range missingTests(t, string(text)) {
		t.Errorf("SECURITY.md names %s, which does not exist", missing)
	}
	if got := missingTests(t, "`auth.TestOfNothing`, `nowhere.TestModel`, `auth.TestConflict`"); len(got) != 2 {
		t.Errorf("of two tests that do not exist these are found missing: %q", got)
	}
}

// missingTests returns the tests that text names and that are not there.
func missingTests(t *testing.T, text string) (missing []string) {
	t.Helper()
	sources := make(map[string]string) // by package
	for _, m := range named.FindAllStringSubmatch(text, -1) {
		pkg, test := m[1], m[2]
		if _, read := sources[pkg]; !read {
			files, err := filepath.Glob(filepath.Join(root, pkg, "*_test.go"))
			if err != nil {
				t.Fatal(err)
			}
			var all strings.Builder
			for _, name := range files {
				source, err := os.ReadFile(name)
				if err != nil {
					t.Fatal(err)
				}
				all.Write(source)
			}
			sources[pkg] = all.String()
		}
		if !strings.Contains(sources[pkg], "\nfunc "+test+"(") {
			missing = append(missing, pkg+"."+test)
		}
	}
	return missing
}
