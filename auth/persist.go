package auth

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"
)

// lookAgain is how often a manager that cannot renew its token reads the store:
// another process may have logged in, and not every store gives hints.
const lookAgain = time.Second

// loadPause is the most for which the error of a store that could not be read is
// told instead of reading again. It is short: reading costs little, and a person
// may just have unlocked the keyring.
const loadPause = 5 * time.Second

// ensureLoaded reads the store before the first use, and when that may help.
// After a failure callers get its error until the next attempt is due (design
// invariant 11).
func (m *Manager) ensureLoaded(ctx context.Context) error { return m.load(ctx, false) }

// loadNow is ensureLoaded for what a person or the program itself has asked for,
// which is not held back.
func (m *Manager) loadNow(ctx context.Context) error { return m.load(ctx, true) }

func (m *Manager) load(ctx context.Context, now bool) error {
	m.mu.Lock()
	s := &m.st
	if s.closed {
		m.mu.Unlock()
		return ErrClosed
	}
	first, at := s.loadedAt == 0, wallNow()
	if !first {
		idle := time.Duration(at.UnixNano() - s.loadedAt)
		if m.cfg.private || s.canRenew(m.cfg.Grant) || (0 <= idle && idle < lookAgain) {
			m.mu.Unlock()
			return nil
		}
	}
	var err error
	if f := s.renewFailed; !now && f != nil && f.load && s.load == nil && f.at(at) != nil && f.until.Sub(at) <= loadPause {
		err = f.err
		m.mu.Unlock()
	} else {
		f := s.load
		if f == nil {
			f = m.startLoad()
		}
		m.join(f)
		m.mu.Unlock()
		_, err = m.wait(ctx, f)
	}
	if !first && m.cfg.RefreshWithoutStore && ctx.Err() == nil && !errors.Is(err, ErrClosed) {
		return nil // go on with what is known
	}
	return err
}

// startLoad reads the store in a flight; the caller holds m.mu. The first one
// begins to watch for changes that others make.
func (m *Manager) startLoad() *flight {
	return m.launch(&m.st.load, &flight{kind: AwaitedStore}, m.cfg.RefreshTimeout, func(ctx context.Context) (*Token, error) {
		m.watch()
		err := m.reread(ctx)
		if err != nil {
			m.noteFailedLoad(err)
		}
		return nil, err
	})
}

// noteFailedLoad keeps the error of a load for the callers to come, in the place
// of a renewal's, if there is nothing to renew.
func (m *Manager) noteFailedLoad(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := &m.st
	if s.loadedAt != 0 && s.canRenew(m.cfg.Grant) {
		return
	}
	b := newBackOff()
	wait := b.NextBackOff()
	for range min(s.renewFailed.times(), 16) {
		wait = b.NextBackOff()
	}
	s.renewFailed = s.renewFailed.again(err, wallNow().Add(min(max(wait, lookAgain), loadPause)))
	s.renewFailed.load, s.lastErr = true, err
}

// watch asks the store for hints, if it gives any.
func (m *Manager) watch() {
	w, ok := m.cfg.Store.(Watcher)
	m.mu.Lock()
	ok = ok && m.st.unwatch == nil && !m.st.closed
	m.mu.Unlock()
	if !ok {
		return
	}
	stop := w.Watch(m.key(), m.storeChanged)
	m.mu.Lock()
	closed := m.st.closed
	if !closed {
		m.st.unwatch = stop
	}
	m.mu.Unlock()
	if closed {
		stop()
	}
}

// storeChanged is the hint that somebody else may have rotated: their token is
// adopted before anybody has to ask for it.
func (m *Manager) storeChanged() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.st.closed && m.st.load == nil && m.st.renew == nil {
		m.startLoad()
	}
}

// probeStore finds out whether what is about to be requested could be stored.
func (m *Manager) probeStore(ctx context.Context) error {
	p, ok := m.cfg.Store.(Prober)
	if !ok {
		return nil
	}
	if err := p.Probe(ctx, m.key()); err != nil {
		return &StoreError{Op: "probe", Err: err}
	}
	return nil
}

// lockStore takes the credential's lock.
func (m *Manager) lockStore(ctx context.Context) (func(), error) { return m.lockKey(ctx, m.key()) }

func (m *Manager) lockKey(ctx context.Context, key Key) (func(), error) {
	start := time.Now()
	unlock, err := m.cfg.Store.Lock(ctx, key)
	if err != nil {
		unlock, err = nil, &StoreError{Op: "lock", Err: err}
	}
	m.cfg.trace.stepped(ctx, StepLock, start, err)
	return unlock, err
}

// install stores rec and then puts its token in use (design invariant 3). If
// storing fails the token is used all the same, and saving is tried again
// behind. The error is a *[StoreError].
func (m *Manager) install(ctx context.Context, rec *Record) error {
	m.mu.Lock()
	m.st.since = m.cfg.directory.now()
	m.mu.Unlock()
	start := time.Now()
	err := m.save(ctx, rec)
	m.cfg.trace.stepped(ctx, StepSave, start, err)
	m.publishToken()
	if err != nil {
		m.publish(Event{Type: EventSaveFailed, Err: err})
		m.cfg.Logger.LogAttrs(ctx, slog.LevelError, "token not stored; it is used from memory and saving is retried", slog.String("error", err.Error()))
	}
	return err
}

// save is install without the events.
func (m *Manager) save(ctx context.Context, rec *Record) error {
	if !m.cfg.private { // a save to our own memory waits for nothing
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTimeout)
		defer cancel()
		ctx = bounded
	}
	if t := rec.Token; t != nil && t.binding != nil {
		rec.ProofKey = t.binding.data
	}
	m.mu.Lock()
	s := &m.st
	replaced := s.replacedBy(rec.Token)
	dirty := s.dirty
	s.dirty = false
	rec.StepUps = s.stepUpLimits(wallNow())
	m.mu.Unlock()
	generation, err := m.cfg.Store.Save(ctx, m.key(), rec)
	if errors.Is(err, ErrConflict) {
		// Somebody wrote without our seeing it, so the lock was not kept, or
		// was lost. What is stored wins if it works and ours did not replace
		// it; or if ours has nothing to go on with. Else ours wins.
		theirs, loadErr := m.cfg.Store.Load(ctx, m.key())
		switch {
		case loadErr == nil && !outlives(rec.Token, theirs.Token, replaced) &&
			(theirs.Token.live(wallNow()) || outlives(theirs.Token, rec.Token, nil)):
			key := m.loadProofKey(theirs)
			m.mu.Lock()
			defer m.mu.Unlock()
			m.adopt(theirs, key)
			if dirty {
				s.dirty = true
				m.scheduleSave()
			}
			return nil
		case loadErr == nil:
			rec.Generation = theirs.Generation
		default:
			rec.Generation = 0
		}
		generation, err = m.cfg.Store.Save(ctx, m.key(), rec)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil {
		err = &StoreError{Op: "save", Err: err}
		kept := replaced // which is moved to the heap here only
		s.unsaved, s.replaced, s.dirty = true, &kept, dirty || s.dirty
		s.saveFailures++
	} else {
		rec.Generation = generation
		s.unsaved, s.replaced, s.saveFailures = false, nil, 0
	}
	m.setRecord(rec, wallNow())
	if err != nil {
		s.lastErr = err
		m.scheduleSave()
	}
	return err
}

// maxReplaced is how many refresh tokens in a row are remembered that no save
// is known to have replaced.
const maxReplaced = 32

// replacedBy are the refresh tokens that led to t, as far back as the store may
// be; the caller holds m.mu.
func (s *state) replacedBy(t *Token) []string {
	replaced := s.replacedTokens()
	old := s.rec.Token
	if old == nil || old.RefreshToken == "" || slices.Contains(replaced, old.RefreshToken) || (t != nil && t.RefreshToken == old.RefreshToken) {
		return replaced
	}
	return append(slices.Clone(replaced[max(0, len(replaced)-maxReplaced+1):]), old.RefreshToken)
}

// scheduleSave arms the timer that saves again; the caller holds m.mu.
func (m *Manager) scheduleSave() {
	s := &m.st
	if s.closed {
		return
	}
	m.stop(&s.saveTimer)
	b := newBackOff()
	wait := b.NextBackOff()
	for range min(s.saveFailures, 16) {
		wait = b.NextBackOff()
	}
	s.saveTimer = m.afterFunc(max(wait, 100*time.Millisecond), func(m *Manager) { _ = m.saveUnsaved(context.Background()) })
}

// saveUnsaved stores what could not be stored before, if there is something.
// What somebody else stored meanwhile may have begun with it: a save that
// failed may have arrived all the same.
func (m *Manager) saveUnsaved(ctx context.Context) error {
	unsaved, dirty := m.needsSave()
	if !unsaved && !dirty {
		return nil
	}
	lockCtx, cancel := context.WithTimeout(ctx, saveTimeout)
	defer cancel()
	unlock, err := m.lockStore(lockCtx)
	if err == nil {
		defer unlock()
		err = m.reread(lockCtx)
	}
	if err != nil {
		m.mu.Lock()
		m.st.saveFailures++
		m.scheduleSave()
		m.mu.Unlock()
		return err
	}
	if unsaved, dirty := m.needsSave(); unsaved || dirty { // else a refresh came first
		m.mu.Lock()
		rec := *m.st.rec
		m.mu.Unlock()
		start := time.Now()
		err := m.save(ctx, &rec)
		m.cfg.trace.stepped(ctx, StepSave, start, err)
		if err != nil {
			return err
		}
	}
	if unsaved {
		m.publish(Event{Type: EventSaved})
	}
	return nil
}

// needsSave reports whether the token or the step-up limits are not stored yet.
func (m *Manager) needsSave() (token, limits bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.st.unsaved, m.st.dirty
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
