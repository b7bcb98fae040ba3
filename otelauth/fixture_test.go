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
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
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
	reader  *sdkmetric.ManualReader
	meters  *sdkmetric.MeterProvider
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
		k := &kit{t: t, srv: srv, res: srv.Protect(mcp, p), spans: tracetest.NewInMemoryExporter(), reader: sdkmetric.NewManualReader(),
			starts: &starts{order: map[trace.SpanID]int{}}}
		k.tracers = sdktrace.NewTracerProvider(sdktrace.WithSyncer(k.spans), sdktrace.WithSpanProcessor(k.starts))
		k.meters = sdkmetric.NewMeterProvider(sdkmetric.WithReader(k.reader))
		t.Cleanup(func() { _ = k.tracers.Shutdown(context.Background()) })
		t.Cleanup(func() { _ = k.meters.Shutdown(context.Background()) })
		test(t, k)
	})
}

// latency is how long each request of a manager is on its way.
const latency = 50 * time.Millisecond

// distant is a network that takes its time, so that who waits for an operation
// is there before it ends.
type distant struct{ http.RoundTripper }

func (d distant) RoundTrip(req *http.Request) (*http.Response, error) {
	select {
	case <-time.After(latency):
	case <-req.Context().Done():
		if req.Body != nil {
			_ = req.Body.Close()
		}
		return nil, req.Context().Err()
	}
	return d.RoundTripper.RoundTrip(req)
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
		HTTPClient:    &http.Client{Transport: distant{k.srv.Transport()}},
		NoIdleRefresh: true,
		Tracer:        otelauth.NewTracer(otelauth.WithTracerProvider(k.tracers), otelauth.WithMeterProvider(k.meters)),
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
	time.Sleep(10 * latency)
	synctest.Wait()
}

// wantSpans compares all spans exported so far, as a tree.
func (k *kit) wantSpans(want string) {
	k.t.Helper()
	if got := k.tree(); got != strings.TrimPrefix(want, "\n") {
		k.t.Errorf("spans are\n%swant\n%s", got, strings.TrimPrefix(want, "\n"))
	}
}

// tree writes each span below its parent, in the order of their starts: its
// name, its kind unless internal, ERROR if that is its status; then a line for
// each attribute; "->" and a link's span and what that is; "@" and an event with
// its attributes. What comes several times in a row is counted.
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
	var below func(parent trace.SpanID, indent string) []string
	below = func(parent trace.SpanID, indent string) (blocks []string) {
		for _, s := range spans {
			if s.Parent.SpanID() != parent {
				continue
			}
			head := indent + s.Name
			if s.SpanKind != trace.SpanKindInternal {
				head += " " + strings.ToUpper(s.SpanKind.String())
			}
			if s.Status.Code == codes.Error {
				head += " ERROR" + s.Status.Description
			}
			lines := []string{head}
			for _, a := range k.attributes(s.Attributes) {
				lines = append(lines, indent+"    "+a)
			}
			for _, l := range s.Links {
				what := value(l.Attributes, otelauth.AttrLink).AsString()
				lines = append(lines, indent+"    -> "+names[l.SpanContext.SpanID()]+" ("+what+")")
			}
			for _, e := range s.Events {
				lines = append(lines, strings.TrimRight(indent+"    @ "+e.Name+" "+strings.Join(k.attributes(e.Attributes), " "), " "))
			}
			lines = append(counted(lines), below(s.SpanContext.SpanID(), indent+"| ")...)
			blocks = append(blocks, strings.Join(lines, "\n"))
		}
		return counted(blocks)
	}
	return strings.Join(below(trace.SpanID{}, ""), "\n") + "\n"
}

// counted replaces equal neighbours by one with their number behind its first
// line.
func counted(list []string) (out []string) {
	for len(list) > 0 {
		n := 1
		for n < len(list) && list[n] == list[0] {
			n++
		}
		first, rest, more := strings.Cut(list[0], "\n")
		if n > 1 {
			first += fmt.Sprintf(" x%d", n)
		}
		if more {
			first += "\n" + rest
		}
		out, list = append(out, first), list[n:]
	}
	return out
}

// attributes are sorted texts, without where the kit listens (wantServer looks
// at that), and without the length of waits that the jitter makes differ each
// time: those of more than a second.
func (k *kit) attributes(attrs []attribute.KeyValue) (texts []string) {
	hosts := strings.NewReplacer(k.srv.URL, "AS", k.res.URL, "MCP", strings.TrimSuffix(k.res.URL, "/mcp"), "RS")
	for _, a := range attrs {
		switch {
		case a.Key == "server.address", a.Key == "server.port":
		case a.Key == otelauth.AttrAttemptWait, a.Key == otelauth.AttrDuration && a.Value.AsFloat64() >= 1:
			texts = append(texts, string(a.Key))
		default:
			texts = append(texts, fmt.Sprintf("%s=%s", a.Key, hosts.Replace(a.Value.String())))
		}
	}
	slices.Sort(texts)
	return texts
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
