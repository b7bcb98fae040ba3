package otelauth_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric/noop"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/otelauth"
)

// wantMeasured compares all measurements so far. The kit answers in no time, so
// what takes time is exact.
func (k *kit) wantMeasured(want ...string) {
	k.t.Helper()
	if got := k.meter.measured(); !slices.Equal(got, want) {
		k.t.Errorf("measured\n%q\nwant\n%q", got, want)
	}
}

func TestInstruments(t *testing.T) {
	r := new(recorder)
	otelauth.NewTracer(otelauth.WithMeterProvider(r))
	want := []string{
		"oauth.client.refresh.duration s [0.01 0.025 0.05 0.1 0.25 0.5 1 2.5 5 10 30 60]",
		"oauth.client.authorization.duration s [0.1 0.25 0.5 1 2.5 5 10 20 30 60 120 300 600]",
		"oauth.client.step_ups {step_up}",
	}
	if !slices.Equal(r.instruments, want) {
		t.Errorf("instruments\n%q\nwant\n%q", r.instruments, want)
	}
}

func TestRefreshDuration(t *testing.T) {
	bubble(t, authtest.Config{}, authtest.Protection{}, func(t *testing.T, k *kit) {
		m, _ := k.started(k.config(), "read")
		k.srv.Inject(authtest.TokenEndpoint, authtest.Delay(1500*time.Millisecond), authtest.Status(404),
			authtest.OAuthError("invalid_grant", 400))
		for range 3 {
			k.call(func(ctx context.Context) { _, _ = m.Refresh(ctx) })
			time.Sleep(time.Minute) // the failure may be tried again
		}
		k.wantMeasured(
			"oauth.client.refresh.duration 1.5 oauth.grant_type=refresh_token,oauth.refresh.outcome=refreshed,oauth.trigger=explicit,server.address=127.0.0.1",
			"oauth.client.refresh.duration 0 error.type=_OTHER,oauth.grant_type=refresh_token,oauth.refresh.outcome=failed,oauth.trigger=explicit,server.address=127.0.0.1",
			"oauth.client.refresh.duration 0 error.type=invalid_grant,oauth.grant_type=refresh_token,oauth.refresh.outcome=failed,oauth.trigger=explicit,server.address=127.0.0.1",
		)
	})
}

func TestAuthorizationDuration(t *testing.T) {
	tests := map[string]struct {
		fault authtest.Fault
		want  string
	}{
		"the user takes a while": {authtest.Delay(20 * time.Second), "oauth.client.authorization.duration 20 oauth.grant_type=authorization_code,server.address=127.0.0.1"},
		"the user denies":        {authtest.OAuthError("access_denied", 0), "oauth.client.authorization.duration 0 error.type=access_denied,oauth.grant_type=authorization_code,server.address=127.0.0.1"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			bubble(t, authtest.Config{}, authtest.Protection{}, func(t *testing.T, k *kit) {
				m := k.manager(k.discovered())
				k.srv.Inject(authtest.AuthorizeEndpoint, tt.fault)
				k.call(func(ctx context.Context) { _, _ = m.Authorize(ctx) })
				k.wantMeasured(tt.want)
			})
		})
	}
}

func TestStepUps(t *testing.T) {
	tests := map[string]struct {
		cfg  authtest.Config
		want string
	}{
		"widened":      {authtest.Config{RefreshWidens: true}, "oauth.client.step_ups 1 oauth.step_up.path=refresh"},
		"nothing left": {authtest.Config{}, "oauth.client.step_ups 1 error.type=_OTHER"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			bubble(t, tt.cfg, authtest.Protection{}, func(t *testing.T, k *kit) {
				m, _ := k.started(k.config(), "read")
				k.call(func(ctx context.Context) { _, _ = m.UpgradeScopes(ctx, "write") })
				if got := k.meter.measured(); got[len(got)-1] != tt.want {
					t.Errorf("measured %q, want %q at the end", got, tt.want)
				}
			})
		})
	}
}

// A provider that refuses an instrument costs the measurements, not the token.
func TestInstrumentRefused(t *testing.T) {
	var told []error
	before := otel.GetErrorHandler()
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { told = append(told, err) }))
	t.Cleanup(func() { otel.SetErrorHandler(before) })

	r := &recorder{refuse: errors.New("no more instruments")}
	tr := otelauth.NewTracer(otelauth.WithMeterProvider(r))
	tr.TraceRefreshEnd(tr.TraceRefreshStart(t.Context(), t.Context(), auth.RefreshStart{}), auth.RefreshEnd{})
	up := tr.(auth.StepUpTracer)
	up.TraceStepUpEnd(up.TraceStepUpStart(t.Context(), auth.StepUpStart{}), auth.StepUpEnd{})
	if len(told) != 3 || !errors.Is(told[0], r.refuse) {
		t.Errorf("error handler was told %v, want the refusal of each instrument", told)
	}
	if got := r.measured(); len(got) != 0 {
		t.Errorf("measured %q by instruments that were refused", got)
	}
}

func TestGlobalProvidersByDefault(t *testing.T) {
	tracers, meters := otel.GetTracerProvider(), otel.GetMeterProvider()
	t.Cleanup(func() {
		otel.SetTracerProvider(tracers)
		otel.SetMeterProvider(meters)
	})
	spans, r := tracetest.NewInMemoryExporter(), new(recorder)
	otel.SetTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans)))
	otel.SetMeterProvider(r)
	tr := otelauth.NewTracer(otelauth.WithTracerProvider(nil), otelauth.WithMeterProvider(nil))
	otel.SetMeterProvider(noop.NewMeterProvider())

	tr.TraceRefreshEnd(tr.TraceRefreshStart(t.Context(), t.Context(), auth.RefreshStart{}), auth.RefreshEnd{})
	if n := len(spans.GetSpans()); n != 1 {
		t.Errorf("%d spans at the global provider, want 1", n)
	}
	if n := len(r.measured()); n != 1 {
		t.Errorf("%d measurements at the global provider of then, want 1", n)
	}
}
