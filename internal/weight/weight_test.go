package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestMain(m *testing.M) {
	if err := os.Chdir("../.."); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// What a program with the option and a file store imports. mcpgo is left to the
// linker: mcp-go imports html/template by way of spf13/cast, for a type that
// the linker drops.
var light = []string{"./auth", "./auth/grant", "./auth/browser", "./auth/store/filestore", "./transport"}

// Templates find methods by name, with reflect. A program that has them keeps
// every exported method of everything that it links: 2.4 MB for this library.
func TestNoTemplatesOnTheWay(t *testing.T) {
	for _, dep := range dependencies(t, light...) {
		if dep == "text/template" || dep == "html/template" {
			t.Errorf("%s is imported; go list -deps -f '{{.ImportPath}} {{.Imports}}' shows by whom", dep)
		}
	}
}

// Who tries the examples first compiles what they import.
func TestExamplesWithoutGRPC(t *testing.T) {
	for _, dep := range dependencies(t, "./examples/...") {
		if strings.HasPrefix(dep, "google.golang.org/") {
			t.Errorf("%s is imported; go list -deps -f '{{.ImportPath}} {{.Imports}}' shows by whom", dep)
		}
	}
}

func dependencies(t *testing.T, packages ...string) []string {
	t.Helper()
	deps := strings.Fields(goCommand(t, append([]string{"list", "-deps"}, packages...)...))
	if len(deps) < 100 {
		t.Fatalf("go list named %d packages", len(deps))
	}
	return deps
}

const templateProgram = `package main

import (
	"os"
	"text/template"
)

func main() { _ = template.Must(template.New("").Parse(os.Args[0])).Execute(os.Stdout, os.Args) }
`

// byName is how the linker marks a function that may call any method.
var byName = regexp.MustCompile(`(?m)^(\S+) <ReflectMethod> ->`)

// maxMore bounds what the option and a file store add to a program with an mcp-go
// client, and maxLogin what a login through the browser adds as well, in bytes.
// PERFORMANCE.md says what they are.
const maxMore, maxLogin = 1.2e6, 1.6e6

// The linker says for itself whether it can remove methods that nobody calls.
func TestLinkerRemovesDeadCode(t *testing.T) {
	file := filepath.Join(t.TempDir(), "main.go")
	if err := os.WriteFile(file, []byte(templateProgram), 0o600); err != nil {
		t.Fatal(err)
	}
	said, _ := linked(t, file)
	if got := byName.FindString(said); !strings.HasPrefix(got, "text/template.") {
		t.Fatalf("the linker finds %q in a program with templates: has its -dumpdep changed?", got)
	}
	_, plain := linked(t, "./"+programs[0].dir)
	_, manager := linked(t, "./"+programs[2].dir)
	said, login := linked(t, "./"+programs[3].dir)
	for _, m := range byName.FindAllStringSubmatch(said, -1) {
		t.Errorf("%s calls methods by name", m[1])
	}
	for _, m := range []struct {
		what       string
		size, most int64
	}{{"the option and a store add", manager, maxMore}, {"a login adds", login, maxLogin}} {
		if more := m.size - plain; more > m.most || more < 0 {
			t.Errorf("%s %d bytes, want at most %d", m.what, more, m.most)
		}
	}
	if strings.Contains(said, "reflect.MakeFunc") {
		t.Error("reflect.MakeFunc is linked, 30 KB: does something import net/http/httptrace again?")
	}
}

// linked returns what the linker says of the dependencies of a program, and the
// program's size in bytes.
func linked(t *testing.T, source string) (said string, size int64) {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "program")
	said = goCommand(t, "build", "-ldflags=-dumpdep -s -w", "-o", binary, source)
	info, err := os.Stat(binary)
	if err != nil {
		t.Fatal(err)
	}
	return said, info.Size()
}

func goCommand(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command("go", args...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}
