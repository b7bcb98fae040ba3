package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/mcptokens/mcptokens/otelauth"
)

// forest is spans as trees, oldest first.
type forest struct {
	start    time.Time
	roots    []tracetest.SpanStub
	children map[trace.SpanID][]tracetest.SpanStub
	names    map[trace.SpanID]string
}

func grow(spans tracetest.SpanStubs) (*forest, error) {
	if len(spans) == 0 {
		return nil, errors.New("no spans were recorded")
	}
	slices.SortStableFunc(spans, func(a, b tracetest.SpanStub) int { return a.StartTime.Compare(b.StartTime) })
	f := &forest{start: spans[0].StartTime, children: map[trace.SpanID][]tracetest.SpanStub{}, names: map[trace.SpanID]string{}}
	for _, s := range spans {
		f.names[s.SpanContext.SpanID()] = s.Name
	}
	for _, s := range spans {
		if parent := s.Parent.SpanID(); f.names[parent] != "" {
			f.children[parent] = append(f.children[parent], s)
		} else {
			f.roots = append(f.roots, s)
		}
	}
	return f, nil
}

// idle is a request that went through without anything happening to its token.
func (f *forest) idle(s tracetest.SpanStub) bool {
	return len(s.Links) == 0 && len(s.Events) == 0 && len(f.children[s.SpanContext.SpanID()]) == 0 && !strings.HasPrefix(s.Name, "oauth.")
}

// printTree prints spans as a tree with their links and events, without
// requests that nothing happened to. Many of a kind in a row are counted.
func printTree(w io.Writer, spans tracetest.SpanStubs) error {
	f, err := grow(spans)
	if err != nil {
		return err
	}
	last, repeated := "", 0
	flush := func() {
		if repeated > 0 {
			fmt.Fprintf(w, "%9s and %d more like it\n", "", repeated)
		}
		repeated = 0
	}
	for _, s := range f.roots {
		if f.idle(s) {
			continue
		}
		text, kind := f.text(s), f.kind(s)
		if kind == last && len(f.children[s.SpanContext.SpanID()]) == 0 {
			repeated++
			continue
		}
		flush()
		last = kind
		fmt.Fprint(w, text)
	}
	flush()
	return nil
}

// kind is what similar spans have in common.
func (f *forest) kind(s tracetest.SpanStub) string {
	var b strings.Builder
	b.WriteString(s.Name)
	for _, l := range s.Links {
		b.WriteString(" " + l.SpanContext.SpanID().String())
	}
	return b.String()
}

// text is a span with all below it.
func (f *forest) text(s tracetest.SpanStub) string {
	var b strings.Builder
	var show func(s tracetest.SpanStub, depth int)
	show = func(s tracetest.SpanStub, depth int) {
		indent := strings.Repeat("  ", depth)
		status := ""
		if s.Status.Code == codes.Error {
			status = "  error"
		}
		fmt.Fprintf(&b, "%6.3fs  %-34s %8s%s\n", s.StartTime.Sub(f.start).Seconds(), indent+s.Name, s.EndTime.Sub(s.StartTime).Round(time.Millisecond/10), status)
		for _, link := range f.links(s) {
			fmt.Fprintf(&b, "%9s%s  → %s\n", "", indent, link)
		}
		for _, e := range s.Events {
			fmt.Fprintf(&b, "%6.3fs  %s  · %s %s\n", e.Time.Sub(f.start).Seconds(), indent, e.Name, attributes(e.Attributes))
		}
		for _, child := range f.children[s.SpanContext.SpanID()] {
			show(child, depth+1)
		}
	}
	show(s, 0)
	return b.String()
}

// links are the names of the spans that s is linked to, and what they are to it.
func (f *forest) links(s tracetest.SpanStub) (list []string) {
	counts := map[string]int{}
	for _, l := range s.Links {
		link := f.names[l.SpanContext.SpanID()]
		for _, a := range l.Attributes {
			if a.Key == otelauth.AttrLink {
				link += " (" + a.Value.AsString() + ")"
			}
		}
		if counts[link]++; counts[link] == 1 {
			list = append(list, link)
		}
	}
	for i, link := range list {
		if n := counts[link]; n > 1 {
			list[i] = fmt.Sprintf("%s ×%d", link, n)
		}
	}
	return list
}

func attributes(attrs []attribute.KeyValue) string {
	var list []string
	for _, a := range attrs {
		value := a.Value.String()
		if a.Value.Type() == attribute.FLOAT64 {
			value = fmt.Sprintf("%.3g", a.Value.AsFloat64())
		}
		list = append(list, string(a.Key)+"="+value)
	}
	slices.SortFunc(list, cmp.Compare[string])
	return strings.Join(list, " ")
}
