package external

import (
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/auth"
)

// What is known of a request goes with its own copy of the token, once, and for
// a minute.
func TestTries(t *testing.T) {
	var r tries
	now := time.Unix(1_000_000, 0)
	token := &auth.Token{AccessToken: "a"}
	put := func(n uint8) *auth.Token { return r.put(token, try{tries: n, begun: now}) }
	first, second := put(1), put(2)
	if first.AccessToken != token.AccessToken || first == second || first == token {
		t.Fatal("two requests share a copy")
	}
	for _, tt := range []struct {
		name string
		of   *auth.Token
		want uint8
	}{
		{"the second request", second, 2},
		{"the first", first, 1},
		{"the first once more", first, 0},
		{"a first try", token, 0},
		{"none", nil, 0},
	} {
		if got := r.take(now, tt.of).tries; got != tt.want {
			t.Errorf("%s: %d tries, want %d", tt.name, got, tt.want)
		}
	}
	late := put(3)
	now = now.Add(longestTry - 1)
	put(4)
	if got := r.take(now, late).tries; got != 3 {
		t.Errorf("just in time: %d tries, want 3", got)
	}
	late = put(5)
	now = now.Add(longestTry)
	if got := r.take(now, late).tries; got != 0 {
		t.Errorf("a minute later: %d tries, want 0", got)
	}
}

// Requests that end in neither way are forgotten, by time and by number.
func TestTriesAreBounded(t *testing.T) {
	var r tries
	now := time.Unix(1_000_000, 0)
	for range 5 * maxTries {
		r.put(&auth.Token{AccessToken: "a"}, try{begun: now})
	}
	if n := len(r.young) + len(r.old); n > 2*maxTries {
		t.Errorf("%d are remembered, want %d at most", n, 2*maxTries)
	}
	for range 2 {
		now = now.Add(longestTry)
		r.put(&auth.Token{AccessToken: "a"}, try{begun: now})
	}
	if n := len(r.young) + len(r.old); n > 2 {
		t.Errorf("two minutes later %d are remembered, want the last two", n)
	}
	now = now.Add(-time.Hour) // the clock is set back
	last := r.put(&auth.Token{AccessToken: "a"}, try{tries: 1, begun: now})
	if r.turned != now || r.take(now, last).tries != 1 {
		t.Error("nothing is remembered after the clock was set back")
	}
}
