package auth

import (
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/auth/internal/lineage"
)

// What either replaced says which record is newer, then the time, and the counter
// alone never does.
func TestOutlasts(t *testing.T) {
	now := time.Now()
	rec := func(generation uint64, refresh string, obtained time.Time, replaced ...string) *Record {
		var l lineage.List
		for _, r := range replaced {
			l = l.With(r)
		}
		return &Record{Generation: generation, Token: &Token{AccessToken: "a-" + refresh, RefreshToken: refresh}, Obtained: obtained, Replaced: string(l)}
	}
	for name, tc := range map[string]struct {
		ours, stored *Record
		want         bool
	}{
		"the store went back":                          {rec(8, "c", now, "a", "b"), rec(6, "a", now.Add(-time.Hour)), true},
		"it went back, and its clock is ahead":         {rec(8, "c", now, "a", "b"), rec(6, "a", now.Add(time.Hour)), true},
		"somebody late saved what is spent":            {rec(8, "c", now, "a", "b"), rec(9, "b", now, "a"), true},
		"it went back, and ours is spent":              {rec(8, "b", now, "a"), rec(7, "c", now.Add(time.Minute), "a", "b"), false},
		"ours is spent, and its clock is behind":       {rec(8, "b", now, "a"), rec(7, "c", now.Add(-time.Hour), "a", "b"), false},
		"a login of another, while the store was back": {rec(8, "b", now, "a"), rec(7, "x", now.Add(time.Minute)), false},
		"back to an older login":                       {rec(8, "b", now, "a"), rec(7, "x", now.Add(-time.Minute)), true},
		"the usual":                                    {rec(8, "b", now, "a"), rec(9, "c", now, "a", "b"), false},
		"a login":                                      {rec(8, "b", now, "a"), rec(9, "x", now), false},
		"the refresh token was dropped":                {rec(8, "b", now, "a"), rec(9, "", now, "a", "b"), false},
		"nothing is held":                              {&Record{Generation: 8}, rec(7, "a", now), false},
	} {
		if got := tc.ours.outlasts(tc.stored); got != tc.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
