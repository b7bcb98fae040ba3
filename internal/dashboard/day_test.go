package dashboard

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/browser"
	"github.com/mcptokens/mcptokens/auth/grant"
	"github.com/mcptokens/mcptokens/otelauth"
	"github.com/mcptokens/mcptokens/transport"
)

const (
	users  = 30
	scrape = 15 * time.Second
	span   = 90 * time.Minute
)

// day lets users call an MCP server for a while in which its authorization server is
// throttled, goes down and forgets everybody. It returns what Prometheus would have
// scraped, as OpenMetrics.
func day(t *testing.T) (text string, from, to time.Time) {
	var b strings.Builder
	synctest.Test(t, func(t *testing.T) {
		from = time.Now()
		srv := authtest.NewServerConfig(t, authtest.Config{InMemory: true, AccessTokenTTL: 12 * time.Minute})
		hello := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
		protected := srv.Protect(hello, authtest.Protection{Scopes: []string{"mcp:read"}, MethodScopes: map[string][]string{"resources/read": {"mcp:files"}}})
		reader := sdkmetric.NewManualReader()
		tracer := otelauth.NewTracer(otelauth.WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))), otelauth.WithoutTracing())

		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		for i := range users {
			manager, err := auth.NewManager(auth.Config{
				Resource: protected.URL, Subject: fmt.Sprint(i), HTTPClient: srv.Client(), Tracer: tracer,
				Grant: grant.AuthorizationCode{UserAgent: person{browser.Headless{Client: srv.Client()}}},
			})
			if err != nil {
				t.Fatal(err)
			}
			defer manager.Close()
			client := &http.Client{Transport: &transport.RoundTripper{Source: manager, Base: srv.Transport()}}
			running.Go(func() { use(ctx, client, protected.URL, rand.New(rand.NewPCG(1, uint64(i)))) })
		}
		running.Go(func() { trouble(ctx, srv, protected) })
		for time.Since(from) < span {
			time.Sleep(scrape)
			b.WriteString(exposition(t, reader))
		}
		to = time.Now()
		stop()
		running.Wait()
	})
	return inOrder(b.String()), from, to
}

// person takes some seconds to log in.
type person struct{ browser.Headless }

func (p person) Start(ctx context.Context, preferred []string) (auth.UserAgentSession, error) {
	s, err := p.Headless.Start(ctx, preferred)
	return slow{s}, err
}

type slow struct{ auth.UserAgentSession }

func (s slow) Visit(ctx context.Context, url, state string) (url.Values, error) {
	time.Sleep(time.Duration(5+rand.IntN(25)) * time.Second)
	return s.UserAgentSession.Visit(ctx, url, state)
}

// use calls the server again and again, as a person does who works with it.
func use(ctx context.Context, client *http.Client, url string, r *rand.Rand) {
	for ctx.Err() == nil {
		method := "tools/list"
		if r.IntN(40) == 0 {
			method = "resources/read" // which needs another scope
		}
		body := strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"` + method + `"}`)
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, body)
		if err != nil {
			return
		}
		req.Header.Set("Content-Type", "application/json")
		if resp, err := client.Do(req); err == nil {
			resp.Body.Close()
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(10+r.IntN(110)) * time.Second):
		}
	}
}

// trouble is what goes wrong.
func trouble(ctx context.Context, srv *authtest.Server, protected *authtest.Resource) {
	after := func(d time.Duration, do func()) {
		select {
		case <-ctx.Done():
		case <-time.After(d):
			do()
		}
	}
	after(20*time.Minute, func() { srv.InjectFor(authtest.TokenEndpoint, 4*time.Minute, authtest.RetryAfter(429, 20*time.Second)) })
	after(15*time.Minute, func() { srv.Down(14 * time.Minute) })
	after(20*time.Minute, func() { protected.Refuse(authtest.Refusal{Chance: 0.2, Seed: 1, For: 4 * time.Minute}) })
	after(12*time.Minute, func() { srv.RevokeAll() })
}

// exposition is what a scrape returns now, without types and in any order.
func exposition(t *testing.T, reader *sdkmetric.ManualReader) string {
	var rm metricdata.ResourceMetrics
	if err := reader.Collect(context.Background(), &rm); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	at := time.Now().Unix()
	for _, sm := range rm.ScopeMetrics {
		for _, m := range sm.Metrics {
			name := strings.ReplaceAll(m.Name, ".", "_")
			if m.Unit == "s" {
				name += "_seconds"
			}
			line := func(name string, set attribute.Set, le string, value any) {
				labels := fmt.Sprintf(`otel_scope_name="%s"`, sm.Scope.Name)
				for _, kv := range set.ToSlice() {
					labels += fmt.Sprintf(`,%s=%q`, strings.ReplaceAll(string(kv.Key), ".", "_"), kv.Value.String())
				}
				if le != "" {
					labels += fmt.Sprintf(`,le="%s"`, le)
				}
				fmt.Fprintf(&b, "%s{%s} %v %d\n", name, labels, value, at)
			}
			switch d := m.Data.(type) {
			case metricdata.Histogram[float64]:
				for _, p := range d.DataPoints {
					var below uint64
					for i, bound := range p.Bounds {
						below += p.BucketCounts[i]
						line(name+"_bucket", p.Attributes, fmt.Sprint(bound), below)
					}
					line(name+"_bucket", p.Attributes, "+Inf", p.Count)
					line(name+"_sum", p.Attributes, "", p.Sum)
					line(name+"_count", p.Attributes, "", p.Count)
				}
			case metricdata.Sum[int64]:
				if d.IsMonotonic {
					name += "_total"
				}
				for _, p := range d.DataPoints {
					line(name, p.Attributes, "", p.Value)
				}
			case metricdata.Gauge[float64]:
				for _, p := range d.DataPoints {
					line(name, p.Attributes, "", p.Value)
				}
			default:
				t.Errorf("%s is a %T", m.Name, d)
			}
		}
	}
	return b.String()
}

// inOrder is OpenMetrics: the samples of a metric stand together.
func inOrder(text string) string {
	byName := map[string]*strings.Builder{}
	var names []string
	for line := range strings.Lines(text) {
		name, _, _ := strings.Cut(line, "{")
		if byName[name] == nil {
			byName[name] = new(strings.Builder)
			names = append(names, name)
		}
		byName[name].WriteString(line)
	}
	var b strings.Builder
	for _, name := range names {
		fmt.Fprintf(&b, "# TYPE %s unknown\n%s", name, byName[name])
	}
	return b.String() + "# EOF\n"
}
