package otelauth_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/otelauth"
)

// canary is in every text that is planted where a server, a network, a store
// or a user might put a secret.
const canary = "canary"

// TestNothingSecretIsExported goes through a token's life with everything that
// can go wrong at each endpoint, and looks for what must not come out.
func TestNothingSecretIsExported(t *testing.T) {
	bubble(t, authtest.Config{AccessTokenTTL: 10 * time.Minute}, authtest.Protection{}, func(t *testing.T, k *kit) {
		hostile := &hostileNetwork{base: k.srv.Transport()}
		cfg := k.discovered()
		cfg.Resource += "?key=canary-query"
		cfg.HTTPClient = &http.Client{Transport: hostile}
		cfg.Client = auth.Client{ID: clientID, Secret: clientSecret}
		m := k.manager(cfg)
		seen := map[string]bool{}
		use := func(f func(ctx context.Context) (*auth.Token, error)) {
			k.call(func(ctx context.Context) {
				if tok, err := f(ctx); err == nil {
					seen[tok.AccessToken], seen[tok.RefreshToken] = true, true
				}
			})
		}
		for _, mode := range []int32{transportError, refusal, tokenAsCode, 0} {
			hostile.mode.Store(mode)
			use(m.Authorize)
		}
		if len(seen) != 2 {
			t.Fatal("no token after an authorization without faults")
		}
		for _, mode := range []int32{transportError, refusal, tokenAsCode} {
			hostile.mode.Store(mode)
			use(m.Refresh)
		}
		hostile.mode.Store(0)
		for _, fault := range authtest.Faults() {
			time.Sleep(20 * time.Minute)
			k.srv.Inject(authtest.TokenEndpoint, fault)
			use(m.Refresh)
			use(m.Authorize)
		}
		use(func(ctx context.Context) (*auth.Token, error) { return m.UpgradeScopes(ctx, "write") })
		hostile.mode.Store(refusal)
		use(func(ctx context.Context) (*auth.Token, error) { return nil, m.Revoke(ctx) })

		out := k.exported()
		for name, secret := range k.secrets(seen) {
			if strings.Contains(out, secret) {
				t.Errorf("exported: %s", name)
			}
		}
		// What was looked through is what was exported, and there was something to find.
		for _, name := range []string{
			otelauth.SpanRefresh, otelauth.SpanAuthorization, otelauth.SpanStepUp, otelauth.SpanDiscovery, otelauth.SpanRevocation,
			otelauth.EventAttempt, otelauth.MetricRefreshDuration, otelauth.MetricAuthorizationDuration, otelauth.MetricStepUps,
		} {
			if !strings.Contains(out, name) {
				t.Errorf("nothing exported of %s", name)
			}
		}
	})
}

// secrets returns every secret that was in play, by what it is.
func (k *kit) secrets(tokens map[string]bool) map[string]string {
	k.t.Helper()
	secrets := map[string]string{"a canary": canary}
	kinds := map[string]bool{}
	for _, r := range k.srv.TokenRequests() {
		for _, key := range []string{"code", "code_verifier", "refresh_token", "client_secret"} {
			if v := r.Form.Get(key); v != "" {
				kinds[key] = true
				secrets[key+" "+v] = v
			}
		}
		if h := r.Header.Get("Authorization"); h != "" {
			secrets["client authentication"] = strings.TrimPrefix(h, "Basic ")
		}
	}
	for tok := range tokens {
		secrets["token "+tok] = tok
	}
	if !kinds["code"] || !kinds["code_verifier"] || !kinds["refresh_token"] || secrets["client authentication"] == "" {
		k.t.Fatalf("the test has not seen every kind of secret: %v", kinds)
	}
	return secrets
}

// exported is all text that left the tracer: of spans, events, links and
// measurements.
func (k *kit) exported() string {
	var b strings.Builder
	write := func(attrs []attribute.KeyValue) {
		for _, a := range attrs {
			fmt.Fprintln(&b, a.Key, a.Value.String())
		}
	}
	for _, s := range k.spans.GetSpans() {
		fmt.Fprintln(&b, s.Name, s.Status.Description, s.SpanContext.TraceState(), s.InstrumentationScope)
		write(s.Attributes)
		for _, e := range s.Events {
			fmt.Fprintln(&b, e.Name)
			write(e.Attributes)
		}
		for _, l := range s.Links {
			fmt.Fprintln(&b, l.SpanContext.TraceState())
			write(l.Attributes)
		}
	}
	for _, line := range append(k.meter.measured(), k.meter.instruments...) {
		fmt.Fprintln(&b, line)
	}
	return b.String()
}

// The modes of hostileNetwork.
const (
	transportError int32 = iota + 1 // an error that quotes a secret
	refusal                         // an OAuth error with a description
	tokenAsCode                     // an error code that is a secret
)

// hostileNetwork answers form posts, which are token requests and revocations,
// with secrets.
type hostileNetwork struct {
	base http.RoundTripper
	mode atomic.Int32
}

func (h *hostileNetwork) RoundTrip(req *http.Request) (*http.Response, error) {
	mode := h.mode.Load()
	if mode == 0 || req.Method != http.MethodPost {
		return h.base.RoundTrip(req)
	}
	_ = req.Body.Close()
	body := `{"error":"invalid_request","error_description":"canary-description","error_uri":"https://canary"}`
	switch mode {
	case transportError:
		return nil, errors.New("canary-transport: cannot send canary-token")
	case tokenAsCode:
		body = `{"error":"canary_access_token"}`
	}
	return &http.Response{
		StatusCode: http.StatusBadRequest, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: req,
		Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body)),
	}, nil
}
