package otelauth_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/authtrace"
	"github.com/mcptokens/mcptokens/otelauth"
)

// No secret leaves by a span, a metric, a log line or an error. The tests plant
// a different one at every place where a server, a network, a store, a user or a
// program could put one (canary_inputs_test.go), and look for all of them in
// everything that comes out. That the looking finds what is there is shown with
// tracers that leak on purpose.

// canary is in every secret that is planted.
const canary = "CANARY"

// planted makes a secret of which a leak says where it came from.
func planted(where string) string { return canary + "-" + where + "-5Ecr3t" }

// marks are the ways in which a canary may show: as it is, in small letters, in
// hexadecimal, and in base64 at each alignment.
var marks = func() []string {
	list := []string{canary, strings.ToLower(canary), hex.EncodeToString([]byte(canary)), strings.ToUpper(hex.EncodeToString([]byte(canary)))}
	for off := range 3 {
		b := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("x", off) + canary))
		list = append(list, b[(off*8+5)/6:(off+len(canary))*8/6])
	}
	return list
}()

// outlet is everything that came out, by where.
type outlet struct {
	mu     sync.Mutex
	said   map[string][]string
	echoed []string // secrets that a server has repeated
}

func newOutlet() *outlet { return &outlet{said: map[string][]string{}} }

func (o *outlet) say(where string, text ...string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.said[where] = append(o.said[where], text...)
}

// logger writes what is logged to the outlet, at every level and in both formats.
func (o *outlet) logger() *slog.Logger {
	w := outletWriter{o}
	all := &slog.HandlerOptions{Level: slog.LevelDebug}
	return slog.New(bothHandlers{slog.NewTextHandler(w, all), slog.NewJSONHandler(w, all)})
}

// bothHandlers is a handler that hands everything to two.
type bothHandlers [2]slog.Handler

func (h bothHandlers) Enabled(context.Context, slog.Level) bool { return true }

func (h bothHandlers) Handle(ctx context.Context, r slog.Record) error {
	return errors.Join(h[0].Handle(ctx, r.Clone()), h[1].Handle(ctx, r))
}

func (h bothHandlers) WithAttrs(a []slog.Attr) slog.Handler {
	return bothHandlers{h[0].WithAttrs(a), h[1].WithAttrs(a)}
}

func (h bothHandlers) WithGroup(g string) slog.Handler {
	return bothHandlers{h[0].WithGroup(g), h[1].WithGroup(g)}
}

type outletWriter struct{ o *outlet }

func (w outletWriter) Write(p []byte) (int, error) {
	w.o.say("log", string(bytes.Clone(p)))
	return len(p), nil
}

// failed takes an error that a method returned, in every way in which a program
// would show it.
func (o *outlet) failed(err error) {
	if err != nil {
		o.say("error", err.Error(), fmt.Sprintf("%v %+v %s %q", err, err, err, err))
	}
}

// spans takes everything that an exporter is given.
func (o *outlet) spans(spans tracetest.SpanStubs) {
	attributes := func(where string, attrs []attribute.KeyValue) {
		for _, a := range attrs {
			o.say(where, string(a.Key)+"="+a.Value.String())
		}
	}
	for _, s := range spans {
		o.say("name", s.Name, s.InstrumentationScope.Name, s.InstrumentationScope.Version, s.InstrumentationScope.SchemaURL)
		o.say("status", s.Status.Description)
		o.say("trace state", s.SpanContext.TraceState().String(), s.Parent.TraceState().String())
		attributes("attribute", s.Attributes)
		attributes("resource", s.Resource.Attributes())
		for _, e := range s.Events {
			o.say("event", e.Name)
			attributes("event", e.Attributes)
		}
		for _, l := range s.Links {
			o.say("link", l.SpanContext.TraceState().String())
			attributes("link", l.Attributes)
		}
	}
}

// metrics takes everything that a reader collects, exemplars too.
func (o *outlet) metrics(ms []metricdata.Metrics) {
	for _, m := range ms {
		o.say("metric", m.Name, m.Description, m.Unit, fmt.Sprintf("%+v", m.Data))
	}
	o.say("metric", points(ms)...)
}

// leaks lists what must not be there: a canary, or one of more secrets.
func (o *outlet) leaks(more ...string) (list []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	secrets := slices.Concat(more, o.echoed, marks)
	slices.Sort(secrets)
	secrets = slices.Compact(secrets)
	for where, texts := range o.said {
		// Hundreds of secrets in thousands of texts: most are in none.
		all := strings.Join(texts, "\n")
		inSome := slices.DeleteFunc(slices.Clone(secrets), func(secret string) bool { return secret == "" || !strings.Contains(all, secret) })
		for _, text := range texts {
			for _, secret := range inSome {
				if i := strings.Index(text, secret); i >= 0 {
					list = append(list, where+": "+text[max(0, i-60):min(len(text), i+60)])
					break
				}
			}
		}
	}
	return list
}

// exported is all text of spans and metrics.
func (k *kit) exported() string {
	o := newOutlet()
	o.spans(k.spans.GetSpans())
	o.metrics(collected(k.t, k.reader))
	var b strings.Builder
	for _, texts := range o.said {
		for _, text := range texts {
			b.WriteString(strings.Replace(text, "=", " ", 1) + "\n")
		}
	}
	return b.String()
}

// heard takes all that the kit exported.
func (k *kit) heard(o *outlet) {
	k.t.Helper()
	o.spans(k.spans.GetSpans())
	o.metrics(collected(k.t, k.reader))
}

func TestNothingSecretComesOut(t *testing.T) {
	for name, live := range lives {
		t.Run(name, func(t *testing.T) {
			bubble(t, authtest.Config{}, authtest.Protection{}, func(t *testing.T, k *kit) {
				o := newOutlet()
				live(k, o, k.config().Tracer)
				k.heard(o)
				for _, leak := range o.leaks(k.secrets()...) {
					t.Errorf("a secret got out by %s", leak)
				}
				for _, where := range []string{"attribute", "metric", "log"} {
					if len(o.said[where]) == 0 {
						t.Errorf("nothing came out by %s: what was planted has had no effect", where)
					}
				}
			})
		})
	}
}

// secrets are those that the kit's server was shown or issued.
func (k *kit) secrets() (list []string) {
	for _, r := range k.srv.TokenRequests() {
		for _, key := range []string{"code", "code_verifier", "refresh_token", "client_secret"} {
			list = append(list, r.Form.Get(key))
		}
		list = append(list, strings.TrimPrefix(r.Header.Get("Authorization"), "Basic "))
	}
	return list
}

// TestLeaksAreFound lets out by each way the text of an error's cause, which is
// what a careless tracer, log line or error would quote, and expects the same
// test as above to see it.
func TestLeaksAreFound(t *testing.T) {
	ways := map[string]func(l *leaky, ctx context.Context, cause error){
		"name": func(l *leaky, ctx context.Context, cause error) {
			_, span := l.spans.Start(ctx, cause.Error())
			span.End()
		},
		"attribute": func(l *leaky, ctx context.Context, cause error) {
			trace.SpanFromContext(ctx).SetAttributes(attribute.String("error.message", cause.Error()))
		},
		"event": func(l *leaky, ctx context.Context, cause error) {
			trace.SpanFromContext(ctx).RecordError(cause)
		},
		"status": func(l *leaky, ctx context.Context, cause error) {
			_, span := l.spans.Start(ctx, "failed")
			span.SetStatus(codes.Error, cause.Error())
			span.End()
		},
		"link": func(l *leaky, ctx context.Context, cause error) {
			span := trace.SpanFromContext(ctx)
			span.AddLink(trace.Link{SpanContext: span.SpanContext(), Attributes: []attribute.KeyValue{attribute.String("why", cause.Error())}})
		},
		"metric": func(l *leaky, ctx context.Context, cause error) {
			l.failures.Add(ctx, 1, metric.WithAttributes(attribute.String("error.type", cause.Error())))
		},
		"log": func(l *leaky, ctx context.Context, cause error) {
			l.log.InfoContext(ctx, "request failed", "error", cause)
		},
		"error": func(l *leaky, ctx context.Context, cause error) {
			l.o.failed(fmt.Errorf("no token: %w", cause))
		},
	}
	for way, leak := range ways {
		t.Run(way, func(t *testing.T) {
			bubble(t, authtest.Config{}, authtest.Protection{}, func(t *testing.T, k *kit) {
				o := newOutlet()
				failures, err := k.meters.Meter(otelauth.ScopeName, metric.WithInstrumentationVersion(otelauth.NamesVersion)).Int64Counter("leaky.failures")
				if err != nil {
					t.Fatal(err)
				}
				l := &leaky{tracers: k.config().Tracer.(tracers), o: o, log: o.logger(), spans: k.tracers.Tracer("leaky"), failures: failures, leak: leak}
				lives["errors of the network"](k, o, l)
				k.heard(o)
				found := o.leaks()
				if len(found) == 0 {
					t.Fatal("not found")
				}
				for _, leak := range found {
					if !strings.HasPrefix(leak, way+": ") {
						t.Errorf("found elsewhere: %s", leak)
					}
				}
			})
		})
	}
}

// tracers is all that the tracer can be.
type tracers interface {
	authtrace.Tracer
	auth.ManagerTracer
}

// leaky is the tracer under test, with a leak: when a request fails it says why.
type leaky struct {
	tracers
	o        *outlet
	log      *slog.Logger
	spans    trace.Tracer
	failures metric.Int64Counter
	leak     func(l *leaky, ctx context.Context, cause error)
}

func (l *leaky) End(ctx context.Context, e authtrace.End) {
	if e, ok := e.(authtrace.RequestEnd); ok && e.Err != nil {
		l.leak(l, ctx, errors.Unwrap(e.Err)) // the error itself quotes nobody
	}
	l.tracers.End(ctx, e)
}

// A scanner that finds nothing would pass every test.
func TestScannerFindsEveryEncoding(t *testing.T) {
	s := planted("x")
	for _, text := range []string{
		s, strings.ToLower(s), "Bearer " + s, fmt.Sprintf("%x", s), fmt.Sprintf("%X", s), fmt.Sprintf("%q", s),
		base64.StdEncoding.EncodeToString([]byte("a:" + s)), base64.URLEncoding.EncodeToString([]byte("ab:" + s)), base64.StdEncoding.EncodeToString([]byte("abc:" + s)),
	} {
		o := newOutlet()
		o.say("attribute", "nothing of the kind", text)
		if got := o.leaks(); len(got) != 1 {
			t.Errorf("%d leaks found in %q, want 1", len(got), text)
		}
	}
	o := newOutlet()
	o.say("log", "a token that the server made up: abcdef")
	if len(o.leaks()) != 0 || len(o.leaks("abcdef")) != 1 {
		t.Errorf("found %q without, and %q with the secret", o.leaks(), o.leaks("abcdef"))
	}
}
