package storetest

import (
	"slices"
	"testing"
	"testing/synctest"

	"github.com/mcptokens/mcptokens/auth"
)

// offender is a store with one fault, and the check that has to notice.
type offender struct {
	fault string
	check string
	make  func(b *broken)
}

// TestSuiteNotices: the suite would be worth nothing if a store with a fault
// passed it.
func TestSuiteNotices(t *testing.T) {
	caught := make(map[string]bool)
	for _, o := range slices.Concat(recordOffenders, lockOffenders, listOffenders) {
		t.Run(o.fault, func(t *testing.T) {
			err := attempt(t, o.check, func(s *watched) auth.Store {
				b := &broken{watched: s}
				o.make(b)
				return b
			})
			if err == nil {
				t.Fatalf("check %q passed", o.check)
			}
			t.Log(err)
			caught[o.check] = true
		})
	}
	for _, c := range checks {
		if !caught[c.name] {
			t.Errorf("no offender shows that check %q can fail", c.name)
		}
	}
}

// TestBrokenIsNone: without a fault the offenders' store passes, so it is the
// fault that the suite notices.
func TestBrokenIsNone(t *testing.T) {
	for _, c := range checks {
		if err := attempt(t, c.name, func(s *watched) auth.Store { return &broken{watched: s} }); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// attempt runs one check on the store that wrap makes, on a clock that jumps,
// so that the suite's patience costs nothing.
func attempt(t *testing.T, name string, wrap func(s *watched) auth.Store) (err error) {
	for _, c := range checks {
		if c.name != name {
			continue
		}
		synctest.Test(t, func(t *testing.T) {
			s := newWatched()
			suite := Suite{Open: func(*testing.T) auth.Store { return wrap(s) }}
			err = suite.try(t, c)
			synctest.Wait()
			s.release()
		})
		return err
	}
	t.Fatalf("there is no check %q", name)
	return nil
}
