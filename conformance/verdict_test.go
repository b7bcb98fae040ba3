package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestJudgeRecorded(t *testing.T) {
	tests := []struct {
		file   string
		exit   int
		want   verdict
		counts counts
		note   string
	}{
		{"passed.txt", 0, passed, counts{2, 0, 0}, ""},
		{"warned.txt", 1, failed, counts{11, 0, 1}, "cimd-client-id-used"},
		{"exited.txt", 1, failed, counts{0, 3, 0}, "sep-1932-client-token-request-proof, " +
			"sep-1932-client-dpop-auth-scheme, sep-1932-client-fresh-proof, client exited with 3"},
		{"hung.txt", 1, failed, counts{11, 0, 0}, "client timed out"}, // all its checks passed
		{"skipped.txt", 0, skipped, counts{}, "SKIPPED: scenario 'auth/dpop' is not applicable at spec version " +
			"2026-07-28 (extension scenario, not on the spec timeline). Use --force to run it anyway."},
		{"unknown.txt", 1, broken, counts{}, "the suite printed no summary (exit status 1)"},
	}
	for _, tt := range tests {
		t.Run(tt.file, func(t *testing.T) {
			b, err := os.ReadFile(filepath.Join("testdata", tt.file))
			if err != nil {
				t.Fatal(err)
			}
			got, n, note := judge(tt.exit, colour.ReplaceAllString(string(b), ""))
			if got != tt.want || n != tt.counts || note != tt.note {
				t.Errorf("got %s %v %q, want %s %v %q", got, n, note, tt.want, tt.counts, tt.note)
			}
		})
	}
}

func TestJudge(t *testing.T) {
	tests := []struct {
		name   string
		exit   int
		output string
		want   verdict
		note   string
	}{
		{"passed", 0, "Passed: 3/3, 0 failed, 0 warnings\n", passed, ""},
		{"passed on Windows", 0, "Passed: 3/3, 0 failed, 0 warnings\r\n", passed, ""},
		{"status disagrees", 1, "Passed: 3/3, 0 failed, 0 warnings\n", failed, "suite exited with 1"},
		{"killed by a signal", -1, "Passed: 3/3, 0 failed, 0 warnings\n", failed, "suite exited with -1"},
		{"no checks", 0, "Passed: 0/0, 0 failed, 0 warnings\n", failed, "suite exited with 0"},
		{"a warning", 0, "Passed: 3/3, 0 failed, 1 warnings\n", failed, "suite exited with 0"},
		{"a failure", 0, "Passed: 2/3, 1 failed, 0 warnings\n", failed, "suite exited with 0"},
		{"not all passed", 0, "Passed: 2/3, 0 failed, 0 warnings\n", failed, "suite exited with 0"},
		{"silence", 0, "", broken, "the suite printed no summary (exit status 0)"},
		{"summary not alone in its line", 0, "say Passed: 3/3, 0 failed, 0 warnings\n", broken, "the suite printed no summary (exit status 0)"},
		{"figure out of range", 0, "Passed: 99999999999999999999/1, 0 failed, 0 warnings\n", broken, "the suite's summary has a figure out of range"},
		{"the client's own words do not count", 1,
			"Stdout:\nPassed: 9/9, 0 failed, 0 warnings\n\nTest Results:\nPassed: 0/1, 1 failed, 0 warnings\n", failed, "suite exited with 1"},
		{"in either direction", 0,
			"Stdout:\nPassed: 0/9, 9 failed, 0 warnings\n\nTest Results:\nPassed: 3/3, 0 failed, 0 warnings\n", passed, ""},
		{"a client that talks of skipping", 0, "SKIPPED: nothing\nPassed: 3/3, 0 failed, 0 warnings\n", passed, ""},
		{"a check that fails twice is named once", 1, strings.Repeat("2026-11-23T06:34:48.677Z [a-check ] FAILURE no\n", 2) +
			"Passed: 0/2, 2 failed, 0 warnings\n", failed, "a-check"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, _, note := judge(tt.exit, tt.output)
			if got != tt.want || note != tt.note {
				t.Errorf("got %s %q, want %s %q", got, note, tt.want, tt.note)
			}
		})
	}
}
