package otelauth_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/authtrace"
	"github.com/mcptokens/mcptokens/otelauth"
)

// collected is what a reader collects now.
func collected(t *testing.T, reader *sdkmetric.ManualReader) (all []metricdata.Metrics) {
	t.Helper()
	var rm metricdata.ResourceMetrics
	if err := reader.Collect(context.Background(), &rm); err != nil {
		t.Fatalf("Collect: %v", err)
	}
	for _, sm := range rm.ScopeMetrics {
		if sm.Scope.Name != otelauth.ScopeName || sm.Scope.Version != otelauth.NamesVersion {
			t.Errorf("scope %s %s", sm.Scope.Name, sm.Scope.Version)
		}
		all = append(all, sm.Metrics...)
	}
	return all
}

// points are the numbers of metrics, one a line: its number of a metric: its name, attributes and value; of a
// histogram, count and sum.
func points(ms []metricdata.Metrics) (lines []string) {
	line := func(name string, set attribute.Set, value string) {
		lines = append(lines, strings.TrimSpace(strings.TrimSpace(name+" "+set.Encoded(attribute.DefaultEncoder()))+" "+value))
	}
	for _, m := range ms {
		switch d := m.Data.(type) {
		case metricdata.Histogram[float64]:
			for _, p := range d.DataPoints {
				line(m.Name, p.Attributes, fmt.Sprintf("%d %.6g", p.Count, p.Sum))
			}
		case metricdata.Sum[int64]:
			for _, p := range d.DataPoints {
				line(m.Name, p.Attributes, fmt.Sprint(p.Value))
			}
		case metricdata.Gauge[float64]:
			for _, p := range d.DataPoints {
				line(m.Name, p.Attributes, fmt.Sprintf("%.6g", p.Value))
			}
		default:
			lines = append(lines, fmt.Sprintf("%s %T", m.Name, d))
		}
	}
	slices.Sort(lines)
	return lines
}

// wantMeasured compares the points of the metrics whose names begin like
// prefix, without where the kit listens.
func (k *kit) wantMeasured(prefix string, want ...string) {
	k.t.Helper()
	var got []string
	for _, line := range points(collected(k.t, k.reader)) {
		if strings.HasPrefix(line, prefix) {
			got = append(got, strings.NewReplacer("server.address=127.65.84.1", "AS").Replace(line))
		}
	}
	if !slices.Equal(got, want) {
		k.t.Errorf("measured\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

func TestRefreshDuration(t *testing.T) {
	bubble(t, authtest.Config{}, authtest.Protection{}, func(t *testing.T, k *kit) {
		m, _ := k.started(k.config(), "read")
		k.srv.Inject(authtest.TokenEndpoint, authtest.Delay(1500*time.Millisecond), authtest.OAuthError("no_such_code", 404),
			authtest.OAuthError("invalid_grant", 400))
		for range 3 {
			k.call(func(ctx context.Context) { _, _ = m.Refresh(ctx) })
			time.Sleep(time.Minute) // the failure may be tried again
		}
		k.wantMeasured("oauth.client.refresh.duration",
			"oauth.client.refresh.duration error.type=_OTHER,oauth.grant_type=refresh_token,oauth.refresh.outcome=failed,oauth.trigger=explicit,AS 1 0.05",
			"oauth.client.refresh.duration error.type=invalid_grant,oauth.grant_type=refresh_token,oauth.refresh.outcome=failed,oauth.trigger=explicit,AS 1 0.05",
			"oauth.client.refresh.duration oauth.grant_type=refresh_token,oauth.refresh.outcome=refreshed,oauth.trigger=explicit,AS 1 1.55",
		)
		k.wantMeasured("oauth.client.wait.duration",
			"oauth.client.wait.duration error.type=_OTHER,oauth.wait.for=refresh 1 0.05",
			"oauth.client.wait.duration error.type=invalid_grant,oauth.wait.for=refresh 1 0.05",
			"oauth.client.wait.duration oauth.wait.for=refresh 1 1.55",
		)
		port := k.srv.URL[strings.LastIndex(k.srv.URL, ":")+1:]
		k.wantMeasured("http.",
			"http.client.request.duration error.type=400,http.request.method=POST,http.response.status_code=400,AS,server.port="+port+" 1 0.05",
			"http.client.request.duration error.type=404,http.request.method=POST,http.response.status_code=404,AS,server.port="+port+" 1 0.05",
			"http.client.request.duration http.request.method=POST,http.response.status_code=200,AS,server.port="+port+" 1 1.55",
		)
	})
}

func TestLockDuration(t *testing.T) {
	bubble(t, authtest.Config{}, authtest.Protection{}, func(t *testing.T, k *kit) {
		cfg := k.config()
		cfg.Store = new(slowStore)
		k.started(cfg, "read")
		k.wantMeasured("oauth.client.store", "oauth.client.store.lock.duration 1 0.03")
	})
}

func TestAuthorizationDuration(t *testing.T) {
	tests := map[string]struct {
		fault authtest.Fault
		want  string
	}{
		"the user takes a while": {authtest.Delay(20 * time.Second), "oauth.client.authorization.duration oauth.grant_type=authorization_code,AS 1 20.2"},
		"the user denies":        {authtest.OAuthError("access_denied", 0), "oauth.client.authorization.duration error.type=access_denied,oauth.grant_type=authorization_code,AS 1 0.15"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			bubble(t, authtest.Config{}, authtest.Protection{}, func(t *testing.T, k *kit) {
				m := k.manager(k.discovered())
				k.srv.Inject(authtest.AuthorizeEndpoint, tt.fault)
				k.call(func(ctx context.Context) { _, _ = m.Authorize(ctx) })
				k.wantMeasured("oauth.client.authorization", tt.want)
			})
		})
	}
}

func TestStepUps(t *testing.T) {
	tests := map[string]struct {
		cfg  authtest.Config
		want string
	}{
		"widened":      {authtest.Config{RefreshWidens: true}, "oauth.client.step_ups oauth.step_up.outcome=refresh 1"},
		"nothing left": {authtest.Config{}, "oauth.client.step_ups error.type=_OTHER,oauth.step_up.outcome=failed 1"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			bubble(t, tt.cfg, authtest.Protection{}, func(t *testing.T, k *kit) {
				m, _ := k.started(k.config(), "read")
				k.call(func(ctx context.Context) { _, _ = m.UpgradeScopes(ctx, "write") })
				k.wantMeasured("oauth.client.step_ups", tt.want)
			})
		})
	}
}

func TestGauges(t *testing.T) {
	bubble(t, authtest.Config{AccessTokenTTL: time.Hour}, authtest.Protection{}, func(t *testing.T, k *kit) {
		cfg := k.config()
		cfg.Tracer = k.config().Tracer // one for all
		k.manager(cfg)                 // has no token
		idle, _ := k.started(cfg, "a") // nobody asks
		time.Sleep(10 * time.Minute)
		used, _ := k.started(cfg, "a")
		k.wantMeasured("oauth.client.token",
			"oauth.client.token.count oauth.token.state=fresh,AS 2",
			"oauth.client.token.count oauth.token.state=none,AS 1",
			"oauth.client.token.time_to_expiry AS 3000",
			"oauth.client.token.unsaved AS 0",
		)

		// An idle token that dies is nobody's problem, one that is wanted is.
		k.srv.InjectAlways(authtest.TokenEndpoint, authtest.Status(503))
		time.Sleep(60*time.Minute + 30*time.Second)
		k.wantMeasured("oauth.client.token",
			"oauth.client.token.count oauth.token.state=expired,AS 2",
			"oauth.client.token.count oauth.token.state=none,AS 1",
			"oauth.client.token.unsaved AS 0",
		)
		asked := time.Now()
		if _, err := used.Token(t.Context()); err == nil {
			t.Error("Token: no error")
		}
		k.wantMeasured("oauth.client.token.time",
			fmt.Sprintf("oauth.client.token.time_to_expiry AS %.6g", -30-time.Since(asked).Seconds()))

		// Who is closed is not looked at any more.
		k.srv.ClearFaults(authtest.TokenEndpoint)
		if err := errors.Join(used.Close(), idle.Close()); err != nil {
			t.Error(err)
		}
		k.wantMeasured("oauth.client.token", "oauth.client.token.count oauth.token.state=none,AS 1")
	})
}

// A token that only a login can replace is counted, but does not hide how the
// others are.
func TestGaugesOfATokenThatNeedsALogin(t *testing.T) {
	bubble(t, authtest.Config{AccessTokenTTL: time.Hour}, authtest.Protection{}, func(t *testing.T, k *kit) {
		cfg := k.config()
		cfg.Tracer = k.config().Tracer
		dead, _ := k.started(cfg, "a")
		time.Sleep(2 * time.Hour)
		k.srv.RevokeAll()
		if _, err := dead.Token(t.Context()); err == nil {
			t.Error("Token: no error")
		}
		k.started(cfg, "a")
		k.wantMeasured("oauth.client.token",
			"oauth.client.token.count oauth.token.state=fresh,AS 1",
			"oauth.client.token.count oauth.token.state=reauthorization_required,AS 1",
			"oauth.client.token.time_to_expiry AS 3600",
			"oauth.client.token.unsaved AS 0",
		)
	})
}

func TestGaugeOfUnsavedTokens(t *testing.T) {
	bubble(t, authtest.Config{}, authtest.Protection{}, func(t *testing.T, k *kit) {
		store := new(failingStore)
		cfg := k.config()
		cfg.Store = store
		m, _ := k.started(cfg, "read")
		store.fail(errors.New("disk full"))
		k.call(func(ctx context.Context) { _, _ = m.Refresh(ctx) })
		k.wantMeasured("oauth.client.token.unsaved", "oauth.client.token.unsaved AS 1")
		store.fail(nil)
		time.Sleep(time.Hour)
		synctest.Wait()
		k.wantMeasured("oauth.client.token.unsaved", "oauth.client.token.unsaved AS 0")
	})
}

// A manager that a program lost without closing it is not kept by the gauges.
func TestLostManager(t *testing.T) {
	reader := sdkmetric.NewManualReader()
	tr := otelauth.NewTracer(otelauth.WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))), otelauth.WithoutTracing())
	m, err := auth.NewManager(auth.Config{Resource: "https://mcp.example.com/mcp", Tracer: tr})
	if err != nil {
		t.Fatal(err)
	}
	if got := points(collected(t, reader)); !slices.Equal(got, []string{"oauth.client.token.count oauth.token.state=none 1"}) {
		t.Errorf("%q", got)
	}
	runtime.KeepAlive(m)
	for range 5 {
		runtime.GC()
	}
	if got := points(collected(t, reader)); len(got) != 0 {
		t.Errorf("%q", got)
	}
}

// Whoever runs an MCP server can name any number of authorization servers.
func TestHostsAreBounded(t *testing.T) {
	reader := sdkmetric.NewManualReader()
	tr := otelauth.NewTracer(otelauth.WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))), otelauth.WithoutTracing())
	for i := range 150 {
		ctx := tr.Start(t.Context(), t.Context(), authtrace.RefreshStart{})
		tr.End(ctx, authtrace.RefreshEnd{Issuer: fmt.Sprintf("https://as%d.example.com", i), Grant: fmt.Sprintf("own-%d", i)})
	}
	got := points(collected(t, reader))
	if len(got) != 101 || !strings.Contains(got[0], "server.address=_OTHER 50 ") || !strings.Contains(got[0], "oauth.grant_type=_OTHER") {
		t.Errorf("%d points, the first %s", len(got), got[0])
	}
}

// refusing is a meter provider that refuses every instrument.
type refusing struct {
	noop.MeterProvider
	err error
}

func (r refusing) Meter(string, ...metric.MeterOption) metric.Meter {
	return refusingMeter{err: r.err}
}

type refusingMeter struct {
	noop.Meter
	err error
}

func (m refusingMeter) Float64Histogram(string, ...metric.Float64HistogramOption) (metric.Float64Histogram, error) {
	return nil, m.err
}
func (m refusingMeter) Int64Counter(string, ...metric.Int64CounterOption) (metric.Int64Counter, error) {
	return nil, m.err
}
func (m refusingMeter) Float64ObservableGauge(string, ...metric.Float64ObservableGaugeOption) (metric.Float64ObservableGauge, error) {
	return nil, m.err
}
func (m refusingMeter) Int64ObservableUpDownCounter(string, ...metric.Int64ObservableUpDownCounterOption) (metric.Int64ObservableUpDownCounter, error) {
	return nil, m.err
}
func (m refusingMeter) RegisterCallback(metric.Callback, ...metric.Observable) (metric.Registration, error) {
	return nil, m.err
}

// A provider that refuses an instrument costs the measurements, not the token.
func TestInstrumentRefused(t *testing.T) {
	var told []error
	before := otel.GetErrorHandler()
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { told = append(told, err) }))
	t.Cleanup(func() { otel.SetErrorHandler(before) })

	r := refusing{err: errors.New("no more instruments")}
	tr := otelauth.NewTracer(otelauth.WithMeterProvider(r))
	tr.End(tr.Start(t.Context(), t.Context(), authtrace.RefreshStart{}), authtrace.RefreshEnd{})
	tr.End(tr.Start(t.Context(), context.Background(), authtrace.StepUpStart{}), authtrace.StepUpEnd{})
	if len(told) != 13 || !errors.Is(told[0], r.err) {
		t.Errorf("error handler was told %v, want the refusal of each instrument and of the callback", told)
	}
}

func TestGlobalProvidersByDefault(t *testing.T) {
	tracers, meters := otel.GetTracerProvider(), otel.GetMeterProvider()
	t.Cleanup(func() {
		otel.SetTracerProvider(tracers)
		otel.SetMeterProvider(meters)
	})
	spans, reader := tracetest.NewInMemoryExporter(), sdkmetric.NewManualReader()
	otel.SetTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans)))
	otel.SetMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)))
	tr := otelauth.NewTracer(otelauth.WithTracerProvider(nil), otelauth.WithMeterProvider(nil))
	otel.SetMeterProvider(noop.NewMeterProvider())

	tr.End(tr.Start(t.Context(), t.Context(), authtrace.RefreshStart{}), authtrace.RefreshEnd{})
	if n := len(spans.GetSpans()); n != 1 {
		t.Errorf("%d spans at the global provider, want 1", n)
	}
	if n := len(points(collected(t, reader))); n != 1 {
		t.Errorf("%d measurements at the global provider of then, want 1", n)
	}
}
