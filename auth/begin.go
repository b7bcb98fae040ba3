package auth

import (
	"context"
	"errors"
	"net/url"
	"time"

	"github.com/mcptokens/mcptokens/auth/authtrace"
	"github.com/mcptokens/mcptokens/auth/internal/suspended"
)

// A login in two steps: the first ends with a URL for a person, the second begins
// with the answer that their browser brings back, perhaps in another process.

// loginTime is how long a person has between the two steps.
const loginTime = 10 * time.Minute

// twoStep is a [Grant] that can be used in two steps, as that of package
// auth/grant for authorization codes can.
type twoStep interface {
	Grant
	// Begin returns the URL that a person has to visit. kept is what Finish needs,
	// in JSON. An empty state is one of the grant's own.
	Begin(ctx context.Context, f *Flow, redirectURI, state string) (visit string, kept []byte, err error)
	// Finish checks the answer and gets the token.
	Finish(ctx context.Context, f *Flow, kept []byte, answer url.Values) (*Token, error)
}

// beginning is a grant that ends with the first step.
type beginning struct {
	twoStep
	redirectURI, state string
	visit              string
	kept               []byte
}

// errBegun ends a use of the grant that went as it should.
var errBegun = errors.New("begun")

// Authorize implements [Grant].
func (b *beginning) Authorize(ctx context.Context, f *Flow) (*Token, error) {
	visit, kept, err := b.Begin(ctx, f, b.redirectURI, b.state)
	if err != nil {
		return nil, err
	}
	if kept, err = f.Suspend(ctx, kept, wallNow().Add(loginTime)); err != nil {
		return nil, err
	}
	b.visit, b.kept = visit, kept
	return nil, errBegun
}

// twoSteps returns the grant as one that can be used in two steps.
func (o *obtainer) twoSteps() (twoStep, error) {
	if g, ok := o.grant.(twoStep); ok {
		return g, nil
	}
	return nil, &ConfigError{"Config.Grant", "is none that a person can finish later; set grant.AuthorizationCode, or a weblogin.Logins"}
}

// begin is the first step.
func (o *obtainer) begin(ctx context.Context, v *vault, target resource, redirectURI, state string, scopes []string) (visit string, kept []byte, err error) {
	g, err := o.twoSteps()
	if err != nil {
		return "", nil, err
	}
	if err := v.probe(ctx); err != nil && !v.cfg.anyway {
		return "", nil, err
	}
	b := &beginning{twoStep: g, redirectURI: redirectURI, state: state}
	scopes = unionScopes(scopes, v.wanted())
	ctx = o.trace.Start(ctx, authtrace.AuthorizationStart{Resource: target.canonical, Grant: g.Type(), Trigger: authtrace.TriggerBegin, Scopes: scopes})
	got, err := o.obtainBy(ctx, b, v, target, v.current().Record, &Challenge{}, scopes, false)
	if b.visit != "" {
		err = nil
	}
	o.trace.End(ctx, authtrace.AuthorizationEnd{Issuer: got.issuer, Err: err})
	return b.visit, b.kept, err
}

// finish is the second step: it gets the token and stores it.
func (o *obtainer) finish(ctx context.Context, v *vault, target resource, kept []byte, answer url.Values) (res loggedIn, err error) {
	g, err := o.twoSteps()
	if err != nil {
		return res, err
	}
	s, err := resume(kept, target.canonical, v.subject)
	if err != nil {
		return res, err
	}
	ctx = o.trace.StartLinked(ctx, o.trace.Linked(s.Trace), authtrace.AuthorizationStart{
		Resource: target.canonical, Grant: g.Type(), Trigger: authtrace.TriggerFinish, Scopes: s.Scopes, Took: wallNow().Sub(time.UnixMilli(s.Begun)),
	})
	end := authtrace.AuthorizationEnd{Issuer: s.Issuer}
	defer func() { end.Err = err; o.trace.End(ctx, end) }()
	got, err := o.resumed(ctx, g, v, target, s, answer)
	if err != nil {
		return res, err
	}
	if res.saveErr, err = o.keep(ctx, v, target, got); err != nil {
		return res, err
	}
	res.held = v.current()
	end.Scopes, end.Expiry, end.Unsaved = got.rec.Token.Scopes, got.rec.Token.Expiry, res.saveErr != nil
	return res, nil
}

func (o *obtainer) resumed(ctx context.Context, g twoStep, v *vault, target resource, s *suspended.Login, answer url.Values) (got obtained, err error) {
	rec := &Record{Issuer: s.Issuer, Resource: s.For, Registration: s.Registration()}
	place, err := o.findAgain(ctx, target, rec)
	if err != nil {
		return got, err
	}
	since := o.finder.Now()
	if place.Server.Issuer != s.Issuer {
		return got, &IssuerError{Expected: s.Issuer, Actual: place.Server.Issuer}
	}
	if err := o.clients.mayMeet(place.Server, rec); err != nil {
		return got, err
	}
	client, err := o.clients.of(place.Server, rec)
	switch {
	case err != nil:
		return got, err
	case client.ID != s.Client: // the code is for the client that asked (RFC 6749 section 4.1.3)
		return got, ErrOtherLogin
	}
	place.Resource = s.For
	flow := &Flow{
		Server: place.Server, Resource: o.asks.resource(s.For), Requests: o.asks.extra(), Scopes: s.Scopes, Subject: v.subject, MCPServer: target.url,
		use: &use{obtainer: o, vault: v, resource: target, rec: rec, client: client, indicator: s.For, resumed: true},
	}
	tok, err := g.Finish(ctx, flow, s.Grant, answer)
	if err != nil {
		var written *AuthorizationError
		if errors.As(err, &written) { // by whoever has the browser: the next login looks
			o.clients.seen().Doubt(s.Issuer, client.ID)
		} else {
			_ = o.heal(ctx, flow, err) // the next login registers, if that is why
		}
		_ = o.sparesOffline(flow, err, true)
		return got, flow.explained(err)
	}
	return o.granted(place, flow, tok, since), nil
}
