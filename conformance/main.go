// Command conformance runs the official MCP conformance suite against the client in
// conformance/client and reports, cell by cell, what passed.
//
//	go run ./conformance                 // all 50 cells; writes conformance/RESULTS.md
//	go run ./conformance -run iss -v     // some cells, with the suite's output of those that fail
//	go run ./conformance -client /tmp/c  // judge another program than this module's client
//
// A cell is one authorization scenario at one version of the specification. Each runs in a suite
// process of its own, because the suite's own batch mode ignores the client's exit code. A cell
// passes only if the suite says so, all its checks passed, none warned and the client exited as
// the scenario demands; a cell that was skipped, timed out or is gone from the suite has failed.
//
// The suite and the Node.js that runs it are pinned in conformance/suite, and fetched by npm into
// the user's cache folder the first time. The last line printed is "N passed, M failed"; the exit
// status is 0 if all passed, 1 if a cell failed and 2 if the cells could not be run (go run makes
// it 1).
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"
	"time"
)

// Exit statuses, as flag and the go command use them.
const (
	exitPassed = 0
	exitFailed = 1
	exitBroken = 2
)

// cellTimeout bounds one cell. It is twice the suite's own limit for the client, so that the
// suite normally gets to say what it saw.
const cellTimeout = 60 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	a := app{stdout: os.Stdout, stderr: os.Stderr, dir: ".", now: time.Now, timeout: cellTimeout}
	code := a.main(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// app is what the command needs from its surroundings.
type app struct {
	stdout, stderr io.Writer
	dir            string           // where the module is looked for
	now            func() time.Time // dates the results
	timeout        time.Duration    // for one cell
}

// options are the flags. The zero value of filter matches every cell.
type options struct {
	filter  *regexp.Regexp
	jobs    int
	verbose bool
	cache   string
	results string
	client  string
}

// main runs the command and returns its exit status.
func (a app) main(ctx context.Context, args []string) int {
	opts, err := a.parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitPassed
	case err != nil:
		return exitBroken // parse has said why
	}
	passed, err := a.run(ctx, opts)
	switch {
	case err != nil:
		fmt.Fprintln(a.stderr, "conformance:", err)
		return exitBroken
	case !passed:
		return exitFailed
	}
	return exitPassed
}

func (a app) parse(args []string) (options, error) {
	var o options
	fs := flag.NewFlagSet("conformance", flag.ContinueOnError)
	fs.SetOutput(a.stderr)
	fs.Func("run", "run only the cells that `regexp` matches, such as iss or @2025-11-25", func(s string) (err error) {
		o.filter, err = regexp.Compile(s)
		return err
	})
	fs.IntVar(&o.jobs, "j", 2, "run `N` cells at a time")
	fs.BoolVar(&o.verbose, "v", false, "print the suite's output of cells that fail")
	fs.StringVar(&o.cache, "cache", "", "keep the suite and its Node.js under `DIR` (default: mcptokens in the user's cache folder)")
	fs.StringVar(&o.results, "results", "", "write the results to `FILE` (default: conformance/RESULTS.md if all cells run)")
	fs.StringVar(&o.client, "client", "", "judge the program at `PATH` instead of building conformance/client")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	var err error
	switch {
	case fs.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q: cells are chosen with -run", fs.Arg(0))
	case o.jobs < 1:
		err = fmt.Errorf("-j %d: want at least 1", o.jobs)
	}
	if err != nil {
		fmt.Fprintln(a.stderr, "conformance:", err)
	}
	return o, err
}

// run plans the cells, runs them and reports. It returns whether all passed.
func (a app) run(ctx context.Context, o options) (bool, error) {
	cache, err := cacheDir(o.cache)
	if err != nil {
		return false, err
	}
	s, err := install(ctx, cache, a.stderr)
	if err != nil {
		return false, err
	}
	listed, err := s.list(ctx)
	if err != nil {
		return false, err
	}
	plan := account(expectedCells(), listed)
	all := len(plan)
	if o.filter != nil {
		plan = filter(plan, o.filter)
	}
	if len(plan) == 0 {
		return false, fmt.Errorf("-run %s matches none of the %d cells", o.filter, all)
	}

	tmp, err := os.MkdirTemp("", "mcptokens-conformance-")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(tmp)
	client, file, err := a.client(ctx, o, tmp, len(plan) == all)
	if err != nil {
		return false, err
	}

	results := runCells(ctx, plan, o.jobs, func(ctx context.Context, c cell) result {
		return s.run(ctx, c, client, tmp, a.timeout)
	}, a.stderr)
	if err := ctx.Err(); err != nil {
		return false, errors.New("interrupted: no verdict, and no results written")
	}

	r := report{results: results, of: all, date: a.now(), suite: s, subject: "This library on mcp-go", built: versionsOf(client)}
	if o.client != "" {
		r.subject = "The program " + filepath.Base(client)
	}
	if o.verbose {
		r.writeOutput(a.stdout)
	}
	r.writeTable(a.stdout)
	if file != "" {
		var b bytes.Buffer
		r.writeMarkdown(&b)
		if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
			return false, fmt.Errorf("write the results: %w", err)
		}
		fmt.Fprintln(a.stderr, "results written to", file)
	}
	passed, failed := r.tally()
	fmt.Fprintf(a.stdout, "%d passed, %d failed\n", passed, failed)
	return failed == 0, nil
}

// client returns the path of the program to judge and the file the results go to, "" for none.
// The module's own results file is written only for the module's own client and all cells: it
// must never describe anything else.
func (a app) client(ctx context.Context, o options, tmp string, all bool) (path, results string, err error) {
	if o.client != "" {
		if path, err = filepath.Abs(o.client); err != nil {
			return "", "", err
		}
		if _, err := os.Stat(path); err != nil {
			return "", "", fmt.Errorf("-client: %w", err)
		}
		return path, o.results, nil
	}
	root, err := moduleRoot(ctx, a.dir)
	if err != nil {
		return "", "", err
	}
	if path, err = build(ctx, root, tmp); err != nil {
		return "", "", err
	}
	if o.results == "" && all {
		return path, filepath.Join(root, "conformance", "RESULTS.md"), nil
	}
	return path, o.results, nil
}
