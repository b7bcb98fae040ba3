// Package auth keeps OAuth tokens for MCP clients. It obtains them, refreshes
// them before they expire, stores them, gets more scopes when a server asks for
// them, and reports what happens. It implements the client's side of the MCP
// authorization specification 2026-07-28.
//
//	manager, err := auth.NewManager(auth.Config{
//		Resource: "https://mcp.example.com/mcp",
//		Grant:    grant.AuthorizationCode{}, // opens the user's browser when it has to
//	})
//	defer manager.Close()
//	token, err := manager.Token(ctx) // can be sent now
//
// Most programs never call Token: package mcpgo has the option for an mcp-go
// client, package transport the http.RoundTripper for all else. A transport of
// your own needs the two methods of [Source].
//
// A token is refreshed before it expires, while callers go on with the old one.
// One refresh runs at a time, and each caller waits no longer than its context.
// What fails for a moment is tried again; until then callers get the same error.
// A login answers a server's challenge, or the program's call, where it helps.
// Every error names the server or the field, and says what to do.
//
// How it works inside, and where to change what:
// https://github.com/mcptokens/mcptokens/blob/main/docs/architecture.md
package auth
