package otelauth

import (
	"context"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
)

// instruments are the metrics' own.
type instruments struct {
	refresh       metric.Float64Histogram
	authorization metric.Float64Histogram
	stepUps       metric.Int64Counter
}

// newInstruments never fails: what a provider refuses is told to OpenTelemetry's
// error handler and not measured.
func newInstruments(mp metric.MeterProvider) instruments {
	meter := mp.Meter(ScopeName, metric.WithSchemaURL(semconv.SchemaURL))
	histogram := func(name, description string, buckets ...float64) metric.Float64Histogram {
		h, err := meter.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(description),
			metric.WithExplicitBucketBoundaries(buckets...))
		if err != nil {
			otel.Handle(err)
			return noop.Float64Histogram{}
		}
		return h
	}
	ins := instruments{
		// One request takes 10 ms to 1 s. What is longer waited between
		// attempts, up to auth.DefaultRefreshTimeout, 30 s, at which an
		// operator wants to see the line; beyond it only with another timeout.
		refresh: histogram(MetricRefreshDuration, "Duration of token refreshes.",
			0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
		// Under 2.5 s nobody was asked, or a session at the authorization
		// server answered. A person takes 5 s to some minutes;
		// auth.DefaultAuthorizationTimeout is 10 of them.
		authorization: histogram(MetricAuthorizationDuration, "Duration of authorizations.",
			0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600),
	}
	counter, err := meter.Int64Counter(MetricStepUps, metric.WithUnit("{step_up}"), metric.WithDescription("Number of scope upgrades."))
	if err != nil {
		otel.Handle(err)
		counter = noop.Int64Counter{}
	}
	ins.stepUps = counter
	return ins
}

// since records the time from start until now. ctx leads from the measurement
// to its trace (exemplars).
func since(ctx context.Context, h metric.Float64Histogram, start time.Time, attrs []attribute.KeyValue) {
	h.Record(ctx, time.Since(start).Seconds(), metric.WithAttributes(attrs...))
}
