package otelauth_test

import (
	"bytes"
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/authtrace"
	"github.com/mcptokens/mcptokens/otelauth"
)

// names is NAMES.md, by section and by the name in a row's first column.
type names struct {
	version string
	rows    map[string]map[string]row

	mu   sync.Mutex
	seen map[string]bool // section and name
	bad  []string
}

// row is a line of a table by its columns' titles.
type row map[string]string

// list are the names in a cell.
func (r row) list(column string) (list []string) {
	for _, m := range code.FindAllStringSubmatch(r[column], -1) {
		list = append(list, m[1])
	}
	return list
}

var code = regexp.MustCompile("`([^`]+)`")

func readNames(t *testing.T) *names {
	t.Helper()
	text, err := os.ReadFile("NAMES.md")
	if err != nil {
		t.Fatal(err)
	}
	n := &names{rows: map[string]map[string]row{}, seen: map[string]bool{}}
	n.version = regexp.MustCompile(`version ([0-9.]+),`).FindStringSubmatch(string(text))[1]
	var section string
	var titles []string
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if title, ok := strings.CutPrefix(line, "## "); ok {
			section, titles = title, nil
			n.rows[section] = map[string]row{}
		}
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "| ---") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		if titles == nil {
			titles = cells
			continue
		}
		r := row{}
		for i, title := range titles {
			r[title] = cells[i]
		}
		n.rows[section][strings.Trim(cells[0], "`")] = r
	}
	return n
}

func (n *names) complain(what string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !slices.Contains(n.bad, what) {
		n.bad = append(n.bad, what)
	}
}

// saw notes that name was emitted, and returns its row.
func (n *names) saw(section, name string) row {
	r, ok := n.rows[section][name]
	if !ok {
		n.complain(section + ": " + name + " is not in the table")
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.seen[section+" "+name] = true
	return r
}

// attribute checks one of what's attributes; allowed are those that it may have.
func (n *names) attribute(what string, allowed []string, key, typ string) {
	if !slices.Contains(allowed, key) {
		n.complain(what + " has " + key)
	}
	n.mu.Lock()
	n.seen[what+" has "+key] = true
	n.mu.Unlock()
	if want := n.saw("Attributes", key)["Type"]; want != typ {
		n.complain(key + " is a " + typ + ", not a " + want)
	}
}

// never lists rows, and attributes of rows, that were not emitted.
func (n *names) never() (list []string) {
	for section, rows := range n.rows {
		for name, r := range rows {
			if !n.seen[section+" "+name] {
				list = append(list, section+": "+name+" was never emitted")
			}
			for _, key := range r.list("Attributes") {
				if !n.seen[name+" has "+key] {
					list = append(list, name+" never had "+key)
				}
			}
		}
	}
	slices.Sort(list)
	return list
}

func typeOf(v attribute.Value) string {
	return map[attribute.Type]string{
		attribute.STRING: "string", attribute.INT64: "int", attribute.FLOAT64: "double", attribute.BOOL: "boolean", attribute.STRINGSLICE: "string[]",
	}[v.Type()]
}

// spans checks what a span exporter got. Those of the test's own program have
// only the links of a wait, and the events of a call.
func (n *names) spans(spans tracetest.SpanStubs) {
	for _, s := range spans {
		var r row
		if s.Name == "call" {
			r = row{"Kind": "internal", "Events": "`oauth.wait` `oauth.resend` `oauth.refused`"}
		} else {
			r = n.saw("Spans", s.Name)
			if s.InstrumentationScope.Name != otelauth.ScopeName || s.InstrumentationScope.Version != n.version {
				n.complain(s.Name + " is of scope " + s.InstrumentationScope.Name + " " + s.InstrumentationScope.Version)
			}
		}
		if kind := s.SpanKind.String(); kind != r["Kind"] {
			n.complain(s.Name + " is of kind " + kind)
		}
		for _, a := range s.Attributes {
			n.attribute(s.Name, r.list("Attributes"), string(a.Key), typeOf(a.Value))
		}
		for _, e := range s.Events {
			if !slices.Contains(r.list("Events"), e.Name) {
				n.complain(s.Name + " has the event " + e.Name)
			}
			er := n.saw("Events", e.Name)
			for _, a := range e.Attributes {
				n.attribute(e.Name, er.list("Attributes"), string(a.Key), typeOf(a.Value))
			}
		}
		for _, l := range s.Links {
			for _, a := range l.Attributes {
				n.attribute("a link", []string{string(otelauth.AttrLink)}, string(a.Key), typeOf(a.Value))
			}
		}
	}
}

// metrics checks what a reader collected.
func (n *names) metrics(ms []metricdata.Metrics) {
	for _, m := range ms {
		r := n.saw("Metrics", m.Name)
		if m.Unit != r["Unit"] {
			n.complain(m.Name + " is in " + m.Unit)
		}
		var instrument string
		var sets []attribute.Set
		switch d := m.Data.(type) {
		case metricdata.Histogram[float64]:
			instrument = "histogram"
			for _, p := range d.DataPoints {
				sets = append(sets, p.Attributes)
			}
		case metricdata.Sum[int64]:
			instrument = "updowncounter"
			if d.IsMonotonic {
				instrument = "counter"
			}
			for _, p := range d.DataPoints {
				sets = append(sets, p.Attributes)
			}
		case metricdata.Gauge[float64]:
			instrument = "gauge"
			for _, p := range d.DataPoints {
				sets = append(sets, p.Attributes)
			}
		}
		if instrument != r["Instrument"] {
			n.complain(m.Name + " is a " + instrument)
		}
		for _, set := range sets {
			for _, a := range set.ToSlice() {
				n.attribute(m.Name, r.list("Attributes"), string(a.Key), typeOf(a.Value))
			}
		}
	}
}

// The table, the constants and what is emitted are the same.
func TestNamesAreThoseOfTheTable(t *testing.T) {
	n := readNames(t)
	if n.version != otelauth.NamesVersion {
		t.Errorf("NAMES.md is of version %s, names.go of %s", n.version, otelauth.NamesVersion)
	}
	constants := map[string]string{} // name by constant
	file, err := parser.ParseFile(token.NewFileSet(), "names.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(node ast.Node) bool {
		spec, ok := node.(*ast.ValueSpec)
		if !ok {
			return true
		}
		ast.Inspect(spec.Values[0], func(node ast.Node) bool {
			if lit, ok := node.(*ast.BasicLit); ok {
				constants[spec.Names[0].Name], _ = strconv.Unquote(lit.Value)
			}
			return true
		})
		return true
	})
	for constant, name := range constants {
		section := map[string]string{"Span": "Spans", "Attr": "Attributes", "Even": "Events", "Metr": "Metrics"}[constant[:4]]
		if section != "" && n.rows[section][name] == nil {
			t.Errorf("%s (%s) is not in the table of %s", constant, name, section)
		}
	}
	for section, rows := range n.rows {
		for name, r := range rows {
			own := false
			for _, v := range constants {
				own = own || v == name
			}
			if r["Stability"] == "own" && !own {
				t.Errorf("%s: %s is not in names.go", section, name)
			}
			if !slices.Contains([]string{"own", "HTTP", "MCP"}, r["Stability"]) {
				t.Errorf("%s: %s has the stability %q", section, name, r["Stability"])
			}
		}
	}

	everything := map[string]func(k *kit, o *outlet, tr authtrace.Tracer){
		"a shared store": lifeWithOthers,
		"a web login": func(k *kit, _ *outlet, tr authtrace.Tracer) {
			k.webLogin(tr, func(step func(context.Context)) { step(k.t.Context()) })
		},
	}
	maps.Copy(everything, lives)
	for name, live := range everything {
		t.Run(name, func(t *testing.T) {
			bubble(t, authtest.Config{RefreshWidens: name == "all goes well"}, authtest.Protection{}, func(t *testing.T, k *kit) {
				tr := k.config().Tracer
				live(k, newOutlet(), tr)
				n.spans(k.spans.GetSpans())
				n.metrics(collected(t, k.reader))
			})
		})
	}
	for _, bad := range append(n.bad, n.never()...) {
		t.Error(bad)
	}
}

// lifeWithOthers has a store that others use too.
func lifeWithOthers(k *kit, _ *outlet, tr authtrace.Tracer) {
	cfg := k.config()
	cfg.Tracer, cfg.Store = tr, new(slowStore)
	ours, _ := k.started(cfg, "read")
	theirs := k.manager(cfg)
	time.Sleep(2 * time.Hour)
	for _, m := range []*auth.Manager{theirs, ours} {
		if _, err := m.Token(k.t.Context()); err != nil {
			k.t.Errorf("Token: %v", err)
		}
	}
	c := auth.Challenge{Status: 403, Error: "insufficient_scope", Scopes: []string{"write"}, Operation: "tools/call write_note"}
	_, _ = ours.Resolve(k.t.Context(), mustToken(k.t, ours), c)
}

func mustToken(t *testing.T, m *auth.Manager) *auth.Token {
	t.Helper()
	tok, err := m.Token(t.Context())
	if err != nil {
		t.Fatalf("Token: %v", err)
	}
	return tok
}

// A name that is not documented is found.
func TestUndocumentedNamesAreFound(t *testing.T) {
	n := readNames(t)
	n.spans(tracetest.SpanStubs{{Name: otelauth.SpanRevocation, Attributes: []attribute.KeyValue{otelauth.AttrTrigger.Int(1), attribute.String("x", "y")}}, {Name: "oauth.other"}})
	n.metrics([]metricdata.Metrics{{Name: otelauth.MetricStepUps, Unit: "1", Data: metricdata.Gauge[float64]{}}})
	var all bytes.Buffer
	for _, bad := range n.bad {
		all.WriteString(bad + "\n")
	}
	for _, want := range []string{
		"oauth.revoke has oauth.trigger", "oauth.trigger is a int, not a string", "oauth.revoke has x", "oauth.other is not in the table",
		"oauth.revoke is of scope", "oauth.revoke is of kind", "oauth.client.step_ups is in 1", "oauth.client.step_ups is a gauge",
	} {
		if !strings.Contains(all.String(), want) {
			t.Errorf("not found: %s in\n%s", want, &all)
		}
	}
}
