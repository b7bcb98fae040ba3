package sqlstore_test

import (
	"sync/atomic"
	"testing"
	"time"
)

// A change is heard of once, not at every look that still sees it, and nobody
// looks when nobody watches.
func TestHintsAreNotRepeated(t *testing.T) {
	d := newSQLite(t)
	a, b := d.open(t), d.open(t)
	g := mustSave(t, b, record(0, "before"))
	var calls atomic.Int32
	heard := make(chan struct{}, 100)
	stop := a.Watch(key, func() {
		calls.Add(1)
		heard <- struct{}{}
	})
	await := func(what string) {
		t.Helper()
		select {
		case <-heard:
		case <-time.After(time.Minute):
			t.Fatalf("%s was never heard of", what)
		}
	}
	await("what was saved just before") // a hint for nothing, if it was known
	g = mustSave(t, b, record(g, "saved"))
	await("a save")
	if err := b.Delete(t.Context(), key, g); err != nil {
		t.Fatal(err)
	}
	await("a deletion")
	time.Sleep(20 * shortPoll) // of looks that see it still
	if n := calls.Load(); n != 3 {
		t.Errorf("%d calls for three changes", n)
	}
	stop()
	mustSave(t, b, record(0, "after"))
	time.Sleep(10 * shortPoll)
	if n := calls.Load(); n != 3 {
		t.Errorf("called after stop: %d calls", n)
	}
	defer a.Watch(key, func() { heard <- struct{}{} })()
	await("a change after watching again")
}
