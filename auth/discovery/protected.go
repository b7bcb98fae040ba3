package discovery

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/mcptokens/mcptokens/internal/errtext"
	"github.com/mcptokens/mcptokens/internal/httpx"
	"github.com/mcptokens/mcptokens/internal/shown"
)

const opProtectedResource = "protected resource metadata"

// ProtectedResource fetches the metadata of an MCP server (RFC 9728).
//
// server is the URL that MCP requests go to. metadataURL is the resource_metadata parameter
// of its challenge, empty if there was none. That place is tried first, then the well-known
// locations in the order that MCP prescribes: the one for the server's path, then the one of
// the host. Whatever is wrong with one of them (its URL, the connection, the status, the
// document, the resource that it is for), the next is tried; the error lists them all.
//
// metadataURL may be on another host, since RFC 9728 does not forbid it and servers behind
// gateways do it, but not on this machine unless the server is. What protects the caller is
// that the document's resource has to be the server's. A document that names a parent of the
// server instead (see MatchResource) counts only at a well-known location of the server's own
// host: for a tenant on a shared host, a place of its own choice must not speak for the host.
//
// Authorization servers whose URL may not be requested are left out of the document; one that
// lists no others is refused.
//
// The error is an *Error: ErrNotFound if the server publishes no metadata, ErrResourceMismatch,
// ErrInsecureURL, ErrMalformed, ErrRedirect, ErrTooLarge, or a failed request.
func (c *Client) ProtectedResource(ctx context.Context, server, metadataURL string) (*ProtectedResource, error) {
	s, err := c.serverURL(server)
	if err != nil {
		return nil, &Error{Op: opProtectedResource, Err: err}
	}
	wellKnown := protectedResourceURLs(s)
	all := places(wellKnown)
	if metadataURL != "" {
		named := place{url: metadataURL}
		if u, err := c.checkNamed("resource_metadata of the challenge", metadataURL, s); err != nil {
			named = place{url: originOf(metadataURL), problem: err}
		} else {
			named.url = u.String()
		}
		all = []place{named}
		for _, p := range places(wellKnown) {
			if p.url != named.url {
				all = append(all, p)
			}
		}
	}
	var found *ProtectedResource
	_, err = c.firstOf(ctx, opProtectedResource, all, func(at string, body []byte) (err error) {
		found, err = c.parseProtectedResource(body, s, slices.Contains(wellKnown, at))
		if err == nil {
			found.URL = at
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// originOf returns the origin of an address that may not be requested; empty if it has none.
func originOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return ""
	}
	return shown.Text(httpx.Origin(u))
}

// protectedResourceURLs returns the well-known locations of RFC 9728 section 3.1 for a server,
// the specific one first. A slash at the end of its path belongs to it; the document of a server
// that answers with and without is usually without, where the official TypeScript SDK looks.
func protectedResourceURLs(server *url.URL) (urls []string) {
	root := httpx.Origin(server) + "/.well-known/oauth-protected-resource"
	path := resourcePath(server)
	if path != "" {
		urls = append(urls, root+path)
	}
	if short := strings.TrimRight(path, "/"); short != path && short != "" {
		urls = append(urls, root+short)
	}
	return append(urls, root)
}

// The members of a protected resource's metadata that decide where tokens come from and go to.
var resourceMembers = []string{"resource", "authorization_servers", "scopes_supported", "dpop_bound_access_tokens_required"}

// parseProtectedResource reads and validates a document for server. parents says that it may
// speak for a parent of server.
func (c *Client) parseProtectedResource(body []byte, server *url.URL, parents bool) (*ProtectedResource, error) {
	o, err := readObject(body, resourceMembers)
	if err != nil {
		return nil, err
	}
	doc := &ProtectedResource{}
	if doc.Resource, err = o.String("resource"); err != nil || doc.Resource == "" {
		return nil, errtext.Errorf(ErrMalformed, "resource is missing or not a string")
	}
	mine := httpx.Origin(server) + resourcePath(server)
	switch {
	case !c.matchResource(doc.Resource, server.String()):
		return nil, errtext.Errorf(ErrResourceMismatch, `the document is for "%s", not for "%s": check Config.Resource; this may be an attack, but if it is the same server, set Config.Server.Issuer to its authorization server, and Config.Requests.Resource to what that calls it`,
			cmp.Or(httpx.ShownIssuer(doc.Resource), "(not a URL)"), mine)
	case !parents && !sameResource(doc.Resource, server):
		return nil, errtext.Errorf(ErrResourceMismatch, "the document is for a parent of %s, which counts at the well-known locations of that host only: the server has to name itself", mine)
	}
	listed, listErr := o.List("authorization_servers")
	var unusable error
	for i, issuer := range listed {
		if _, err := c.checkNamed(fmt.Sprintf("authorization_servers[%d]", i), issuer, server); err != nil {
			unusable = cmp.Or(unusable, err)
			continue
		}
		doc.AuthorizationServers = append(doc.AuthorizationServers, issuer)
	}
	if len(doc.AuthorizationServers) == 0 {
		// Without any the caller would take the MCP server for its own authorization server.
		switch {
		case unusable != nil:
			return nil, unusable
		case listErr != nil:
			return nil, errtext.Errorf(ErrMalformed, "%s", listErr.Error())
		}
	}
	// What follows decides nothing alone: what cannot be read is absent.
	doc.ScopesSupported, _ = o.Words("scopes_supported")
	doc.BearerMethodsSupported, _ = o.Words("bearer_methods_supported")
	doc.DPoPBoundAccessTokensRequired, _ = o.Bool("dpop_bound_access_tokens_required")
	doc.DPoPSigningAlgValuesSupported, _ = o.Words("dpop_signing_alg_values_supported")
	name, _ := o.String("resource_name")
	doc.ResourceName = shown.Text(name)
	for member, to := range map[string]*string{
		"resource_documentation": &doc.ResourceDocumentation, "resource_policy_uri": &doc.ResourcePolicyURI, "resource_tos_uri": &doc.ResourceTOSURI,
	} {
		if page, _ := o.String(member); page == shown.Text(page) {
			*to = page
		}
	}
	if keys, _ := o.String("jwks_uri"); keys != "" {
		if _, err := c.checkNamed("jwks_uri", keys, server); err == nil {
			doc.JWKSURI = keys
		}
	}
	return doc, nil
}
