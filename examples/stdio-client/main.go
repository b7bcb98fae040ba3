// Command stdio-client is an mcp-go client of a stdio server whose credentials
// take care of themselves.
//
//	go run ./examples/stdio-client
//
// starts an authorization server and a protected HTTP API in this process, and,
// as processes of their own, stdio servers that call the API with the token that
// they are given. It shows, step by step, how the token gets there: at start, by
// a file that is replaced when the token is rotated, by a restart after a
// rotation, and after a scope challenge that the server passes on. Each step is
// checked; the exit status is 0 only if all of them really happened.
//
//	go run ./examples/stdio-client -resource https://api.example.com/ -token-variable API_TOKEN -- weather-server --verbose
//
// does the same job for a real server: it gets a token for the API, starts the
// server with it and lists the server's tools, or calls one.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"time"

	"github.com/mcptokens/mcptokens/auth"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if api := os.Getenv(apiVariable); api != "" { // started by the demonstration
		os.Exit(serve(ctx, api))
	}
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// options are the command line.
type options struct {
	command                []string // the server's
	tokenVariable, file    string
	restart                bool
	tool, args             string
	arguments              map[string]any // args, parsed
	resource, tokenFrom    string
	clientID, clientSecret string
	issuer                 string
	scopes, store          string
	headless, verbose      bool
	timeout                time.Duration
}

// run is main with its world passed in; it returns the exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var o options
	flags := flag.NewFlagSet("stdio-client", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.tokenVariable, "token-variable", "", "`name` of the environment variable that the server reads its token from")
	flags.StringVar(&o.file, "token-file-variable", "", "`name` of the environment variable that the server reads the path of a token file from")
	flags.BoolVar(&o.restart, "restart", false, "restart the server when the token was rotated")
	flags.StringVar(&o.tool, "tool", "", "`name` of a tool to call, instead of listing them")
	flags.StringVar(&o.args, "args", "{}", "the tool's arguments, a JSON `object`")
	flags.StringVar(&o.resource, "resource", "", "`URL` of the protected API that the server calls: log in there")
	flags.StringVar(&o.tokenFrom, "token-from", "", "take the token from this environment `variable` instead")
	flags.BoolVar(&o.headless, "headless", false, "follow the authorization server's redirects without a browser")
	flags.StringVar(&o.clientID, "client-id", "", "`ID` of a client that is registered already")
	flags.StringVar(&o.clientSecret, "client-secret", "", "that client's `secret`, if it has one; it goes to -issuer only")
	flags.StringVar(&o.issuer, "issuer", "", "`URL` of the authorization server that the client is registered with")
	flags.StringVar(&o.scopes, "scopes", "", "scopes to ask for from the start, separated by `spaces`")
	flags.StringVar(&o.store, "store", "", "keep tokens in `file`, file:DIR or keyring, so that the next run needs no login")
	flags.DurationVar(&o.timeout, "timeout", 5*time.Minute, "give up after this long")
	flags.BoolVar(&o.verbose, "v", false, "log what the library does, and what the server says on standard error")
	flags.Usage = func() {
		fmt.Fprintln(stderr, "Usage of stdio-client: stdio-client [flags] [-- COMMAND ARGS]")
		flags.PrintDefaults()
	}
	usage := func(problem string) int {
		fmt.Fprintf(stderr, "stdio-client: %s; -h for help\n", problem)
		return 2
	}
	// A command has to stand behind --, so that its own flags are not taken for ours.
	if i := slices.Index(args, "--"); i >= 0 {
		args, o.command = args[:i], args[i+1:]
		if len(o.command) == 0 {
			return usage("-- needs a command behind it")
		}
	}
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return 0
	} else if err != nil {
		return 2
	}
	given := 0
	flags.Visit(func(f *flag.Flag) {
		if f.Name != "v" && f.Name != "timeout" {
			given++
		}
	})
	switch {
	case flags.NArg() > 0:
		return usage("unexpected argument: " + flags.Arg(0) + "; a server's command stands behind --")
	case o.timeout <= 0:
		return usage("-timeout must be more than zero")
	case o.command == nil && given > 0:
		return usage("only -timeout and -v go without a server: stdio-client [flags] -- COMMAND ARGS")
	case o.command != nil && o.tokenVariable == "" && o.file == "":
		return usage("-token-variable or -token-file-variable has to say where the server reads its token")
	case o.command != nil && (o.resource == "") == (o.tokenFrom == ""):
		return usage("one of -resource and -token-from has to say where the token comes from")
	case o.clientSecret != "" && (o.clientID == "" || o.issuer == ""):
		return usage("-client-secret needs -client-id and -issuer")
	case json.Unmarshal([]byte(o.args), &o.arguments) != nil:
		return usage("-args must be a JSON object, such as '{\"name\": \"Go\"}'")
	}
	logger := slog.New(slog.DiscardHandler)
	if o.verbose {
		logger = slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	var err error
	if o.command == nil {
		err = demonstrate(ctx, stdout, logger)
	} else {
		err = useServer(ctx, o, stdout, stderr, logger)
	}
	var config *auth.ConfigError
	switch {
	case errors.As(err, &config):
		return usage(err.Error())
	case err != nil:
		fmt.Fprintln(stderr, "stdio-client:", err)
		return 1
	}
	return 0
}
