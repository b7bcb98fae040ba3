// Command mutate shows that the tests notice when a promise is broken. It has a
// list of deliberate breaks of single lines (breaks.go), each with the promise of
// SECURITY.md or the invariant of docs/architecture.md that it breaks and the tests
// that have to fail. It makes one at a time, without touching the source, runs
// those tests and prints what came of it:
//
//	go run ./internal/mutate              # all, a few minutes
//	go run ./internal/mutate -part 2/5    # every fifth, beginning with number 2
//	go run ./internal/mutate -only pkce   # those with pkce in the name, file, promise or tests
//	go run ./internal/mutate -list        # what there is
//
// It exits with an error when a break survives, when one does not apply to the
// source any more or does not build, and when a test is missing.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"time"
)

func main() {
	part := flag.String("part", "0/1", "run every `i/n`-th break: those whose number leaves i when divided by n")
	only := flag.String("only", "", "run the breaks that have this `text` in their name, file, promise or tests")
	list := flag.Bool("list", false, "print the breaks and run none")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	chosen, err := choose(mutations, *part, *only)
	if err == nil && *list {
		printList(os.Stdout, chosen)
		return
	}
	if err == nil {
		err = runAll(ctx, os.Stdout, chosen)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		stop()
		os.Exit(1)
	}
}

// choose returns what the flags -part and -only ask for.
func choose(all []mutation, part, only string) (chosen []mutation, err error) {
	var i, n int
	if _, err := fmt.Sscanf(part, "%d/%d", &i, &n); err != nil || i < 0 || i >= n {
		return nil, fmt.Errorf("-part is %q: write i/n with i from 0 to n-1, such as 2/5", part)
	}
	only = strings.ToLower(only)
	for k, m := range all {
		if k%n == i && strings.Contains(strings.ToLower(m.name+"\n"+m.file+"\n"+m.promise+"\n"+m.tests), only) {
			chosen = append(chosen, m)
		}
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("no break of %d has %q in its name, file, promise or tests", len(all), only)
	}
	return chosen, nil
}

func printList(w io.Writer, list []mutation) {
	promise := ""
	for _, m := range list {
		if m.promise != promise {
			promise = m.promise
			fmt.Fprintln(w, promise)
		}
		fmt.Fprintf(w, "  %-60s %s: %s\n", m.name, m.file, m.tests)
	}
	fmt.Fprintf(w, "%d breaks\n", len(list))
}

// runAll runs the list in sequence in the module of the current directory.
func runAll(ctx context.Context, w io.Writer, list []mutation) error {
	gomod, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return fmt.Errorf("finding the module: %w", err)
	}
	temp, err := os.MkdirTemp("", "mutate-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	r := &runner{root: filepath.Dir(strings.TrimSpace(string(gomod))), temp: temp}
	return r.report(ctx, w, list)
}

// report runs the list and prints a table: promise, break, tests, verdict. The
// error says how many were not caught.
func (r *runner) report(ctx context.Context, w io.Writer, list []mutation) error {
	began := time.Now()
	counted := make(map[verdict]int)
	for i, m := range list {
		one := time.Now()
		v, why, err := r.run(ctx, m)
		if err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		counted[v]++
		fmt.Fprintf(w, "%3d/%d  %-14s %5.1fs  %s | %s | %s\n", i+1, len(list), v, time.Since(one).Seconds(), short(m.promise), m.name, m.tests)
		if why != "" {
			fmt.Fprintln(w, "        "+strings.ReplaceAll(why, "\n", "\n        "))
		}
	}
	fmt.Fprintf(w, "%d breaks in %.0fs: %d caught", len(list), time.Since(began).Seconds(), counted[caught])
	for _, v := range []verdict{survived, doesNotApply, doesNotBuild, cannotRun} {
		if counted[v] > 0 {
			fmt.Fprintf(w, ", %d %s", counted[v], v)
		}
	}
	fmt.Fprintln(w)
	if bad := len(list) - counted[caught]; bad > 0 {
		return fmt.Errorf("%d of %d breaks were not caught", bad, len(list))
	}
	return nil
}

// short is the beginning of a promise that takes several lines.
func short(promise string) string {
	const most = 60
	if r := []rune(promise); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return promise
}
