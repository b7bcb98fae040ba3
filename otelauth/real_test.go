//go:build realservers

package otelauth_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/authtrace"
	"github.com/mcptokens/mcptokens/otelauth"
)

// What a real OpenTelemetry Collector received and sent on, against NAMES.md.
func TestRealCollector(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "collector")
	build := exec.CommandContext(t.Context(), "go", "build", "-C", filepath.Join("internal", "collector"), "-o", binary, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the collector: %v\n%s", err, out)
	}
	t.Run("everything", func(t *testing.T) { realEverything(t, startCollector(t, binary)) })
	t.Run("example", func(t *testing.T) { realExample(t, startCollector(t, binary)) })
}

// realEverything sends all that the lives record.
func realEverything(t *testing.T, c *collector) {
	everything := map[string]func(k *kit, o *outlet, tr authtrace.Tracer){
		"a shared store": lifeWithOthers,
		"a web login":    func(k *kit, _ *outlet, tr authtrace.Tracer) { k.webLogin(tr, k.call) },
	}
	maps.Copy(everything, lives)
	for name, live := range everything {
		var spans tracetest.SpanStubs
		var metrics []metricdata.ResourceMetrics
		t.Run(name, func(t *testing.T) { // in a bubble, where nothing can be sent
			bubble(t, authtest.Config{RefreshWidens: name == "all goes well"}, authtest.Protection{}, func(t *testing.T, k *kit) {
				live(k, newOutlet(), k.config().Tracer)
				var rm metricdata.ResourceMetrics
				if err := k.reader.Collect(context.Background(), &rm); err != nil {
					t.Fatal(err)
				}
				spans, metrics = k.spans.GetSpans(), append(metrics, rm)
			})
		})
		c.send(spans, metrics)
	}

	n := readNames(t)
	received := c.received()
	received.check(n)
	for _, bad := range append(n.bad, n.never()...) {
		t.Error(bad)
	}
	for _, leak := range received.outlet.leaks() {
		t.Errorf("a secret arrived by %s", leak)
	}
	t.Logf("received %d spans and %d data points", received.spans, received.points)
}

// realExample has the example send, while it runs.
func realExample(t *testing.T, c *collector) {
	cmd := exec.CommandContext(t.Context(), "go", "run", "-tags", "otlp", "../examples/http-client", "-otlp", "http://"+c.address)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	n := readNames(t)
	received := c.received()
	received.check(n)
	for _, bad := range n.bad {
		t.Error(bad)
	}
	for _, name := range []string{
		"Spans " + otelauth.SpanRefresh, "Spans " + otelauth.SpanAuthorization, "Spans " + otelauth.SpanUser, "Spans " + otelauth.SpanStepUp,
		"Spans GET", "Spans POST", "Events " + otelauth.EventWait, "Events " + otelauth.EventAttempt,
		"Metrics " + otelauth.MetricRefreshDuration, "Metrics " + otelauth.MetricTokens, "Metrics " + otelauth.MetricTimeToExpiry,
	} {
		if !n.seen[name] {
			t.Errorf("%s was not received", name)
		}
	}
}

// collector is a real one, which sends on to a server of the test's.
type collector struct {
	t       *testing.T
	address string

	mu     sync.Mutex
	bodies map[string][][]byte // by path
}

func startCollector(t *testing.T, binary string) *collector {
	t.Helper()
	c := &collector{t: t, bodies: map[string][][]byte{}}
	sink := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("from the collector: %v", err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.bodies[r.URL.Path] = append(c.bodies[r.URL.Path], body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, "{}")
	}))
	t.Cleanup(sink.Close)

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c.address = l.Addr().String()
	_ = l.Close() // for the collector
	config := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(config, []byte(fmt.Sprintf(`
receivers: {otlp: {protocols: {http: {endpoint: %q}}}}
exporters: {otlphttp: {endpoint: %q, encoding: json, compression: none, sending_queue: {enabled: false}, retry_on_failure: {enabled: false}}}
service:
  telemetry: {metrics: {level: none}, logs: {level: warn}}
  pipelines:
    traces: {receivers: [otlp], exporters: [otlphttp]}
    metrics: {receivers: [otlp], exporters: [otlphttp]}
`, c.address, sink.URL)), 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	cmd := exec.Command(binary, "--config", "file:"+config)
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		if err := cmd.Wait(); err != nil || t.Failed() {
			t.Logf("the collector ended with %v and said\n%s", err, &log)
		}
	})
	for deadline := time.Now().Add(2 * time.Minute); ; {
		conn, err := net.Dial("tcp", c.address)
		if err == nil {
			_ = conn.Close()
			return c
		}
		if time.Now().After(deadline) {
			t.Fatalf("the collector does not listen: %v", err)
		}
		<-time.After(50 * time.Millisecond)
	}
}

// send exports by the exporters that programs use.
func (c *collector) send(spans tracetest.SpanStubs, metrics []metricdata.ResourceMetrics) {
	c.t.Helper()
	ctx := c.t.Context()
	traces, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpoint(c.address), otlptracehttp.WithInsecure())
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = traces.Shutdown(ctx) }()
	for part := range slices.Chunk(spans.Snapshots(), 512) {
		if err := traces.ExportSpans(ctx, part); err != nil {
			c.t.Fatalf("sending spans: %v", err)
		}
	}
	exporter, err := otlpmetrichttp.New(ctx, otlpmetrichttp.WithEndpoint(c.address), otlpmetrichttp.WithInsecure())
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = exporter.Shutdown(ctx) }()
	for _, rm := range metrics {
		if err := exporter.Export(ctx, &rm); err != nil {
			c.t.Fatalf("sending metrics: %v", err)
		}
	}
}

// otlp is what the collector sent on: the JSON encoding of OTLP.
type otlp struct {
	traces  []otlpTraces
	metrics []otlpMetrics

	outlet        *outlet
	spans, points int
}

type otlpTraces struct {
	ResourceSpans []struct {
		ScopeSpans []struct {
			Scope struct{ Name, Version string }
			Spans []struct {
				Name       string
				Kind       int
				Attributes []otlpAttribute
				Status     struct{ Message string }
				Events     []struct {
					Name       string
					Attributes []otlpAttribute
				}
				Links []struct{ Attributes []otlpAttribute }
			}
		}
	}
}

type otlpMetrics struct {
	ResourceMetrics []struct {
		ScopeMetrics []struct {
			Scope   struct{ Name, Version string }
			Metrics []struct {
				Name, Unit string
				Sum        *struct {
					IsMonotonic bool
					DataPoints  []otlpPoint
				}
				Gauge, Histogram *struct{ DataPoints []otlpPoint }
			}
		}
	}
}

type otlpPoint struct{ Attributes []otlpAttribute }

type otlpAttribute struct {
	Key   string
	Value map[string]json.RawMessage
}

// typ is the type of a value as NAMES.md calls it.
func (a otlpAttribute) typ() string {
	for kind := range a.Value {
		if name := map[string]string{"stringValue": "string", "intValue": "int", "doubleValue": "double", "boolValue": "boolean", "arrayValue": "string[]"}[kind]; name != "" {
			return name
		}
		return kind
	}
	return "nothing"
}

// received is all that has come from the collector, which sends on what it has
// acknowledged.
func (c *collector) received() *otlp {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	o := &otlp{outlet: newOutlet()}
	for path, bodies := range c.bodies {
		for _, body := range bodies {
			o.outlet.say(path, string(body))
			var err error
			switch path {
			case "/v1/traces":
				var traces otlpTraces
				err = json.Unmarshal(body, &traces)
				o.traces = append(o.traces, traces)
			case "/v1/metrics":
				var metrics otlpMetrics
				err = json.Unmarshal(body, &metrics)
				o.metrics = append(o.metrics, metrics)
			}
			if err != nil {
				c.t.Fatalf("%s: %v", path, err)
			}
		}
	}
	if len(o.traces) == 0 || len(o.metrics) == 0 {
		c.t.Fatalf("received %d times spans, %d times metrics", len(o.traces), len(o.metrics))
	}
	return o
}

func (o *otlp) check(n *names) {
	kinds := map[int]string{1: "internal", 3: "client"}
	check := func(what string, allowed []string, attrs []otlpAttribute) {
		for _, a := range attrs {
			n.attribute(what, allowed, a.Key, a.typ())
		}
	}
	for _, t := range o.traces {
		for _, rs := range t.ResourceSpans {
			for _, ss := range rs.ScopeSpans {
				ours := ss.Scope.Name == otelauth.ScopeName
				if ours && ss.Scope.Version != n.version {
					n.complain("spans are of version " + ss.Scope.Version)
				}
				for _, s := range ss.Spans {
					o.spans++
					r := row{"Events": "`oauth.wait` `oauth.resend` `oauth.refused`"} // the program's
					if ours {
						r = n.saw("Spans", s.Name)
						if kinds[s.Kind] != r["Kind"] {
							n.complain(fmt.Sprintf("%s is of kind %d", s.Name, s.Kind))
						}
						if s.Status.Message != "" {
							n.complain(s.Name + " has a status with a description")
						}
						check(s.Name, r.list("Attributes"), s.Attributes)
					}
					for _, e := range s.Events {
						if !slices.Contains(r.list("Events"), e.Name) {
							n.complain(s.Name + " has the event " + e.Name)
						}
						check(e.Name, n.saw("Events", e.Name).list("Attributes"), e.Attributes)
					}
					for _, l := range s.Links {
						check("a link", []string{string(otelauth.AttrLink)}, l.Attributes)
					}
				}
			}
		}
	}
	for _, ms := range o.metrics {
		for _, rm := range ms.ResourceMetrics {
			for _, sm := range rm.ScopeMetrics {
				if sm.Scope.Name != otelauth.ScopeName || sm.Scope.Version != n.version {
					n.complain("metrics are of scope " + strings.TrimSpace(sm.Scope.Name+" "+sm.Scope.Version))
				}
				for _, m := range sm.Metrics {
					r := n.saw("Metrics", m.Name)
					if m.Unit != r["Unit"] {
						n.complain(m.Name + " is in " + m.Unit)
					}
					var instrument string
					var points []otlpPoint
					switch {
					case m.Histogram != nil:
						instrument, points = "histogram", m.Histogram.DataPoints
					case m.Gauge != nil:
						instrument, points = "gauge", m.Gauge.DataPoints
					case m.Sum != nil && m.Sum.IsMonotonic:
						instrument, points = "counter", m.Sum.DataPoints
					case m.Sum != nil:
						instrument, points = "updowncounter", m.Sum.DataPoints
					}
					if instrument != r["Instrument"] {
						n.complain(m.Name + " is a " + instrument)
					}
					for _, p := range points {
						o.points++
						check(m.Name, r.list("Attributes"), p.Attributes)
					}
				}
			}
		}
	}
}
