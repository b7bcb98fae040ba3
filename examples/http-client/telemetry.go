package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/mark3labs/mcp-go/tracing"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/mcptokens/mcptokens/auth/authtrace"
	"github.com/mcptokens/mcptokens/otelauth"
)

// telemetry is where spans and metrics go: to an OpenTelemetry Collector if
// -otlp names one, else nowhere.
type telemetry struct {
	tracers *sdktrace.TracerProvider
	meters  meterProvider
}

type meterProvider interface {
	metric.MeterProvider
	Shutdown(ctx context.Context) error
}

// unmeasured is for programs that send no metrics: the SDK for those takes as long
// to compile as package auth.
type unmeasured struct{ noop.MeterProvider }

func (unmeasured) Shutdown(context.Context) error { return nil }

// startTelemetry sends to endpoint, such as http://localhost:4318, by OTLP over
// HTTP, see [exporters]. Empty: nothing is sent. Spans also go to the processors in more.
func startTelemetry(ctx context.Context, endpoint string, more ...sdktrace.TracerProviderOption) (*telemetry, error) {
	about := resource.NewSchemaless(attribute.String("service.name", "mcptokens-http-client"))
	spans := append(more, sdktrace.WithResource(about))
	meters := meterProvider(unmeasured{})
	if endpoint != "" {
		exporter, measured, err := exporters(ctx, endpoint, about)
		if err != nil {
			return nil, err
		}
		spans, meters = append(spans, sdktrace.WithBatcher(exporter)), measured
	}
	return &telemetry{sdktrace.NewTracerProvider(spans...), meters}, nil
}

// tracer is for the manager.
func (t *telemetry) tracer() authtrace.Tracer {
	return otelauth.NewTracer(otelauth.WithTracerProvider(t.tracers), otelauth.WithMeterProvider(t.meters))
}

// shutdown sends what has not been sent yet. Metrics are read once more, so it
// comes before the manager is closed.
func (t *telemetry) shutdown(ctx context.Context) error {
	if err := errors.Join(t.meters.Shutdown(ctx), t.tracers.Shutdown(ctx)); err != nil {
		return fmt.Errorf("sending spans and metrics: %w", err)
	}
	return nil
}

// mcpTracer lets mcp-go make a span of each MCP request, as its module
// github.com/mark3labs/mcp-go/otel does. What waits for a token under it says so
// there, with a link to what it waited for.
type mcpTracer struct{ trace.Tracer }

func (t *telemetry) mcpTracer() tracing.Tracer { return mcpTracer{t.tracers.Tracer("mcp-go")} }

// Start implements [tracing.Tracer].
func (t mcpTracer) Start(ctx context.Context, name string, kind tracing.SpanKind, attrs ...tracing.Attribute) (context.Context, tracing.Span) {
	opts := []trace.SpanStartOption{}
	if kind == tracing.SpanKindClient {
		opts = append(opts, trace.WithSpanKind(trace.SpanKindClient))
	}
	ctx, span := t.Tracer.Start(ctx, name, opts...)
	s := mcpSpan{span}
	s.SetAttributes(attrs...)
	return ctx, s
}

type mcpSpan struct{ trace.Span }

func (s mcpSpan) SetAttributes(attrs ...tracing.Attribute) {
	for _, a := range attrs {
		s.Span.SetAttributes(attribute.String(a.Key, a.Value))
	}
}
func (s mcpSpan) RecordError(err error) { s.Span.RecordError(err) }
func (s mcpSpan) SetStatus(code tracing.StatusCode, description string) {
	if code == tracing.StatusError {
		s.Span.SetStatus(codes.Error, description)
	}
}
func (s mcpSpan) End() { s.Span.End() }
