package otelauth_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
	"github.com/mark3labs/mcp-go/tracing"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/browser"
	"github.com/mcptokens/mcptokens/auth/grant"
	"github.com/mcptokens/mcptokens/mcpgo"
	"github.com/mcptokens/mcptokens/otelauth"
)

// One story: the span of a tool call that mcp-go's tracer makes says that it
// waited, for how long, and links to the refresh that it waited for, which is a
// trace of its own because it serves others too.
func Example_toolCall() {
	ctx := context.Background()
	spans := tracetest.NewInMemoryExporter()
	tp := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))

	as, err := authtest.Start(authtest.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer as.Close()
	notes := server.NewMCPServer("notes", "1", server.WithToolCapabilities(false))
	notes.AddTool(mcp.NewTool("greet"), func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return mcp.NewToolResultText("hello"), nil
	})
	protected := as.Protect(server.NewStreamableHTTPServer(notes), authtest.Protection{})

	m, err := auth.NewManager(auth.Config{
		Resource: protected.URL,
		Grant:    grant.AuthorizationCode{UserAgent: browser.Headless{}},
		Tracer:   otelauth.NewTracer(otelauth.WithTracerProvider(tp)),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer m.Close()
	inner, err := client.NewStreamableHttpClient(protected.URL, mcpgo.WithAuth(m))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer inner.Close()
	c := client.NewClient(inner.GetTransport(), client.WithTracer(mcpTracer{tp.Tracer("mcp-go")}))
	if _, err := c.Initialize(ctx, mcp.InitializeRequest{}); err != nil {
		fmt.Println(err)
		return
	}

	// Some hours later the token has expired.
	tok, err := m.Token(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	expired := *tok
	expired.Expiry = time.Now().Add(-time.Minute)
	if err := m.SetToken(ctx, &expired); err != nil {
		fmt.Println(err)
		return
	}
	spans.Reset()
	as.Inject(authtest.TokenEndpoint, authtest.Delay(50*time.Millisecond))
	call := mcp.CallToolRequest{}
	call.Params.Name = "greet"
	if _, err := c.CallTool(ctx, call); err != nil {
		fmt.Println(err)
		return
	}
	printStory(spans.GetSpans())
	// Output:
	// oauth.refresh
	//   linked to mcp.tools/call, its trigger
	//   POST
	// mcp.tools/call
	//   linked to oauth.refresh, its operation
	//   oauth.wait for refresh
}

// mcpTracer is what the module github.com/mark3labs/mcp-go/otel has: mcp-go's
// tracer over an OpenTelemetry one.
type mcpTracer struct{ trace.Tracer }

func (t mcpTracer) Start(ctx context.Context, name string, kind tracing.SpanKind, attrs ...tracing.Attribute) (context.Context, tracing.Span) {
	kinds := map[tracing.SpanKind]trace.SpanKind{tracing.SpanKindClient: trace.SpanKindClient, tracing.SpanKindServer: trace.SpanKindServer}
	ctx, span := t.Tracer.Start(ctx, name, trace.WithSpanKind(kinds[kind]))
	s := mcpSpan{span}
	s.SetAttributes(attrs...)
	return ctx, s
}

type mcpSpan struct{ span trace.Span }

func (s mcpSpan) SetAttributes(attrs ...tracing.Attribute) {
	for _, a := range attrs {
		s.span.SetAttributes(attribute.String(a.Key, a.Value))
	}
}
func (s mcpSpan) RecordError(err error) { s.span.RecordError(err) }
func (s mcpSpan) SetStatus(code tracing.StatusCode, description string) {
	if code == tracing.StatusError {
		s.span.SetStatus(codes.Error, description)
	}
}
func (s mcpSpan) End() { s.span.End() }

// printStory prints spans below their parents, in the order of their ends, with
// their links, and with the waits of those who waited.
func printStory(spans tracetest.SpanStubs) {
	names := map[trace.SpanID]string{}
	for _, s := range spans {
		names[s.SpanContext.SpanID()] = s.Name
	}
	text := func(attrs []attribute.KeyValue, key attribute.Key) string {
		i := slices.IndexFunc(attrs, func(a attribute.KeyValue) bool { return a.Key == key })
		if i < 0 {
			return ""
		}
		return attrs[i].Value.String()
	}
	var below func(parent trace.SpanID, depth int)
	below = func(parent trace.SpanID, depth int) {
		indent := strings.Repeat("  ", depth)
		for _, s := range spans {
			if s.Parent.SpanID() != parent {
				continue
			}
			fmt.Println(indent + s.Name)
			for _, l := range s.Links {
				fmt.Printf("%s  linked to %s, its %s\n", indent, names[l.SpanContext.SpanID()], text(l.Attributes, otelauth.AttrLink))
			}
			for _, e := range s.Events {
				if e.Name == otelauth.EventWait {
					fmt.Printf("%s  %s for %s\n", indent, e.Name, text(e.Attributes, otelauth.AttrWaitFor))
				}
			}
			below(s.SpanContext.SpanID(), depth+1)
		}
	}
	below(trace.SpanID{}, 0)
}
