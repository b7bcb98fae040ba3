package otelauth_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/authtrace"
	"github.com/mcptokens/mcptokens/otelauth"
)

// refreshed lets a caller wait for a refresh, traced with opts.
func (k *kit) refreshed(opts ...otelauth.Option) {
	k.t.Helper()
	cfg := k.config()
	cfg.Tracer = otelauth.NewTracer(append([]otelauth.Option{otelauth.WithTracerProvider(k.tracers), otelauth.WithMeterProvider(k.meters)}, opts...)...)
	m, _ := k.started(cfg, "read")
	time.Sleep(2 * time.Hour)
	k.call(func(ctx context.Context) {
		if _, err := m.Token(ctx); err != nil {
			k.t.Errorf("Token: %v", err)
		}
	})
}

func TestWithoutTracing(t *testing.T) {
	bubble(t, authtest.Config{}, authtest.Protection{}, func(t *testing.T, k *kit) {
		k.refreshed(otelauth.WithoutTracing())
		k.wantSpans("\ncall\n") // nothing in the caller's either
		if len(collected(t, k.reader)) == 0 {
			t.Error("nothing was measured")
		}
	})
}

func TestWithoutMetrics(t *testing.T) {
	bubble(t, authtest.Config{}, authtest.Protection{}, func(t *testing.T, k *kit) {
		k.refreshed(otelauth.WithoutMetrics())
		k.span(otelauth.SpanRefresh)
		if got := collected(t, k.reader); len(got) != 0 {
			t.Errorf("measured %v", points(got))
		}
	})
}

func TestWithAttributeFilter(t *testing.T) {
	dropped := []attribute.Key{otelauth.AttrResource, otelauth.AttrTrigger, otelauth.AttrDuration, otelauth.AttrLink, "url.full", "server.address"}
	bubble(t, authtest.Config{}, authtest.Protection{}, func(t *testing.T, k *kit) {
		k.refreshed(otelauth.WithAttributeFilter(func(a attribute.KeyValue) bool { return !slices.Contains(dropped, a.Key) }))
		out := k.exported()
		for _, key := range dropped {
			if strings.Contains(out, string(key)+" ") || strings.Contains(out, string(key)+"=") {
				t.Errorf("%s is there", key)
			}
		}
		for _, key := range []attribute.Key{otelauth.AttrIssuer, otelauth.AttrRefreshOutcome, otelauth.AttrWaitFor, "http.request.method", "server.port"} {
			if !strings.Contains(out, string(key)+" ") {
				t.Errorf("%s is not there", key)
			}
		}
	})
}

// The links of one operation are bounded, so that the SDK does not drop the one
// to the trigger; all who wait are counted.
func TestLinksAreBounded(t *testing.T) {
	bubble(t, authtest.Config{}, authtest.Protection{}, func(t *testing.T, k *kit) {
		tr := k.config().Tracer
		tracer := k.tracers.Tracer("program")
		trigger, span := tracer.Start(t.Context(), "trigger")
		defer span.End()
		op := tr.Start(t.Context(), trigger, authtrace.RefreshStart{})
		for range 300 {
			ctx, span := tracer.Start(t.Context(), "call")
			for range 2 { // a call that waits twice is linked once
				tr.End(tr.Start(ctx, op, authtrace.WaitStart{For: authtrace.AwaitedRefresh}), authtrace.WaitEnd{For: authtrace.AwaitedRefresh})
			}
			span.End()
		}
		tr.End(op, authtrace.RefreshEnd{})
		got := k.span(otelauth.SpanRefresh)
		if len(got.Links) != 100 || got.DroppedLinks != 0 || value(got.Links[0].Attributes, otelauth.AttrLink).AsString() != "trigger" {
			t.Errorf("%d links, %d dropped, the first %v", len(got.Links), got.DroppedLinks, got.Links[0].Attributes)
		}
		if n := value(got.Attributes, otelauth.AttrWaiters).AsInt64(); n != 600 {
			t.Errorf("%d waiters, want 600", n)
		}
	})
}
