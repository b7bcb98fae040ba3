package docstest

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/format"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// pages are the documents whose blocks are checked here. mcpgo/MIGRATION.md has a
// test of its own.
func pages(t *testing.T) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil || len(all) < 10 {
		t.Fatalf("%d pages in docs, %v", len(all), err)
	}
	for _, name := range []string{"README.md", "CONTRIBUTING.md", "SECURITY.md"} {
		if _, err := os.Stat(filepath.Join(root, name)); err == nil {
			all = append(all, filepath.Join(root, name))
		}
	}
	return all
}

// block is what stands between ``` and ``` on a page.
type block struct {
	page, language, text string
	line                 int // of its first line
}

func blocks(t *testing.T, page string) (all []block) {
	t.Helper()
	source, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var open *block
	for i, line := range strings.Split(string(source), "\n") {
		switch mark, fence := strings.CutPrefix(strings.TrimSpace(line), "```"); {
		case fence && open == nil:
			open = &block{page: filepath.Base(page), language: mark, line: i + 2}
		case fence:
			all = append(all, *open)
			open = nil
		case open != nil:
			open.text += line + "\n"
		}
	}
	if open != nil {
		t.Errorf("%s:%d: the block is not closed", open.page, open.line)
	}
	return all
}

// importPaths are the packages that a block may use without an import declaration.
var importPaths = map[string]string{
	"auth": module + "/auth", "authtest": module + "/auth/authtest", "browser": module + "/auth/browser",
	"clientauth": module + "/auth/clientauth", "discovery": module + "/auth/discovery", "dpop": module + "/auth/dpop",
	"external": module + "/auth/external", "grant": module + "/auth/grant", "registration": module + "/auth/registration",
	"weblogin": module + "/auth/weblogin", "filestore": module + "/auth/store/filestore",
	"keyringstore": module + "/auth/store/keyringstore", "redisstore": module + "/auth/store/redisstore",
	"sealed": module + "/auth/store/sealed", "sqlstore": module + "/auth/store/sqlstore",
	"storetest": module + "/auth/store/storetest", "transport": module + "/transport", "mcpgo": module + "/mcpgo",
	"otelauth": module + "/otelauth", "authtrace": module + "/auth/authtrace",

	"client": "github.com/mark3labs/mcp-go/client", "mcptransport": "github.com/mark3labs/mcp-go/client/transport", "mcp": "github.com/mark3labs/mcp-go/mcp",
	"server": "github.com/mark3labs/mcp-go/server", "redis": "github.com/redis/go-redis/v9",
	"metric": "go.opentelemetry.io/otel/metric", "trace": "go.opentelemetry.io/otel/trace",
	"oauth2": "golang.org/x/oauth2",

	"context": "context", "errors": "errors", "exec": "os/exec", "filepath": "path/filepath", "fmt": "fmt", "http": "net/http", "log": "log",
	"os": "os", "rand": "crypto/rand", "signal": "os/signal", "slog": "log/slog", "sql": "database/sql",
	"strconv": "strconv", "strings": "strings", "sync": "sync", "synctest": "testing/synctest", "testing": "testing", "time": "time",
	"tls": "crypto/tls", "url": "net/url", "x509": "crypto/x509", "base64": "encoding/base64", "json": "encoding/json",
}

const module = "github.com/mcptokens/mcptokens"

// prelude has the names that blocks take for granted.
const prelude = `package page

import (
	"context"
	"crypto"
	"database/sql"
	"log/slog"
	"net/http"
	"testing"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/server"
	"github.com/redis/go-redis/v9"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
)

var (
	ctx         context.Context
	t           *testing.T
	cfg         auth.Config
	manager     *auth.Manager
	pool        *auth.Pool
	store       auth.Store
	c           *client.Client
	err         error
	w           http.ResponseWriter
	r           *http.Request
	logger      *slog.Logger
	db          *sql.DB
	redisClient *redis.Client
	mcpServer   *server.MCPServer
	srv         *authtest.Server
	protected   *authtest.Resource
	ca          []byte
	publicKey   crypto.PublicKey

	user, token, secret, name string
	resource, issuer          string

	userOfSession func(*http.Request) (string, error)

	instrument func(http.RoundTripper) http.RoundTripper
	mystore    struct{ New func(dir string) auth.Store }
	agent      struct{ Token func(context.Context) (string, error) }
)
`

// snippet is a block of Go as a file.
type snippet struct {
	block
	program bool
	file    *ast.File
}

// parse makes a file of a block: one with a package clause is a file, one that begins
// with a declaration gets a clause, and the rest is the body of a function.
func (s *snippet) parse(fset *token.FileSet) error {
	at := fmt.Sprintf("//line %s:%d\n", s.page, s.line)
	statements := "package page\nfunc _() error {\n" + at + s.text + "\nreturn nil\n}\n"
	declarations := "package page\n" + at + s.text
	sources := []string{statements, declarations}
	switch first, _, _ := strings.Cut(strings.TrimSpace(withoutComments(s.text)), " "); first {
	case "package":
		s.program = true
		sources = []string{at + s.text}
	case "import", "func", "type":
		sources = []string{declarations}
	}
	var err error
	for _, source := range sources {
		if s.file, err = parser.ParseFile(fset, s.page, source, parser.SkipObjectResolution); err == nil {
			return nil
		}
	}
	return err
}

func withoutComments(text string) string {
	var kept []string
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(strings.TrimSpace(line), "//") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}

// addImports declares the packages of importPaths that the block names.
func (s *snippet) addImports() {
	if s.program {
		return
	}
	have := map[string]bool{}
	for _, spec := range s.file.Imports {
		have[importedName(spec)] = true
	}
	used := map[string]bool{}
	ast.Inspect(s.file, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := sel.X.(*ast.Ident); ok && ast.IsExported(sel.Sel.Name) {
				used[x.Name] = true
			}
		}
		return true
	})
	for name := range used {
		if path := importPaths[name]; path != "" && !have[name] {
			spec := &ast.ImportSpec{Name: ast.NewIdent(name), Path: &ast.BasicLit{Kind: token.STRING, Value: `"` + path + `"`}}
			s.file.Imports = append(s.file.Imports, spec)
			s.file.Decls = append([]ast.Decl{&ast.GenDecl{Tok: token.IMPORT, Specs: []ast.Spec{spec}}}, s.file.Decls...)
		}
	}
}

func importedName(spec *ast.ImportSpec) string {
	if spec.Name != nil {
		return spec.Name.Name
	}
	return filepath.Base(strings.Trim(spec.Path.Value, `"`))
}

// Every Go block compiles: a program as it stands, everything else with the names of
// the prelude and the imports of importPaths. The type checker is the compiler's, and
// one for all blocks, so that a page costs milliseconds.
func TestGoBlocksCompile(t *testing.T) {
	fset := token.NewFileSet()
	base, err := parser.ParseFile(fset, "prelude", prelude, 0)
	if err != nil {
		t.Fatal(err)
	}
	var all []*snippet
	paths := map[string]bool{}
	for _, page := range pages(t) {
		for _, b := range blocks(t, page) {
			if b.language != "go" {
				continue
			}
			s := &snippet{block: b}
			if err := s.parse(fset); err != nil {
				t.Error(err)
				continue
			}
			if got, err := format.Source([]byte(b.text)); err != nil || !bytes.Equal(bytes.TrimSpace(got), []byte(strings.TrimSpace(b.text))) {
				t.Errorf("%s:%d: gofmt would change the block (%v)", b.page, b.line, err)
			}
			s.addImports()
			all = append(all, s)
		}
	}
	if len(all) < 20 {
		t.Fatalf("%d blocks of Go found: has their form changed?", len(all))
	}
	for _, f := range append(filesOf(all), base) {
		for _, spec := range f.Imports {
			paths[strings.Trim(spec.Path.Value, `"`)] = true
		}
	}
	im := importer.ForCompiler(fset, "gc", exports(t, paths))
	for _, s := range all {
		for _, err := range check(fset, im, s, base) {
			t.Error(err)
		}
	}
	// The check finds what it is for.
	for text, want := range map[string]string{
		"manager.Tokens(ctx)\n":                               "Tokens undefined",
		"package main\n\nfunc main() { x := 1 }\n":            "declared and not used",
		"cfg.Store = filestore.Store{}\n":                     "does not implement",
		"func f() error {\n\treturn nothing\n}\n":             "undefined: nothing",
		"m, err := auth.NewManager(auth.Config{}, \"too\")\n": "too many arguments",
	} {
		s := &snippet{block: block{page: "x.md", language: "go", text: text, line: 1}}
		if err := s.parse(fset); err != nil {
			t.Fatal(err)
		}
		s.addImports()
		if got := fmt.Sprint(check(fset, im, s, base)); !strings.Contains(got, want) {
			t.Errorf("%q: %s, want an error with %q", text, got, want)
		}
	}
}

func filesOf(all []*snippet) (files []*ast.File) {
	for _, s := range all {
		files = append(files, s.file)
	}
	return files
}

// check returns what the type checker says of a block. Variables and values that a
// block leaves to the reader to use are errors in programs only.
func check(fset *token.FileSet, im types.Importer, s *snippet, base *ast.File) (all []error) {
	cfg := types.Config{Importer: im, Error: func(err error) {
		if te, ok := err.(types.Error); s.program || !ok || !te.Soft && !strings.HasSuffix(te.Msg, " is not used") {
			all = append(all, err)
		}
	}}
	files := []*ast.File{s.file}
	if !s.program {
		files = append(files, base)
	}
	_, _ = cfg.Check("page", fset, files, nil) // Error has them all
	return all
}

// exports returns how an importer finds what the compiler knows of packages.
func exports(t *testing.T, paths map[string]bool) importer.Lookup {
	t.Helper()
	args := []string{"list", "-export", "-deps", "-f", "{{.ImportPath}}={{.Export}}"}
	for path := range paths {
		args = append(args, path)
	}
	slices.Sort(args[5:])
	files := map[string]string{}
	for line := range strings.Lines(goCommand(t, args...)) {
		path, file, _ := strings.Cut(strings.TrimSpace(line), "=")
		files[path] = file
	}
	return func(path string) (io.ReadCloser, error) {
		if files[path] == "" {
			return nil, fmt.Errorf("no package %s", path)
		}
		return os.Open(files[path])
	}
}

// goCommand runs the go command in the repository and returns what it prints.
func goCommand(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Dir = root
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}
