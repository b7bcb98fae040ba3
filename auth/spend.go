package auth

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/mcptokens/mcptokens/auth/authtrace"
	"github.com/mcptokens/mcptokens/auth/internal/finder"
	"github.com/mcptokens/mcptokens/auth/internal/lifecycle"
	"github.com/mcptokens/mcptokens/auth/internal/wire"
)

// spending is the use of a credential's refresh token, in a transaction.
type spending struct {
	*obtainer
	tx     *tx
	target resource
	want   []string // scopes beyond those granted
	res    *renewed
	place  *finder.Place

	// What the request before this one came to: it was refused for the scopes that
	// it named or did not, or these were not granted again.
	refused bool
	lost    []string
	// bare: the request has no resource parameter.
	bare bool
}

// refresh spends the refresh token (RFC 6749 section 6). Finding the server may
// take until ctx ends; the request has its own time then, if whole leaves that.
//
// A server that refuses the resource parameter, which it took at the login, is asked
// once more without: the token is then for what was granted (RFC 8707 section 2.2),
// and never for more. A login never goes without by itself: a token for anything would
// go to whatever MCP server led here.
func (r renewer) refresh(ctx, whole context.Context, s *spending) (err error) {
	if s.place, err = s.find(ctx, s.target, s.tx.Record); err != nil {
		return err
	}
	bare := habit{withoutResource, s.place.Server.Issuer, s.place.Resource}
	s.bare = s.known().has(bare)
	err = r.ask(ctx, whole, s)
	if err == nil || s.bare || !refusesResource(err) || s.asks.extra().Resource != "" || !s.hasTime(whole) {
		return err
	}
	s.bare, s.refused = true, false
	again := r.ask(ctx, whole, s)
	if refusesResource(again) {
		return err // it was not that
	}
	s.known().set(bare, again == nil)
	return again
}

// ask sends the requests of a refresh. As a rule there is one, which names no
// scopes: it is for those granted. A server that refuses it for that, or grants less,
// is asked once more with them, and from then on at once (Microsoft Entra ID), which
// is stored with its endpoints.
func (r renewer) ask(ctx, whole context.Context, s *spending) (err error) {
	had, issuer := s.tx.Token.Scopes, s.place.Server.Issuer
	if e := s.tx.Endpoints; e != nil && e.ScopedRefresh {
		s.known().set(habit{of: wantsScopes, issuer: issuer}, true)
	}
	all := s.asks.allowed(unionScopes(had, s.tx.Requested))
	switch {
	case len(s.want) > 0:
		return s.once(ctx, whole, unionScopes(all, s.want))
	case len(all) == 0:
		return s.once(ctx, whole, nil)
	}
	first, second := []string(nil), all
	if s.known().has(habit{of: wantsScopes, issuer: issuer}) {
		first, second = all, nil // one of the scopes may no longer be granted
	}
	if err = s.once(ctx, whole, first); err != nil {
		if !wantsScope(err) || !s.hasTime(whole) {
			return err
		}
		s.refused = true
		if again := s.once(ctx, whole, second); first != nil || !wantsScope(again) {
			return again
		}
		return err // scopes were not what it missed
	}
	lost := missingScopes(s.tx.Token.Scopes, s.asks.allowed(had))
	if first != nil || len(lost) == 0 || slices.Equal(lost, offlineScope) || !s.hasTime(whole) {
		return nil
	}
	s.lost = lost
	if again := s.once(ctx, whole, all); again != nil {
		r.heed(whole, s, again) // there is a token all the same
	}
	return nil
}

// heed keeps what a further request of a refresh that went well says about the
// next one: that it has to wait, or that the refresh token is dead.
func (r renewer) heed(ctx context.Context, s *spending, err error) {
	later := failureOf(err, nil)
	if !later.Class.Passes() && later.Class != lifecycle.RefusedToken {
		return
	}
	s.res.began, later.Renewal = s.tx.held, s.tx.Token.evidence.renewal
	s.res.later = &later
	if later.Class == lifecycle.RefusedToken {
		_ = r.refuse(ctx, s.tx, nil, err)
	}
}

// wantsScope reports whether a refusal may be because scopes are missing.
func wantsScope(err error) bool {
	var te *TokenError
	return errors.As(err, &te) && te.class == lifecycle.RefusedRequest && (te.Code == "invalid_request" || te.Code == "invalid_scope")
}

// hasTime reports whether another request can have its whole time. A tenth less
// will do: some steps take a moment longer than they may.
func (s *spending) hasTime(whole context.Context) bool {
	end, _ := whole.Deadline()
	return time.Until(end) >= s.requestTime()*9/10 && !s.tx.lost()
}

// once sends the refresh token, with scopes if there are any, and puts what comes
// back in use.
func (s *spending) once(ctx, whole context.Context, scopes []string) error {
	rec := s.tx.Record
	since := s.finder.Now()
	tok, err := s.send(ctx, whole, rec, scopes)
	if err != nil && s.place.Stored && !mayBeThere(err) {
		tok, err = s.sendElsewhere(ctx, whole, rec, scopes, err)
	}
	if err != nil {
		return err
	}
	if reg := rec.Registration; reg != nil {
		s.clients.seen().Known(rec.Issuer, reg.ClientID, wallNow())
	}
	tok.evidence = &evidence{since: since}
	s.res.outcome = authtrace.OutcomeRefreshed
	s.res.rotated = s.res.rotated || tok.RefreshToken != "" && tok.RefreshToken != rec.Token.RefreshToken
	if tok.RefreshToken == "" {
		tok.RefreshToken = rec.Token.RefreshToken // RFC 6749 section 6: may be omitted
	}
	if s.refused || len(missingScopes(tok.Scopes, s.lost)) < len(s.lost) {
		s.known().set(habit{of: wantsScopes, issuer: s.place.Server.Issuer}, len(scopes) > 0)
	}
	tok.Extra = wire.MergeExtra(tok.Extra, rec.Token.Extra)
	next := *rec
	next.Token, next.Issuer, next.Resource = tok, s.place.Server.Issuer, s.place.Resource
	next.Endpoints, next.Obtained = s.endpointsOf(s.place, rec.Endpoints), wallNow()
	if s.res.narrow = !coversScopes(tok.Scopes, s.want); !s.res.narrow { // what is refused would spoil the next login
		next.Requested = unionScopes(rec.Requested, s.want)
	}
	s.res.saveErr = s.tx.install(ctx, &next)
	return nil
}

// send sends one refresh request.
func (s *spending) send(ctx, whole context.Context, rec *Record, scopes []string) (*Token, error) {
	client, err := s.clients.of(s.place.Server, rec)
	if err != nil {
		return nil, err
	}
	if overdue(ctx) || !s.hasTime(whole) {
		fail := newTokenError(s.place.Server, "refresh_token")
		fail.Err, fail.class = errOverdue, lifecycle.Transient
		return nil, fail
	}
	if end, _ := ctx.Deadline(); time.Until(end) < s.requestTime()*99/100 {
		afresh, cancel := context.WithTimeout(whole, s.requestTime())
		defer cancel()
		ctx = afresh
	}
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {rec.Token.RefreshToken}}
	if indicator := s.asks.resource(s.place.Resource); indicator != "" && !s.bare {
		form.Set("resource", indicator)
	}
	addTo(form, s.asks.extra().Token)
	granted := rec.Token.Scopes // by an answer without scope
	if len(scopes) > 0 {
		granted = scopes
		form.Set("scope", joinScopes(scopes))
	}
	began := time.Now()
	defer func() { s.res.took = max(time.Since(began), 1) }()
	return s.endpoint.token(s.tx.guarding(ctx), s.target.url, s.place.Server, client, form, granted, s.tx.v)
}

// mayBeThere reports whether the server that was asked may be the right one, and
// only cannot answer now.
func mayBeThere(err error) bool {
	var te *TokenError
	if !errors.As(err, &te) {
		return true
	}
	switch te.class {
	case lifecycle.Ambiguous, lifecycle.Throttled:
		return true
	}
	return te.StatusCode >= 500 || te.StatusCode == http.StatusRequestTimeout || errors.Is(err, errOverdue)
}

// sendElsewhere looks for the server again whose stored endpoint failed with
// failed, and sends the request to where it is now, if that is somewhere else.
func (s *spending) sendElsewhere(ctx, whole context.Context, rec *Record, scopes []string, failed error) (*Token, error) {
	place, err := s.findAgain(ctx, s.target, rec)
	var bound *IssuerError
	switch {
	case errors.Is(err, errMoved), errors.As(err, &bound):
		return nil, err
	case err != nil:
		return nil, failed
	}
	stored := s.place.Server
	s.place = place
	if place.Server.TokenEndpoint == stored.TokenEndpoint && slices.Equal(place.Server.TokenEndpointAuthMethodsSupported, stored.TokenEndpointAuthMethodsSupported) {
		return nil, failed
	}
	return s.send(ctx, whole, rec, scopes)
}
