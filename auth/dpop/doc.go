// Package dpop binds access tokens to a key, so that a token that leaks is of no
// use to anybody who finds it: each request carries a proof, signed with the key and
// made for this request alone (RFC 9449; MCP extension SEP-1932).
//
//	manager, err := auth.NewManager(auth.Config{
//		Resource: "https://mcp.example.com/mcp",
//		DPoP:     dpop.Keys{},
//	})
//
// The manager makes the key, stores it with the token and obeys the nonces of
// both servers; transport.RoundTripper adds the proofs. Of this package a user
// needs no more than [Keys]. A transport of your own gets its proofs from
// [auth.Token.Proof].
package dpop
