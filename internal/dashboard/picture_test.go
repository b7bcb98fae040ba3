package dashboard

import (
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"html"
	"math"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	update = flag.Bool("update", false, "write "+picture)
	bin    = flag.String("prometheus", "", "directory with prometheus and promtool")
)

const picture = "../../docs/images/dashboard.svg"

// panel is one of Grafana's.
type panel struct {
	Type, Title, Description string
	GridPos                  struct{ X, Y, W, H int }
	Targets                  []target
}

// target is a query of a panel, and how its lines are called: "{{error_type}}".
type target struct{ Expr, LegendFormat string }

// The picture has the panels of the dashboard, with their descriptions.
func TestPicture(t *testing.T) {
	all := panels(t)
	if *update {
		samples, from, to := day(t)
		db := startPrometheus(t, *bin, samples)
		if err := os.WriteFile(picture, []byte(draw(all, func(q target) []series { return db.query(t, q, from, to) }, from, to)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	svg, err := os.ReadFile(picture)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(svg), `class="t"`); n != len(all) {
		t.Errorf("the picture has %d panels, the dashboard %d: run this test with -update", n, len(all))
	}
	for _, p := range all {
		if !strings.Contains(string(svg), ">"+html.EscapeString(p.Title)+"<") {
			t.Errorf("the picture has no panel %q: run this test with -update", p.Title)
		}
	}
}

func panels(t *testing.T) []panel {
	t.Helper()
	text, err := os.ReadFile("../../otelauth/dashboards/mcptokens.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct{ Panels []panel }
	if err := json.Unmarshal(text, &dashboard); err != nil || len(dashboard.Panels) < 10 {
		t.Fatalf("%d panels, %v", len(dashboard.Panels), err)
	}
	return dashboard.Panels
}

// series is a line of a panel.
type series struct {
	label string
	at    []time.Time
	value []float64
}

// Measures in pixels; a dashboard of Grafana's is 24 columns wide.
const (
	column, row, gap = 45, 23, 6
	letter           = 6.0 // the width of one, about
)

var colours = []string{"#3274d9", "#e0752d", "#56a64b", "#a352cc", "#e02f44", "#8f8f1d", "#37872d", "#705da0"}

func draw(panels []panel, query func(target) []series, from, to time.Time) string {
	bottom := 0
	for _, p := range panels {
		bottom = max(bottom, p.GridPos.Y+p.GridPos.H)
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="system-ui, sans-serif">`+"\n", 24*column+gap, bottom*row+gap)
	b.WriteString(`<style>rect{fill:#fff;stroke:#d0d7de}.t{font-size:12.5px;font-weight:600;fill:#1f2328}.d{font-size:10.5px;fill:#59636e}.n{font-size:34px;font-weight:600;fill:#1f2328}` +
		`.a{stroke:#d8dee4}.s{fill:none;stroke-width:1.6}@media(prefers-color-scheme:dark){rect{fill:#161b22;stroke:#30363d}.t,.n{fill:#e6edf3}.d{fill:#9198a1}.a{stroke:#30363d}}</style>` + "\n")
	for _, p := range panels {
		x, y, w, h := p.GridPos.X*column+gap, p.GridPos.Y*row+gap, p.GridPos.W*column-gap, p.GridPos.H*row-gap
		fmt.Fprintf(&b, `<rect x="%d" y="%d" width="%d" height="%d" rx="3"/>`+"\n", x, y, w, h)
		fmt.Fprintf(&b, `<text class="t" x="%d" y="%d">%s</text>`+"\n", x+9, y+18, html.EscapeString(p.Title))
		lines := wrapped(p.Description, int(float64(w-18)/letter))
		for i, line := range lines {
			fmt.Fprintf(&b, `<text class="d" x="%d" y="%d">%s</text>`+"\n", x+9, y+33+13*i, html.EscapeString(line))
		}
		var all []series
		for _, q := range p.Targets {
			all = append(all, query(q)...)
		}
		top := y + 36 + 13*len(lines)
		if p.Type == "stat" {
			fmt.Fprintf(&b, `<text class="n" x="%d" y="%d">%s</text>`+"\n", x+9, top+40, last(all))
			continue
		}
		plot(&b, all, x+44, top, x+w-9, y+h-28, from, to)
		legend(&b, all, x+9, y+h-9, w-18)
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// plot draws the lines of a panel into a box, with the least and the most at its left.
func plot(b *strings.Builder, all []series, left, top, right, bottom int, from, to time.Time) {
	low, high := 0.0, 0.0
	for _, s := range all {
		low, high = min(low, slices.Min(s.value)), max(high, slices.Max(s.value))
	}
	if high == low {
		high = 1
	}
	y := func(v float64) float64 { return float64(bottom) - (v-low)/(high-low)*float64(bottom-top) }
	for _, v := range []float64{low, high} {
		fmt.Fprintf(b, `<line class="a" x1="%d" x2="%d" y1="%.0f" y2="%.0f"/><text class="d" text-anchor="end" x="%d" y="%.0f">%s</text>`+"\n",
			left, right, y(v), y(v), left-4, y(v)+4, short(v))
	}
	for i, s := range all {
		var path strings.Builder
		for j, at := range s.at {
			op := "L"
			if j == 0 || at.Sub(s.at[j-1]) > time.Minute {
				op = "M"
			}
			fmt.Fprintf(&path, "%s%.1f %.1f", op, float64(left)+at.Sub(from).Seconds()/to.Sub(from).Seconds()*float64(right-left), y(s.value[j]))
		}
		fmt.Fprintf(b, `<path class="s" stroke="%s" d="%s"/>`+"\n", colours[i%len(colours)], path.String())
	}
}

// legend names the lines that there is room for.
func legend(b *strings.Builder, all []series, x, y, width int) {
	at := x
	for i, s := range all {
		label := cmp.Or(strings.TrimSpace(s.label), "none")
		if w := int(float64(len(label))*letter) + 22; at+w <= x+width {
			fmt.Fprintf(b, `<line class="s" stroke="%s" x1="%d" x2="%d" y1="%d" y2="%d"/><text class="d" x="%d" y="%d">%s</text>`+"\n",
				colours[i%len(colours)], at, at+10, y-4, y-4, at+13, y, html.EscapeString(label))
			at += w
		}
	}
}

func last(all []series) string {
	if len(all) == 0 {
		return "0"
	}
	v := all[0].value
	return short(v[len(v)-1])
}

func short(v float64) string {
	if v != math.Trunc(v) && math.Abs(v) < 10 {
		return fmt.Sprintf("%.2g", v)
	}
	return fmt.Sprintf("%.0f", v)
}

// wrapped breaks text into lines of at most n letters.
func wrapped(text string, n int) (lines []string) {
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > n {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}

// The day has something to show: each series that the dashboard asks for was
// measured.
func TestDay(t *testing.T) {
	samples, _, _ := day(t)
	asked := map[string]bool{}
	for _, p := range panels(t) {
		for _, q := range p.Targets {
			for _, name := range measured.FindAllString(q.Expr, -1) {
				asked[name] = true
			}
		}
	}
	if len(asked) < 10 {
		t.Fatalf("the dashboard asks for %d series", len(asked))
	}
	for name := range asked {
		switch name {
		case "oauth_client_user_duration_seconds_bucket": // of web logins, which this day does not have
			continue
		case "oauth_client_refusals_total": // of calls that happen to come within a pause
			continue
		}
		if !strings.Contains(samples, "\n"+name+"{") {
			t.Errorf("the dashboard asks for %s, which was not measured", name)
		}
	}
}

var measured = regexp.MustCompile(`\b(?:oauth|http)_client_[a-z_]+`)
