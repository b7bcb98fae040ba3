package docstest

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// link is [text](target), of an image too.
var link = regexp.MustCompile(`\]\(([^()\s]+)\)`)

// Links within the repository lead to files, and to headings where they have a #.
func TestLinks(t *testing.T) {
	var documents []string
	for _, pattern := range []string{"*.md", "*/*.md", "otelauth/*/*.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		documents = append(documents, found...)
	}
	checked := 0
	for _, document := range documents {
		source, err := os.ReadFile(document)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(outsideBlocks(string(source)), -1) {
			if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
				continue
			}
			checked++
			if problem := broken(t, document, m[1]); problem != "" {
				t.Errorf("%s links to %s: %s", document, m[1], problem)
			}
		}
	}
	if checked < 50 {
		t.Errorf("%d links found: has their form changed?", checked)
	}
	here := filepath.Join(root, "docs", "README.md")
	for _, target := range []string{"nothing.md", "cli.md#nothing"} {
		if broken(t, here, target) == "" {
			t.Errorf("the link to %s is found good", target)
		}
	}
}

// broken says what is wrong with a link on a page, or nothing.
func broken(t *testing.T, document, target string) string {
	t.Helper()
	name, anchor, _ := strings.Cut(target, "#")
	file := filepath.Join(filepath.Dir(document), name)
	if name == "" {
		file = document
	}
	if _, err := os.Stat(file); err != nil {
		return "there is no such file"
	}
	if anchor == "" {
		return ""
	}
	source, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	for line := range strings.Lines(outsideBlocks(string(source))) {
		if heading := strings.TrimLeft(line, "#"); heading != line && anchorOf(heading) == anchor {
			return ""
		}
	}
	return "there is no such heading"
}

// anchorOf is how GitHub addresses a heading.
func anchorOf(heading string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(strings.TrimSpace(heading)) {
		switch {
		case r == ' ':
			b.WriteByte('-')
		case r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z':
			b.WriteRune(r)
		}
	}
	return b.String()
}

// outsideBlocks is a page without its blocks of code.
func outsideBlocks(text string) string {
	var b strings.Builder
	inside := false
	for line := range strings.Lines(text) {
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			inside = !inside
		} else if !inside {
			b.WriteString(line)
		}
	}
	return b.String()
}

// Every page of docs is in its index.
func TestIndex(t *testing.T) {
	index, err := os.ReadFile(filepath.Join(root, "docs", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range pages(t) {
		name := filepath.Base(page)
		if filepath.Base(filepath.Dir(page)) == "docs" && name != "README.md" && !strings.Contains(string(index), "]("+name+")") {
			t.Errorf("docs/README.md does not list %s", name)
		}
	}
}
