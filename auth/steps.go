package auth

import (
	"context"
	"net/url"
)

// BeginLogin begins a login that a person finishes in a web browser, and returns at
// once: the URL that their browser has to visit, and what [Manager.FinishLogin]
// needs when the browser comes back to redirectURI. That may be in another process.
// Package auth/weblogin does all of this with a handler to mount; these two
// methods are for programs that have a router and a session of their own.
//
// kept holds secrets. Keep it in the person's session, on this side or sealed in a
// cookie of theirs, see weblogin.Sealer, where only that browser brings it back;
// under state, since a person can have several logins under way. An empty state is
// a random one, which is in the URL. It is good for ten minutes; send the browser
// there at once, since a server that takes pushed requests (RFC 9126) may forget
// this one within a minute.
//
// The answer has to come from the browser that began: whoever sends the URL to
// somebody else must not get what that person allows. FinishLogin cannot see
// whose browser it is. A program that finds kept by the state alone, for all users
// together, gives the token of the person who clicked to the one who sent the link.
//
// scopes are asked for in addition to those that the manager would ask for. Errors
// are those of [Manager.Authorize]; *[ConfigError] for a grant that cannot do it.
func (m *Manager) BeginLogin(ctx context.Context, redirectURI, state string, scopes ...string) (visit string, kept []byte, err error) {
	done, err := m.loaded(ctx)
	if err != nil {
		return "", nil, err
	}
	defer done()
	ctx = m.about(ctx)
	visit, kept, err = m.cfg.obtainer.begin(ctx, &m.vault, m.target(), redirectURI, state, normalizeScopes(scopes))
	if err != nil {
		m.cfg.store.trace.Say(ctx, "login cannot begin", err)
	}
	return visit, kept, err
}

// FinishLogin finishes a login with the query of the request that came to its
// redirect URI: it checks state and iss (RFC 9207), exchanges the code and stores
// the token, which all callers use from then on, in all processes. It can be called
// once for each kept: the server takes a code only once. When the caller leaves, it
// goes on.
//
// Errors: [ErrOtherLogin] when kept is of another manager or client,
// [ErrLoginExpired]; *[AuthorizationError] when the person or the server refused,
// or the answer is not to be trusted; *[StoreError] with a token that is in use but
// could not be stored; and those of [Manager.Authorize]. Nothing is changed then,
// but for the *StoreError.
func (m *Manager) FinishLogin(ctx context.Context, kept []byte, answer url.Values) (*Token, error) {
	done, ok := m.flights.Enter()
	if !ok {
		return nil, ErrClosed
	}
	defer done()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(m.about(ctx)), m.cfg.obtainer.timeout)
	defer cancel()
	res, err := m.cfg.obtainer.finish(ctx, &m.vault, m.target(), kept, answer)
	m.cfg.store.trace.Ended(m.about(ctx), "login finished", "login failed", err)
	if err != nil {
		m.tell([]Event{{Type: EventLoginFailed, Err: err}})
		return nil, err
	}
	m.tell(m.changed(res.saveErr))
	return res.Token, res.saveErr
}
