package lifecycle

import (
	"maps"
	"slices"
	"strings"
	"time"
)

const (
	// stepUpMemory is how long the upgrades for one set of scopes are counted,
	// and how long their challenge then fails at once.
	stepUpMemory = 5 * time.Minute

	// maxUpgrades bounds the upgrades of all sets of scopes together within
	// stepUpMemory, and so how many sets are remembered, against a server that
	// names new scopes each time.
	maxUpgrades = 16
)

// StepUps limits how often more scopes are asked for [16]. The zero value
// remembers none.
type StepUps struct {
	sets map[string]*stepUp
}

// stepUp is what is remembered of one set of scopes.
type stepUp struct {
	tokens []uint32 // that led to an upgrade, each once
	before int      // upgrades of an earlier process
	// running is how many callers wait for one, and joined are the tokens of those
	// who came meanwhile: other processes bring tokens that are no better.
	running int
	joined  []uint32
	limit   []string // the scopes, once the limit was reached
	// granted: a person granted them, and the server does not see that.
	granted bool
	err     error // of the last upgrade
	until   time.Time
}

func (e *stepUp) attempts() int { return e.before + len(e.tokens) }

// inForce reports whether the entry still counts. It does not when the clock
// was set back since it was made.
func (e *stepUp) inForce(now time.Time) bool {
	return now.Before(e.until) && e.until.Sub(now) <= stepUpMemory+slack
}

// StepUp is one challenge for missing scopes.
type StepUp struct {
	// Scopes are what the server named; empty: none.
	Scopes    []string
	Operation string
	// Token was refused, and Granted are its scopes.
	Token   uint32
	Granted []string
	// LoggedIn is when a person logged in for Token; zero: nobody did, as far as
	// is known.
	LoggedIn time.Time
	// Hopeless: there is nothing to ask for, or no room for it.
	Hopeless bool
	// Limit is how many upgrades are allowed for one set of scopes.
	Limit int
}

// key is what upgrades are counted by. The scopes name the operation best:
// many operations may ask for the same ones, and then each fails for the same
// reason.
func (s StepUp) key() string {
	if len(s.Scopes) == 0 {
		return "operation " + s.Operation
	}
	scopes := slices.Clone(s.Scopes)
	slices.Sort(scopes)
	return "scopes " + strings.Join(slices.Compact(scopes), " ")
}

// Verdict is whether an upgrade may begin.
type Verdict struct {
	Allowed bool
	// Err is how the last upgrade for these scopes failed.
	Err error
	// Repeat: Err is the answer as it is. The same token was refused before.
	Repeat bool
	// Attempts were made. Until is when the memory of them ends.
	Attempts int
	Until    time.Time
	// Limit: the limit was reached just now, and should be stored.
	Limit bool
	// Granted: a person granted these scopes a moment ago. Another login would
	// grant the same.
	Granted bool
}

// granted reports whether a person granted all that the server named within
// stepUpMemory.
func (s StepUp) granted(now time.Time) bool {
	ago := now.Sub(s.LoggedIn)
	return len(s.Scopes) > 0 && !s.LoggedIn.IsZero() && 0 <= ago && ago < stepUpMemory &&
		!slices.ContainsFunc(s.Scopes, func(scope string) bool { return !slices.Contains(s.Granted, scope) })
}

// Admit counts upgrades by the tokens that were not enough, so that any number
// of callers with one token count once, and so do those who come while an upgrade is
// under way. If it allows one, Ended has to be called.
func (s *StepUps) Admit(now time.Time, ask StepUp) Verdict {
	all := 0
	for k, e := range s.sets {
		if !e.inForce(now) {
			delete(s.sets, k)
			continue
		}
		all += e.attempts()
	}
	key := ask.key()
	entry := s.sets[key]
	if entry == nil {
		entry = &stepUp{until: now.Add(stepUpMemory)} // kept when it counts one
	}
	refused := func(limit bool) Verdict {
		return Verdict{Err: entry.err, Attempts: entry.attempts(), Until: entry.until, Limit: limit}
	}
	switch {
	case slices.Contains(entry.tokens, ask.Token), slices.Contains(entry.joined, ask.Token):
		if entry.err != nil {
			return Verdict{Err: entry.err, Repeat: true}
		}
		entry.running++
		return Verdict{Allowed: true}
	case entry.granted || ask.granted(now):
		news := !entry.granted && (s.sets[key] != nil || len(s.sets) < maxUpgrades)
		if news { // a restart must not open the window either
			entry.granted, entry.limit = true, ask.Scopes
			s.keep(key, entry)
		}
		return Verdict{Attempts: entry.attempts(), Until: entry.until, Limit: news, Granted: true}
	case entry.running > 0 && entry.err == nil && len(entry.joined) < maxUpgrades:
		entry.running++
		entry.joined = append(entry.joined, ask.Token)
		return Verdict{Allowed: true}
	case entry.attempts() >= ask.Limit:
		news := entry.limit == nil && len(ask.Scopes) > 0
		if news {
			entry.limit = ask.Scopes
		}
		return refused(news)
	case all >= maxUpgrades:
		return refused(false) // it asks for something else each time
	case ask.Hopeless:
		return refused(false)
	}
	s.keep(key, entry)
	entry.tokens = append(entry.tokens, ask.Token)
	entry.running, entry.err = 1, nil
	return Verdict{Allowed: true}
}

// Ended notes that the caller of ask, whose upgrade was allowed, waits no longer.
func (s *StepUps) Ended(ask StepUp) {
	if e := s.sets[ask.key()]; e != nil && e.running > 0 {
		e.running--
	}
}

// Failed notes how the upgrade for ask failed. Callers with the same token get
// the same error.
func (s *StepUps) Failed(ask StepUp, err error) {
	if e := s.sets[ask.key()]; e != nil {
		e.err = err
	}
}

// Pending takes the upgrade for ask out of the count: it did not fail, but waits
// for a person.
func (s *StepUps) Pending(ask StepUp) {
	if e := s.sets[ask.key()]; e != nil {
		e.tokens, e.joined = less(e.tokens, ask.Token), less(e.joined, ask.Token)
		if e.attempts() == 0 && e.limit == nil {
			delete(s.sets, ask.key())
		}
	}
}

// Limit is one that was reached.
type Limit struct {
	Scopes   []string
	Attempts int
	Until    time.Time
	Granted  bool
}

// less returns tokens without one of them.
func less(tokens []uint32, one uint32) (kept []uint32) {
	for _, t := range tokens {
		if t != one {
			kept = append(kept, t)
		}
	}
	return kept
}

// Limits returns those in force, to be stored.
func (s *StepUps) Limits(now time.Time) (limits []Limit) {
	for _, key := range slices.Sorted(maps.Keys(s.sets)) {
		if e := s.sets[key]; e.limit != nil && e.inForce(now) {
			limits = append(limits, Limit{e.limit, e.attempts(), e.until, e.granted})
		}
	}
	return limits
}

// Restore takes over the limits of another process, as many as this one would
// remember itself.
func (s *StepUps) Restore(now time.Time, limits []Limit) {
	for _, l := range limits {
		key := StepUp{Scopes: l.Scopes}.key()
		e := &stepUp{before: min(max(l.Attempts, 1), maxUpgrades), until: l.Until, limit: l.Scopes, granted: l.Granted}
		if !e.inForce(now) || len(l.Scopes) == 0 || s.sets[key] != nil || len(s.sets) >= maxUpgrades {
			continue
		}
		s.keep(key, e)
	}
}

func (s *StepUps) keep(key string, e *stepUp) {
	if s.sets == nil {
		s.sets = make(map[string]*stepUp)
	}
	s.sets[key] = e
}
