// Package otelauth traces and measures the life of a token with OpenTelemetry.
// Its tracer plugs into an [auth.Manager], and knows nothing of transports:
//
//	m, err := auth.NewManager(auth.Config{
//		Resource: "https://mcp.example.com/mcp",
//		Tracer:   otelauth.NewTracer(), // the global providers
//	})
//
// # Spans
//
// All are of kind internal. A refresh and an authorization outlive the call that
// triggered them, so each is the root of a trace of its own, with a link to the
// span of that call; one that a timer triggered has no link. What they need on
// the way is below them. The other operations are below the caller's span.
//
//	oauth.refresh       a new token without a person     root, linked
//	oauth.authorize     a grant, from nothing to token   root, linked
//	oauth.step_up       more scopes                      below the caller
//	oauth.discover      metadata documents               below what needs them
//	oauth.register      dynamic client registration      below oauth.authorize
//	oauth.revoke        a token given back               below the caller
//
// Only the span of the operation that failed has the status error. A refresh
// that fails while the old token still serves is no failure of the caller's.
//
// # Attributes
//
//	                            refresh authorize step_up discover register revoke
//	oauth.resource                 x        x        x        x
//	oauth.issuer                   x        x                 x        x       x
//	server.address, server.port    x        x                 x        x       x
//	oauth.trigger                  x        x
//	oauth.grant_type               x        x
//	oauth.scopes.required          x        x        x
//	oauth.scopes.granted           x        x        x
//	oauth.refresh.outcome          x
//	oauth.refresh.attempts         x
//	oauth.token.expires_in         x        x
//	oauth.token.rotated            x
//	oauth.token.unsaved            x        x
//	oauth.step_up.path                               x
//	error.type                     x        x        x        x        x       x
//	http.response.status_code      x        x        x        x        x       x
//
// The last two say how an operation failed and are absent otherwise; so is
// every attribute whose value is not known. See the constants for their
// meaning.
//
// # Events
//
// oauth.attempt is a try that failed, or that succeeded after others had failed:
// an operation that works at once has no events. oauth.attempt.wait is how long
// the operation then paused; error.type and http.response.status_code are what
// went wrong.
//
// # Metrics
//
//	oauth.client.refresh.duration        histogram, s
//	oauth.client.authorization.duration  histogram, s
//	oauth.client.step_ups                counter
//
// # What is never recorded
//
// Tokens, codes, verifiers, secrets, assertions, proofs, subjects, the queries of
// URLs, and error texts: of an error only a registered code and the HTTP status
// are. Nor is the operation that a step-up is for, which may name a file or a
// person; the caller's span says it, if it is to be known. Scopes are recorded,
// up to 32 of up to 128 characters.
package otelauth
