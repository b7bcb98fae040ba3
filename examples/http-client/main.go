// Command http-client is an mcp-go client whose token takes care of itself.
//
//	go run ./examples/http-client
//
// starts an authorization server and a protected MCP server in this process
// and shows, step by step, what happens to the token: login, early refresh
// while the authorization server is down, rotation, a step-up, a hundred calls
// on an expired token. Each step is checked; the exit status is 0 only if all
// of them really happened.
//
//	go run ./examples/http-client -url https://mcp.example.com/mcp
//
// does the same job on a real server: it logs in and lists the tools, or calls
// one.
//
//	go run ./examples/http-client login https://mcp.example.com/mcp
//	go run ./examples/http-client status
//
// is a command-line tool with accounts to copy from: login, status, accounts, logout,
// token, tools, call. See accounts.go.
//
//	go run -tags otlp ./examples/http-client -otlp http://localhost:4318
//
// sends spans and metrics of either to an OpenTelemetry Collector, or to anything
// else that takes OTLP over HTTP. The tag compiles the exporters in.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"

	"github.com/mcptokens/mcptokens/auth"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// options are the command line.
type options struct {
	url, tool, args        string
	arguments              map[string]any // args, parsed
	clientID, clientSecret string
	issuer                 string
	scopes, store          string
	otlp, svg              string
	headless, verbose      bool
	timeout                time.Duration
}

// run is main with its world passed in; it returns the exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) > 0 && commands()[args[0]] != nil {
		return runCommand(ctx, args[0], args[1:], stdout, stderr)
	}
	var o options
	flags := flag.NewFlagSet("http-client", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.url, "url", "", "`URL` of a protected MCP server; without it, the demonstration")
	flags.StringVar(&o.tool, "tool", "", "`name` of a tool to call, instead of listing them")
	flags.StringVar(&o.args, "args", "{}", "the tool's arguments, a JSON `object`")
	flags.BoolVar(&o.headless, "headless", false, "follow the authorization server's redirects without a browser")
	flags.StringVar(&o.clientID, "client-id", "", "`ID` of a client that is registered already")
	flags.StringVar(&o.clientSecret, "client-secret", "", "that client's `secret`, if it has one; it goes to -issuer only")
	flags.StringVar(&o.issuer, "issuer", "", "`URL` of the authorization server that the client is registered with")
	flags.StringVar(&o.scopes, "scopes", "", "scopes to ask for from the start, separated by `spaces`")
	flags.StringVar(&o.store, "store", "", "keep tokens in `file`, file:DIR or keyring, so that the next run needs no login")
	flags.StringVar(&o.otlp, "otlp", "", "send spans and metrics to the OpenTelemetry Collector at `URL`, such as http://localhost:4318; needs go run -tags otlp")
	flags.StringVar(&o.svg, "svg", "", "draw the spans of the demonstration's step-up into `file`")
	flags.DurationVar(&o.timeout, "timeout", 5*time.Minute, "give up after this long")
	flags.BoolVar(&o.verbose, "v", false, "log what the library does")
	flags.Usage = func() {
		fmt.Fprintln(stderr, "Usage of http-client:\n\n  http-client [flags]            the demonstration; with -url, a call of a real server\n  http-client COMMAND [flags]    "+strings.Join(slices.Sorted(maps.Keys(commands())), ", ")+"; -h explains each\n\nFlags:")
		flags.PrintDefaults()
	}
	usage := func(problem string) int {
		fmt.Fprintf(stderr, "http-client: %s; -h for help\n", problem)
		return 2
	}
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return 0
	} else if err != nil {
		return 2
	}
	switch {
	case flags.NArg() > 0:
		return usage("there is no command " + flags.Arg(0))
	case o.timeout <= 0:
		return usage("-timeout must be more than zero")
	case o.clientSecret != "" && (o.clientID == "" || o.issuer == ""):
		return usage("-client-secret needs -client-id and -issuer")
	case json.Unmarshal([]byte(o.args), &o.arguments) != nil:
		return usage("-args must be a JSON object, such as '{\"name\": \"Go\"}'")
	case o.url == "" && (o.tool != "" || o.headless || o.clientID != "" || o.issuer != "" || o.scopes != "" || o.store != ""):
		return usage("-tool, -headless, -client-id, -issuer, -scopes and -store need -url")
	case o.otlp != "" && !strings.HasPrefix(o.otlp, "http://") && !strings.HasPrefix(o.otlp, "https://"):
		return usage("-otlp must be a URL such as http://localhost:4318")
	case o.url != "" && o.svg != "":
		return usage("-svg is for the demonstration, without -url")
	}
	logger := slog.New(slog.DiscardHandler)
	if o.verbose {
		logger = slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	var err error
	if o.url == "" {
		err = demonstrate(ctx, o, stdout, logger)
	} else {
		err = useServer(ctx, o, stdout, stderr, logger)
	}
	var config *auth.ConfigError
	switch {
	case errors.As(err, &config) && config.Field == "Config.Resource":
		return usage("-url " + config.Problem)
	case err != nil:
		fmt.Fprintln(stderr, "http-client:", err)
		return 1
	}
	return 0
}
