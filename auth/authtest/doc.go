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
// 4.3.1), revocation (RFC 7009) and introspection (RFC 7662). Users are not asked: an authorization
// request is approved at once unless [Config].Page is set. [Server.Approve] stands in for a browser.
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
// [Start] needs no testing package, for example programs and manual trials.
package authtest
