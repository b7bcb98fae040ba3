package auth

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"time"

	"github.com/mcptokens/mcptokens/internal/errtext"
)

// A renewal gets a fresh token without a person: by the refresh token, else by
// a grant that needs nobody. At most one is under way, and each request is a
// transaction on the store: lock, re-read, adopt what somebody else got, or
// request, save, put in use, unlock. Waits between requests are outside it.

// renewal describes one.
type renewal struct {
	trigger Trigger
	// scopes are needed beyond those granted; gather waits a moment for more.
	scopes []string
	gather bool
	// challenge made the renewal necessary: the resource may have moved to
	// another authorization server.
	challenge *Challenge
}

// renewed is how it went.
type renewed struct {
	outcome Outcome
	grant   string
	rotated bool
	unsaved bool
}

// errOverdue ends an attempt before its refresh token is sent: the store was read
// too long ago, in a process that was suspended meanwhile, or there would be no
// time to wait for the answer.
var errOverdue = errtext.New("the attempt took too long before its request was sent; it has to begin anew")

// errMoved says that the resource names another authorization server now.
var errMoved = errtext.New("auth: the resource has moved to another authorization server")

// startRenewal launches r; the caller holds m.mu, has seen that the manager is
// open and that no renewal is under way.
func (m *Manager) startRenewal(caller context.Context, r renewal) *flight {
	f := &flight{kind: AwaitedRefresh, hasBegun: m.cfg.trace.beginning(), scopes: r.scopes, sealed: !r.gather}
	m.launch(&m.st.renew, f, m.cfg.RefreshTimeout, func(ctx context.Context) (*Token, error) {
		return m.renew(ctx, caller, f, r)
	})
	m.republish(wallNow())
	return f
}

func (m *Manager) renew(ctx, caller context.Context, f *flight, r renewal) (*Token, error) {
	m.mu.Lock()
	start, failed := m.st.rec, m.st.renewFailed
	m.mu.Unlock()
	ctx = m.cfg.trace.refresh.TraceRefreshStart(ctx, caller, RefreshStart{
		Resource: m.canonical, Issuer: start.Issuer, Trigger: r.trigger, Scopes: r.scopes,
	})
	f.begin(ctx)
	ctx = m.cfg.trace.withResends(ctx)
	if r.gather {
		_ = m.sleep(ctx, stepUpGather)
	}
	want := m.sealScopes(f)

	// No attempt begins that could not have its whole time: one that is cut
	// off has perhaps spent the refresh token.
	deadline, _ := ctx.Deadline()
	starts, cancel := context.WithDeadline(ctx, deadline.Add(-m.cfg.requestTime()))
	defer cancel()
	res := renewed{outcome: OutcomeFailed, grant: "refresh_token"}
	tries, err := m.retry(starts, failed.times(), func(starts context.Context) error {
		return m.renewOnce(starts, ctx, start.Token, want, r, &res)
	})

	m.mu.Lock()
	s := &m.st
	now := wallNow()
	// A grant that needs nobody goes on trying, so its failures have to wait.
	ended := err != nil && s.refused != nil && !s.canRenew(m.cfg.Grant)
	if err != nil && !errors.Is(err, ErrClosed) {
		s.lastErr = err
		if !ended && !refusedScopes(err, want) {
			// Whoever asks before the next attempt is due gets this error
			// (design invariant 11).
			wait := max(tries.next, permanentWait)
			if class, _ := classify(err); class == classAmbiguous {
				// Twice sent, never answered: the refresh token may be spent,
				// and sending it on and on is what reuse detection looks for.
				wait = max(wait, min(ambiguousPause<<min(s.renewFailed.times(), 8), 30*time.Minute))
			}
			// A call of Refresh in between does not shorten what the server asked for.
			due := later(now.Add(wait), s.renewFailed.pausedUntil())
			err = withNextAttempt(err, due)
			s.renewFailed = s.renewFailed.again(err, due)
		}
	}
	if err == nil && s.rec.Token == nil {
		err = ErrNoToken // revoked as soon as it was there
	}
	rec := s.rec
	f.byGrant = res.grant != "refresh_token"
	m.mu.Unlock()

	end := RefreshEnd{Outcome: res.outcome, Issuer: rec.Issuer, Grant: res.grant, Attempts: tries.attempts, Rotated: res.rotated, Unsaved: res.unsaved, Err: err}
	if err != nil {
		end.Outcome = OutcomeFailed
		m.publish(Event{Type: EventRefreshFailed, Err: err})
		if ended {
			m.publish(Event{Type: EventReauthorizationRequired, Err: err})
		}
		m.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "token refresh failed", slog.String("issuer", rec.Issuer), slog.String("trigger", string(r.trigger)),
			slog.Int("attempts", tries.attempts), slog.String("error", safeCause(err)))
	} else {
		end.Expiry, end.Scopes = rec.Token.Expiry, rec.Token.Scopes
		done := "token refreshed"
		if res.outcome == OutcomeAdopted {
			done = "token adopted"
		}
		m.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, done, slog.String("issuer", rec.Issuer), slog.String("trigger", string(r.trigger)),
			slog.Int("attempts", tries.attempts), slog.Time("expiry", rec.Token.Expiry))
	}
	m.cfg.trace.refresh.TraceRefreshEnd(ctx, end)
	if err != nil {
		return nil, err
	}
	return rec.Token, nil
}

// refusedScopes reports that only the wish for more scopes failed.
func refusedScopes(err error, want []string) bool {
	var te *TokenError
	return len(want) > 0 && errors.As(err, &te) && te.Code == "invalid_scope"
}

// withNextAttempt tells the callers when to come back. An error that a grant
// wrapped stays as it is: who refused matters more.
func withNextAttempt(err error, at time.Time) error {
	if te, ok := err.(*TokenError); ok {
		told := *te
		told.NextAttempt = at
		return &told
	}
	return err
}

// renewOnce is one transaction, which may wait for the store until starts ends
// and lasts no longer than whole. before is the token that is to be replaced.
func (m *Manager) renewOnce(starts, whole context.Context, before *Token, want []string, r renewal, res *renewed) error {
	unlock, err := m.begin(starts)
	defer unlock()
	if err != nil && !m.cfg.RefreshWithoutStore {
		return err
	}
	ctx, cancel := context.WithTimeout(whole, m.cfg.requestTime())
	defer cancel()
	m.mu.Lock()
	rec, usable, refused := m.st.rec, m.st.usable(wallNow()), m.st.refused
	m.mu.Unlock()
	switch {
	case rec.Token == nil:
		return ErrNoToken
	case usable && !rec.Token.same(before) && coversScopes(rec.Token.Scopes, want):
		res.outcome = OutcomeAdopted
		return nil
	}
	needsNobody := m.cfg.Grant != nil && !m.cfg.Grant.Interactive()
	if r.challenge != nil {
		if err := m.checkMoved(ctx, rec, *r.challenge); err != nil {
			if !needsNobody {
				return err
			}
			refused = err // the grant goes to the new server
		}
	}
	if rec.Token.RefreshToken != "" && refused == nil {
		err := m.refreshOnce(ctx, whole, rec, want, res)
		if class, _ := classify(err); err == nil || class != classPermanent {
			if err != nil && overdue(ctx) && m.renewedElsewhere(whole, rec, want) {
				res.outcome, err = OutcomeAdopted, nil
			}
			return err
		}
		if adopted, err := m.refuse(ctx, rec, want, err); adopted || !needsNobody {
			if adopted {
				res.outcome = OutcomeAdopted
			}
			return err
		}
		m.mu.Lock()
		rec = m.st.rec // stored anew without the refresh token
		m.mu.Unlock()
	}
	if !needsNobody {
		return orErr(refused, ErrNoRefreshToken)
	}
	res.grant = m.cfg.Grant.Type()
	got, _, err := m.obtain(ctx, rec, r.challenge, want, true)
	if err != nil {
		return err
	}
	res.outcome = OutcomeRefreshed
	res.unsaved = m.install(ctx, got) != nil
	return nil
}

// begin locks the store, re-reads it and makes sure that it can be written.
// unlock is never nil.
func (m *Manager) begin(ctx context.Context) (unlock func(), err error) {
	unlock, err = m.lockStore(ctx)
	if err != nil {
		return func() {}, err
	}
	if err = m.reread(ctx); err == nil {
		err = m.probeStore(ctx)
	}
	return unlock, err
}

// requestTime is what one request of a refresh may take: two of them fit into
// its bound, with time for the store's lock.
func (s *shared) requestTime() time.Duration { return s.RefreshTimeout * 2 / 5 }

// overdue reports whether ctx's time is over, by the wall clock too: that goes on
// while a laptop sleeps, and so does a lease in Redis.
func overdue(ctx context.Context) bool {
	end, ok := ctx.Deadline()
	return ok && isOver(end)
}

func isOver(end time.Time) bool {
	now := time.Now()
	return now.After(end) || now.Round(0).After(end.Round(0))
}

// renewedElsewhere reads the store after an attempt that lasted longer than it
// may, as that of a process does which is suspended: others may have taken the
// lock for free meanwhile. It reports whether their token is in use now.
func (m *Manager) renewedElsewhere(ctx context.Context, rec *Record, want []string) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTimeout)
	defer cancel()
	if m.reread(ctx) != nil {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.st.rec.Token
	return m.st.usable(wallNow()) && !now.same(rec.Token) && coversScopes(now.Scopes, want)
}

// refreshOnce spends the refresh token of rec (RFC 6749 section 6). Finding the
// server may take until ctx ends; the request has its own time then, if whole
// leaves that.
func (m *Manager) refreshOnce(ctx, whole context.Context, rec *Record, want []string, res *renewed) error {
	where, err := m.serverOf(ctx, rec)
	if err != nil {
		return err
	}
	client, err := m.clientOf(where.server, rec)
	if err != nil {
		return err
	}
	// A tenth less will do, for what takes a moment longer than it may.
	if end, _ := whole.Deadline(); overdue(ctx) || time.Until(end) < m.cfg.requestTime()*9/10 {
		fail := newTokenError(where.server, "refresh_token")
		fail.Err, fail.class = errOverdue, classTransient
		return fail
	}
	if end, _ := ctx.Deadline(); time.Until(end) < m.cfg.requestTime()*99/100 {
		afresh, cancel := context.WithTimeout(whole, m.cfg.requestTime())
		defer cancel()
		ctx = afresh
	}
	form := url.Values{
		"grant_type":    {"refresh_token"},
		"refresh_token": {rec.Token.RefreshToken},
		"resource":      {where.resource},
	}
	scopes := rec.Token.Scopes
	if len(want) > 0 {
		scopes = unionScopes(scopes, rec.Requested, want)
		form.Set("scope", joinScopes(scopes))
	} else if m.cfg.RefreshScopes != nil {
		if chosen := normalizeScopes(m.cfg.RefreshScopes(scopes, rec.Requested)); chosen != nil {
			scopes = chosen
			form.Set("scope", joinScopes(chosen))
		}
	}
	tok, err := m.tokenEndpoint(ctx, where.server, client, form, scopes)
	if err != nil {
		return err
	}
	res.outcome = OutcomeRefreshed
	res.rotated = tok.RefreshToken != "" && tok.RefreshToken != rec.Token.RefreshToken
	if tok.RefreshToken == "" {
		tok.RefreshToken = rec.Token.RefreshToken // RFC 6749 section 6: may be omitted
	}
	next := *rec
	next.Token, next.Issuer, next.Resource = tok, where.server.Issuer, where.resource
	next.Obtained = wallNow()
	next.Requested = unionScopes(rec.Requested, want)
	res.unsaved = m.install(ctx, &next) != nil
	if !coversScopes(tok.Scopes, want) {
		m.rememberNarrow(next.Issuer)
	}
	return nil
}

func orErr(err, other error) error {
	if err != nil {
		return err
	}
	return other
}
