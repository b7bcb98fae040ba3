// Package grant has the ways to get a token when none can be refreshed. A
// [auth.Manager] uses the one that its configuration names:
//
//	auth.NewManager(auth.Config{
//		Resource: "https://mcp.example.com/mcp",
//		Grant:    grant.AuthorizationCode{}, // opens the user's browser
//	})
//
// Which one depends on whom the program acts for, and what it runs on:
//
//	A user, wherever the program runs        Auto               the next two
//	A user at this machine                   AuthorizationCode  RFC 6749 section 4.1, RFC 7636
//	A user, but no browser on this machine   DeviceCode         RFC 8628
//	An employee, by the enterprise's login   IDJAG              MCP extension, SEP-990
//	A user who called with a token           TokenExchange      RFC 8693
//	The same, at Microsoft Entra ID          OnBehalfOf         RFC 7523, on_behalf_of
//	Itself, with a secret or a key           ClientCredentials  MCP extension, RFC 6749 section 4.4
//	Itself, by its platform's identity       JWTBearer          MCP extension, SEP-1933, RFC 7523
//
// The first three involve the user and run only when a server demands it or
// [auth.Manager.Authorize] is called. The others need nobody: the manager uses
// them by itself ahead of each token's expiry, whether or not there is a refresh
// token. Without a grant a manager only refreshes what [auth.Manager.SetToken]
// gave it.
package grant
