package auth

import (
	"strconv"
	"testing"
)

// Servers decide how many habits they have: the memory is bounded, and one that is full
// forgets one for another, not all.
func TestHabitsAreBounded(t *testing.T) {
	var h habits
	of := func(i int) habit { return habit{of: wantsScopes, issuer: strconv.Itoa(i)} }
	for i := range maxHabits + 8 {
		h.set(of(i), true)
		h.set(of(i), true)
	}
	known := 0
	for i := range maxHabits + 8 {
		if h.has(of(i)) {
			known++
		}
	}
	if known != maxHabits || !h.has(of(maxHabits+7)) {
		t.Errorf("%d are known, want %d and the last", known, maxHabits)
	}
}
