package auth_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/authtrace"
)

// refreshEnds is a tracer that keeps what it hears.
type refreshEnds struct {
	mu       sync.Mutex
	starts   []authtrace.RefreshStart
	ends     []authtrace.RefreshEnd
	attempts []attempt
}

// attempt is one of the refresh whose index in ends it will have.
type attempt struct {
	authtrace.Attempt
	end int
}

func (r *refreshEnds) Start(ctx, _ context.Context, s authtrace.Start) context.Context {
	if s, ok := s.(authtrace.RefreshStart); ok {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.starts = append(r.starts, s)
	}
	return ctx
}

func (r *refreshEnds) End(_ context.Context, e authtrace.End) {
	if e, ok := e.(authtrace.RefreshEnd); ok {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.ends = append(r.ends, e)
	}
}

func (r *refreshEnds) Point(_ context.Context, p authtrace.Point) {
	if p, ok := p.(authtrace.Attempt); ok {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.attempts = append(r.attempts, attempt{p, len(r.ends)})
	}
}

func (r *refreshEnds) all() []authtrace.RefreshEnd {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.ends)
}

func (r *refreshEnds) begun() []authtrace.RefreshStart {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.starts)
}

func (r *refreshEnds) tries() []attempt {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.attempts)
}

// The life of a token as a subscriber sees it.
func TestEvents(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		cfg := k.config()
		m := k.manager(cfg)
		events, _ := m.Subscribe()
		first := k.token("read", "write")
		if err := m.SetToken(t.Context(), first); err != nil {
			t.Fatal(err)
		}
		e := wantEvents(t, events, auth.EventTokenUpdated)[0]
		if !e.Time.Equal(time.Now()) || !e.Expiry.Equal(first.Expiry) || !slices.Equal(e.Scopes, first.Scopes) || e.Err != nil {
			t.Errorf("event %+v", e)
		}

		time.Sleep(time.Until(m.Info().RefreshAt)) // by the timer
		synctest.Wait()
		e = wantEvents(t, events, auth.EventTokenUpdated)[0]
		if !e.Expiry.Equal(mustToken(t, m).Expiry) || e.Expiry.Equal(first.Expiry) {
			t.Errorf("event %+v", e)
		}

		k.srv.Inject(authtest.TokenEndpoint, authtest.Status(404))
		if _, err := m.Refresh(t.Context()); err == nil {
			t.Fatal("no error")
		}
		e = wantEvents(t, events, auth.EventRefreshFailed)[0]
		if te := asError[*auth.TokenError](t, e.Err); te.NextAttempt.IsZero() || te.StatusCode != 404 {
			t.Errorf("the event says %v", te)
		}

		k.srv.RevokeAll()
		if _, err := m.Refresh(t.Context()); err == nil {
			t.Fatal("no error")
		}
		for _, e := range wantEvents(t, events, auth.EventRefreshFailed, auth.EventReauthorizationRequired) {
			if te := asError[*auth.TokenError](t, e.Err); te.Code != "invalid_grant" || !te.NextAttempt.IsZero() {
				t.Errorf("the event says %v", te)
			}
		}
		if err := m.Revoke(t.Context()); err != nil {
			t.Fatal(err)
		}
		if e := wantEvents(t, events, auth.EventForgotten)[0]; !e.Expiry.IsZero() || e.Scopes != nil {
			t.Errorf("event %+v", e)
		}
	})
}

// A subscriber that falls behind loses the oldest events and delays nobody.
func TestSlowSubscriber(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		m, _ := k.started(k.onDemand())
		slow, _ := m.Subscribe()
		fast, _ := m.Subscribe()
		const updates = 40
		began, seen := time.Now(), 0
		for i := range updates {
			if err := m.SetToken(t.Context(), &auth.Token{AccessToken: "a", Scopes: []string{fmt.Sprint(i)}}); err != nil {
				t.Fatal(err)
			}
			seen += len(drained(fast))
		}
		if seen != updates || time.Since(began) != 0 {
			t.Errorf("the other subscriber saw %d of %d events, in %v", seen, updates, time.Since(began))
		}
		left := drained(slow)
		if len(left) != 16 {
			t.Fatalf("%d events wait, want 16", len(left))
		}
		for i, e := range left {
			if want := fmt.Sprint(updates - 16 + i); e.Scopes[0] != want {
				t.Errorf("event %d is update %s, want %s: the newest, in order", i, e.Scopes[0], want)
			}
		}
	})
}

func TestUnsubscribe(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		m, _ := k.started(k.onDemand())
		gone, cancel := m.Subscribe()
		kept, _ := m.Subscribe()
		cancel()
		cancel() // twice does no harm
		if _, err := m.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, open := <-gone; open {
			t.Error("an event came after the end of the subscription")
		}
		wantEvents(t, kept, auth.EventTokenUpdated)
	})
}

// Subscribing, leaving and closing at once is safe: no send meets a closed
// channel.
func TestSubscribersComeAndGo(t *testing.T) {
	m := offline(t, &auth.Token{AccessToken: "a"})
	together(8, func(i int) {
		for range 200 {
			switch i % 4 {
			case 0:
				if err := m.SetToken(t.Context(), &auth.Token{AccessToken: "a"}); err != nil && !errors.Is(err, auth.ErrClosed) {
					t.Error(err)
				}
			case 1:
				if i == 5 {
					_ = m.Close()
				}
				_ = m.Info()
			default:
				ch, cancel := m.Subscribe()
				drained(ch)
				cancel()
			}
		}
	})
}

// No event holds a secret, however it is printed.
func TestEventsHoldNoSecret(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		m := k.manager(k.onDemand())
		events, _ := m.Subscribe()
		tok := k.token()
		if err := m.SetToken(t.Context(), tok); err != nil {
			t.Fatal(err)
		}
		fresh, err := m.Refresh(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		k.srv.RevokeAll()
		_, _ = m.Refresh(t.Context()) // fails; what the subscriber hears is the point
		for _, e := range drained(events) {
			printed := fmt.Sprintf("%v %+v %#v", e, e, e)
			for _, secret := range []string{tok.AccessToken, tok.RefreshToken, fresh.AccessToken, fresh.RefreshToken} {
				if strings.Contains(printed, secret) {
					t.Errorf("%s shows a token", e.Type)
				}
			}
		}
	})
}
