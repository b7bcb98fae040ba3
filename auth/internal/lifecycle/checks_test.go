package lifecycle

import (
	"time"
)

// checks is what the model knows of a process beside its machine, as simply as
// it can: no more than what happened.
type checks struct {
	putAt       time.Time // by the wall clock; zero: it was set since
	accepted    bool      // the token in use
	rejections  int       // of the token in use
	doubts      int       // the same since it was accepted last
	acceptances int       // of any token
	// An operation must not begin by itself before.
	renewNext, loginNext time.Time
	loadFailed           time.Time
	refused              map[uint32]bool // refresh tokens
}

// brought notes that t is in use.
func (p *proc) brought(t Token) {
	if t.ID != p.memory.ID {
		p.accepted, p.rejections, p.doubts, p.putAt, p.loginNext = false, 0, 0, p.wall(), time.Time{}
	}
	if t.ID != p.memory.ID || t.Renewal != p.memory.Renewal {
		p.renewNext = time.Time{}
		delete(p.refused, t.Renewal)
	}
}

func (p *proc) jumped() {
	p.renewNext, p.loginNext, p.putAt = time.Time{}, time.Time{}, time.Time{}
	p.loadFailed = p.wall()
}

// answered notes the answer to a request.
func (p *proc) answered(id uint32, status int) {
	if id == 0 || id != p.memory.ID {
		return
	}
	if status == 401 {
		p.rejections++
		p.doubts++
		return
	}
	p.accepted, p.doubts = true, 0
	p.acceptances++
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (p *proc) renewFailed(f Failure) {
	if f.Renewal != p.memory.Renewal || p.memory.ID == 0 || f.Class == RefusedScopes {
		return
	}
	if f.Class == RefusedToken || f.Class == RefusedRequest && p.policy.Grant != Nothing {
		if p.refused == nil {
			p.refused = map[uint32]bool{}
		}
		p.refused[f.Renewal] = true
		if p.policy.Grant != Alone {
			return
		}
	}
	wait := time.Second
	if f.Class == Ambiguous {
		wait = needed
	}
	p.renewNext = later(p.renewNext, p.wall().Add(max(wait, f.RetryAfter)))
}

func (p *proc) loginFailed(f Failure) {
	wait := time.Second
	if f.Asked {
		wait = loginPause
	}
	p.loginNext = later(p.loginNext, p.wall().Add(max(wait, f.RetryAfter)))
}

// lost reports whether there is nothing left to hope for: the refresh token was
// refused, and the token in use since it was accepted last, twice if it ever was.
func (p *proc) lost() bool {
	// One doubt and a former rejection will do: the machine may hear of that one last.
	return p.refused[p.memory.Renewal] && !p.m.Renewable() && p.doubts > 0 && (p.rejections > 1 || !p.accepted)
}

// live reports whether the token in use has not expired.
func (p *proc) live() bool {
	t := p.memory.Token
	return t.ID != 0 && t.Access && (t.Expiry.IsZero() || p.wall().Before(t.Expiry))
}

// check compares what a caller with the need n was told with the invariants.
func (p *proc) check(c *caller, n *Need, before *Machine, d Decision) {
	w, m, now := p.w, &p.m, p.wall()
	ours := n.Token != 0 && n.Token == p.memory.ID
	bad := func(invariant, what string) {
		w.violated("process %d [%s] %s: %+v -> %+v; token %+v accepted %v rejections %d", p.id, invariant, what, *n, d, p.memory, p.accepted, p.rejections)
	}
	own := d.Action == Use && n.Done&(Renew|Login) != 0 && n.Err == nil && !ours && p.live()
	if closed := d.Action == Fail && d.Reason == Closed; m.Closed() != closed && !(m.Closed() && own) {
		bad("Close", "a closed machine decides")
		return
	}
	switch d.Action {
	case Use, UseAndRenew:
		if !p.live() && n.Kind != Renewal {
			bad("5", "an expired token is used")
		}
		if d.Action == UseAndRenew {
			p.checkStart(Renew, nil)
		}
		if n.Kind == Challenged && ours {
			bad("8", "a refused token is used again without evidence")
		}
		if n.Kind == Fresh && !n.did(Load) && p.stale(5*time.Second) && !p.policy.Hints && !m.Running(Load) {
			bad("15", "what another process did is not noticed")
		}
	case Resend:
		if !ours || !p.live() || n.Kind != Challenged {
			bad("10", "a token is sent again that is not in use")
		}
		if d.Delay < 0 || d.Delay > 3*time.Second {
			bad("10", "a wait that is too long")
		}
		if n.Tries == 0 {
			c.seenToken, c.seenTrying = n.Token, p.acceptances
		}
	case Glance:
		if n.Kind != Fresh || !p.live() || !p.policy.Shared || p.policy.Hints {
			bad("5", "a look that nobody needs")
		}
	case Wait:
		if !m.Running(d.Op) {
			p.checkStart(d.Op, n)
			p.checkEvidence(c, n, d, bad)
		}
	case Fail:
		p.checkFail(n, d, bad)
	}
	if n.Kind == Challenged && !ours && n.Token != 0 && p.live() && before.Usable(now) {
		if d.Action != Use && n.tokens < maxTokens && d.Op != Load {
			bad("8", "a late answer does something")
		}
	}
}

// stale reports whether another process stored something so long ago.
func (p *proc) stale(since time.Duration) bool {
	w := p.w
	return p.policy.Shared && !w.cannotRead && !p.unsaved && w.record.newer > p.memory.newer &&
		w.now.Sub(w.record.stored) > since+100*time.Millisecond && p.wall().Sub(p.loadFailed) > 2*needed && !p.putAt.IsZero()
}

// checkStart is asked when op begins, for a caller or (nil) by itself.
func (p *proc) checkStart(op Op, n *Need) {
	w, now := p.w, p.wall()
	bad := func(invariant, what string) {
		w.violated("process %d [%s] %s: %+v; token %+v", p.id, invariant, what, n, p.memory)
	}
	if p.m.Running(op) {
		bad("1", "an operation runs twice")
	}
	insists := n != nil && n.insists()
	switch op {
	case Renew:
		if p.memory.ID == 0 || p.policy.Grant != Alone && (p.memory.Renewal == 0 || p.m.Refused() != nil) {
			bad("6", "a renewal without means")
		}
		if !insists && now.Before(p.renewNext) {
			bad("15", "a renewal before its time")
		}
		if n == nil {
			if t := p.memory.Token; t.Expiry.IsZero() || t.Expiry.Sub(now) > p.policy.Window*11/10 {
				bad("7", "renewed too early")
			} else if life := t.Expiry.Sub(t.Obtained); t.Expiry.Sub(now) > max(life*55/100, 0)+1 {
				bad("7", "renewed too early for its short life")
			}
		}
	case Login:
		switch {
		case p.policy.Grant == Nothing:
			bad("13", "a login without a grant")
		case !insists && n.NoLogin:
			bad("13", "a login for a request that it does not help")
		case !insists && now.Before(p.loginNext):
			bad("15", "a login before its time")
		case p.m.Renewable() && n.Kind != Scopes && n.Kind != Upgrade:
			bad("13", "a login although the token can be renewed")
		}
	}
}

// checkEvidence is asked when a caller lets an operation begin that replaces a
// token.
func (p *proc) checkEvidence(c *caller, n *Need, d Decision, bad func(invariant, what string)) {
	now := p.wall()
	ours := n.Token != 0 && n.Token == p.memory.ID && p.live()
	if d.Op != Renew && d.Op != Login || n.Kind != Challenged || !ours || n.Done&(Renew|Login) != 0 {
		if d.Op == Login && n.did(Renew) && n.Err != nil && p.m.Renewable() && n.Class.blocksLogin() {
			bad("13", "a login that meets the same failure")
		}
		return
	}
	t := p.memory.Token
	switch {
	case p.accepted && n.Tries == 0:
		bad("8", "an accepted token is replaced after one answer")
	case p.accepted && n.Replaced:
		bad("11", "a second token for one request")
	case !p.accepted && n.Tries < 3 && !t.Obtained.IsZero() && !p.putAt.IsZero() && now.Sub(p.putAt) < young && now.Sub(t.Obtained) < aged:
		bad("10", "a young token is replaced")
	}
	if d.Op != Login {
		return
	}
	switch {
	case p.accepted && n.Stream && !p.lost():
		bad("13", "a login for a stream")
	case p.accepted && !p.lost() && c.seenToken == n.Token && c.seenTrying != p.acceptances:
		bad("13", "a login although the token was accepted meanwhile")
	case !p.accepted && t.Login && !p.putAt.IsZero() && now.Sub(p.putAt) < firstRelogin:
		bad("12", "a login right after one that brought nothing")
	}
}

// checkFail is asked when a caller fails.
func (p *proc) checkFail(n *Need, d Decision, bad func(invariant, what string)) {
	now := p.wall()
	ours := n.Token != 0 && n.Token == p.memory.ID
	if n.Kind == Fresh && p.live() && (p.accepted || p.rejections == 0) && !p.lost() && d.Reason != Closed && (p.m.loaded != 0 || n.did(Load)) {
		bad("5", "a valid token is not used")
	}
	since := look
	if d.Reason == Rejected && p.m.barred(now) || d.Reason == RejectedOperation && !n.Replaced && n.tokens < maxTokens {
		since = 0
	}
	if n.Kind != Renewal && n.Kind != Authorization && !n.did(Load) && d.Reason != Closed && p.stale(since) {
		r := p.w.record
		if r.Access && (r.Expiry.IsZero() || now.Before(r.Expiry)) {
			bad("15", "another process has a token, and nobody looks")
		}
	}
	switch d.Reason {
	case Failed:
		switch {
		case d.Err == nil:
			bad("15", "no error")
		case n.Done&(Renew|Login|Load) == 0 && !d.RetryAt.After(now):
			bad("15", "the error does not say when to come back")
		}
	case NoToken:
		if p.m.Renewable() && n.renewals == 0 && !n.did(Login) {
			bad("15", "the token can be renewed, and nobody does")
		}
	case Unauthorized, NoGrant:
		if p.policy.Grant != Nothing {
			bad("13", "nobody uses the grant")
		}
		if n.Kind != Scopes && n.Kind != Upgrade && p.m.Renewable() && n.Err == nil {
			bad("6", "the token can be renewed, and nobody does")
		}
	case Useless:
		if !n.NoLogin && !n.Stream {
			bad("13", "a login would help")
		}
	case Rejected:
		switch {
		case p.accepted || p.rejections == 0:
			bad("12", "a bar without evidence")
		case !d.RetryAt.After(now):
			bad("15", "the error does not say when to come back")
		case p.live() && p.m.trouble.bar.holds(now):
			if after := p.m.Next(d.RetryAt, &Need{Done: Load}); after.Reason == Rejected && after.Action == Fail {
				bad("12", "the newest token is not tried after a bar")
			}
		}
	case RejectedOperation:
		switch {
		case n.Kind != Challenged || !n.Replaced && n.tokens < maxTokens && (!ours || p.rejections == 0):
			bad("11", "an operation is given up without evidence")
		case !d.RetryAt.After(now):
			bad("15", "the error does not say when to come back")
		}
	}
}

// checkState looks at the machine between two events.
func (p *proc) checkState() {
	w, m, now := p.w, &p.m, p.wall()
	bad := func(invariant, what string) {
		w.violated("process %d [%s] %s: token %+v, trouble %+v", p.id, invariant, what, p.memory, m.trouble)
	}
	if m.Closed() {
		if !m.Wake(now).IsZero() || !m.Until(now).IsZero() {
			bad("Close", "a closed machine goes on")
		}
		return
	}
	if r := p.memory.Renewal; m.Refused() != nil && !p.refused[r] {
		bad("6", "a refresh token ends that was not refused")
	} else if r != 0 && !p.refused[r] && !m.Renewable() {
		bad("6", "a refresh token is lost")
	}
	if until := m.Until(now); until.After(now) {
		n := Need{}
		if d := m.Next(until.Add(-1), &n); d.Action != Use {
			bad("5", "Until promises too much")
		}
		if t := p.memory.Token; !t.Expiry.IsZero() && until.After(t.Expiry) {
			bad("7", "Until is beyond the expiry")
		}
	}
	wake := m.Wake(now)
	switch {
	case p.unsaved && !m.Running(Save) && (wake.IsZero() || wake.Sub(now) > 2*unneeded+slack):
		bad("3", "a token is not saved again")
	case !wake.IsZero() && m.Due(later(wake, now)) == None:
		bad("9", "the timer is armed for nothing")
	case p.policy.Idle && p.live() && p.accepted && m.Renewable() && !m.Planned().IsZero() && wake.IsZero() && !m.Running(Renew|Save) && (m.trouble == nil || m.trouble.renew.err == nil):
		bad("7", "nobody renews an idle token")
	}
	if t := m.trouble; t != nil {
		if len(t.operations) > maxRefusals+1 {
			bad("11", "memory without bounds")
		}
		if copied := *m; true {
			if copied.tidy(); copied.trouble == nil {
				bad("memory", "something is remembered of nothing")
			}
		}
	}
	if p.accepted && m.barred(now) && p.rejections == 0 {
		bad("12", "a bar although the token is accepted")
	}
}
