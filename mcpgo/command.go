package mcpgo

import (
	"context"
	"errors"
	"os/exec"
	"runtime"
	"strings"

	mcptransport "github.com/mark3labs/mcp-go/client/transport"

	"github.com/mcptokens/mcptokens/auth"
)

// CommandFunc starts a stdio server with src's token in its environment. It is
// for mcp-go's own stdio transport:
//
//	c, err := client.NewStdioMCPClientWithOptions("weather-server", nil, nil,
//		mcptransport.WithCommandFunc(mcpgo.CommandFunc(manager, mcpgo.WithTokenVariable("WEATHER_TOKEN"))))
//
// A stdio server takes its credential from the environment (MCP 2026-07-28,
// authorization, "Protocol Requirements"), and it cannot ask for one before it
// runs: if src has no token yet, one is obtained with [auth.Source].Resolve,
// which may involve the user and lasts no longer than the context that the
// transport was started with. The token is never put in the arguments, which
// other users of the machine can read.
//
// Each server reads a variable of its own, so there is no default:
// give [WithTokenVariable], [WithTokenFile] or both. An environment
// does not change while a process runs: a server that outlives its token needs
// the file, or [NewStdio] with [WithRestart].
//
// The child does not inherit the environment of this process, only HOME,
// LOGNAME, PATH, SHELL, TERM and USER (on Windows APPDATA, HOMEDRIVE, HOMEPATH,
// LOCALAPPDATA, PATH, PROCESSOR_ARCHITECTURE, SYSTEMDRIVE, SYSTEMROOT, TEMP,
// USERNAME and USERPROFILE), the variables given to [WithInheritedEnv], and
// those that are set by mcp-go's env argument or [WithEnv]. Of two settings of
// one variable the last wins; the token's comes after all others.
//
// Errors, which come out of the transport's Start: *[auth.ConfigError] names
// the option to change; *[TokenTypeError], for a token that only its holder can
// use; those of src.
func CommandFunc(src auth.Source, opts ...CommandOption) mcptransport.CommandFunc {
	o := newCommandOptions(opts)
	src = sourceOf(src, "CommandFunc")
	return func(ctx context.Context, command string, env []string, args []string) (*exec.Cmd, error) {
		if o.restart {
			return nil, &auth.ConfigError{Field: "WithRestart", Problem: "CommandFunc does not see requests; use NewStdio"}
		}
		if o.withTokenFile && o.file == nil {
			return nil, &auth.ConfigError{Field: "WithTokenFile", Problem: "nothing would remove the file; use NewTokenFile, or NewStdio, which has a Close"}
		}
		if err := o.check(); err != nil {
			return nil, err
		}
		token, err := startToken(ctx, src)
		if err != nil {
			return nil, err
		}
		if o.file != nil {
			if err := o.file.Place(ctx, token, nil); err != nil {
				return nil, err
			}
		}
		return o.command(ctx, command, env, args, token, o.file)
	}
}

// CommandOption changes how a stdio server is started, or, for [NewStdio], how
// it is kept.
type CommandOption func(*commandOptions)

type commandOptions struct {
	withTokenVariable, withTokenFile bool
	tokenVariable, fileVariable      string
	file                             *TokenFile // nil: NewStdio's own
	inherited, env                   []string
	setup                            func(*exec.Cmd)
	stdioOptions
}

func newCommandOptions(opts []CommandOption) *commandOptions {
	o := &commandOptions{stdioOptions: defaultStdioOptions()}
	for _, opt := range opts {
		opt(o)
	}
	return o
}

// WithTokenVariable names the environment variable that the child finds its
// access token in, without "Bearer". Default: none.
func WithTokenVariable(name string) CommandOption {
	return func(o *commandOptions) { o.tokenVariable, o.withTokenVariable = name, true }
}

// WithTokenFile names the environment variable that the child finds the path of
// a [TokenFile] in. The file stays the caller's, who closes it after the child.
// A nil file is for [NewStdio]: it makes one, in a private temporary directory,
// and removes it when it is closed. Default: no file.
func WithTokenFile(variable string, file *TokenFile) CommandOption {
	return func(o *commandOptions) { o.fileVariable, o.file, o.withTokenFile = variable, file, true }
}

// WithInheritedEnv adds to the variables that the child inherits from this
// process, as they are when it starts. Those that are not set are left out.
// Default: the list at [CommandFunc].
func WithInheritedEnv(names ...string) CommandOption {
	return func(o *commandOptions) { o.inherited = append(o.inherited, names...) }
}

// WithEnv sets variables of the child, each NAME=VALUE. Default: none.
func WithEnv(entries ...string) CommandOption {
	return func(o *commandOptions) { o.env = append(o.env, entries...) }
}

// WithCommandSetup has f change the command right before it is started: its
// working directory, where its standard error goes, attributes of the operating
// system. Default: the working directory of this process; standard error is
// kept for Stderr.
func WithCommandSetup(f func(*exec.Cmd)) CommandOption {
	return func(o *commandOptions) { o.setup = f }
}

// check finds what no child could be started with.
func (o *commandOptions) check() error {
	if !o.withTokenVariable && !o.withTokenFile {
		return &auth.ConfigError{Field: "WithTokenVariable", Problem: "the server would get no token; name the variable that it reads its token from, or use WithTokenFile"}
	}
	if o.withTokenVariable {
		if err := checkVariable("WithTokenVariable", o.tokenVariable); err != nil {
			return err
		}
	}
	if o.withTokenFile {
		if err := checkVariable("WithTokenFile", o.fileVariable); err != nil {
			return err
		}
	}
	if o.withTokenVariable && o.withTokenFile && variableKey(runtime.GOOS, o.tokenVariable) == variableKey(runtime.GOOS, o.fileVariable) {
		return &auth.ConfigError{Field: "WithTokenFile", Problem: "the variable is the token's own; a path cannot be in it as well"}
	}
	return nil
}

// command is the child that is to run with token.
func (o *commandOptions) command(ctx context.Context, name string, env, args []string, token *auth.Token, file *TokenFile) (*exec.Cmd, error) {
	if err := bearerOnly(token); err != nil {
		return nil, err
	}
	environment, err := o.childEnvironment(env, token.AccessToken, file)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = environment
	if o.setup != nil {
		o.setup(cmd)
	}
	return cmd, nil
}

// startToken returns the token that a server starts with. Nothing can challenge
// before it runs, so the challenge is ours.
func startToken(ctx context.Context, src auth.Source) (*auth.Token, error) {
	token, err := src.Token(ctx)
	if errors.Is(err, auth.ErrNoToken) {
		token, err = src.Resolve(ctx, nil, auth.Challenge{})
	}
	return token, err
}

// TokenTypeError says that a token cannot be handed to another process: it is
// worth nothing without a key that stays here, as a DPoP token is (RFC 9449).
// Ask the authorization server for bearer tokens.
type TokenTypeError struct {
	// TokenType is the token's, such as "DPoP".
	TokenType string
}

// Error implements error; the text holds no secret.
func (e *TokenTypeError) Error() string {
	return "mcpgo: a token of type " + e.TokenType + " cannot be handed to a stdio server, only a bearer token can"
}

func bearerOnly(token *auth.Token) error {
	if token.TokenType != "" && !strings.EqualFold(token.TokenType, "Bearer") {
		return &TokenTypeError{TokenType: token.TokenType}
	}
	return nil
}
