package main

import (
	"fmt"
	"strings"
)

func title(text string) { fmt.Printf("\n### %s\n", text) }

// comparison prints results beside the first one.
func comparison(what string, results []result) {
	rows := make([][]string, len(results))
	for i, r := range results {
		rows[i] = []string{r.name, duration(r.ns), r.ratio.String(), fmt.Sprintf("%.0f", r.allocs), fmt.Sprintf("%.0f", r.bytes)}
	}
	table([]string{what, "time", "ratio", "allocations", "bytes"}, rows)
}

// table prints Markdown that can be read as it is.
func table(head []string, rows [][]string) {
	width := make([]int, len(head))
	for _, row := range append([][]string{head}, rows...) {
		for i, cell := range row {
			width[i] = max(width[i], len([]rune(cell)))
		}
	}
	line := func(row []string) {
		for i, cell := range row {
			pad := strings.Repeat(" ", width[i]-len([]rune(cell)))
			if i == 0 {
				fmt.Print("| ", cell, pad, " |")
			} else {
				fmt.Print(" ", pad, cell, " |")
			}
		}
		fmt.Println()
	}
	fmt.Println()
	line(head)
	for i, w := range width {
		if i == 0 {
			fmt.Print("|", strings.Repeat("-", w+2), "|")
		} else {
			fmt.Print(strings.Repeat("-", w+1), ":|")
		}
	}
	fmt.Println()
	for _, row := range rows {
		line(row)
	}
}

func (i interval) String() string { return fmt.Sprintf("%.2f (%.2f–%.2f)", i.median, i.low, i.high) }

// duration prints nanoseconds with three digits.
func duration(ns float64) string {
	for _, u := range []struct {
		name string
		ns   float64
	}{{"s", 1e9}, {"ms", 1e6}, {"µs", 1e3}} {
		if ns >= u.ns {
			return fmt.Sprintf("%.3g %s", ns/u.ns, u.name)
		}
	}
	return fmt.Sprintf("%.3g ns", ns)
}
