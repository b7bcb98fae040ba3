package otelauth

import "go.opentelemetry.io/otel/attribute"

// ScopeName is the instrumentation scope of all spans and metrics.
const ScopeName = "github.com/mcptokens/mcptokens/otelauth"

// NamesVersion is the version of the names in this file, and of the
// instrumentation scope. A name that goes or changes its meaning changes the
// first number, a new one the second. The table of all of them, with their
// stability, is otelauth/NAMES.md.
const NamesVersion = "1.2"

// The spans. No name holds data. Those of HTTP requests are named by their
// method alone, as the semantic conventions have it.
const (
	SpanRefresh       = "oauth.refresh"    // a new token by the refresh token or by a grant that needs nobody
	SpanAuthorization = "oauth.authorize"  // a use of a grant from nothing to token, with the time that a user takes
	SpanUser          = "oauth.await_user" // that time: from when the user is asked until they have answered
	SpanExchange      = "oauth.exchange"   // what a grant has is exchanged for a token, with retries
	SpanStepUp        = "oauth.step_up"    // a scope upgrade, for as long as the caller waits
	SpanDiscovery     = "oauth.discover"   // a search for metadata documents (RFC 8414, RFC 9728)
	SpanRegistration  = "oauth.register"   // a dynamic client registration (RFC 7591)
	SpanRevocation    = "oauth.revoke"     // a revocation (RFC 7009)
)

// The attributes of spans and metrics. server.address, server.port, error.type,
// url.full and http.* are those of the semantic conventions for HTTP,
// mcp.method.name that of the conventions for MCP. There is no semantic
// convention for OAuth.
const (
	// AttrResource is the URL of the MCP server, without query.
	AttrResource = attribute.Key("oauth.resource")
	// AttrIssuer is the authorization server's identifier (RFC 8414 section
	// 2), without query.
	AttrIssuer = attribute.Key("oauth.issuer")
	// AttrTrigger says why a refresh or an authorization began: a value of
	// [authtrace.Trigger], such as "expired".
	AttrTrigger = attribute.Key("oauth.trigger")
	// AttrGrantType is the grant type used, such as "refresh_token". In metrics
	// one that this library does not know is "_OTHER".
	AttrGrantType = attribute.Key("oauth.grant_type")
	// AttrScopesRequired are the scopes needed beyond those that the token has;
	// a list.
	AttrScopesRequired = attribute.Key("oauth.scopes.required")
	// AttrScopesGranted are the scopes of the token that came of it; a list.
	AttrScopesGranted = attribute.Key("oauth.scopes.granted")
	// AttrRefreshOutcome is a value of [authtrace.Outcome]: "refreshed", "adopted"
	// or "failed".
	AttrRefreshOutcome = attribute.Key("oauth.refresh.outcome")
	// AttrRefreshAttempts is how often a refresh was tried; a number.
	AttrRefreshAttempts = attribute.Key("oauth.refresh.attempts")
	// AttrWaiters is how many calls waited for a refresh or an authorization;
	// absent when none did.
	AttrWaiters = attribute.Key("oauth.waiters")
	// AttrTokenExpiresIn is how long the access token has to live when the span
	// ends, in whole seconds: the server's expires_in counts from when the
	// request was sent. Absent when the server did not say.
	AttrTokenExpiresIn = attribute.Key("oauth.token.expires_in")
	// AttrTokenRotated says whether the server replaced the refresh token that
	// was spent; absent when none was.
	AttrTokenRotated = attribute.Key("oauth.token.rotated")
	// AttrTokenUnsaved is true when the token could not be stored and is kept
	// in memory; absent otherwise.
	AttrTokenUnsaved = attribute.Key("oauth.token.unsaved")
	// AttrTokenState is a value of [auth.State], such as "fresh".
	AttrTokenState = attribute.Key("oauth.token.state")
	// AttrStepUpOutcome is what widened the scopes, "refresh", "authorization"
	// or "adopted", else "failed", or "refused" when no more are tried for a
	// while.
	AttrStepUpOutcome = attribute.Key("oauth.step_up.outcome")
	// AttrMCPMethod is the MCP request that a step-up, a resend or a refusal is
	// about, such as "tools/call"; absent when it is not known.
	AttrMCPMethod = attribute.Key("mcp.method.name")
	// AttrLink says what a span link leads to: "trigger", the span that made
	// the operation necessary; "waiter", one that waited for it; "operation",
	// what a span waited for; "begin", the first step of the web login that the span
	// finishes.
	AttrLink = attribute.Key("oauth.link")
)

// The events in spans, and their attributes.
const (
	// EventAttempt is a try that failed, or that worked after others had
	// failed: an operation that works at once has none.
	EventAttempt = "oauth.attempt"
	// AttrAttemptNumber counts from 1.
	AttrAttemptNumber = attribute.Key("oauth.attempt.number")
	// AttrAttemptWait is the pause before the next attempt, in seconds; absent
	// when there was none.
	AttrAttemptWait = attribute.Key("oauth.attempt.wait")

	// EventStoreLock is the credential's lock in the store, taken or not;
	// EventTokenAdopted that a token which another process had stored was put in
	// use; EventTokenSaved that a token was stored, or could not be; EventLoginTurn that
	// it was this process's turn to ask the user, or that another process has asked.
	EventStoreLock    = "oauth.store.lock"
	EventTokenAdopted = "oauth.token.adopted"
	EventTokenSaved   = "oauth.token.saved"
	EventLoginTurn    = "oauth.login.turn"
	// AttrDuration is how long that took, in seconds: for a lock, the wait.
	AttrDuration = attribute.Key("oauth.duration")

	// EventWait is in the span of a call that had to wait; it marks the end.
	EventWait = "oauth.wait"
	// AttrWaitFor is a value of [authtrace.Awaited]: "refresh", "authorization" or
	// "store".
	AttrWaitFor = attribute.Key("oauth.wait.for")

	// EventResend is in the span of a call whose request was rejected and goes
	// again with the same token.
	EventResend = "oauth.resend"
	// AttrResendDelay is how long the call waited for that, in seconds.
	AttrResendDelay = attribute.Key("oauth.resend.delay")
	// AttrResendTries is how often the request was rejected with this token,
	// from 1.
	AttrResendTries = attribute.Key("oauth.resend.tries")

	// EventRefused is in the span of a call that got an error at once, while
	// nothing was sent for it: after a failure, or after too many rejections.
	EventRefused = "oauth.refused"
	// AttrRefusedRetryIn is how long it is until the next attempt is due, in
	// seconds.
	AttrRefusedRetryIn = attribute.Key("oauth.refused.retry_in")
)

// The metrics. Their attributes have few values: server.address is the issuer's
// host, of which a tracer knows at most 100 and calls the rest "_OTHER";
// everything else is from a closed set.
const (
	// MetricRefreshDuration is a histogram of refreshes in seconds, their waits
	// included. Attributes: [AttrTrigger], [AttrRefreshOutcome],
	// [AttrGrantType], server.address, error.type.
	MetricRefreshDuration = "oauth.client.refresh.duration"
	// MetricAuthorizationDuration is a histogram of authorizations in seconds,
	// the time that the user takes included. Attributes: [AttrGrantType],
	// server.address, error.type.
	MetricAuthorizationDuration = "oauth.client.authorization.duration"
	// MetricUserDuration is a histogram, in seconds, of the time that a person took
	// between the two steps of a web login. Attribute: [AttrGrantType].
	MetricUserDuration = "oauth.client.user.duration"
	// MetricStepUps counts scope upgrades. Attributes: [AttrStepUpOutcome],
	// error.type.
	MetricStepUps = "oauth.client.step_ups"
	// MetricResends counts requests that went again with the token that was
	// rejected. It has no attributes.
	MetricResends = "oauth.client.resends"
	// MetricRefusals counts calls that got an error at once, while nothing was
	// sent for them. Attribute: error.type.
	MetricRefusals = "oauth.client.refusals"
	// MetricWaitDuration is a histogram of the waits of calls in seconds.
	// Attributes: [AttrWaitFor], error.type.
	MetricWaitDuration = "oauth.client.wait.duration"
	// MetricLockDuration is a histogram of waits for the store's lock in
	// seconds. Attribute: error.type.
	MetricLockDuration = "oauth.client.store.lock.duration"
	// MetricRequestDuration is the histogram of the semantic conventions, for
	// requests to authorization servers and for metadata, in seconds.
	// Attributes: http.request.method, server.address, server.port,
	// http.response.status_code, error.type.
	MetricRequestDuration = "http.client.request.duration"
	// MetricTimeToExpiry is the shortest time that a token of an issuer has
	// left, in seconds, negative when it is over. Not looked at are tokens that
	// only a login can replace, and those that nobody has asked for since they
	// expired. Attribute: server.address.
	MetricTimeToExpiry = "oauth.client.token.time_to_expiry"
	// MetricTokens counts the managers that are open by the state of their
	// token. Attributes: server.address, [AttrTokenState].
	MetricTokens = "oauth.client.token.count"
	// MetricUnsaved counts the tokens that are in use and could not be stored.
	// Attribute: server.address.
	MetricUnsaved = "oauth.client.token.unsaved"
)
