package main

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// verdict is what came of a cell. Everything but passed counts as failed.
type verdict string

const (
	passed   verdict = "passed"
	failed   verdict = "failed"    // a check failed or warned, or the client exited with an error
	skipped  verdict = "skipped"   // the suite declined to run it, and exited with 0
	timedOut verdict = "timeout"   // it did not end within the cell's time
	broken   verdict = "no result" // the suite ended without a summary
	missing  verdict = "missing"   // the suite does not list it
)

// result is the outcome of one cell.
type result struct {
	cell
	verdict verdict
	counts  counts
	note    string // why it did not pass, in a few words
	output  string // what the suite printed, without colours
}

// counts are the figures of the suite's summary line.
type counts struct {
	passed, failed, warnings int
}

var (
	// colour matches the ANSI sequences that the suite prints whether or not it has a terminal.
	colour = regexp.MustCompile("\x1b\\[[0-9;]*m")
	// summary is the suite's closing line: "Passed: 12/13, 1 failed, 0 warnings".
	summary = regexp.MustCompile(`(?m)^Passed: (\d+)/(\d+), (\d+) failed, (\d+) warnings\r?$`)
	// badCheck is a line about a check that failed or warned:
	// "2026-11-23T06:34:48.677Z [token-request   ] FAILURE Expected Check Missing: token-request".
	badCheck = regexp.MustCompile(`(?m)^\S+ \[([^\]\s]+)\s*\] (?:FAILURE|WARNING) `)
	// clientExit is the suite's remark on a client that had to succeed and did not.
	clientExit = regexp.MustCompile(`CLIENT EXITED WITH ERROR \(code (-?\d+)\)`)
)

// judge reads what the suite printed for a cell. exit is the suite's exit status.
//
// Status 0 alone proves nothing: a skipped cell has it, too. So a cell passes only if there is a
// summary as well, with at least one check, all of them passed, and no warning. The last summary
// counts, because the suite repeats the client's output before its own.
func judge(exit int, output string) (verdict, counts, string) {
	all := summary.FindAllStringSubmatch(output, -1)
	if len(all) == 0 {
		if line := lineWith(output, "SKIPPED:"); line != "" {
			return skipped, counts{}, line
		}
		return broken, counts{}, "the suite printed no summary (exit status " + strconv.Itoa(exit) + ")"
	}
	var n [4]int // passed, total, failed, warnings
	for i, s := range all[len(all)-1][1:] {
		v, err := strconv.Atoi(s)
		if err != nil {
			return broken, counts{}, "the suite's summary has a figure out of range"
		}
		n[i] = v
	}
	c := counts{passed: n[0], failed: n[2], warnings: n[3]}
	if exit == 0 && n[0] > 0 && n[0] == n[1] && c.failed == 0 && c.warnings == 0 {
		return passed, c, ""
	}
	return failed, c, reason(exit, output)
}

// reason says in a few words why a cell with a summary failed: the checks at fault by their IDs,
// and the client's exit if the scenario did not allow for it.
func reason(exit int, output string) string {
	var why []string
	for _, m := range badCheck.FindAllStringSubmatch(output, -1) {
		if !slices.Contains(why, m[1]) {
			why = append(why, m[1])
		}
	}
	if strings.Contains(output, "CLIENT TIMED OUT") {
		why = append(why, "client timed out")
	} else if m := clientExit.FindStringSubmatch(output); m != nil {
		why = append(why, "client exited with "+m[1])
	}
	if len(why) == 0 {
		why = append(why, "suite exited with "+strconv.Itoa(exit))
	}
	return strings.Join(why, ", ")
}

// lineWith returns the first line of output that begins with prefix, or "".
func lineWith(output, prefix string) string {
	for line := range strings.Lines(output) {
		if strings.HasPrefix(line, prefix) {
			return strings.TrimSpace(line)
		}
	}
	return ""
}
