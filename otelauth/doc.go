// Package otelauth traces and measures the life of a token with OpenTelemetry.
// Its tracer plugs into an [auth.Manager], and knows nothing of transports:
//
//	tracer := otelauth.NewTracer() // the global providers; one for all managers
//	m, err := auth.NewManager(auth.Config{
//		Resource: "https://mcp.example.com/mcp",
//		Tracer:   tracer,
//	})
//
// [WithTracerProvider] and [WithMeterProvider] set others, [WithoutTracing] and
// [WithoutMetrics] turn off one of the signals, [WithAttributeFilter] drops
// attributes. A call that is handed a fresh token costs what it costs without a
// tracer.
//
// # What it answers
//
// Why did this call take 3 s? Its span has the event oauth.wait, with how long and
// for what, and a link to the refresh or the authorization that it waited for.
// There are the attempts with the pauses between them, the wait for the store's
// lock, and each HTTP request.
//
// Why did this call fail without a request? Its span has the event oauth.refused,
// with when the next attempt is due. One whose token was rejected and sent again
// has oauth.resend for each time.
//
// Who triggered this login? The span oauth.authorize is linked to the span of the
// call that did, often through an oauth.step_up, and to all others that waited
// for it. How much of it was the user's time is oauth.await_user.
//
// Are tokens of an issuer about to run dry? oauth.client.token.time_to_expiry says
// so before calls fail; a dashboard for Grafana and alert rules for Prometheus
// are in the directory dashboards.
//
// # Spans
//
//	oauth.refresh         a new token without a person     root, linked
//	oauth.authorize       a grant, from nothing to token   root, linked
//	  oauth.discover      metadata documents               below what needs them
//	  oauth.register      dynamic client registration
//	  oauth.await_user    the time that is the user's
//	  oauth.exchange      one for each token exchanged     below what needs it
//	    POST, GET         each HTTP request, of kind client
//	oauth.step_up         more scopes                      below the caller
//	oauth.revoke          a token given back               below the caller
//
// A refresh and an authorization outlive the call that triggered them and serve
// others too, so each is the root of a trace of its own, with links: to its
// trigger, to those who waited, and from them. One that a timer triggered has
// no trigger. Only the span of the operation that failed has the status error:
// a refresh that fails while the old token still serves is no failure of the
// caller's, nor does a wait that ended badly change the caller's status.
//
// All names, of attributes, events and metrics too, with their types, units and
// stability, are in NAMES.md, and as constants in this package. Where a semantic
// convention exists it is followed: HTTP's for requests, MCP's for what a
// step-up is for.
//
// With github.com/mark3labs/mcp-go/client.WithTracer the span of the caller is
// that of the MCP request, so that a tool call, its wait and the refresh are one
// story; see the example ToolCall.
//
// # What is never recorded
//
// Tokens, codes, verifiers, secrets, assertions, proofs, subjects, the queries of
// URLs, and error texts: of an error only a registered code and the HTTP status
// are. Nor is the operation that a step-up is for beyond its method: it may name
// a file or a person, and the caller's span says it, if it is to be known. Scopes
// are recorded, up to 32 of up to 128 characters. Metrics have few attributes
// from closed sets; an issuer's host is one of at most 100.
package otelauth
