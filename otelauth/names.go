package otelauth

import "go.opentelemetry.io/otel/attribute"

// ScopeName is the instrumentation scope of all spans and metrics.
const ScopeName = "github.com/mcptokens/mcptokens/otelauth"

// The spans. No name holds data.
const (
	SpanRefresh       = "oauth.refresh"   // a new token by the refresh token or by a grant that needs nobody
	SpanAuthorization = "oauth.authorize" // a use of a grant from nothing to token, with the time that a user takes
	SpanStepUp        = "oauth.step_up"   // a scope upgrade, for as long as the caller waits
	SpanDiscovery     = "oauth.discover"  // a search for metadata documents (RFC 8414, RFC 9728)
	SpanRegistration  = "oauth.register"  // a dynamic client registration (RFC 7591)
	SpanRevocation    = "oauth.revoke"    // a revocation (RFC 7009)
)

// The attributes of spans. server.address, server.port, error.type and
// http.response.status_code are those of the semantic conventions; the first
// two are the issuer's. There is no semantic convention for OAuth.
const (
	// AttrResource is the URL of the MCP server, without query.
	AttrResource = attribute.Key("oauth.resource")
	// AttrIssuer is the authorization server's identifier (RFC 8414 section
	// 2), without query.
	AttrIssuer = attribute.Key("oauth.issuer")
	// AttrTrigger says why a refresh or an authorization began: a value of
	// [auth.Trigger], such as "expired".
	AttrTrigger = attribute.Key("oauth.trigger")
	// AttrGrantType is the grant type used, such as "refresh_token".
	AttrGrantType = attribute.Key("oauth.grant_type")
	// AttrScopesRequired are the scopes needed beyond those that the token has;
	// a list.
	AttrScopesRequired = attribute.Key("oauth.scopes.required")
	// AttrScopesGranted are the scopes of the token that came of it; a list.
	AttrScopesGranted = attribute.Key("oauth.scopes.granted")
	// AttrRefreshOutcome is a value of [auth.Outcome]: "refreshed", "adopted"
	// or "failed".
	AttrRefreshOutcome = attribute.Key("oauth.refresh.outcome")
	// AttrRefreshAttempts is how often a refresh was tried; a number.
	AttrRefreshAttempts = attribute.Key("oauth.refresh.attempts")
	// AttrTokenExpiresIn is how long the access token has to live, in whole
	// seconds; absent when its server did not say.
	AttrTokenExpiresIn = attribute.Key("oauth.token.expires_in")
	// AttrTokenRotated says whether the server replaced the refresh token that
	// was spent; absent when none was.
	AttrTokenRotated = attribute.Key("oauth.token.rotated")
	// AttrTokenUnsaved is true when the token could not be stored and is kept
	// in memory; absent otherwise.
	AttrTokenUnsaved = attribute.Key("oauth.token.unsaved")
	// AttrStepUpPath is what widened the scopes: "refresh", "authorization" or
	// "adopted".
	AttrStepUpPath = attribute.Key("oauth.step_up.path")
)

// The event in a span, and its attributes.
const (
	EventAttempt = "oauth.attempt"
	// AttrAttemptNumber counts from 1.
	AttrAttemptNumber = attribute.Key("oauth.attempt.number")
	// AttrAttemptWait is the pause before the next attempt, in seconds; absent
	// when there was none.
	AttrAttemptWait = attribute.Key("oauth.attempt.wait")
)

// The metrics. Their attributes have few values: those of [auth.Trigger] and
// [auth.Outcome], grant types, registered error codes, and server.address, which
// has as many as there are authorization servers that gave a token.
const (
	// MetricRefreshDuration is a histogram of refreshes in seconds, their waits
	// included. Attributes: [AttrTrigger], [AttrRefreshOutcome],
	// [AttrGrantType], server.address, error.type.
	MetricRefreshDuration = "oauth.client.refresh.duration"
	// MetricAuthorizationDuration is a histogram of authorizations in seconds,
	// the time that the user takes included. Attributes: [AttrGrantType],
	// server.address, error.type.
	MetricAuthorizationDuration = "oauth.client.authorization.duration"
	// MetricStepUps counts scope upgrades. Attributes: [AttrStepUpPath],
	// error.type.
	MetricStepUps = "oauth.client.step_ups"
)
