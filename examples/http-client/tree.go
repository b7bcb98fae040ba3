package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

// printTree prints spans as a tree, oldest first, with their events.
func printTree(w io.Writer, spans tracetest.SpanStubs) error {
	if len(spans) == 0 {
		return errors.New("no spans were recorded")
	}
	slices.SortFunc(spans, func(a, b tracetest.SpanStub) int { return a.StartTime.Compare(b.StartTime) })
	start := spans[0].StartTime
	known := map[trace.SpanID]bool{}
	children := map[trace.SpanID][]tracetest.SpanStub{}
	for _, s := range spans {
		known[s.SpanContext.SpanID()] = true
	}
	var roots []tracetest.SpanStub
	for _, s := range spans {
		if parent := s.Parent.SpanID(); known[parent] {
			children[parent] = append(children[parent], s)
		} else {
			roots = append(roots, s)
		}
	}
	var show func(s tracetest.SpanStub, depth int)
	show = func(s tracetest.SpanStub, depth int) {
		indent := strings.Repeat("  ", depth)
		status := ""
		if s.Status.Code == codes.Error {
			status = "  error"
		}
		fmt.Fprintf(w, "%6.3fs  %-34s %8s%s\n", s.StartTime.Sub(start).Seconds(), indent+s.Name, s.EndTime.Sub(s.StartTime).Round(time.Millisecond/10), status)
		for _, e := range s.Events {
			var attributes []string
			for _, a := range e.Attributes {
				attributes = append(attributes, string(a.Key)+"="+a.Value.String())
			}
			slices.SortFunc(attributes, cmp.Compare[string])
			fmt.Fprintf(w, "%6.3fs  %s  · %s %s\n", e.Time.Sub(start).Seconds(), indent, e.Name, strings.Join(attributes, " "))
		}
		for _, child := range children[s.SpanContext.SpanID()] {
			show(child, depth+1)
		}
	}
	for _, s := range roots {
		show(s, 0)
	}
	return nil
}
