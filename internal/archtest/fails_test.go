package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"slices"
	"strings"
	"testing"
)

// small is a program of one package with a file for each component; every file
// is named for its own.
func small(t *testing.T, path string, files map[string]string) (*program, *layout) {
	t.Helper()
	p, l := &program{fset: token.NewFileSet()}, &layout{pkg: path, files: make(map[string]string), shell: []string{"shell"}}
	var parsed []*ast.File
	for _, name := range slices.Sorted(maps.Keys(files)) {
		file, err := parser.ParseFile(p.fset, name+".go", "package small\n"+files[name], parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		parsed = append(parsed, file)
		l.files[name+".go"] = name
	}
	if err := p.check(path, parsed, compiled(t, p.fset)); err != nil {
		t.Fatal(err)
	}
	return p, l
}

// What the rules have to find, each in a package that breaks one of them.
func TestRulesCanFail(t *testing.T) {
	const shell = "type Manager struct{ v vault }; func (m *Manager) Token() { m.v.read() }; type vault struct{}"
	for _, tt := range []struct {
		name  string
		files map[string]string
		want  string // of all that is found; empty: nothing
	}{
		{"one way", map[string]string{
			"shell": "type Manager struct{ v vault }; func (m *Manager) Token() { m.v.read() }",
			"vault": "type vault struct{}; func (v vault) read() { clean() }", "text": "func clean() {}",
		}, ""},
		{"a circle of three", map[string]string{"a": "func a() { b() }", "b": "func b() { c() }", "c": "func c() { a() }"}, "circle a -> b (a.go:2: b), b -> c (b.go:2: c), c -> a (c.go:2: a)"},
		{"a circle in a function literal", map[string]string{"a": "func a() { f := func() { b() }; f() }", "b": "func b() { _ = a }"}, "circle a -> b"},
		{"a circle by generic functions", map[string]string{"a": "func a[T any](T) { b(1) }", "b": "func b(n int) { a[int](n) }"}, "circle a -> b"},
		{"a circle by an interface", map[string]string{
			"a": "type reader interface{ read() }; type a struct{ r reader }; func (a a) run() { a.r.read() }", "b": "type b struct{}; func (b) read() { a{}.run() }",
		}, "circle a -> b (a.go:2: read by its interface)"},
		{"a circle by a variable", map[string]string{"a": "var x = b(); func a() {}", "b": "func b() int { a(); return 1 }"}, "circle a -> b"},
		{"errors are no circle", map[string]string{
			"a": "type failed struct{}; func (failed) Error() string { return text(nil) }", "b": "func text(err error) string { return err.Error() }",
		}, ""},
		{"a field of the shell's", map[string]string{"shell": shell, "vault": "func (v vault) read() {}; type job struct{ m *Manager }"}, "up vault.go:2: vault uses Manager"},
		{"a map of the shell's", map[string]string{"shell": shell, "vault": "func (v vault) read() {}; var all map[string][]*Manager"}, "up vault.go:2: vault uses Manager"},
		{"a parameter of the shell's", map[string]string{"shell": shell, "vault": "func (v vault) read() {}; func job(m *Manager) { m.Token() }"}, "vault uses Token of the shell"},
		{"a method of the shell by an interface of its own", map[string]string{
			"shell": shell, "vault": "func (v vault) read() { var t tokens; t.Token() }; type tokens interface{ Token() }",
		}, "circle shell -> vault"},
		{"a method that is handed down", map[string]string{"shell": shell + "; func (m *Manager) tell() { job(m.Token) }", "vault": "func (v vault) read() {}; func job(func()) {}"}, "hook vault.job m.Token"},
		{"a literal that is handed down", map[string]string{"shell": shell + "; func (m *Manager) tell() { job(func() { m.Token() }) }", "vault": "func (v vault) read() {}; func job(func()) {}"}, "hook vault.job func"},
		{"a field that is handed down", map[string]string{"shell": shell + "; func (m *Manager) tell() { _ = job{f: m.Token} }", "vault": "func (v vault) read() {}; type job struct{ f func() }"}, "hook vault.job m.Token"},
		{"a field that is set", map[string]string{"shell": shell + "; func (m *Manager) tell(j *job) { j.f = m.Token }", "vault": "func (v vault) read() {}; type job struct{ f func() }"}, "hook vault.job m.Token"},
		{"a method that is handed down by an interface", map[string]string{
			"shell": shell + "; func (m *Manager) watch(w watcher) { w.watch(m.Token) }", "vault": "func (v vault) read() {}; type watcher interface{ watch(func()) }",
		}, "hook vault.watch m.Token"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, l := small(t, "small", tt.files)
			var found []string
			for _, c := range l.calls(p).cycles() {
				found = append(found, "circle "+c)
			}
			for _, up := range l.upwards(p) {
				found = append(found, "up "+up)
			}
			for hook := range l.hooks(p) {
				found = append(found, "hook "+hook)
			}
			all := strings.Join(found, "\n")
			if tt.want == "" && all != "" || !strings.Contains(all, tt.want) {
				t.Errorf("found %q, want %q", all, tt.want)
			}
		})
	}
}

func TestPurityCanFail(t *testing.T) {
	for source, want := range map[string]string{
		`import "time"; func f(now time.Time) time.Time { return now.Add(time.Second) }`:            "",
		`import "time"; func f(now time.Time) bool { return now.After(time.Unix(0, 0)) }`:           "",
		`import "time"; func f() time.Time { return time.Now() }`:                                   "a.go:2: time.Now",
		`import clock "time"; func f() func(time clock.Time) clock.Duration { return clock.Since }`: "a.go:2: time.Since",
		`import "time"; func f() { <-time.After(1) }`:                                               "a.go:2: time.After",
		`import "sync"; var mu sync.Mutex`:                                                          "imports sync",
		`import "sync/atomic"; var n atomic.Int64`:                                                  "imports sync/atomic",
		`import "context"; type f func(context.Context)`:                                            "imports context",
		`import "math/rand/v2"; var n = rand.Int()`:                                                 "imports math/rand/v2",
		`func f() { go f() }`: "a.go:2: a goroutine",
		`var done chan int`:   "a.go:2: a channel",
	} {
		p, _ := small(t, "small", map[string]string{"a": source})
		if found := strings.Join(impurities(p, "small"), "\n"); want == "" && found != "" || !strings.Contains(found, want) {
			t.Errorf("%s: found %q, want %q", source, found, want)
		}
	}
}

func TestImportRulesCanFail(t *testing.T) {
	for _, tt := range []struct{ from, dep, want string }{
		{"auth", "github.com/mark3labs/mcp-go/mcp", "auth depends on github.com/mark3labs/mcp-go/mcp"},
		{"auth/discovery", module + "/auth", "auth/discovery depends on auth"},
		{"auth/internal/finder", module + "/auth", "auth/internal/finder depends on auth"},
		{"auth/internal/finder", module + "/auth/discovery", ""},
		{"auth/grant", module + "/auth", ""},
		{"auth/store/redisstore", "github.com/redis/go-redis/v9", ""},
		{"auth/store/filestore", "github.com/redis/go-redis/v9", "auth/store/filestore depends on github.com/redis/go-redis/v9"},
		{"transport", module + "/auth/store", "transport depends on auth/store"},
		{"transport", module + "/auth/storage", ""},
		{"otelauth", module + "/transport", "otelauth depends on transport"},
	} {
		found := misdirected([]listed{{ImportPath: module + "/" + tt.from, Deps: []string{"fmt", tt.dep}}}, directions)
		if got := strings.Join(found, "\n"); got != tt.want {
			t.Errorf("%s with %s: %q, want %q", tt.from, tt.dep, got, tt.want)
		}
	}
}

func TestSizesCanFail(t *testing.T) {
	for _, tt := range []struct {
		size
		got  int
		want string
	}{
		{size{most: 10}, 10, ""},
		{size{most: 10}, 11, "is 11, the bound is 10"},
		{size{most: 10, today: 12}, 12, ""},
		{size{most: 10, today: 12}, 13, "is 13, the bound is 12"},
		{size{most: 10, today: 12}, 10, "is 10 and within its bound of 10: remove the mark 12"},
	} {
		if got := tt.problem(tt.got); got != tt.want {
			t.Errorf("%+v with %d: %q, want %q", tt.size, tt.got, got, tt.want)
		}
	}
	p, l := small(t, "small", map[string]string{
		"shell": "type Manager struct{ a, b int; C string }; type Config struct{ A, B, C int }", "vault": "type vault struct{ a int }",
	})
	if got := l.fields(p); len(got) != 1 || got["Manager"] != 3 {
		t.Errorf("fields: %v", got)
	}
}
