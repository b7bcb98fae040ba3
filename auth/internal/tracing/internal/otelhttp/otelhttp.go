// Package otelhttp has the name of the package that instruments net/http for
// OpenTelemetry, for a test.
package otelhttp

import "net/http"

// Transport sends requests.
type Transport struct{ http.RoundTripper }
