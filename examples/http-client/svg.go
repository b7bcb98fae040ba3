package main

import (
	"fmt"
	"html"
	"os"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/mcptokens/mcptokens/otelauth"
)

// The picture's measures, in pixels.
const (
	picWidth  = 1080
	picLabels = 300 // the names' column
	picRight  = 96  // room for the last duration
	picTop    = 74
	picRow    = 28
	picGap    = 22 // between traces
	picBottom = 58
)

// drawFile draws spans as a picture, each trace a group, with the links between
// them.
func drawFile(name string, spans tracetest.SpanStubs) error {
	text, err := draw(spans)
	if err != nil {
		return err
	}
	return os.WriteFile(name, []byte(text), 0o644)
}

type drawing struct {
	*forest
	b     strings.Builder
	scale float64 // pixels for a second
	y     map[trace.SpanID]int
	rows  []drawnRow
}

type drawnRow struct {
	span  tracetest.SpanStub
	depth int
	y     int
}

func draw(spans tracetest.SpanStubs) (string, error) {
	f, err := grow(slices.Clone(spans))
	if err != nil {
		return "", err
	}
	d := &drawing{forest: f, y: map[trace.SpanID]int{}}
	end := slices.MaxFunc(spans, func(a, b tracetest.SpanStub) int { return a.EndTime.Compare(b.EndTime) }).EndTime
	total := end.Sub(d.start)
	d.scale = float64(picWidth-picLabels-picRight) / total.Seconds()

	y := picTop
	var place func(s tracetest.SpanStub, depth int)
	place = func(s tracetest.SpanStub, depth int) {
		d.rows = append(d.rows, drawnRow{s, depth, y})
		d.y[s.SpanContext.SpanID()] = y
		y += picRow
		for _, child := range d.children[s.SpanContext.SpanID()] {
			place(child, depth+1)
		}
	}
	groups := [][2]int{}
	for _, root := range d.roots {
		top := y
		place(root, 0)
		groups = append(groups, [2]int{top, y})
		y += picGap
	}
	height := y - picGap + picBottom

	fmt.Fprintf(&d.b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" font-family="ui-sans-serif, system-ui, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif" font-size="13" role="img" aria-label="The trace of a step-up">`+"\n", picWidth, height, picWidth, height)
	d.b.WriteString(`<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="#7c3aed"/></marker></defs>` + "\n")
	fmt.Fprintf(&d.b, `<rect width="%d" height="%d" rx="10" fill="#ffffff" stroke="#d0d7de"/>`+"\n", picWidth, height)
	for _, g := range groups {
		fmt.Fprintf(&d.b, `<rect x="10" y="%d" width="%d" height="%d" rx="6" fill="#f6f8fa"/>`+"\n", g[0]-4, picWidth-20, g[1]-g[0]+8)
	}
	fmt.Fprintf(&d.b, `<text x="22" y="30" fill="#1f2328" font-size="15" font-weight="600">A tool call that needs another scope: %d traces, linked</text>`+"\n", len(groups))
	d.ruler(total, height)
	for _, r := range d.rows {
		d.bar(r)
	}
	for _, r := range d.rows {
		d.arrows(r)
	}
	d.legend(height)
	d.b.WriteString("</svg>\n")
	return d.b.String(), nil
}

func (d *drawing) x(at time.Time) float64 { return picLabels + at.Sub(d.start).Seconds()*d.scale }

// ruler draws about six marks of a round number of milliseconds.
func (d *drawing) ruler(total time.Duration, height int) {
	step := 10 * time.Millisecond
	for _, s := range []int{20, 50, 100, 200, 500, 1000, 2000, 5000} {
		if total/step > 7 {
			step = time.Duration(s) * time.Millisecond
		}
	}
	for t := time.Duration(0); t <= total; t += step {
		x := picLabels + t.Seconds()*d.scale
		fmt.Fprintf(&d.b, `<path d="M%.1f %dV%d" stroke="#e2e6ea"/><text x="%.1f" y="%d" fill="#6e7781" font-size="11" text-anchor="middle">%d ms</text>`+"\n",
			x, picTop-14, height-picBottom+4, x, picTop-20, t.Milliseconds())
	}
}

// colour says what a span's time is spent on.
func colour(s tracetest.SpanStub) string {
	switch {
	case s.Name == otelauth.SpanUser:
		return "#f0a020" // the user
	case s.Name == "GET" || s.Name == "POST":
		return "#2f81f7" // the network
	case strings.HasPrefix(s.Name, "oauth."):
		return "#1f9d78" // this library
	}
	return "#8c959f" // the program
}

func (d *drawing) bar(r drawnRow) {
	s := r.span
	x, width := d.x(s.StartTime), max(3, s.EndTime.Sub(s.StartTime).Seconds()*d.scale)
	weight := ""
	if r.depth == 0 {
		weight = ` font-weight="600"`
	}
	fmt.Fprintf(&d.b, `<text x="%d" y="%d" fill="#1f2328"%s>%s</text>`+"\n", 22+18*r.depth, r.y+18, weight, html.EscapeString(label(s)))
	stroke := ""
	if s.Status.Code == codes.Error {
		stroke = ` stroke="#cf222e" stroke-width="2"`
	}
	fmt.Fprintf(&d.b, `<rect x="%.1f" y="%d" width="%.1f" height="16" rx="3" fill="%s"%s/>`+"\n", x, r.y+6, width, colour(s), stroke)
	for _, e := range s.Events {
		if e.Name == otelauth.EventWait {
			at := d.x(e.Time)
			fmt.Fprintf(&d.b, `<path d="M%.1f %dl5 6l-5 6l-5 -6z" fill="#7c3aed" stroke="#ffffff"/>`+"\n", at, r.y+8)
		}
	}
	took := s.EndTime.Sub(s.StartTime)
	fmt.Fprintf(&d.b, `<text x="%.1f" y="%d" fill="#57606a" font-size="11">%s</text>`+"\n", x+width+9, r.y+18, took.Round(roundTo(took)))
}

func roundTo(d time.Duration) time.Duration {
	if d < 10*time.Millisecond {
		return 100 * time.Microsecond
	}
	return time.Millisecond
}

// label is a span's name and what tells it from its like.
func label(s tracetest.SpanStub) string {
	for _, a := range s.Attributes {
		switch string(a.Key) {
		case "url.full":
			path := a.Value.AsString()
			if i := strings.Index(path, "://"); i >= 0 {
				path = path[i+3:]
			}
			_, path, _ = strings.Cut(path, "/")
			path = strings.TrimPrefix(path, ".well-known/")
			if len(path) > 29 {
				path = path[:28] + "…"
			}
			return s.Name + " " + path
		case string(otelauth.AttrStepUpOutcome):
			return s.Name + " by " + a.Value.AsString()
		case string(otelauth.AttrRefreshOutcome):
			return s.Name + ", " + a.Value.AsString()
		}
	}
	return s.Name
}

// arrows draws the links from a span that waited to what it waited for.
func (d *drawing) arrows(r drawnRow) {
	for _, l := range r.span.Links {
		to, ok := d.y[l.SpanContext.SpanID()]
		if !ok || to < r.y {
			continue // the link back
		}
		i := slices.IndexFunc(d.rows, func(o drawnRow) bool { return o.y == to })
		x := d.x(d.rows[i].span.StartTime)
		from := r.y + 22
		fmt.Fprintf(&d.b, `<path d="M%.1f %dC%.1f %d %.1f %d %.1f %d" fill="none" stroke="#7c3aed" stroke-width="1.5" stroke-dasharray="5 3" marker-end="url(#arrow)"/>`+"\n",
			x, from, x-34, from+14, x-34, to+4, x-2, to+13)
	}
}

func (d *drawing) legend(height int) {
	x, y := 22, height-22
	for _, e := range []struct{ colour, text string }{
		{"#8c959f", "the program"}, {"#1f9d78", "this library"}, {"#2f81f7", "HTTP requests"}, {"#f0a020", "the user"},
	} {
		fmt.Fprintf(&d.b, `<rect x="%d" y="%d" width="12" height="12" rx="2" fill="%s"/><text x="%d" y="%d" fill="#57606a">%s</text>`+"\n", x, y-10, e.colour, x+18, y, e.text)
		x += 40 + 7*len(e.text)
	}
	fmt.Fprintf(&d.b, `<path d="M%d %dh30" stroke="#7c3aed" stroke-width="1.5" stroke-dasharray="5 3" marker-end="url(#arrow)"/><text x="%d" y="%d" fill="#57606a">link</text>`+"\n", x, y-4, x+38, y)
	fmt.Fprintf(&d.b, `<path d="M%d %dl5 6l-5 6l-5 -6z" fill="#7c3aed"/><text x="%d" y="%d" fill="#57606a">event: the wait is over</text>`+"\n", x+88, y-10, x+100, y)
}
