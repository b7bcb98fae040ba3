package auth

import (
	"context"
	"net/url"
)

// Grant is a way to get a token when none can be refreshed (RFC 6749 section
// 1.3). The grants of this library are in auth/grant; a grant of your own
// implements these three methods.
type Grant interface {
	// Type is the grant type as it is registered, such as
	// "authorization_code"; it appears in events and traces.
	Type() string

	// Interactive reports whether Authorize needs a person. The manager uses a
	// grant that needs nobody as it would use a refresh token: ahead of expiry
	// and without asking. An interactive one runs only to answer a server's
	// challenge or a call of [Manager.Authorize] or [Manager.UpgradeScopes].
	Interactive() bool

	// Authorize gets a token. The manager calls it once at a time; ctx ends
	// when the manager is closed or when everybody who waited for the token
	// has gone. An error of this module's types is shown to the caller as it
	// is; any other, whose text may quote anything, as the cause of an
	// *[AuthorizationError].
	Authorize(ctx context.Context, f *Flow) (*Token, error)
}

// UserAgent takes the user to an authorization server and brings the answer
// back (RFC 8252). auth/browser has the implementations.
type UserAgent interface {
	// Start gets ready to receive a redirect. preferred are redirect URIs that
	// an earlier registration of this client allows, best first; Start uses
	// one of them if it can.
	Start(ctx context.Context, preferred []string) (UserAgentSession, error)
}

// UserAgentSession is one login in progress.
type UserAgentSession interface {
	// RedirectURI is where the authorization response has to go.
	RedirectURI() string

	// Visit takes the user to authorizationURL and returns the query of the
	// redirect that carries state. Redirects with another state are refused
	// and waiting goes on (RFC 6749 section 10.12).
	Visit(ctx context.Context, authorizationURL, state string) (url.Values, error)

	// Finish tells the user how the login ended (nil: it worked) and releases
	// what Start took. It is called exactly once, whether or not Visit was.
	Finish(err error)
}
