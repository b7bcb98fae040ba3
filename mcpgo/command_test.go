package mcpgo_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/mark3labs/mcp-go/client"
	mcptransport "github.com/mark3labs/mcp-go/client/transport"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/mcpgo"
)

// countingSource has no token until it is asked to resolve a challenge.
type countingSource struct {
	token    *auth.Token
	err      error
	resolved int
}

func (s *countingSource) Token(context.Context) (*auth.Token, error) {
	if s.resolved == 0 {
		return nil, auth.ErrNoToken
	}
	return s.token, s.err
}

func (s *countingSource) Resolve(_ context.Context, rejected *auth.Token, _ auth.Challenge) (*auth.Token, error) {
	if rejected != nil {
		return nil, errors.New("there was no token to reject")
	}
	s.resolved++
	return s.token, s.err
}

// A real process, started by mcp-go's own transport, sees what it may see.
func TestCommandFunc(t *testing.T) {
	t.Setenv("CANARY", "must not leak")
	t.Setenv("PASSED_ON", "this may be known")
	m := tokenManager(t, "the-token")
	file, err := mcpgo.NewTokenFile(t.Context(), m, "")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, env := range [][]string{{"TOKEN=of mcp-go's env", "OF_ENV=1"}, {"OF_ENV=0", "OF_ENV=1"}} {
		c, err := client.NewStdioMCPClientWithOptions(program(t), env, []string{"an-argument"},
			mcptransport.WithCommandFunc(mcpgo.CommandFunc(m, self("plain"), mcpgo.WithTokenVariable("TOKEN"),
				mcpgo.WithEnv("TOKEN=of WithEnv", "OF_OPTION=1"), mcpgo.WithInheritedEnv("PASSED_ON", "NOT_SET"),
				mcpgo.WithTokenFile("TOKEN_FILE", file))))
		if err != nil {
			t.Fatal(err)
		}
		if err := initialize(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		got := lookAt(t, c)
		if got.Token != "the-token" || got.FileToken != "the-token" {
			t.Errorf("token %q, in the file %q", got.Token, got.FileToken)
		}
		want := []string{"OF_ENV=1", "OF_OPTION=1", "PASSED_ON=this may be known", "TOKEN=the-token",
			"TOKEN_FILE=" + file.Path(), serverMode + "=plain"}
		for _, name := range []string{"HOME", "LOGNAME", "PATH", "SHELL", "TERM", "USER"} {
			if value, ok := os.LookupEnv(name); ok {
				want = append(want, name+"="+value)
			}
		}
		slices.Sort(want)
		slices.Sort(got.Env)
		if runtime.GOOS != "windows" && !slices.Equal(got.Env, want) {
			t.Errorf("the child's environment is\n%q\nwant\n%q", got.Env, want)
		}
		if slices.ContainsFunc(got.Args, func(arg string) bool { return strings.Contains(arg, "the-token") }) || got.Args[1] != "an-argument" {
			t.Errorf("arguments %q", got.Args)
		}
		if line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", got.PID)); err == nil && strings.Contains(string(line), "the-token") {
			t.Errorf("the token is in the process table: %q", line)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestCommandFuncGetsAToken(t *testing.T) {
	src := &countingSource{token: &auth.Token{AccessToken: "granted"}}
	cmd, err := mcpgo.CommandFunc(src, mcpgo.WithTokenVariable("TOKEN"))(t.Context(), "server", nil, []string{"a"})
	if err != nil {
		t.Fatal(err)
	}
	if src.resolved != 1 || !slices.Contains(cmd.Env, "TOKEN=granted") || !slices.Equal(cmd.Args, []string{"server", "a"}) {
		t.Errorf("resolved %d times, environment %q, arguments %q", src.resolved, cmd.Env, cmd.Args)
	}
}

func TestCommandFuncSetup(t *testing.T) {
	src := &countingSource{token: &auth.Token{AccessToken: "granted"}}
	dir := t.TempDir()
	cmd, err := mcpgo.CommandFunc(src, mcpgo.WithTokenVariable("TOKEN"),
		mcpgo.WithCommandSetup(func(cmd *exec.Cmd) { cmd.Dir = dir }))(t.Context(), "server", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if cmd.Dir != dir {
		t.Errorf("working directory %q, want %q", cmd.Dir, dir)
	}
}

func TestCommandErrors(t *testing.T) {
	refused := errors.New("refused")
	bearer := &countingSource{token: &auth.Token{AccessToken: "granted"}}
	bound := &countingSource{token: &auth.Token{AccessToken: "granted", TokenType: "DPoP"}}
	variable := mcpgo.WithTokenVariable("TOKEN")
	for _, test := range []struct {
		name  string
		src   auth.Source
		opts  []mcpgo.CommandOption
		env   []string
		field string // of a *auth.ConfigError
		is    error
		bound bool
	}{
		{name: "no variable", src: bearer, field: "WithTokenVariable"},
		{name: "empty variable", src: bearer, opts: []mcpgo.CommandOption{mcpgo.WithTokenVariable("")}, field: "WithTokenVariable"},
		{name: "impossible variable", src: bearer, opts: []mcpgo.CommandOption{mcpgo.WithTokenVariable("A=B")}, field: "WithTokenVariable"},
		{name: "nobody would remove the file", src: bearer, opts: []mcpgo.CommandOption{mcpgo.WithTokenFile("FILE", nil)}, field: "WithTokenFile"},
		{name: "restart", src: bearer, opts: []mcpgo.CommandOption{variable, mcpgo.WithRestart()}, field: "WithRestart"},
		{name: "env", src: bearer, opts: []mcpgo.CommandOption{variable}, env: []string{"x"}, field: "env"},
		{name: "WithEnv", src: bearer, opts: []mcpgo.CommandOption{variable, mcpgo.WithEnv("x")}, field: "WithEnv"},
		{name: "bound token", src: bound, opts: []mcpgo.CommandOption{variable}, bound: true},
		{name: "no token", src: &countingSource{err: refused}, opts: []mcpgo.CommandOption{variable}, is: refused},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := mcpgo.CommandFunc(test.src, test.opts...)(t.Context(), "server", test.env, nil)
			var config *auth.ConfigError
			var bound *mcpgo.TokenTypeError
			switch {
			case err == nil:
				t.Error("no error")
			case test.field != "" && (!errors.As(err, &config) || config.Field != test.field):
				t.Errorf("got %v, want a *ConfigError for %s", err, test.field)
			case test.is != nil && !errors.Is(err, test.is):
				t.Errorf("got %v, want %v", err, test.is)
			case test.bound && (!errors.As(err, &bound) || bound.TokenType != "DPoP"):
				t.Errorf("got %v, want a *TokenTypeError", err)
			}
		})
	}
}

func TestStdioConfiguration(t *testing.T) {
	m := tokenManager(t, "the-token")
	variable := mcpgo.WithTokenVariable("TOKEN")
	file, err := mcpgo.NewTokenFile(t.Context(), m, "")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for field, s := range map[string]*mcpgo.Stdio{
		"NewStdio":           mcpgo.NewStdio(m, "", nil, variable),
		"WithTokenVariable":  mcpgo.NewStdio(m, "server", nil),
		"WithTokenFile":      mcpgo.NewStdio(m, "server", nil, variable, mcpgo.WithTokenFile("TOKEN", file)),
		"WithRestartTimeout": mcpgo.NewStdio(m, "server", nil, variable, mcpgo.WithRestartTimeout(0)),
		"WithDrainTimeout":   mcpgo.NewStdio(m, "server", nil, variable, mcpgo.WithDrainTimeout(-1)),
	} {
		var config *auth.ConfigError
		if err := s.Start(t.Context()); !errors.As(err, &config) || config.Field != field {
			t.Errorf("got %v, want a *ConfigError for %s", err, field)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Without options it does what mcp-go's own does, also when it goes wrong.
func TestStdio(t *testing.T) {
	m := tokenManager(t, "first")
	s := mcpgo.NewStdio(m, program(t), nil, self("plain"), mcpgo.WithTokenVariable("TOKEN"), mcpgo.WithCommandLogger(nil))
	c := client.NewClient(s)
	if err := initialize(t.Context(), c); err == nil {
		t.Error("initialized without Start")
	}
	c = connectStdio(t, s)
	before := lookAt(t, c)
	setToken(t, m, "second")
	if now := lookAt(t, c); now.PID != before.PID || now.Token != "first" {
		t.Errorf("process %d with %q, want %d with the first token: nobody asked for a restart", now.PID, now.Token, before.PID)
	}
	stderr, ok := client.GetStderr(c)
	if !ok {
		t.Fatal("mcp-go finds no standard error")
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if text, err := io.ReadAll(stderr); err != nil || string(text) != "serving with first\n" {
		t.Errorf("standard error holds %q, %v", text, err)
	}
	if _, err := callText(t.Context(), c, "look", nil); !errors.Is(err, mcptransport.ErrTransportClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// A Start that failed leaves nothing behind and can be tried again.
func TestStdioStartFails(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	m := tokenManager(t, "first")
	s := mcpgo.NewStdio(m, filepath.Join(t.TempDir(), "no-such-program"), nil, mcpgo.WithTokenFile("TOKEN_FILE", nil), mcpgo.WithRestart())
	for range 2 {
		if err := s.Start(t.Context()); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("got %v, want os.ErrNotExist", err)
		}
		if left, _ := os.ReadDir(os.TempDir()); len(left) != 0 && runtime.GOOS != "windows" {
			t.Errorf("left behind: %v", left)
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// Nobody logs in for a server that is not installed.
func TestStdioNoSuchCommand(t *testing.T) {
	src := &countingSource{token: &auth.Token{AccessToken: "granted"}}
	s := mcpgo.NewStdio(src, "no-such-program", nil, mcpgo.WithTokenVariable("TOKEN"))
	defer s.Close()
	if err := s.Start(t.Context()); !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("got %v, want exec.ErrNotFound", err)
	}
	if src.resolved != 0 {
		t.Errorf("a token was asked for %d times", src.resolved)
	}
}

// The transport's own file follows the token, and goes with the transport.
func TestStdioTokenFile(t *testing.T) {
	m := tokenManager(t, "first")
	c := connectStdio(t, mcpgo.NewStdio(m, program(t), nil, self("plain"), mcpgo.WithTokenFile("TOKEN_FILE", nil)))
	before := lookAt(t, c)
	setToken(t, m, "second")
	after := lookAt(t, c)
	if before.FileToken != "first" || after.FileToken != "second" || after.PID != before.PID {
		t.Errorf("before %q, after %q; processes %d, %d", before.FileToken, after.FileToken, before.PID, after.PID)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Dir(after.FilePath)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file's directory: %v, want it gone", err)
	}
}
