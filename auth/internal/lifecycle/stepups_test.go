package lifecycle

import (
	"fmt"
	"testing"
	"time"
)

func ask(token uint32, scopes ...string) StepUp {
	return StepUp{Scopes: scopes, Operation: "op", Token: token, Limit: 3}
}

// try asks for an upgrade, and ends it at once.
func try(s *StepUps, now time.Time, ask StepUp) Verdict {
	v := s.Admit(now, ask)
	if v.Allowed {
		s.Ended(ask)
	}
	return v
}

// While an upgrade is under way, other processes that need it too bring tokens that
// are no better. Their callers wait for it as well, and count once.
func TestStepUpUnderWay(t *testing.T) {
	var s StepUps
	for i := range uint32(10) {
		for range 3 {
			if v := s.Admit(start, ask(i+1, "a")); !v.Allowed {
				t.Fatalf("token %d: %+v", i+1, v)
			}
		}
	}
	for i := range uint32(10) {
		for range 3 {
			s.Ended(ask(i+1, "a"))
		}
	}
	s.Ended(ask(1, "b")) // of nothing
	for i := range uint32(3) {
		if v := s.Admit(start, ask(i+100, "a")); v.Allowed != (i < 2) {
			t.Errorf("upgrade %d: %+v", i+2, v)
		}
		s.Ended(ask(i+100, "a"))
	}
	// What failed is the answer for all of them, and the next token is one more try.
	s = StepUps{}
	s.Admit(start, ask(1, "a"))
	s.Admit(start, ask(2, "a"))
	s.Failed(ask(1, "a"), errTest)
	if v := s.Admit(start, ask(2, "a")); v.Err != errTest || !v.Repeat {
		t.Errorf("%+v", v)
	}
	s.Admit(start, ask(3, "a"))
	s.Ended(ask(1, "a"))
	s.Ended(ask(2, "a"))
	s.Ended(ask(3, "a"))
	s.Admit(start, ask(4, "a"))
	s.Ended(ask(4, "a"))
	if v := s.Admit(start, ask(5, "a")); v.Allowed || v.Attempts != 3 {
		t.Errorf("%+v", v)
	}
	// It does not go on for ever.
	s = StepUps{}
	allowed := 0
	for i := range uint32(100) {
		if s.Admit(start, ask(i+1, "a")).Allowed {
			allowed++
		}
	}
	if allowed > maxUpgrades+3 {
		t.Errorf("%d upgrades", allowed)
	}
	// A login that is still to come takes all of its tokens out of the count.
	s = StepUps{}
	s.Admit(start, ask(1, "a"))
	s.Admit(start, ask(2, "a"))
	s.Pending(ask(1, "a"))
	s.Pending(ask(2, "a"))
	if len(s.sets) != 0 {
		t.Errorf("left: %+v", s.sets)
	}
}

// Tries are limited for one set of scopes, in any order and however often the
// server repeats one, and counted by tokens, not by callers [16].
func TestStepUpLimit(t *testing.T) {
	var s StepUps
	for i := range uint32(3) {
		for range 100 {
			if v := try(&s, start, ask(i+1, "b", "a")); !v.Allowed {
				t.Fatalf("token %d: %+v", i+1, v)
			}
		}
	}
	v := try(&s, start, ask(4, "a", "b", "a"))
	if v.Allowed || !v.Limit || v.Attempts != 3 || !v.Until.Equal(start.Add(stepUpMemory)) {
		t.Errorf("the fourth: %+v", v)
	}
	if v := try(&s, start, ask(5, "a", "b")); v.Allowed || v.Limit {
		t.Errorf("the fifth: %+v", v)
	}
	if v := try(&s, start, ask(5, "c")); !v.Allowed {
		t.Errorf("other scopes: %+v", v)
	}
	if v := try(&s, start.Add(stepUpMemory), ask(6, "a", "b")); !v.Allowed {
		t.Errorf("after the memory: %+v", v)
	}
}

// A server that names new scopes each time, or none, is stopped too.
func TestStepUpsOfAllSets(t *testing.T) {
	var s StepUps
	allowed := 0
	for i := range 1000 {
		sa := ask(uint32(i+1), fmt.Sprint("scope", i))
		if i%2 == 0 {
			sa = StepUp{Operation: fmt.Sprint("op", i), Token: uint32(i + 1), Limit: 3}
		}
		if try(&s, start, sa).Allowed {
			allowed++
		}
	}
	if allowed != maxUpgrades || len(s.sets) > maxUpgrades {
		t.Errorf("%d allowed, %d sets remembered", allowed, len(s.sets))
	}
	if v := try(&s, start, StepUp{Scopes: []string{"x"}, Token: 9, Limit: 3, Hopeless: true}); v.Allowed {
		t.Errorf("hopeless: %+v", v)
	}
}

// Everybody with a token whose upgrade failed gets its error; another token
// tries again.
func TestStepUpFailed(t *testing.T) {
	var s StepUps
	s.Failed(ask(1, "a"), errTest) // of nothing: forgotten
	if v := try(&s, start, ask(1, "a")); !v.Allowed {
		t.Fatalf("first: %+v", v)
	}
	s.Failed(ask(1, "a"), errTest)
	if v := try(&s, start, ask(1, "a")); v.Allowed || !v.Repeat || v.Err != errTest {
		t.Errorf("the same token: %+v", v)
	}
	if v := try(&s, start, ask(2, "a")); !v.Allowed || v.Err != nil {
		t.Errorf("another token: %+v", v)
	}
	if v := try(&s, start, ask(1, "a")); !v.Allowed {
		t.Errorf("during the next upgrade: %+v", v)
	}
	if v := try(&s, start, StepUp{Scopes: []string{"none"}, Token: 3, Hopeless: true, Limit: 3}); v.Allowed || len(s.sets) != 1 {
		t.Errorf("hopeless: %+v", v)
	}
}

// Limits survive a restart, and nothing that a record can hold breaks them.
func TestStepUpRestore(t *testing.T) {
	var s StepUps
	for i := range uint32(4) {
		try(&s, start, ask(i+1, "a"))
	}
	try(&s, start, ask(9, "free"))
	limits := s.Limits(start.Add(time.Minute))
	if len(limits) != 1 || limits[0].Attempts != 3 {
		t.Fatalf("Limits = %+v", limits)
	}
	if l := s.Limits(start.Add(stepUpMemory)); len(l) != 0 {
		t.Errorf("after the memory: %+v", l)
	}
	var other StepUps
	other.Restore(start.Add(time.Minute), limits)
	if v := try(&other, start.Add(time.Minute), ask(1, "a")); v.Allowed || v.Limit {
		t.Errorf("restored: %+v", v)
	}
	if v := try(&other, start.Add(stepUpMemory), ask(1, "a")); !v.Allowed {
		t.Errorf("restored, after the memory: %+v", v)
	}
	until := start.Add(time.Minute)
	var bad StepUps
	many := []Limit{
		{[]string{"past"}, 3, start, false}, {[]string{"far"}, 3, start.Add(time.Hour), false}, {nil, 3, until, true},
		{[]string{"huge"}, 1<<63 - 1, until, false}, {[]string{"huge2"}, 1<<63 - 1, until, false}, {[]string{"negative"}, -1 << 63, until, false},
	}
	for i := range 1000 {
		many = append(many, Limit{[]string{fmt.Sprint(i)}, 3, until, false})
	}
	bad.Restore(start, many)
	if len(bad.sets) > maxUpgrades {
		t.Errorf("%d sets remembered", len(bad.sets))
	}
	for _, name := range []string{"past", "far"} {
		if bad.sets["scopes "+name] != nil {
			t.Errorf("%s: restored", name)
		}
	}
	if v := try(&bad, start, ask(1, "new")); v.Allowed {
		t.Error("the limit of all is gone")
	}
	if v := try(&bad, until, ask(1, "new")); !v.Allowed {
		t.Error("the limits do not end")
	}
}

// What a person granted a moment ago is not asked for again, whatever token it is
// missing from next, and not after a restart.
func TestStepUpGranted(t *testing.T) {
	granted := func(token uint32, at time.Time, has ...string) StepUp {
		return StepUp{Scopes: []string{"a", "b"}, Token: token, Granted: has, LoggedIn: at, Limit: 3}
	}
	for name, tc := range map[string]struct {
		ask     StepUp
		allowed bool
	}{
		"just now":                 {granted(1, start, "b", "a", "c"), false},
		"a moment ago":             {granted(1, start.Add(-stepUpMemory+1), "b", "a"), false},
		"long ago":                 {granted(1, start.Add(-stepUpMemory), "b", "a"), true},
		"in the future":            {granted(1, start.Add(time.Second), "b", "a"), true},
		"not all":                  {granted(1, start, "a"), true},
		"nothing":                  {granted(1, start), true},
		"nobody logged in":         {granted(1, time.Time{}, "a", "b"), true},
		"the server names nothing": {StepUp{Operation: "x", Token: 1, Granted: []string{"a"}, LoggedIn: start, Limit: 3}, true},
	} {
		var s StepUps
		v := try(&s, start, tc.ask)
		if v.Allowed != tc.allowed || v.Granted == tc.allowed || v.Limit == tc.allowed {
			t.Errorf("%s: %+v", name, v)
		}
		if tc.allowed {
			continue
		}
		later := start.Add(stepUpMemory - 1)
		var restarted StepUps
		restarted.Restore(start, s.Limits(start))
		for which, s := range map[string]*StepUps{"the same": &s, "restarted": &restarted} {
			if v := try(s, later, granted(2, time.Time{})); v.Allowed || !v.Granted || v.Limit || !v.Until.Equal(start.Add(stepUpMemory)) {
				t.Errorf("%s, another token, %s process: %+v", name, which, v)
			}
			if v := try(s, start.Add(stepUpMemory), granted(2, time.Time{})); !v.Allowed {
				t.Errorf("%s, after the memory, %s process: %+v", name, which, v)
			}
		}
	}
	// A server that names other sets each time fills no memory.
	var s StepUps
	for i := range 100 {
		scope := fmt.Sprint(i)
		if v := try(&s, start, StepUp{Scopes: []string{scope}, Token: 1, Granted: []string{scope}, LoggedIn: start, Limit: 3}); v.Allowed || !v.Granted {
			t.Fatalf("set %d: %+v", i, v)
		}
	}
	if len(s.sets) > maxUpgrades {
		t.Errorf("%d sets are remembered", len(s.sets))
	}
}

// A clock that is set back does not keep limits for hours.
func TestStepUpClockSetBack(t *testing.T) {
	var s StepUps
	for i := range uint32(4) {
		try(&s, start, ask(i+1, "a"))
	}
	before := start.Add(-3 * time.Hour)
	if l := s.Limits(before); len(l) != 0 {
		t.Errorf("Limits = %+v", l)
	}
	if v := try(&s, before, ask(9, "a")); !v.Allowed {
		t.Errorf("Admit = %+v", v)
	}
	// By a little: nothing changes.
	s = StepUps{}
	for i := range uint32(4) {
		try(&s, start, ask(i+1, "a"))
	}
	if v := try(&s, start.Add(-time.Second), ask(9, "a")); v.Allowed {
		t.Errorf("a second back: %+v", v)
	}
}
