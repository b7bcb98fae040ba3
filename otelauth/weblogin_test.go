package otelauth_test

import (
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/authtrace"
	"github.com/mcptokens/mcptokens/otelauth"
)

// webLogin is a login in two steps, by two processes. The person takes a minute.
func (k *kit) webLogin(tr authtrace.Tracer, in func(step func(ctx context.Context))) {
	cfg := k.discovered()
	cfg.Tracer, cfg.Store = tr, new(auth.MemoryStore)
	first, second := k.manager(cfg), k.manager(cfg)
	var visit string
	var kept []byte
	var err error
	in(func(ctx context.Context) { visit, kept, err = first.BeginLogin(ctx, callback, "") })
	if err != nil {
		k.t.Fatal(err)
	}
	time.Sleep(time.Minute)
	c := k.srv.Client()
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := c.Get(visit)
	if err != nil {
		k.t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	to, err := resp.Location()
	if err != nil {
		k.t.Fatal(err)
	}
	in(func(ctx context.Context) { _, err = second.FinishLogin(ctx, kept, to.Query()) })
	if err != nil {
		k.t.Fatal(err)
	}
}

// The two steps are two spans, each in the trace of its request, and the second is
// linked to the first. How long the person took is measured, and neither the
// subject nor anything secret of the URL is in a span.
func TestWebLogin(t *testing.T) {
	bubble(t, authtest.Config{}, authtest.Protection{}, func(t *testing.T, k *kit) {
		k.webLogin(k.config().Tracer, k.call)
		tree := k.tree()
		for _, want := range []string{"oauth.trigger=begin", "oauth.trigger=finish", "-> oauth.authorize (begin)"} {
			if strings.Count(tree, want) != 1 {
				t.Errorf("%q is not there once:\n%s", want, tree)
			}
		}
		if strings.Count(tree, "\n| oauth.authorize\n") != 2 {
			t.Errorf("the steps are not in the traces of their requests:\n%s", tree)
		}
		for _, secret := range []string{"code_challenge", "state=", "code=code-"} {
			if strings.Contains(tree, secret) {
				t.Errorf("%q is in a span:\n%s", secret, tree)
			}
		}
		sums := map[string]float64{}
		for _, m := range collected(t, k.reader) {
			if h, ok := m.Data.(metricdata.Histogram[float64]); ok && slices.Contains([]string{otelauth.MetricUserDuration, otelauth.MetricAuthorizationDuration}, m.Name) {
				for _, p := range h.DataPoints {
					sums[m.Name] += p.Sum
					if p.Count != 1 {
						t.Errorf("%s has %d values", m.Name, p.Count)
					}
				}
			}
		}
		if user, all := sums[otelauth.MetricUserDuration], sums[otelauth.MetricAuthorizationDuration]; user < 60 || user > 61 || all < user {
			t.Errorf("the person took %v s, the login %v s", user, all)
		}
	})
}
