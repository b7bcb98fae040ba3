package auth

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// ensureLoaded reads the store before the first use.
func (m *Manager) ensureLoaded(ctx context.Context) error {
	m.mu.Lock()
	s := &m.st
	if s.closed || s.loaded {
		defer m.mu.Unlock()
		if s.closed {
			return ErrClosed
		}
		return nil
	}
	f := s.load
	if f == nil {
		f = m.launch(&s.load, &flight{}, m.cfg.RefreshTimeout, func(ctx context.Context) (*Token, error) {
			return nil, m.reread(ctx)
		})
	}
	f.join()
	m.mu.Unlock()
	_, err := m.wait(ctx, f)
	return err
}

// lockStore takes the credential's lock.
func (m *Manager) lockStore(ctx context.Context) (func(), error) {
	unlock, err := m.cfg.Store.Lock(ctx, m.key)
	if err != nil {
		return nil, &StoreError{Op: "lock", Err: err}
	}
	return unlock, nil
}

// reread brings the state up to what the store holds: somebody else may have
// rotated, logged in or revoked meanwhile.
func (m *Manager) reread(ctx context.Context) error {
	rec, err := m.cfg.Store.Load(ctx, m.key)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return &StoreError{Op: "load", Err: err}
	}
	var key *binding
	if err == nil {
		key = m.loadProofKey(rec)
	}
	m.mu.Lock()
	s := &m.st
	s.loaded = true
	have := s.rec
	if err != nil { // there is none
		gone := have.Generation > 0 && !s.unsaved
		if gone {
			m.forget()
		} else if have.Generation > 0 {
			fresh := *have
			fresh.Generation = 0
			s.rec = &fresh // what is unsaved is saved anew
		}
		m.mu.Unlock()
		if gone {
			m.publish(Event{Type: EventForgotten})
		}
		return nil
	}
	if rec.Generation == have.Generation {
		m.mu.Unlock()
		return nil
	}
	if s.unsaved && outlives(have.Token, rec.Token) {
		ours := *have
		ours.Generation = rec.Generation // to be replaced by the next save
		s.rec = &ours
		m.mu.Unlock()
		return nil
	}
	m.adopt(rec, key)
	m.mu.Unlock()
	m.publishToken()
	return nil
}

// outlives reports whether our token, not stored yet, is worth more than what
// somebody else stored meanwhile: who was refused with the refresh token that
// ours replaced has dropped that one only (design invariant 6).
func outlives(ours, theirs *Token) bool {
	return ours != nil && ours.RefreshToken != "" && (theirs == nil || theirs.RefreshToken == "")
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
		if old := s.rec.Token; old != nil && old.AccessToken == rec.Token.AccessToken && old.RefreshToken == rec.Token.RefreshToken {
			rec.Token.serial = old.serial // still the same token
		}
	}
	s.unsaved, s.saveFailures = false, 0
	m.setRecord(rec, wallNow())
}

// forget drops the credential; the caller holds m.mu.
func (m *Manager) forget() {
	s := &m.st
	s.unsaved, s.saveFailures = false, 0
	s.rejected, s.refused, s.err = nil, nil, nil
	m.setRecord(&Record{Resource: s.rec.Resource, Issuer: m.configuredIssuer()}, wallNow())
}

func (m *Manager) configuredIssuer() string {
	if m.cfg.Server != nil {
		return m.cfg.Server.Issuer
	}
	return ""
}

// install stores rec and then puts its token in use (design invariant 3). If
// storing fails the token is used all the same, and saving is tried again
// behind. The error is a *[StoreError].
func (m *Manager) install(ctx context.Context, rec *Record) error {
	err := m.save(ctx, rec)
	m.publishToken()
	if err != nil {
		m.publish(Event{Type: EventSaveFailed, Err: err})
		m.log.LogAttrs(ctx, slog.LevelError, "token not stored; it is used from memory and saving is retried", slog.String("error", err.Error()))
	}
	return err
}

// save is install without the events.
func (m *Manager) save(ctx context.Context, rec *Record) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTimeout)
	defer cancel()
	if t := rec.Token; t != nil && t.binding != nil {
		rec.ProofKey = t.binding.data
	}
	generation, err := m.cfg.Store.Save(ctx, m.key, rec)
	if errors.Is(err, ErrConflict) {
		// Somebody wrote without our seeing it, so the lock was not kept, or
		// was lost. What is stored wins if it works; else ours does.
		theirs, loadErr := m.cfg.Store.Load(ctx, m.key)
		switch {
		case loadErr == nil && theirs.Token.live(wallNow()) && !outlives(rec.Token, theirs.Token):
			key := m.loadProofKey(theirs)
			m.mu.Lock()
			defer m.mu.Unlock()
			m.adopt(theirs, key)
			return nil
		case loadErr == nil:
			rec.Generation = theirs.Generation
		default:
			rec.Generation = 0
		}
		generation, err = m.cfg.Store.Save(ctx, m.key, rec)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s := &m.st
	if err != nil {
		err = &StoreError{Op: "save", Err: err}
		s.unsaved = true
		s.saveFailures++
	} else {
		rec.Generation = generation
		s.unsaved, s.saveFailures = false, 0
	}
	m.setRecord(rec, wallNow())
	if err != nil {
		s.lastErr = err
		m.scheduleSave()
	}
	return err
}

// scheduleSave arms the timer that saves again; the caller holds m.mu.
func (m *Manager) scheduleSave() {
	s := &m.st
	if s.closed {
		return
	}
	if s.saveTimer != nil {
		s.saveTimer.stop()
	}
	b := newBackOff()
	wait := b.NextBackOff()
	for range min(s.saveFailures, 16) {
		wait = b.NextBackOff()
	}
	s.saveTimer = m.afterFunc(max(wait, 100*time.Millisecond), func() { _ = m.saveUnsaved(context.Background()) })
}

// saveUnsaved stores the token that could not be stored before, if there is
// one.
func (m *Manager) saveUnsaved(ctx context.Context) error {
	m.mu.Lock()
	if !m.st.unsaved {
		m.mu.Unlock()
		return nil
	}
	rec := *m.st.rec
	m.mu.Unlock()
	lockCtx, cancel := context.WithTimeout(ctx, saveTimeout)
	defer cancel()
	unlock, err := m.lockStore(lockCtx)
	if err == nil {
		defer unlock()
		m.mu.Lock()
		rec = *m.st.rec // a refresh may have come first
		unsaved := m.st.unsaved
		m.mu.Unlock()
		if !unsaved {
			return nil
		}
		err = m.save(ctx, &rec)
	} else {
		m.mu.Lock()
		m.st.saveFailures++
		m.scheduleSave()
		m.mu.Unlock()
	}
	if err == nil {
		m.publish(Event{Type: EventSaved})
	}
	return err
}

// publish completes an event with the token's data and hands it out.
func (m *Manager) publish(e Event) {
	m.mu.Lock()
	if t := m.st.rec.Token; t != nil {
		e.Expiry, e.Scopes = t.Expiry, t.Scopes
	}
	m.mu.Unlock()
	e.Time = wallNow()
	m.hub.publish(e)
}

func (m *Manager) publishToken() {
	m.mu.Lock()
	has := m.st.rec.Token != nil
	m.mu.Unlock()
	if has {
		m.publish(Event{Type: EventTokenUpdated})
	}
}
