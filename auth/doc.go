// Package auth keeps OAuth tokens for MCP clients: it obtains them, refreshes
// them before they expire, rotates, persists and upgrades them, and says what
// happened. It implements the client's side of the MCP authorization
// specification 2026-07-28.
//
//	manager, err := auth.NewManager(auth.Config{
//		Resource: "https://mcp.example.com/mcp",
//		Grant:    grant.AuthorizationCode{}, // opens the user's browser when it has to
//	})
//	defer manager.Close()
//	token, err := manager.Token(ctx) // fresh now
//
// Most programs never call Token: package mcpgo has the option for an mcp-go
// client, package transport the http.RoundTripper for everything else. A
// custom transport needs the two methods of [Source].
//
// # Where to look
//
//   - how a refresh is scheduled: state.go (when), refresh.go (what); what its
//     refusal means: refused.go
//   - how it is retried: retry.go, and tokenrequest.go for what a failure means
//   - which responses are challenges: challenge.go; what a 401 does: resolve.go;
//     what a 403 with insufficient_scope does: stepup.go
//   - how a login runs: authorize.go, and package grant; how callers wait for
//     it and what happens when they leave: flight.go
//   - which errors exist: errors.go, those of stores in store.go and record.go,
//     of DPoP in proof.go, of grants in grant/errors.go; which events: event.go
//   - tokens that somebody else got: setrecord.go (to look after them from now
//     on), fromtokensource.go (who goes on looking after them); tokensource.go
//     hands them on
//   - what is told of it all: tracer.go to whom, traced.go and tracedhttp.go
//     how, to tracers and the log; package otelauth makes spans and metrics of it
//   - what is stored and how processes share it: store.go, persist.go,
//     catchup.go (what somebody else stored), record.go; many users in one
//     process: pool.go, directory.go (what they discover)
//
// # What to expect
//
// A token is refreshed inside [Config.RefreshWindow], behind the caller who is
// handed the old one, or by a timer when nobody asks. One refresh is under way
// at a time, however many callers wait; each waits no longer than its own
// context, and none can abort it for the others. A failed early refresh costs
// nothing while the old token lives. Transient failures are retried with
// backoff, obeying Retry-After; after that callers get the same error until
// the next attempt is due. Only what the authorization server refuses for good
// leads to a new login.
//
// # ExMCP
//
// The manager began as a port of ExMCP.Authorization.TokenManager 1.0 and does
// all that it does:
//
//	ExMCP                                   here
//	start_link, child_spec                  [NewManager], [Manager.Close]
//	initial_token                           [Manager.SetToken] right after NewManager
//	refresh_window, 300 s                   [Config.RefreshWindow], 5 minutes
//	automatic refresh                       on demand and by timer; [Config.NoIdleRefresh]
//	rotation                                yes, and stored before the access token is handed out
//	set_token                               [Manager.SetToken]; [Manager.SetRecord] when more is known of it
//	get_token                               [Manager.Token], which refreshes rather than fail
//	get_token_info                          [Manager.Info], without secrets
//	refresh_now                             [Manager.Refresh]
//	subscribe, unsubscribe                  [Manager.Subscribe]
//	upgrade_scopes, merging the scopes      [Manager.UpgradeScopes]
//	{:reauthorization_required, scopes}     *[ReauthorizationRequiredError], if no grant is configured
//	30 s default bound                      [Config.RefreshTimeout]
//	auth_method :client_secret              [Client].Secret
//	auth_method :private_key_jwt            [Client].Auth: clientauth.PrivateKeyJWT
//	auth_method :enterprise_idjag           [Config.Grant]: grant.IDJAG
//
// What it got wrong is what this package is tested against (parity_test.go):
// an automatic refresh that lost the token, refresh_now that did not store it,
// upgrade_scopes that never sent scope, one request per concurrent refresh,
// reads blocked by a refresh, a retry every 30 s whatever the error, a refresh
// every second for short-lived tokens, an hour made up for a missing
// expires_in, the new scope not recorded, secrets in crash logs, subscribers
// not told of failures.
package auth
