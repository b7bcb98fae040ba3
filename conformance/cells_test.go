package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestExpectedCells(t *testing.T) {
	cells := expectedCells()
	if len(cells) != 50 {
		t.Errorf("%d cells, want 50", len(cells))
	}
	perVersion := make(map[string]int)
	for i, c := range cells {
		perVersion[c.version]++
		if slices.Contains(cells[:i], c) {
			t.Errorf("%s is there twice", c)
		}
	}
	for version, want := range map[string]int{v20250326: 2, v20250618: 3, v20251125: 14, v20260728: 25, extension: 6} {
		if got := perVersion[version]; got != want {
			t.Errorf("%d cells at %s, want %d", got, version, want)
		}
	}
}

func TestParseRecordedListing(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("testdata", "list.txt"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := parseListing(string(b))
	if err != nil {
		t.Fatal(err)
	}
	if want := expectedCells(); !slices.Equal(got, want) {
		t.Errorf("the recorded listing has\n%v\nwant\n%v", got, want)
	}
}

func TestParseListing(t *testing.T) {
	tests := []struct {
		name string
		in   string
		want string // cells, or the error
	}{
		{"one version", "  - auth/x [2025-11-25]\n", "auth/x@2025-11-25"},
		{"some versions", "- auth/x [2025-03-26,2025-06-18, 2026-07-28]", "auth/x@2025-03-26 auth/x@2025-06-18 auth/x@2026-07-28"},
		{"extension", "  - auth/x [extension]\r\n", "auth/x@extension"},
		{"others are passed over", "Client scenarios:\n\n  - initialize [1999-01-01]\n  - sep-2640-x [extension]\n  - odd\n  - auth/x [extension]\n", "auth/x@extension"},
		{"no auth scenario", "  - initialize [2025-11-25]\n", "no auth/ scenario"},
		{"nothing", "", "no auth/ scenario"},
		{"unknown version", "  - auth/x [2025-11-25,2027-01-01]\n", `unknown version: "2027-01-01"`},
		{"no versions", "  - auth/x\n", `unknown form: "- auth/x"`},
		{"empty versions", "  - auth/x []\n", "unknown form"},
		{"text after it", "  - auth/x [extension] deprecated\n", "unknown form"},
		{"twice", "  - auth/x [extension]\n  - auth/x [extension]\n", "auth/x@extension twice"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cells, err := parseListing(tt.in)
			if err != nil {
				if !strings.Contains(err.Error(), tt.want) {
					t.Errorf("error %q, want %q in it", err, tt.want)
				}
				return
			}
			var names []string
			for _, c := range cells {
				names = append(names, c.String())
			}
			if got := strings.Join(names, " "); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestAccount(t *testing.T) {
	a, b, c := cell{"auth/a", v20251125}, cell{"auth/b", v20251125}, cell{"auth/c", extension}
	tests := []struct {
		name             string
		expected, listed []cell
		want             []planned
	}{
		{"as expected", []cell{a, b}, []cell{b, a}, []planned{{cell: a}, {cell: b}}},
		{"one missing", []cell{a, b}, []cell{b}, []planned{{cell: a, missing: true}, {cell: b}}},
		{"one version missing", []cell{a, {a.scenario, v20260728}}, []cell{a},
			[]planned{{cell: a}, {cell: cell{a.scenario, v20260728}, missing: true}}},
		{"one new", []cell{a}, []cell{c, a}, []planned{{cell: a}, {cell: c}}},
		{"one renamed", []cell{a}, []cell{b}, []planned{{cell: a, missing: true}, {cell: b}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := account(tt.expected, tt.listed); !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestFilter(t *testing.T) {
	plan := account(expectedCells(), nil)
	tests := []struct {
		re   string
		want int
	}{
		{"", 50}, {"@extension$", 6}, {"scope-step-up", 2}, {"@2025-03-26", 2}, {"^auth/dpop@", 1}, {"nothing", 0},
	}
	for _, tt := range tests {
		t.Run(tt.re, func(t *testing.T) {
			if got := len(filter(plan, regexp.MustCompile(tt.re))); got != tt.want {
				t.Errorf("%d cells, want %d", got, tt.want)
			}
		})
	}
	if len(plan) != 50 || plan[49].scenario == "" {
		t.Error("filter changed the plan it was given")
	}
}
