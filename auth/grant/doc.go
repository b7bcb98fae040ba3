// Package grant has the ways to get a token when none can be refreshed. A
// [auth.Manager] uses the one that its configuration names:
//
//	auth.NewManager(auth.Config{
//		Resource: "https://mcp.example.com/mcp",
//		Grant:    grant.AuthorizationCode{}, // opens the user's browser
//	})
//
// [AuthorizationCode] is for programs that a person uses; [ClientCredentials]
// for programs that act on their own behalf. Without a grant a manager only
// refreshes what [auth.Manager.SetToken] gave it.
package grant
