package otelauth_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/browser"
	"github.com/mcptokens/mcptokens/auth/grant"
	"github.com/mcptokens/mcptokens/otelauth"
)

const (
	clientID     = "test-client"
	clientSecret = "canary-client-secret"
	callback     = "http://127.0.0.1:33418/callback"
)

// kit is an authorization server, an MCP server, and what a tracer that is
// plugged into a manager exported.
type kit struct {
	t       *testing.T
	srv     *authtest.Server
	res     *authtest.Resource
	spans   *tracetest.InMemoryExporter
	meter   *recorder
	tracers *sdktrace.TracerProvider
	starts  *starts
}

// starts notes in which order spans start: in a bubble many do at one instant.
type starts struct {
	mu    sync.Mutex
	order map[trace.SpanID]int
}

func (s *starts) OnStart(_ context.Context, span sdktrace.ReadWriteSpan) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.order[span.SpanContext().SpanID()] = len(s.order)
}
func (*starts) OnEnd(sdktrace.ReadOnlySpan)      {}
func (*starts) Shutdown(context.Context) error   { return nil }
func (*starts) ForceFlush(context.Context) error { return nil }

// bubble runs test with a kit in a testing/synctest bubble, where an hour costs
// nothing.
func bubble(t *testing.T, cfg authtest.Config, p authtest.Protection, test func(t *testing.T, k *kit)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		cfg.InMemory = true
		srv := authtest.NewServerConfig(t, cfg)
		srv.AddClient(clientID, clientSecret, callback)
		mcp := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") })
		k := &kit{t: t, srv: srv, res: srv.Protect(mcp, p), spans: tracetest.NewInMemoryExporter(), meter: new(recorder),
			starts: &starts{order: map[trace.SpanID]int{}}}
		k.tracers = sdktrace.NewTracerProvider(sdktrace.WithSyncer(k.spans), sdktrace.WithSpanProcessor(k.starts))
		t.Cleanup(func() { _ = k.tracers.Shutdown(context.Background()) })
		test(t, k)
	})
}

// config is a configuration with the tracer under test and a known server. It
// refreshes what SetToken gave it, and does nothing else.
func (k *kit) config() auth.Config {
	return auth.Config{
		Resource: k.res.URL,
		Server: &auth.Server{
			Issuer:             k.srv.Issuer,
			TokenEndpoint:      k.srv.Endpoint(authtest.TokenEndpoint),
			RevocationEndpoint: k.srv.Endpoint(authtest.RevocationEndpoint),
		},
		Client:        auth.Client{ID: clientID, Secret: clientSecret},
		HTTPClient:    k.srv.Client(),
		NoIdleRefresh: true,
		Tracer:        otelauth.NewTracer(otelauth.WithTracerProvider(k.tracers), otelauth.WithMeterProvider(k.meter)),
	}
}

// discovered is a configuration that knows the MCP server's URL only. The user
// approves at once.
func (k *kit) discovered() auth.Config {
	cfg := k.config()
	cfg.Server, cfg.Client = nil, auth.Client{}
	cfg.Grant = grant.AuthorizationCode{UserAgent: browser.Headless{Client: k.srv.Client(), RedirectURI: callback}}
	return cfg
}

func (k *kit) manager(cfg auth.Config) *auth.Manager {
	k.t.Helper()
	m, err := auth.NewManager(cfg)
	if err != nil {
		k.t.Fatalf("NewManager: %v", err)
	}
	k.t.Cleanup(func() { _ = m.Close() })
	return m
}

// started is a manager with a token that the server issued out of the blue.
func (k *kit) started(cfg auth.Config, scopes ...string) (*auth.Manager, *auth.Token) {
	k.t.Helper()
	m := k.manager(cfg)
	p := k.srv.IssueToken(scopes, k.res.URL)
	tok := &auth.Token{AccessToken: p.AccessToken, RefreshToken: p.RefreshToken, Expiry: p.Expiry, Scopes: p.Scopes}
	if err := m.SetToken(k.t.Context(), tok); err != nil {
		k.t.Fatalf("SetToken: %v", err)
	}
	return m, tok
}

// call runs f in a span as an instrumented program would, then waits for
// everything that f left running.
func (k *kit) call(f func(ctx context.Context)) {
	ctx, span := k.tracers.Tracer("program").Start(k.t.Context(), "call")
	f(ctx)
	span.End()
	synctest.Wait()
}

// wantSpans compares all spans exported so far, as a tree.
func (k *kit) wantSpans(want string) {
	k.t.Helper()
	if got := k.tree(); got != strings.TrimPrefix(want, "\n") {
		k.t.Errorf("spans are\n%swant\n%s", got, strings.TrimPrefix(want, "\n"))
	}
}

// tree writes each span below its parent, in the order of their starts, with
// its attributes indented by four and its events by six.
func (k *kit) tree() string {
	spans := k.spans.GetSpans()
	k.starts.mu.Lock()
	defer k.starts.mu.Unlock()
	slices.SortFunc(spans, func(a, b tracetest.SpanStub) int {
		return k.starts.order[a.SpanContext.SpanID()] - k.starts.order[b.SpanContext.SpanID()]
	})
	names := map[trace.SpanID]string{}
	for _, s := range spans {
		names[s.SpanContext.SpanID()] = s.Name
	}
	var b strings.Builder
	var below func(parent trace.SpanID, indent string)
	below = func(parent trace.SpanID, indent string) {
		for _, s := range spans {
			if s.Parent.SpanID() != parent {
				continue
			}
			b.WriteString(indent + s.Name)
			for _, l := range s.Links {
				b.WriteString(" -> " + names[l.SpanContext.SpanID()])
			}
			if s.Status.Code == codes.Error {
				b.WriteString(" ERROR" + s.Status.Description)
			}
			b.WriteString("\n")
			k.writeAttributes(&b, indent+"    ", s.Attributes)
			for _, e := range s.Events {
				b.WriteString(indent + "    @ " + e.Name + "\n")
				k.writeAttributes(&b, indent+"      ", e.Attributes)
			}
			below(s.SpanContext.SpanID(), indent+"| ")
		}
	}
	below(trace.SpanID{}, "")
	return b.String()
}

// writeAttributes writes one a line, sorted, without where the kit listens and
// without waits, whose jitter differs each time.
func (k *kit) writeAttributes(b *strings.Builder, indent string, attrs []attribute.KeyValue) {
	hosts := strings.NewReplacer(k.srv.URL, "AS", k.res.URL, "MCP")
	var lines []string
	for _, a := range attrs {
		switch a.Key {
		case otelauth.AttrAttemptWait:
			lines = append(lines, string(a.Key))
		case "server.address", "server.port": // wantServer
		default:
			lines = append(lines, fmt.Sprintf("%s=%s", a.Key, hosts.Replace(a.Value.String())))
		}
	}
	slices.Sort(lines)
	for _, l := range lines {
		b.WriteString(indent + l + "\n")
	}
}

// span returns the only span of that name.
func (k *kit) span(name string) tracetest.SpanStub {
	k.t.Helper()
	var found []tracetest.SpanStub
	for _, s := range k.spans.GetSpans() {
		if s.Name == name {
			found = append(found, s)
		}
	}
	if len(found) != 1 {
		k.t.Fatalf("%d spans %s, want 1", len(found), name)
	}
	return found[0]
}

// value returns an attribute's value; the zero Value if it is not there.
func value(attrs []attribute.KeyValue, key attribute.Key) attribute.Value {
	for _, a := range attrs {
		if a.Key == key {
			return a.Value
		}
	}
	return attribute.Value{}
}

// wantServer fails the test unless these spans, each the only one of its name,
// say where the authorization server is.
func (k *kit) wantServer(names ...string) {
	k.t.Helper()
	u, err := url.Parse(k.srv.Issuer)
	if err != nil {
		k.t.Fatalf("issuer: %v", err)
	}
	for _, name := range names {
		s := k.span(name)
		host, port := value(s.Attributes, "server.address").AsString(), value(s.Attributes, "server.port").AsInt64()
		if host != u.Hostname() || strconv.FormatInt(port, 10) != u.Port() {
			k.t.Errorf("%s: server %s:%d, want %s", name, host, port, u.Host)
		}
	}
}
