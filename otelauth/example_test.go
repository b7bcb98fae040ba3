package otelauth_test

import (
	"context"
	"fmt"
	"net/http"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/browser"
	"github.com/mcptokens/mcptokens/auth/grant"
	"github.com/mcptokens/mcptokens/otelauth"
)

func ExampleNewTracer() {
	// A program has its own provider, or uses the global one; this exporter
	// keeps the spans to print them.
	spans := tracetest.NewInMemoryExporter()
	tp := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))

	// An authorization server and an MCP server to try it with.
	srv, err := authtest.Start(authtest.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer srv.Close()
	mcp := srv.Protect(http.NotFoundHandler(), authtest.Protection{})

	m, err := auth.NewManager(auth.Config{
		Resource: mcp.URL,
		Grant:    grant.AuthorizationCode{UserAgent: browser.Headless{}},
		Tracer:   otelauth.NewTracer(otelauth.WithTracerProvider(tp)),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer m.Close()
	if _, err := m.Authorize(context.Background()); err != nil {
		fmt.Println(err)
		return
	}
	printStory(spans.GetSpans())
	// Output:
	// oauth.authorize
	//   oauth.discover
	//     GET
	//     GET
	//   oauth.register
	//     POST
	//   oauth.await_user
	//   oauth.exchange
	//     POST
}
