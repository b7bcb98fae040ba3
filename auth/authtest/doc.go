// Package authtest is a test kit for OAuth clients of MCP servers: an authorization server and any
// number of protected MCP resources, in one process, which misbehave on demand.
//
// It tests any client, not only this module's. A whole test:
//
//	func TestMyClient(t *testing.T) {
//		srv := authtest.NewServer(t)                 // the authorization server
//		res := srv.Protect(myMCPHandler, authtest.Protection{
//			Scopes:     []string{"mcp:read"},            // every request needs it
//			ToolScopes: map[string][]string{"write_file": {"mcp:write"}},
//		})
//		srv.AddClient("my-client", "my-secret")
//		srv.Inject(authtest.TokenEndpoint, authtest.RetryAfter(503, time.Second))
//
//		err := callToolWithMyClient(srv.Client(), res.URL)
//		if n := srv.Counts().Token; err != nil || n != 2 {
//			t.Fatalf("err = %v after %d token requests, want success at the second", err, n)
//		}
//	}
//
// The authorization server does what the MCP authorization specification 2026-07-28 asks of one:
// metadata (RFC 8414), PKCE with S256, resource indicators (RFC 8707), the iss parameter (RFC 9207),
// dynamic registration (RFC 7591), rotation of refresh tokens with reuse detection (OAuth 2.1 section
// 4.3.1), revocation (RFC 7009), introspection (RFC 7662) and, with [Config].PAR, pushed authorization
// requests (RFC 9126). Clients authenticate with a secret or a key ([Server.AddClientKey]). Users are not asked: an authorization
// request is approved at once unless [Config].Page is set. [Server.Approve] stands in for a browser.
//
// # Without a browser
//
// Devices (RFC 8628) wait until the test plays their user:
//
//	srv.ApproveDevice(srv.DeviceRequests()[0].UserCode)
//
// Assertions (RFC 7523) and tokens to be exchanged (RFC 8693) come from an issuer that the server trusts,
// or are access tokens of its own. What a token stands for, and who acts, is there to be looked at:
//
//	idp := authtest.NewJWTIssuer("https://idp.example")
//	srv.TrustIssuer(idp.URL, idp.PublicKey())
//	subject := idp.JWT(map[string]any{"sub": "alice", "aud": srv.Issuer})
//	...
//	info, _ := srv.Inspect(accessToken) // info.Subject is alice, info.Actors who acts for her
//
// # Servers that are wrong
//
// Endpoints misbehave by a [Fault] ([Server.Inject], [Server.InjectFor]), resources refuse good tokens
// by a [Refusal] ([Resource.Refuse]), and both can be off the network for a while:
//
//	srv.Inject(authtest.RefreshRequests, slices.Repeat([]authtest.Fault{authtest.OAuthError("invalid_client", 401)}, 3)...)
//	res.Refuse(authtest.Refusal{Younger: time.Second}) // 401 until a token is a second old
//	srv.Down(20 * time.Second)                         // connection refused
//
// # Servers that exist
//
// A [Profile] is a server that behaves as a widely used one does: Entra, Google, GitHub, Okta and others, each with the
// sources of its peculiarities. It has the provider's real URLs, so that a test runs with a program's real settings. What
// profiles are made of is there for servers of your own: a name ([Config].URL), endpoints anywhere ([Config].Endpoints), and
// answers of any form ([Config].Rewrite).
//
// # Fake time
//
// With [Config].InMemory the whole network is in memory and a test may run in a testing/synctest
// bubble, where an hour costs nothing:
//
//	synctest.Test(t, func(t *testing.T) {
//		srv := authtest.NewServerConfig(t, authtest.Config{InMemory: true})
//		...
//		time.Sleep(time.Hour) // the access token has expired
//	})
//
// Nothing but srv.Client reaches the in-memory network, so a client of this
// module's needs it in three places:
//
//	auth.Config{HTTPClient: srv.Client(), …}
//	grant.AuthorizationCode{UserAgent: browser.Headless{Client: srv.Client()}}
//	mcpgo.WithAuth(manager, mcpgo.WithBaseClient(srv.Client()))
//
// # Without tests
//
// [Start] and [StartProfile] need no testing package, for example programs and manual trials.
package authtest
