package otelauth_test

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/otlptranslator"
	"go.yaml.in/yaml/v3"
)

// series are the metrics of NAMES.md as Prometheus spells them: by the name of a
// series, its labels, and by label the values that the table lists.
type series struct {
	metrics map[string]string              // the metric of a series
	labels  map[string]map[string][]string // label names and values by series
}

func prometheusSeries(t *testing.T, n *names) series {
	t.Helper()
	s := series{map[string]string{}, map[string]map[string][]string{}}
	namer := otlptranslator.NewMetricNamer("", otlptranslator.UnderscoreEscapingWithSuffixes)
	types := map[string]otlptranslator.MetricType{
		"histogram": otlptranslator.MetricTypeHistogram, "counter": otlptranslator.MetricTypeMonotonicCounter,
		"updowncounter": otlptranslator.MetricTypeNonMonotonicCounter, "gauge": otlptranslator.MetricTypeGauge,
	}
	for metric, r := range n.rows["Metrics"] {
		name, err := namer.Build(otlptranslator.Metric{Name: metric, Unit: r["Unit"], Type: types[r["Instrument"]]})
		if err != nil {
			t.Fatal(err)
		}
		labels := map[string][]string{"otel_scope_name": nil}
		for _, attribute := range r.list("Attributes") {
			label, err := new(otlptranslator.LabelNamer).Build(attribute)
			if err != nil {
				t.Fatal(err)
			}
			labels[label] = n.rows["Attributes"][attribute].list("Values")
		}
		suffixes := []string{""}
		if r["Instrument"] == "histogram" {
			labels["le"] = nil
			suffixes = []string{"_bucket", "_count", "_sum"}
		}
		for _, suffix := range suffixes {
			s.metrics[name+suffix], s.labels[name+suffix] = metric, labels
		}
	}
	return s
}

var (
	selector = regexp.MustCompile(`\b((?:oauth|http)_[a-z_]+)\b(\{[^}]*\})?`)
	matcher  = regexp.MustCompile(`([a-z_]+)(=~|!~|!=|=)"([^"]*)"`)
	grouping = regexp.MustCompile(`\b(?:by|on|group_left|group_right|without) ?\(([^)]*)\)`)
)

// check returns what is wrong with an expression, and the metrics it is over.
func (s series) check(expr string) (wrong, metrics []string) {
	var grouped []string
	for _, m := range grouping.FindAllStringSubmatch(expr, -1) {
		for _, label := range strings.Split(m[1], ",") {
			grouped = append(grouped, strings.TrimSpace(label))
		}
	}
	known := map[string]bool{}
	for _, m := range selector.FindAllStringSubmatch(grouping.ReplaceAllString(expr, ""), -1) {
		labels, ok := s.labels[m[1]]
		if !ok {
			wrong = append(wrong, "no series "+m[1])
			continue
		}
		metrics = append(metrics, s.metrics[m[1]])
		for label := range labels {
			known[label] = true
		}
		for _, l := range matcher.FindAllStringSubmatch(m[2], -1) {
			values, ok := labels[l[1]]
			if !ok {
				wrong = append(wrong, m[1]+" has no "+l[1])
			} else if len(values) > 1 && l[2] == "=" && !slices.Contains(values, l[3]) {
				wrong = append(wrong, l[1]+" is never "+l[3])
			}
		}
	}
	for _, label := range grouped {
		if label != "" && !known[label] {
			wrong = append(wrong, "nothing has "+label)
		}
	}
	if len(metrics) == 0 {
		wrong = append(wrong, "no series at all")
	}
	return wrong, metrics
}

func TestDashboard(t *testing.T) {
	s := prometheusSeries(t, readNames(t))
	text, err := os.ReadFile("dashboards/mcptokens.json")
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Panels []struct {
			ID                 int
			Title, Description string
			GridPos            struct{ X, Y, W, H int }
			Targets            []struct{ Expr, RefID string }
		}
		Templating struct {
			List []struct{ Name, Type string }
		}
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	shown, ids, taken := map[string]bool{}, map[int]bool{}, map[[2]int]string{}
	for _, p := range d.Panels {
		if ids[p.ID] || p.Title == "" || p.Description == "" || len(p.Targets) == 0 {
			t.Errorf("panel %d %q: its number is not its own, or it has no title, description or query", p.ID, p.Title)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("panel %q is over %q or beyond the edge", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		for _, target := range p.Targets {
			wrong, metrics := s.check(target.Expr)
			for _, w := range wrong {
				t.Errorf("panel %q: %s", p.Title, w)
			}
			for _, m := range metrics {
				shown[m] = true
			}
		}
	}
	for _, metric := range s.metrics {
		if !shown[metric] {
			t.Errorf("no panel shows %s", metric)
		}
	}
	for _, v := range []string{"datasource", "issuer"} {
		if !strings.Contains(string(text), "$"+v) && !strings.Contains(string(text), "${"+v+"}") {
			t.Errorf("the variable %s is not used", v)
		}
	}
}

func TestAlerts(t *testing.T) {
	s := prometheusSeries(t, readNames(t))
	text, err := os.ReadFile("dashboards/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var f struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	if err := yaml.Unmarshal(text, &f); err != nil {
		t.Fatal(err)
	}
	if len(f.Groups) != 1 || len(f.Groups[0].Rules) == 0 {
		t.Fatal("no rules")
	}
	for _, r := range f.Groups[0].Rules {
		wrong, _ := s.check(r.Expr)
		for _, w := range wrong {
			t.Errorf("%s: %s", r.Alert, w)
		}
		if r.For == "" || r.Labels["severity"] == "" || r.Annotations["summary"] == "" {
			t.Errorf("%s has no for, severity or summary", r.Alert)
		}
	}
}

// A name that is not emitted is found.
func TestWrongExpressionsAreFound(t *testing.T) {
	s := prometheusSeries(t, readNames(t))
	for expr, want := range map[string]string{
		"rate(oauth_client_refresh_duration_count[5m])":                       "no series oauth_client_refresh_duration_count",
		"rate(oauth_client_step_ups[5m])":                                     "no series oauth_client_step_ups",
		`rate(oauth_client_step_ups_total{server_address="x"}[5m])`:           "oauth_client_step_ups_total has no server_address",
		`rate(oauth_client_step_ups_total{oauth_step_up_outcome="lost"}[5m])`: "oauth_step_up_outcome is never lost",
		`sum by (oauth_trigger) (oauth_client_token_unsaved)`:                 "nothing has oauth_trigger",
		`vector(1)`: "no series at all",
	} {
		if wrong, _ := s.check(expr); !slices.Contains(wrong, want) {
			t.Errorf("%s: %q, want %q", expr, wrong, want)
		}
	}
	if wrong, _ := s.check(`sum by (le) (rate(oauth_client_wait_duration_seconds_bucket{oauth_wait_for="refresh"}[5m]))`); len(wrong) != 0 {
		t.Errorf("%q", wrong)
	}
}
