// Package registration gets an MCP client its client ID: by dynamic registration (RFC 7591),
// or by a Client ID Metadata Document that the client's makers host under the URL that is the
// ID (draft-ietf-oauth-client-id-metadata-document-00).
//
//	m := registration.Metadata{ClientName: "Example", RedirectURIs: []string{"http://127.0.0.1/callback"}}
//	client, err := registration.Register(ctx, nil, server.RegistrationEndpoint, m)
//	doc, err := registration.NewDocument("https://app.example.com/client.json", m)
//
// MCP 2026-07-28, "Client Registration", prefers a pre-registered client, then a document, then
// dynamic registration, which it deprecates. Which of them to use is up to the caller, and so
// is keeping what was registered together with the issuer that it was registered at.
package registration
