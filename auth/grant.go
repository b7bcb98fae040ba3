package auth

import (
	"context"
	"net/url"
)

// Grant is a way to get a token when none can be refreshed (RFC 6749 section
// 1.3). The grants of this library are in auth/grant; a grant of your own
// implements these three methods, and may have three more:
//
//   - Check() error is called by [NewManager], which returns its error; it
//     should be a *[ConfigError] for a field that is not set.
//   - Input(ctx context.Context) string names what Authorize would use now and
//     the program can replace, such as an assertion: a hash of it, never a
//     secret, and empty if there is nothing now. After a refusal another name
//     ends the pause.
//   - Credentials() (what, issuer string) says that Authorize sends something
//     which the program or a user of it was given, such as a workload's token:
//     what it is, in a few words for errors, and the only authorization server
//     that it may go to, if the grant's own configuration names one. The
//     manager calls Authorize with that server only, else with [Client].Issuer
//     or [Config.Server] only; see [Config.TrustDiscovery]. Without this method,
//     or with an empty what, the grant is used wherever the MCP server says.
//
// Both that and Authorize find the values of the call's context in ctx, such as
// whom the program acts for; of a call that starts an operation, which others may
// wait for too. In a [Pool] they are calls for the same subject. The operation can
// outlive the call: give the methods of a [Source] no context that a framework
// uses again for another request, as gin does with its own, but that of the
// *http.Request.
type Grant interface {
	// Type is the grant type as it is registered, such as
	// "authorization_code"; it appears in events and traces.
	Type() string

	// Interactive reports whether Authorize needs a person. A grant that needs
	// none is used like a refresh token: ahead of expiry and without asking. An interactive one runs only to answer a server's
	// challenge or a call of [Manager.Authorize] or [Manager.UpgradeScopes].
	Interactive() bool

	// Authorize gets a token. The manager calls it once at a time; ctx ends
	// when the manager is closed, or half a minute after the last caller has
	// left. An error that is or wraps one of this module's is returned to
	// the caller as it is, any other as the cause of an
	// *[AuthorizationError]. Its text is shown, in logs too: it must not have
	// secrets in it. One with a method Retryable() bool that returns true,
	// its own or that of an error which it wraps, is tried again after a
	// pause if no person has to be asked.
	Authorize(ctx context.Context, f *Flow) (*Token, error)
}

// UserAgent takes the user to an authorization server and brings the answer
// back (RFC 8252). auth/browser has the implementations; its Subject says whom a
// login is for. Contexts have the values of the call that needs a token.
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
