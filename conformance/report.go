package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// report is a finished run.
type report struct {
	results []result
	of      int // cells there are; more than were run if -run chose some
	date    time.Time
	suite   *suite
	subject string // the client, as the results file names it
	built   versions
}

// tally returns how many cells passed and how many did not.
func (r *report) tally() (ok, bad int) {
	for _, c := range r.results {
		if c.verdict == passed {
			ok++
		}
	}
	return ok, len(r.results) - ok
}

// writeTable writes the cells as a table for a terminal.
func (r *report) writeTable(w io.Writer) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "CELL\tVERDICT\tPASSED\tFAILED\tWARNINGS\tNOTE")
	for _, c := range r.results {
		fmt.Fprintf(tw, "%s\t%s\t%d\t%d\t%d\t%s\n", c.cell, c.verdict, c.counts.passed, c.counts.failed, c.counts.warnings, c.note)
	}
	tw.Flush()
}

// writeOutput writes what the suite printed for the cells that did not pass.
func (r *report) writeOutput(w io.Writer) {
	for _, c := range r.results {
		if c.verdict != passed {
			fmt.Fprintf(w, "=== %s: %s\n%s\n\n", c.cell, c.verdict, strings.TrimSpace(c.output))
		}
	}
}

// writeMarkdown writes the results file. All of it but the date follows from the run.
func (r *report) writeMarkdown(w io.Writer) {
	ok, _ := r.tally()
	fmt.Fprint(w, "# Conformance results\n\n"+
		"Written by `go run ./conformance`; do not edit. A cell is one authorization scenario of the\n"+
		"[official MCP conformance suite](https://github.com/modelcontextprotocol/conformance) at one version of the\n"+
		"specification. It passes only if all its checks do, none warns, and [the client](client) exits as the\n"+
		"scenario demands; a skipped cell has failed.\n\n")

	fmt.Fprint(w, "| | |\n|---|---|\n")
	row := func(name, value string) {
		if value != "" {
			fmt.Fprintf(w, "| %s | %s |\n", name, value)
		}
	}
	row("Date", r.date.UTC().Format(time.DateOnly))
	row("Suite", "`"+suitePackage+"` "+r.suite.version)
	row("Node.js", r.suite.nodeVersion)
	row("Go", r.built.golang)
	row("mcp-go", r.built.mcpgo)
	if len(r.results) < r.of {
		row("Cells run", fmt.Sprintf("%d of %d", len(r.results), r.of))
	}

	fmt.Fprint(w, "\n| Client | Cells passed |\n|---|---|\n")
	fmt.Fprintf(w, "| **%s** | **%d of %d** |\n", r.subject, ok, len(r.results))
	fmt.Fprint(w, "| The official Go SDK | 44 of 50 (45 with its extension handlers) |\n"+
		"| mcp-go's own OAuth handler | 16 of 50 |\n\n"+
		"The peers' figures were measured separately; this command does not run them again.\n\n")

	fmt.Fprint(w, "| Scenario | Version | Verdict | Passed | Failed | Warnings | Note |\n|---|---|---|--:|--:|--:|---|\n")
	for _, c := range r.results {
		fmt.Fprintf(w, "| %s | %s | %s | %d | %d | %d | %s |\n", c.scenario, c.version, c.verdict,
			c.counts.passed, c.counts.failed, c.counts.warnings, strings.ReplaceAll(c.note, "|", `\|`))
	}
}
