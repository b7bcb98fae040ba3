package otelauth_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
)

// recorder is a meter provider that writes down every measurement.
type recorder struct {
	noop.MeterProvider

	refuse error // what every instrument gets, if set

	mu          sync.Mutex
	instruments []string // name, unit, buckets
	lines       []string // one a measurement
}

// measured returns the measurements so far, in order.
func (r *recorder) measured() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.lines)
}

func (r *recorder) add(list *[]string, line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	*list = append(*list, line)
}

func (r *recorder) Meter(string, ...metric.MeterOption) metric.Meter { return meter{r: r} }

type meter struct {
	noop.Meter
	r *recorder
}

func (m meter) Float64Histogram(name string, opts ...metric.Float64HistogramOption) (metric.Float64Histogram, error) {
	c := metric.NewFloat64HistogramConfig(opts...)
	m.r.add(&m.r.instruments, fmt.Sprint(name, " ", c.Unit(), " ", c.ExplicitBucketBoundaries()))
	return histogram{name: name, r: m.r}, m.r.refuse
}

func (m meter) Int64Counter(name string, opts ...metric.Int64CounterOption) (metric.Int64Counter, error) {
	c := metric.NewInt64CounterConfig(opts...)
	m.r.add(&m.r.instruments, fmt.Sprint(name, " ", c.Unit()))
	return counter{name: name, r: m.r}, m.r.refuse
}

type histogram struct {
	noop.Float64Histogram
	name string
	r    *recorder
}

func (h histogram) Record(_ context.Context, v float64, opts ...metric.RecordOption) {
	set := metric.NewRecordConfig(opts).Attributes()
	h.r.add(&h.r.lines, fmt.Sprintf("%s %g %s", h.name, v, set.Encoded(attribute.DefaultEncoder())))
}

type counter struct {
	noop.Int64Counter
	name string
	r    *recorder
}

func (c counter) Add(_ context.Context, n int64, opts ...metric.AddOption) {
	set := metric.NewAddConfig(opts).Attributes()
	c.r.add(&c.r.lines, strings.TrimSpace(fmt.Sprintf("%s %d %s", c.name, n, set.Encoded(attribute.DefaultEncoder()))))
}
