package auth

import "context"

// Source hands out tokens and answers challenges: all that a transport needs.
// *[Manager] is the implementation; a custom transport calls these two methods
// and nothing else.
//
//	tok, err := src.Token(ctx)          // errors.Is(err, auth.ErrNoToken): send without
//	// … the server answers 401 or 403 …
//	tok, err = src.Resolve(ctx, tok, challenge) // nil error: resend with tok
type Source interface {
	// Token returns a token that is fresh now, refreshing or waiting for a
	// refresh if it has to. [ErrNoToken]: there is none yet; send the request
	// without one and resolve the server's challenge.
	Token(ctx context.Context) (*Token, error)

	// Resolve answers a server's challenge to a request sent with rejected
	// (nil: sent without a token): it adopts a newer token, refreshes, upgrades
	// scopes or authorizes. The caller resends with what it returns. A typed
	// error says why there is no point in resending.
	Resolve(ctx context.Context, rejected *Token, c Challenge) (*Token, error)
}

// Accepter is implemented by a [Source] that learns from success. It is
// optional: a transport that tells a source which tokens were accepted lets it
// tell a bad token from a bad request.
type Accepter interface {
	// Accepted says that a server accepted t: it answered a request with t by
	// anything but a challenge about the token. It costs one atomic load once
	// that is known, so call it for every response.
	Accepted(t *Token)
}
