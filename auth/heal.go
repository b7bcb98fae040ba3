package auth

import (
	"context"
	"errors"
	"log/slog"

	"github.com/mcptokens/mcptokens/auth/registration"
)

// A server may forget a client that was registered with it: it grew old, or the
// server lost its data. Nobody has to delete files then [invariant 17].

// confirm: see [clients.confirm].
func (u *use) confirm(issuer string, err error) error {
	if reg := u.registered(); reg != nil {
		return u.clients.confirm(issuer, reg.ClientID, err)
	}
	return err
}

// known notes that the server knows the client.
func (u *use) known(issuer string) {
	if reg := u.registered(); reg != nil {
		u.clients.seen().Known(issuer, reg.ClientID, wallNow())
	} else if u.client != nil && u.client.document {
		u.clients.seen().Known(issuer, u.client.ID, wallNow())
	}
}

// suspect: see [Flow.Suspect].
func (u *use) suspect(srv *Server, c *Client) bool {
	seen, now := u.clients.seen(), wallNow()
	if c.document { // refused where the port of a redirect URI is compared
		return srv.RegistrationEndpoint != "" && !seen.Certain(srv.Issuer, c.ID, now) && (u.rec.Token == nil || u.rec.Token.RefreshToken == "")
	}
	return c.registration != nil && !c.fresh && !seen.Hopeless(srv.Issuer, c.ID, now) &&
		!u.renewable(c.registration) && !seen.Certain(srv.Issuer, c.ID, now)
}

// renewable reports whether there is a refresh token of reg, which its server
// has not refused.
func (u *use) renewable(reg *registration.Client) bool {
	rec := u.rec
	return rec.Token != nil && rec.Token.RefreshToken != "" && rec.Registration != nil && rec.Registration.ClientID == reg.ClientID
}

// heal looks at why a use of the grant failed. If the server may have forgotten
// the client, it drops the registration. It returns the record to go on with when
// the same use can be tried once more, with a client registered now; nil if not.
func (o *obtainer) heal(ctx context.Context, flow *Flow, err error) *Record {
	u, issuer := flow.use, flow.Server.Issuer
	if u.client != nil && u.client.document {
		return o.withoutDocument(ctx, flow, err)
	}
	reg := u.registered()
	var first *unconfirmed
	if reg == nil || errors.As(err, &first) {
		return nil
	}
	refused, vague := refusesClient(err), u.silent || refusesRequest(err)
	seen := o.clients.seen()
	switch {
	case !refused && !vague:
		return nil
	case u.client.fresh: // it is not the registration
		seen.InVain(issuer, reg.ClientID, wallNow())
		return nil
	case seen.Hopeless(issuer, reg.ClientID, wallNow()), vague && !refused && u.renewable(reg):
		return nil
	}
	o.clients.forget(ctx, issuer, reg.ClientID)
	seen.Doubt(issuer, reg.ClientID)
	rec := *u.rec
	var token *TokenError
	if refused && errors.As(err, &token) || !u.renewable(reg) {
		// A refresh token of a client that no longer exists is worth nothing.
		u.vault.forgetClient(ctx, reg.ClientID)
		rec = *u.vault.current().Record
	}
	if rec.Registration != nil && rec.Registration.ClientID == reg.ClientID {
		rec.Registration = nil
	}
	if u.silent {
		return nil // nobody is there
	}
	return &rec
}

// withoutDocument is heal for a client with a metadata document. A server that lists
// support may refuse it all the same: Linear, and fastmcp for a while, compare the
// redirect URIs of the document with the port. A client is registered then, if the
// server does that, for the time that [standing.Book] remembers.
func (o *obtainer) withoutDocument(ctx context.Context, flow *Flow, err error) *Record {
	u, issuer := flow.use, flow.Server.Issuer
	seen := o.clients.seen()
	if !o.grant.Interactive() || flow.Server.RegistrationEndpoint == "" || !refusesClient(err) || seen.Certain(issuer, u.client.ID, wallNow()) {
		return nil
	}
	seen.InVain(issuer, u.client.ID, wallNow())
	o.trace.Say(ctx, "client ID metadata document of no use here; a client is registered instead", err, slog.String("issuer", issuer))
	return u.rec
}
