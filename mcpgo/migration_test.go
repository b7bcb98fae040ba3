package mcpgo_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// The document shows code that compiles and runs: each block stands, one tab
// further in, in an example.
func TestMigrationQuotesExamples(t *testing.T) {
	var examples strings.Builder
	for _, name := range []string{"migration_example_test.go", "../internal/gosdktest/example_test.go"} {
		code, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		examples.Write(code)
	}
	document, err := os.ReadFile("MIGRATION.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```(\\w*)\n(.*?)```").FindAllStringSubmatch(string(document), -1)
	if len(blocks) < 10 {
		t.Fatalf("%d blocks of code, is this the document?", len(blocks))
	}
	for _, b := range blocks {
		code := regexp.MustCompile(`(?m)^(.)`).ReplaceAllString(b[2], "\t$1")
		if b[1] != "go" || !strings.Contains(examples.String(), code) {
			t.Errorf("this block (%q) stands in no example:\n%s", b[1], b[2])
		}
	}
}
