//go:build otlp || realservers

package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

func TestCollectorGetsSpansAndMetrics(t *testing.T) {
	var received sync.Map
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { received.Store(r.URL.Path, true) }))
	defer collector.Close()
	var stdout, stderr bytes.Buffer
	if status := run(t.Context(), []string{"-otlp", collector.URL}, &stdout, &stderr); status != 0 {
		t.Fatalf("exit status %d\n%s%s", status, &stdout, &stderr)
	}
	for _, path := range []string{"/v1/traces", "/v1/metrics"} {
		if _, ok := received.Load(path); !ok {
			t.Errorf("nothing was sent to the collector's %s", path)
		}
	}
}
