package docstest

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// ran are the blocks that do not only compile: the programs are run against the test
// kit by testdata/run_test.go.txt, and the test is run as it stands. All are linked
// into one test binary, which is what takes the time.
var ran = []struct {
	page string
	from string // how main, or the package, is called there
	to   string // how in the test binary
}{
	{"getting-started.md", "func main()", "func Main()"},
	{"cli.md", "func main()", "func Main()"},
	{"service.md", "func main()", "func Main()"},
	{"testing.md", "package notes_test", "package pages_test"},
}

// The programs and the test on the pages work.
func TestProgramsRun(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the programs open the browser that $BROWSER names, and keep tokens below $XDG_CONFIG_HOME: elsewhere they would use yours")
	}
	dir := t.TempDir()
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	place := func(at, text string) {
		file := filepath.Join(dir, strings.ReplaceAll(at, "/", "-"))
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		absolute, err := filepath.Abs(filepath.Join(root, "internal", "docstest", "pages", at))
		if err != nil {
			t.Fatal(err)
		}
		overlay.Replace[absolute] = file
	}
	for _, r := range ran {
		found := 0
		for _, b := range blocks(t, filepath.Join(root, "docs", r.page)) {
			if b.language != "go" || !strings.Contains(b.text, r.from) {
				continue
			}
			found++
			text := strings.Replace(b.text, r.from, r.to, 1)
			if name, program := strings.CutSuffix(r.page, ".md"); r.to == "func Main()" && program {
				name = strings.ReplaceAll(name, "-", "")
				place(name+"/page.go", strings.Replace(text, "package main", "package "+name, 1))
			} else {
				place("block_test.go", text)
			}
		}
		if found != 1 {
			t.Errorf("%s has %d blocks with %q, want 1", r.page, found, r.from)
		}
	}
	runner, err := os.ReadFile("testdata/run_test.go.txt")
	if err != nil {
		t.Fatal(err)
	}
	place("run_test.go", string(runner))
	text, err := json.Marshal(overlay)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(dir, "pages.test")
	goCommand(t, "test", "-c", "-vet=off", "-overlay", file, "-o", binary, "./internal/docstest/pages") // vet does not know overlays
	cmd := exec.Command(binary, "-test.v")
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("the programs of the pages: %v\n%s", err, out)
	}
	if n := strings.Count(string(out), "--- PASS: "); n < len(ran) {
		t.Errorf("%d tests ran, want one for each of %d blocks:\n%s", n, len(ran), out)
	}
}
