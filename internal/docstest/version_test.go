package docstest

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/mcptokens/mcptokens/internal/httpx"
)

// The User-Agent names the version of the newest section of CHANGELOG.md.
func TestVersion(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "CHANGELOG.md"))
	if err != nil {
		t.Fatal(err)
	}
	newest := regexp.MustCompile(`(?m)^## \[(\d+\.\d+\.\d+)\]`).FindSubmatch(text)
	if newest == nil || string(newest[1]) != httpx.Version {
		t.Errorf("CHANGELOG.md has %q, httpx.Version is %q", newest, httpx.Version)
	}
}
