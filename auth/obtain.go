package auth

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/mcptokens/mcptokens/auth/admission"
	"github.com/mcptokens/mcptokens/auth/internal/finder"
	"github.com/mcptokens/mcptokens/auth/internal/tracing"
	"github.com/mcptokens/mcptokens/auth/registration"
	"github.com/mcptokens/mcptokens/internal/httpx"
)

// obtainer gets tokens by the grant. It has no state of its own, and stores
// nothing.
type obtainer struct {
	grant    Grant // nil: none
	asks     *asks // what the program says about requests
	finder   *finder.Finder
	clients  clients
	endpoint endpoint
	gate     *admission.Gate // before requests to a server
	timeout  time.Duration   // of one operation with its retries
	trace    *tracing.Reporter
}

func (o *obtainer) known() *habits { return o.endpoint.known() }

// requestTime is what one request of a refresh may take: two of them fit into
// its bound, with time for the store's lock.
func (o *obtainer) requestTime() time.Duration { return o.timeout * 2 / 5 }

// resource is an MCP server: as the program named it, and as requests and the
// store call it.
type resource struct{ url, canonical string }

// query is what the finder needs to know.
func (r resource) query(rec *Record, c Challenge) finder.Query {
	q := finder.Query{
		Resource: r.url, Canonical: r.canonical, Issuer: rec.Issuer, CredentialResource: rec.Resource,
		Metadata: c.ResourceMetadata,
	}
	if t := rec.Token; t != nil && t.evidence != nil {
		q.Since = t.evidence.since
	}
	return q
}

// issuerError turns the finder's refusal into the one that callers know.
func issuerError(err error) error {
	if err == nil {
		return nil
	}
	var m *finder.MismatchError
	if errors.As(err, &m) {
		return &IssuerError{Expected: m.Expected, Actual: m.Actual}
	}
	return err
}

// obtain finds the authorization server and uses the grant there. A nil
// challenge lets what was discovered before stand. single: each request is
// sent once, the caller retries the whole.
func (o *obtainer) obtain(ctx context.Context, v *vault, target resource, rec *Record, c *Challenge, extra []string, single bool) (got obtained, err error) {
	return o.obtainBy(ctx, o.grant, v, target, rec, c, extra, single)
}

// obtainBy is obtain with a grant.
func (o *obtainer) obtainBy(ctx context.Context, g Grant, v *vault, target resource, rec *Record, c *Challenge, extra []string, single bool) (got obtained, err error) {
	place, err := o.place(ctx, target, rec, c, single)
	if err != nil {
		return got, issuerError(err)
	}
	since := o.finder.Now() // what led here says nothing about what is to come
	got.issuer = place.Server.Issuer
	if err := o.clients.mayMeet(place.Server, rec); err != nil {
		return got, err
	}
	var challenge Challenge
	if c != nil {
		challenge = *c
	}
	// Nothing is a name too: what the program provides later is something else.
	got.input = orElse(inputOf(ctx, o.grant), "none")
	var flow *Flow
	var tok *Token
	for again := false; ; again = true {
		flow = &Flow{
			Server: place.Server, Resource: o.asks.resource(place.Resource), Requests: o.asks.extra().after(rec.Refusal, got.issuer),
			Scopes: o.selectScopes(ctx, target, v.subject, place, rec, challenge, extra), Subject: v.subject, MCPServer: target.url,
			use: &use{obtainer: o, vault: v, resource: target, rec: rec, single: single, registers: o.registerScopes(place), indicator: place.Resource},
		}
		began := time.Now()
		tok, err = g.Authorize(ctx, flow)
		if !g.Interactive() { // else it is the person's time
			got.took = max(time.Since(began), 1)
		}
		got.unsaved = flow.use.unsaved
		if err == nil {
			break
		}
		if o.sparesOffline(flow, err, again) && ctx.Err() == nil {
			continue
		}
		if rec = o.heal(ctx, flow, err); again || rec == nil || ctx.Err() != nil {
			got.refusal = flow.refusal(err)
			return got, explainAssumed(place, flow.explained(err))
		}
	}
	unsaved, input, took := got.unsaved, got.input, got.took
	got = o.granted(place, flow, tok, since)
	got.unsaved, got.input, got.took = unsaved, input, took
	return got, nil
}

// granted is what came of a use of the grant that got tok.
func (o *obtainer) granted(place *finder.Place, flow *Flow, tok *Token, since uint32) obtained {
	rec := flow.use.rec
	flow.use.known(place.Server.Issuer)
	tok = tok.seal()
	tok.evidence = &evidence{since: since}
	if o.grant.Interactive() {
		tok.evidence.facts.Store(byPerson)
	}
	return obtained{issuer: place.Server.Issuer, rec: &Record{
		Generation: rec.Generation,
		Issuer:     place.Server.Issuer, Resource: place.Resource,
		Endpoints: o.endpointsOf(place, rec.Endpoints),
		Token:     tok,
		Obtained:  wallNow(),
		Requested: flow.Scopes,

		Registration: flow.use.registered(),
	}}
}

// obtained is what came of a use of the grant.
type obtained struct {
	rec    *Record
	issuer string // where it was tried; empty when no server was found
	// unsaved is why a client that was registered could not be stored.
	unsaved error
	input   string        // see inputOf
	refusal *LoginRefusal // a person said no, or nothing; nil: neither
	took    time.Duration // of a request that involved no person; 0: none
}

// place finds where the grant is to be used.
func (o *obtainer) place(ctx context.Context, target resource, rec *Record, c *Challenge, single bool) (place *finder.Place, err error) {
	if c == nil {
		c = new(Challenge)
		// A stored issuer that is not the program's leads nowhere: look for that.
		if o.clients.mayMeet(&Server{Issuer: rec.Issuer}, rec) == nil {
			place, err = o.finder.Issuer(ctx, target.query(rec, *c))
			if !errors.Is(err, finder.ErrMoved) {
				return place, err
			}
		}
	}
	q := target.query(rec, *c)
	if single {
		return o.finder.Find(ctx, q)
	}
	bounded, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	tries := 0
	_, err = retry(bounded, o.trace, 0, func(ctx context.Context) (err error) {
		place, err = o.finder.Find(ctx, q)
		// Nobody is there, and no challenge shows that somebody was a moment ago:
		// a person who waits hears of it after one more try.
		if tries++; tries == 2 && c.Status == 0 && o.grant.Interactive() && httpx.Unreachable(err) {
			cancel()
		}
		return err
	})
	return place, err
}

// selectScopes applies the specification's scope selection: the challenge's
// scopes, else the resource's scopes_supported, else none; with the configured
// ones; and with all that was granted or asked for before, so that nothing is
// lost on the way (MCP 2026-07-28, "Step-Up Authorization Flow").
func (o *obtainer) selectScopes(ctx context.Context, target resource, subject string, place *finder.Place, rec *Record, c Challenge, extra []string) []string {
	initial := c.Scopes
	if len(initial) == 0 && len(o.asks.configured()) == 0 && rec.Requested == nil && len(grantedScopes(rec)) == 0 && len(extra) == 0 {
		initial = o.asks.choose(o.finder.NamedScopes(ctx, target.query(rec, c), place))
	}
	scopes := unionScopes(o.asks.configured(), grantedScopes(rec), rec.Requested, extra)
	scopes, _ = boundedScopes(scopes, initial)
	scopes = o.asks.allowed(scopes)
	if !hasOffline(o.asks.configured()) && o.known().has(sparing(place.Server.Issuer, target, subject)) {
		return lessOffline(scopes)
	}
	// A refresh token is asked for where the server has a scope for it. Alone
	// it would turn "no scope: your default" into "this scope only".
	if len(scopes) > 0 && o.addsOfflineAccess(place) {
		scopes = unionScopes(scopes, offlineScope)
	}
	return scopes
}

func (o *obtainer) addsOfflineAccess(place *finder.Place) bool {
	return o.grant.Interactive() && len(o.asks.allowed(offlineScope)) > 0 && hasOffline(place.Server.ScopesSupported)
}

// sparesOffline reports whether to use the grant once more, without offline_access,
// which the server lists and does not give to this client: one that was registered by
// hand needs it assigned at Keycloak, for instance. The session is shorter without it,
// and there is none with it. That is remembered, unless it does not help, for this user
// of this resource: what a browser or an MCP server can bring about changes nothing for
// others.
func (o *obtainer) sparesOffline(flow *Flow, err error, again bool) bool {
	spares := sparing(flow.Server.Issuer, flow.use.resource, flow.Subject)
	if refusesOffline(err) && hasOffline(flow.Scopes) &&
		!hasOffline(o.asks.configured()) && !hasOffline(flow.use.rec.Requested) {
		o.known().set(spares, true)
		return !again
	}
	if refusesScopes(err) {
		o.known().set(spares, false)
	}
	return false
}

func sparing(issuer string, r resource, subject string) habit {
	return habit{withoutOffline, issuer, r.canonical + " " + subject}
}

// registerScopes are what a client is registered for besides the scopes that are
// asked for now: what it may ask for some day.
func (o *obtainer) registerScopes(place *finder.Place) []string {
	scopes := o.asks.choose(place.Scopes)
	if len(scopes) > 0 && o.addsOfflineAccess(place) {
		scopes = unionScopes(scopes, offlineScope)
	}
	return scopes
}

// supported are the scopes of the resource that would be asked for, as far as
// they are known.
func (o *obtainer) supported(resource string) []string {
	return o.asks.choose(o.finder.Scopes(resource))
}

func grantedScopes(rec *Record) []string {
	if rec.Token == nil {
		return nil
	}
	return rec.Token.Scopes
}

// inputOf names what a grant would use now; empty if it does not say.
func inputOf(ctx context.Context, g Grant) string {
	if says, ok := g.(interface {
		Input(ctx context.Context) string
	}); ok {
		return says.Input(ctx)
	}
	return ""
}

// use is what a [Flow] works with.
type use struct {
	*obtainer
	vault     *vault
	resource  resource
	rec       *Record
	client    *Client
	indicator string   // the resource as its metadata call it
	unsaved   error    // its registration could not be stored
	single    bool     // the caller retries
	registers []string // scopes to register a client for, besides those that are asked for
	resumed   bool     // the client is the one that the login was begun with
	silent    bool     // the person did not answer in time
}

// registered is the registration of the client that the grant used, if it was
// made on demand.
func (u *use) registered() *registration.Client {
	if u.client == nil {
		return nil
	}
	return u.client.registration
}

// guard is what keeps requests that the resource leads to out of the network of
// this machine.
func (u *use) guard() func(*http.Client) *http.Client {
	return func(c *http.Client) *http.Client { return u.finder.Guard(u.resource.url, c) }
}
