// Package finder answers where a token comes from: which authorization server a resource
// trusts (RFC 9728), what that server's endpoints are (RFC 8414), and what the resource is
// called in a request (RFC 8707).
//
// All managers of one configuration share one [Finder], so that a hundred thousand users of
// one resource ask for its metadata once and keep one copy. It holds no manager, starts no
// goroutine, and its tables are bounded.
//
//	place, err := f.Find(ctx, query)   // before a login: what the resource says now
//	place, err := f.Issuer(ctx, query) // before a refresh: the server that issued the credential
//	err := f.Moved(ctx, query)         // after a 401: is that server still the resource's?
package finder
