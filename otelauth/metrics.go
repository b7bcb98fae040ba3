package otelauth

import (
	"context"
	"sync"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/mcptokens/mcptokens/internal/shown"
)

// instruments are the metrics' own.
type instruments struct {
	refresh, authorization, user, wait, lock, request metric.Float64Histogram

	stepUps, resends, refusals metric.Int64Counter

	timeToExpiry    metric.Float64ObservableGauge
	tokens, unsaved metric.Int64ObservableUpDownCounter
}

// newInstruments never fails: what a provider refuses is reported to
// OpenTelemetry's error handler and not measured. observe is called at each collection.
func newInstruments(mp metric.MeterProvider, observe func(*instruments, metric.Observer)) instruments {
	meter := mp.Meter(ScopeName, metric.WithInstrumentationVersion(NamesVersion), metric.WithSchemaURL(semconv.SchemaURL))
	histogram := func(name, description string, buckets ...float64) metric.Float64Histogram {
		h, err := meter.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(description),
			metric.WithExplicitBucketBoundaries(buckets...))
		return orNoop[metric.Float64Histogram](h, noop.Float64Histogram{}, err)
	}
	counts := func(name, description string) metric.Int64ObservableUpDownCounter {
		c, err := meter.Int64ObservableUpDownCounter(name, metric.WithUnit("{token}"), metric.WithDescription(description))
		return orNoop[metric.Int64ObservableUpDownCounter](c, noop.Int64ObservableUpDownCounter{}, err)
	}
	counter := func(name, unit, description string) metric.Int64Counter {
		c, err := meter.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(description))
		return orNoop[metric.Int64Counter](c, noop.Int64Counter{}, err)
	}
	ins := instruments{
		// One request takes 10 ms to 1 s. What is longer waited between
		// attempts, up to Config.RefreshTimeout's default, 30 s, at which an
		// operator wants to see the line; beyond it only with another timeout.
		refresh: histogram(MetricRefreshDuration, "Duration of token refreshes.",
			0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
		// Under 2.5 s nobody was asked, or a session at the authorization
		// server answered. A person takes 5 s to some minutes;
		// Config.AuthorizationTimeout's default is 10 of them.
		authorization: histogram(MetricAuthorizationDuration, "Duration of authorizations.",
			0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600),
		user: histogram(MetricUserDuration, "Time that people took to log in, from when their browser was sent away until it came back.",
			1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600),
		// What a call loses: a read of the store (1 ms), a refresh (up to
		// 30 s), or a login (minutes).
		wait: histogram(MetricWaitDuration, "Time that calls waited for a token.",
			0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
		// A free lock takes under 1 ms in memory and in files and some in
		// Redis; one that is held takes as long as the holder's request, and
		// half of Config.RefreshTimeout's default at most.
		lock: histogram(MetricLockDuration, "Time to take a credential's lock in the store.",
			0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15),
		// Those of the semantic conventions.
		request: histogram(MetricRequestDuration, "Duration of HTTP client requests.",
			0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10),
		tokens:  counts(MetricTokens, "Number of tokens by state."),
		unsaved: counts(MetricUnsaved, "Number of tokens that are in use but could not be stored."),

		stepUps:  counter(MetricStepUps, "{step_up}", "Number of scope upgrades."),
		resends:  counter(MetricResends, "{request}", "Number of requests that went again with the same token."),
		refusals: counter(MetricRefusals, "{call}", "Number of calls that got an error at once, while nothing was sent for them."),
	}
	gauge, err := meter.Float64ObservableGauge(MetricTimeToExpiry, metric.WithUnit("s"), metric.WithDescription("Shortest time that a token has left."))
	ins.timeToExpiry = orNoop[metric.Float64ObservableGauge](gauge, noop.Float64ObservableGauge{}, err)
	_, err = meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		observe(&ins, o)
		return nil
	}, ins.timeToExpiry, ins.tokens, ins.unsaved)
	if err != nil {
		otel.Handle(err)
	}
	return ins
}

func orNoop[I any](instrument, none I, err error) I {
	if err != nil {
		otel.Handle(err)
		return none
	}
	return instrument
}

// record measures a duration. ctx leads from the measurement to its trace
// (exemplars).
func (t *tracer) record(ctx context.Context, h metric.Float64Histogram, d time.Duration, attrs attributes) {
	h.Record(ctx, d.Seconds(), metric.WithAttributes(t.kept(attrs)...))
}

// maxHosts bounds how many authorization servers are told apart in metrics: who
// runs an MCP server decides which one its clients are sent to, and could name
// another each time.
const maxHosts = 100

// hosts are those seen so far.
type hosts struct {
	mu   sync.Mutex
	seen map[string]struct{}
}

// known returns host, or "_OTHER" if there are too many.
func (h *hosts) known(host string) string {
	host = shown.Text(host)
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, ok := h.seen[host]; ok || host == "" {
		return host
	}
	if len(h.seen) >= maxHosts {
		return "_OTHER"
	}
	if h.seen == nil {
		h.seen = make(map[string]struct{})
	}
	h.seen[host] = struct{}{}
	return host
}
