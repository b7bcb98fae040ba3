package lifecycle

import (
	"errors"
	"testing"
	"time"
)

// A link is handed out until half of its life is over, for the scopes that it is
// for, each time after a look into the store; and to nobody who has nobody to ask.
func TestLinks(t *testing.T) {
	now := time.Unix(1e9, 0)
	policy := &Policy{Jitter: func() float64 { return 0 }, Grant: Person, Shared: true}
	link := errors.New("a link")
	linked := func() *Machine {
		m := New(policy, false)
		m.Loaded(now)
		m.LoginFailed(now, Failure{Class: Ours, Err: link, Until: now.Add(10 * time.Minute), Scopes: []string{"a", "b"}})
		return &m
	}
	for name, tc := range map[string]struct {
		need  Need
		after time.Duration
		want  Decision
	}{
		"the store comes first":     {Need{Kind: Challenged}, 0, Decision{Action: Wait, Op: Load}},
		"then the link":             {Need{Kind: Challenged, Done: Load}, time.Second, Decision{Err: link, RetryAt: now.Add(5 * time.Minute)}},
		"for fewer scopes":          {Need{Kind: Challenged, Done: Load, Scopes: []string{"b"}}, 0, Decision{Err: link, RetryAt: now.Add(5 * time.Minute)}},
		"another one for others":    {Need{Kind: Challenged, Done: Load, Scopes: []string{"c"}}, 0, Decision{Action: Wait, Op: Login}},
		"another one in time":       {Need{Kind: Challenged, Done: Load}, 5 * time.Minute, Decision{Action: Wait, Op: Login}},
		"another one when asked to": {Need{Kind: Authorization, Done: Load}, 0, Decision{Action: Wait, Op: Login}},
		"nobody is there":           {Need{Kind: Challenged, Done: Load, NoUser: true}, 0, Decision{Reason: Nobody}},
		"nobody, by name":           {Need{Kind: Authorization, Done: Load, NoUser: true}, 0, Decision{Reason: Nobody}},
	} {
		t.Run(name, func(t *testing.T) {
			at, m := now.Add(tc.after), linked()
			if tc.need.Done == 0 {
				at = now
			} else {
				m.Loaded(at)
			}
			if got := m.Next(at, &tc.need); got != tc.want {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
		})
	}
	m := linked()
	m.Put(now, Token{ID: 1, Access: true}, 1)
	if got := m.Next(now, &Need{Kind: Fresh}); got.Action != Use && got.Op != Load {
		t.Errorf("after the login: %+v", got)
	}
}
