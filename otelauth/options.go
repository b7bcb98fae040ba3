package otelauth

import (
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	nometer "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"
	notracer "go.opentelemetry.io/otel/trace/noop"
)

// Option configures [NewTracer].
type Option func(*config)

type config struct {
	tracers trace.TracerProvider
	meters  metric.MeterProvider
	keep    func(attribute.KeyValue) bool
}

// WithTracerProvider sets where spans go. Default, also for nil:
// [otel.GetTracerProvider] at the time of NewTracer.
func WithTracerProvider(tp trace.TracerProvider) Option {
	return func(c *config) { c.tracers = tp }
}

// WithMeterProvider sets where metrics go. Default, also for nil:
// [otel.GetMeterProvider] at the time of NewTracer.
func WithMeterProvider(mp metric.MeterProvider) Option {
	return func(c *config) { c.meters = mp }
}

// WithoutTracing turns spans off, with their events and links, those in the
// spans of callers too. Default: on.
func WithoutTracing() Option { return WithTracerProvider(notracer.NewTracerProvider()) }

// WithoutMetrics turns metrics off. Default: on.
func WithoutMetrics() Option { return WithMeterProvider(nometer.NewMeterProvider()) }

// WithAttributeFilter drops every attribute that keep returns false for, of
// spans, events, links and metrics alike: scopes, say, or the URL of the MCP
// server. It is called from many goroutines at once. Default, also for nil: all
// are kept.
func WithAttributeFilter(keep func(attribute.KeyValue) bool) Option {
	return func(c *config) { c.keep = keep }
}

func newConfig(opts []Option) config {
	var c config
	for _, o := range opts {
		o(&c)
	}
	if c.tracers == nil {
		c.tracers = otel.GetTracerProvider()
	}
	if c.meters == nil {
		c.meters = otel.GetMeterProvider()
	}
	return c
}
