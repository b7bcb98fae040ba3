//go:build otlp || realservers

package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// exporters send to endpoint by OTLP over HTTP. They read the variables
// OTEL_EXPORTER_OTLP_… for the rest.
func exporters(ctx context.Context, endpoint string, about *resource.Resource) (sdktrace.SpanExporter, meterProvider, error) {
	to, err := url.Parse(endpoint)
	if err != nil || to.Host == "" {
		return nil, nil, errors.New("-otlp is not a URL such as http://localhost:4318")
	}
	spans, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(to.JoinPath("v1/traces").String()))
	if err != nil {
		return nil, nil, fmt.Errorf("exporter of spans: %w", err)
	}
	metrics, err := otlpmetrichttp.New(ctx, otlpmetrichttp.WithEndpointURL(to.JoinPath("v1/metrics").String()))
	if err != nil {
		return nil, nil, fmt.Errorf("exporter of metrics: %w", err)
	}
	return spans, sdkmetric.NewMeterProvider(sdkmetric.WithResource(about), sdkmetric.WithReader(sdkmetric.NewPeriodicReader(metrics))), nil
}
