package auth

import (
	"context"
	"errors"
	"slices"
	"time"
)

// What a manager makes of the store's contents: somebody else's record is
// adopted, unless what it has itself and could not store is worth more.

// reread brings the state up to what the store holds: somebody else may have
// rotated, logged in or revoked meanwhile.
func (m *Manager) reread(ctx context.Context) error {
	for {
		m.mu.Lock()
		before := m.st.rec
		m.mu.Unlock()
		rec, err := m.cfg.Store.Load(ctx, m.key())
		if err != nil && !errors.Is(err, ErrNotFound) {
			return &StoreError{Op: "load", Err: err}
		}
		var key *binding
		if err == nil {
			key = m.loadProofKey(rec)
		}
		m.mu.Lock()
		if m.st.rec != before {
			// What was put in use meanwhile may be newer than what was read:
			// hints and authorizations read without the lock.
			m.mu.Unlock()
			continue
		}
		m.st.loadedAt = wallNow().UnixNano()
		if f := m.st.renewFailed; f != nil && f.load {
			m.st.renewFailed, m.st.lastErr = nil, nil
		}
		var told EventType
		if err == nil {
			told = m.catchUp(rec, key)
		} else {
			told = m.catchUpWithNothing()
		}
		m.mu.Unlock()
		switch told {
		case EventTokenUpdated:
			m.cfg.trace.stepped(ctx, StepAdopt, time.Now(), nil)
			m.publishToken()
		case EventForgotten:
			m.publish(Event{Type: told})
		}
		return nil
	}
}

// catchUp takes over what the store holds, unless what is in use is worth more,
// and returns what has to be told. The caller holds m.mu.
func (m *Manager) catchUp(rec *Record, key *binding) EventType {
	s := &m.st
	switch {
	case rec.Generation == s.rec.Generation:
		return ""
	case s.undeleted.left(rec.Token):
		gone := *s.rec
		gone.Generation = rec.Generation
		s.rec = &gone
		return ""
	case rec.Generation < s.rec.Generation && s.rec.Token != nil:
		// Generations only rise: the store lost what we saved, in a failover
		// say, and its refresh token is spent. Ours is saved anew.
		ours := *s.rec
		ours.Generation = rec.Generation
		s.rec, s.unsaved = &ours, true
		m.scheduleSave()
		return ""
	case s.unsaved && (outlives(s.rec.Token, rec.Token, s.replacedTokens()) || s.rec.renewed(rec)):
		ours := *s.rec
		ours.Generation = rec.Generation // to be replaced by the next save
		s.rec = &ours
		return ""
	}
	m.adopt(rec, key)
	return EventTokenUpdated
}

// catchUpWithNothing is catchUp with a store that has no record.
func (m *Manager) catchUpWithNothing() EventType {
	s := &m.st
	switch {
	case s.rec.Generation == 0:
		return ""
	case s.unsaved: // it is saved anew
		fresh := *s.rec
		fresh.Generation = 0
		s.rec = &fresh
		return ""
	}
	m.forget()
	return EventForgotten
}

// left reports whether found is what is left of the forgotten token t: who could
// not refresh it any more has stored it without its refresh token.
func (t *Token) left(found *Token) bool {
	switch {
	case t == nil || found == nil:
		return false
	case t.AccessToken != "":
		return t.AccessToken == found.AccessToken
	}
	return t.RefreshToken == found.RefreshToken
}

// renewed reports whether r has a newer access token than old by the same
// refresh token, from a server that does not rotate.
func (r *Record) renewed(old *Record) bool {
	return r.Token != nil && old.Token != nil && r.Token.RefreshToken != "" && r.Token.RefreshToken == old.Token.RefreshToken &&
		!r.Obtained.Before(old.Obtained)
}

// outlives reports whether our token, not stored yet, is worth more than what
// somebody else stored meanwhile. Who was refused with the refresh token that
// ours replaced has dropped that one only (design invariant 6); and who stored
// something else may have left it where it was.
func outlives(ours, theirs *Token, replaced []string) bool {
	switch {
	case ours == nil:
		return false
	case theirs == nil || theirs.RefreshToken == "":
		return ours.RefreshToken != ""
	}
	return slices.Contains(replaced, theirs.RefreshToken) && !slices.Contains(replaced, ours.RefreshToken)
}

// adopt puts a record of the store's in use, with the key that its token is
// bound to; the caller holds m.mu.
func (m *Manager) adopt(rec *Record, key *binding) {
	s := &m.st
	if key != nil {
		s.binding = key
	}
	if rec.Token != nil && rec.Token.TokenType == "DPoP" && key == nil {
		rec.Token = nil // bound to a key that we do not have
	}
	if rec.Token != nil {
		rec.Token = rec.Token.seal()
		rec.Token.binding = key
		if old := s.rec.Token; old != nil && old.AccessToken == rec.Token.AccessToken {
			rec.Token.serial = old.serial // still the same token, and rejected if it was
		} else {
			s.since = 0
		}
	}
	if rec.Issuer == s.rec.Issuer {
		rec.Issuer = s.rec.Issuer // one string in memory, not two
	}
	if rec.Resource == s.rec.Resource {
		rec.Resource = s.rec.Resource
	}
	s.unsaved, s.replaced, s.saveFailures = false, nil, 0
	m.restoreStepUps(rec, wallNow())
	m.setRecord(rec, wallNow())
}

// forget drops the credential; the caller holds m.mu.
func (m *Manager) forget() {
	s := &m.st
	s.unsaved, s.replaced, s.dirty, s.saveFailures = false, nil, false, 0
	s.undeleted = nil
	s.rejected, s.refused, s.renewFailed = nil, nil, nil
	issuer := m.configuredIssuer()
	if m.cfg.Client.ID != "" {
		issuer = s.rec.Issuer // which the client stays bound to
	}
	m.setRecord(&Record{Resource: s.rec.Resource, Issuer: issuer}, wallNow())
}

func (m *Manager) configuredIssuer() string {
	if m.cfg.Server != nil {
		return m.cfg.Server.Issuer
	}
	return ""
}
