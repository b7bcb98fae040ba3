package docstest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// entry is a text on docs/troubleshooting.md: a line > `text`, in which … stands for
// whatever is there.
type entry struct {
	text    string
	pattern *regexp.Regexp
	used    bool
}

func entries(t *testing.T) (all []*entry, page string) {
	t.Helper()
	source, err := os.ReadFile(filepath.Join(root, "docs", "troubleshooting.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile("(?m)^> `(.+)`$").FindAllStringSubmatch(string(source), -1) {
		if letters(m[1]) < 6 {
			t.Errorf("docs/troubleshooting.md: %q would fit almost anything", m[1])
		}
		pattern := strings.ReplaceAll(regexp.QuoteMeta(m[1]), "…", ".*")
		all = append(all, &entry{text: m[1], pattern: regexp.MustCompile(pattern)})
	}
	return all, string(source)
}

func letters(text string) (n int) {
	for _, r := range text {
		if r != '…' && r != ' ' && r != ':' && r != '"' {
			n++
		}
	}
	return n
}

// Every error text has an entry, every entry is of an error text, and every type and
// variable that errors.As and errors.Is find is named. The texts are those of
// auth/testdata/errors.golden, which has them whole, and those that the code makes.
func TestEveryErrorHasAnEntry(t *testing.T) {
	all, page := entries(t)
	golden, err := os.ReadFile(filepath.Join(root, "auth", "testdata", "errors.golden"))
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for line := range strings.Lines(string(golden)) {
		if text, is := strings.CutPrefix(line, "\t"); is && !strings.HasPrefix(text, "(no error") {
			texts = append(texts, strings.TrimSpace(text))
		}
	}
	if len(texts) < 200 {
		t.Fatalf("%d texts in errors.golden", len(texts))
	}
	found, names := errorsOf(t)
	if len(found) < 250 || len(names) < 30 {
		t.Fatalf("%d texts and %d names found in the code", len(found), len(names))
	}
	texts = append(texts, found...)
	slices.Sort(texts)
	for _, text := range slices.Compact(texts) {
		if !explained(all, text) {
			t.Errorf("docs/troubleshooting.md has no entry for %q", text)
		}
	}
	for _, e := range all {
		if !e.used {
			t.Errorf("docs/troubleshooting.md: no error has the text %q", e.text)
		}
	}
	for _, name := range names {
		if !regexp.MustCompile("`\\*?" + regexp.QuoteMeta(name) + "`").MatchString(page) {
			t.Errorf("docs/troubleshooting.md does not name `%s`", name)
		}
	}
	if explained(all, "auth: a new kind of trouble") {
		t.Error("a text that no error has is explained")
	}
}

func explained(all []*entry, text string) (found bool) {
	for _, e := range all {
		if e.pattern.MatchString(text) {
			e.used, found = true, true
		}
	}
	return found
}

// makers are the functions that make an error of a text, and which argument it is.
var makers = map[string]int{
	"errors.New": 0, "fmt.Errorf": 0, "errtext.New": 0, "errtext.Permanent": 0, "errtext.Errorf": 1, "New": 0, "Permanent": 0, "Errorf": 1,
	"fail": 0, "timeout": 0,
}

// errorsOf returns the texts that errors of the library are made of, and the names of
// exported error types and variables.
func errorsOf(t *testing.T) (texts, names []string) {
	t.Helper()
	for _, dir := range []string{"auth", "transport", "mcpgo", "otelauth", "internal/httpx", "internal/errtext"} {
		eachFile(t, dir, func(name, source string) {
			if strings.HasSuffix(name, "_test.go") || strings.Contains(name, "/storetest/") || strings.Contains(name, "/authtest/") {
				return
			}
			file, err := parser.ParseFile(token.NewFileSet(), name, source, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				if text := errorText(n); letters(text) >= 8 {
					texts = append(texts, text)
				}
				return true
			})
			if !strings.Contains(name, "/internal/") && file.Name.Name != "wire" {
				names = append(names, exportedErrors(file)...)
			}
		})
	}
	return texts, names
}

// errorText is what a call or a literal makes an error of, with … for what is only
// known when it runs; empty if it makes none.
func errorText(n ast.Node) string {
	switch n := n.(type) {
	case *ast.CallExpr:
		at, ok := makers[called(n.Fun)]
		if !ok || len(n.Args) <= at {
			return ""
		}
		return verbs.ReplaceAllString(constant(n.Args[at]), "…")
	case *ast.CompositeLit:
		if called(n.Type) != "ConfigError" && called(n.Type) != "auth.ConfigError" || len(n.Elts) != 2 {
			return ""
		}
		var parts [2]string
		for i, e := range n.Elts {
			if kv, ok := e.(*ast.KeyValueExpr); ok {
				e = kv.Value
			}
			parts[i] = constant(e)
		}
		return "auth: " + parts[0] + ": " + parts[1]
	}
	return ""
}

var verbs = regexp.MustCompile(`%[+#]?[a-z]`)

// called is the name of a function or a type, with its package.
func called(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		if x, ok := e.X.(*ast.Ident); ok {
			return x.Name + "." + e.Sel.Name
		}
	}
	return ""
}

// constant is the text of an expression.
func constant(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		if text, err := strconv.Unquote(e.Value); err == nil {
			return text
		}
	case *ast.BinaryExpr:
		return constant(e.X) + constant(e.Y)
	case *ast.CallExpr:
		if called(e.Fun) == "fmt.Sprintf" {
			return verbs.ReplaceAllString(constant(e.Args[0]), "…")
		}
	}
	return "…"
}

// exportedErrors are pkg.Name of the types with a method Error, and of the variables
// Err….
func exportedErrors(file *ast.File) (names []string) {
	add := func(name string) {
		if ast.IsExported(name) {
			names = append(names, file.Name.Name+"."+name)
		}
	}
	for _, d := range file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil || d.Name.Name != "Error" {
				continue
			}
			recv := d.Recv.List[0].Type
			if star, ok := recv.(*ast.StarExpr); ok {
				recv = star.X
			}
			add(called(recv))
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				if v, ok := spec.(*ast.ValueSpec); ok && d.Tok == token.VAR {
					for _, name := range v.Names {
						if strings.HasPrefix(name.Name, "Err") {
							add(name.Name)
						}
					}
				}
			}
		}
	}
	return names
}
