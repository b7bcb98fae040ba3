package docstest

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

const invariants = 21

var (
	// numbered begins an invariant.
	numbered = regexp.MustCompile(`(?m)^(\d+)\. \*\*`)
	// method is one of package auth or below: `Manager.serve`.
	method = regexp.MustCompile("`([A-Za-z]+)\\.([A-Za-z]+)`")
	// place is a file or directory: `auth/retry.go`.
	place = regexp.MustCompile("`((?:auth|internal|transport|mcpgo)/[a-z/]+(?:\\.go)?)`")
	// cited is how comments refer to invariants.
	cited = regexp.MustCompile(`\[invariants?[\s/]+([0-9,\-\s/]+)\]`)
	digit = regexp.MustCompile(`\d+`)
)

// The invariants have the numbers that comments use, each names its tests, and
// tests, functions and files that the page names exist.
func TestArchitecture(t *testing.T) {
	source, err := os.ReadFile(filepath.Join(root, "docs", "architecture.md"))
	if err != nil {
		t.Fatal(err)
	}
	text := string(source)
	begins := numbered.FindAllStringSubmatchIndex(text, -1)
	if len(begins) != invariants {
		t.Errorf("%d invariants found, want %d", len(begins), invariants)
	}
	for i, at := range begins {
		if number := text[at[2]:at[3]]; number != strconv.Itoa(i+1) {
			t.Errorf("the %d. invariant has the number %s", i+1, number)
		}
		end := len(text)
		if i+1 < len(begins) {
			end = begins[i+1][0]
		}
		if !named.MatchString(text[at[0]:end]) {
			t.Errorf("invariant %d names no test", i+1)
		}
	}
	for _, missing := range missingTests(t, text) {
		t.Errorf("docs/architecture.md names the test %s, which does not exist", missing)
	}
	for _, missing := range missingCode(t, text) {
		t.Errorf("docs/architecture.md names %s, which does not exist", missing)
	}
	if got := missingCode(t, "`Manager.serve`, `Manager.swerve`, `auth/retry.go`, `auth/retries.go`, `auth/internal/wire`"); len(got) != 2 {
		t.Errorf("of two things that do not exist these are found missing: %q", got)
	}
}

// missingCode returns the methods and files that text names and that are not
// there.
func missingCode(t *testing.T, text string) (missing []string) {
	t.Helper()
	for _, m := range place.FindAllStringSubmatch(text, -1) {
		if _, err := os.Stat(filepath.Join(root, m[1])); err != nil {
			missing = append(missing, m[1])
		}
	}
	var code strings.Builder
	eachFile(t, "auth", func(name, source string) {
		if !strings.HasSuffix(name, "_test.go") {
			code.WriteString(source)
		}
	})
	for _, m := range method.FindAllStringSubmatch(text, -1) {
		if m[2] == "go" || m[1] == "lifecycle" || strings.HasPrefix(m[2], "Test") {
			continue // a file, a package, a test
		}
		declared := regexp.MustCompile(`(?m)^func \(\w+ \*?` + m[1] + `(?:\[T\])?\) ` + m[2] + `\(`)
		if m[1] == "authtrace" {
			declared = regexp.MustCompile(`(?m)^type ` + m[2] + ` `)
		}
		if !declared.MatchString(code.String()) {
			missing = append(missing, m[0])
		}
	}
	return missing
}

// Comments cite invariants that there are.
func TestInvariantsAreCitedByNumber(t *testing.T) {
	found := 0
	eachFile(t, ".", func(name, source string) {
		for _, m := range cited.FindAllStringSubmatch(source, -1) {
			for _, number := range digit.FindAllString(m[1], -1) {
				found++
				if n, err := strconv.Atoi(number); err != nil || n < 1 || n > invariants {
					t.Errorf("%s cites invariant %s", name, number)
				}
			}
		}
		if strings.Contains(source, "design "+"invariant") || strings.Contains(source, "DESIGN"+".md") {
			t.Errorf("%s cites a document that is not in the repository: use docs/architecture.md and [invariant N]", name)
		}
	})
	if found < 30 {
		t.Errorf("%d citations found: has their form changed?", found)
	}
}

// eachFile calls f with each Go file below a directory of the repository.
func eachFile(t *testing.T, dir string, f func(name, source string)) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(root, dir), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if filepath.Ext(path) != ".go" {
			return nil
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		f(path, string(source))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
