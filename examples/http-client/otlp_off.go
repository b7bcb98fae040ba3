//go:build !otlp && !realservers

package main

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// exporters are left out: they bring gRPC and protocol buffers along, which take
// longer to compile than the rest of the program.
func exporters(context.Context, string, *resource.Resource) (sdktrace.SpanExporter, meterProvider, error) {
	return nil, nil, errors.New("-otlp needs a program that was built with -tags otlp: go run -tags otlp ./examples/http-client -otlp …")
}
