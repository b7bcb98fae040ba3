package redisstore_test

import (
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
)

// heard returns a function for Watch, and where its calls arrive.
func heard() (changed func(), calls <-chan struct{}) {
	c := make(chan struct{}, 1)
	return func() {
		select {
		case c <- struct{}{}:
		default:
		}
	}, c
}

// subscribed waits until n connections listen.
func subscribed(t *testing.T, m *miniredis.Miniredis, n int) {
	t.Helper()
	client := redis.NewClient(onMini(m))
	defer client.Close()
	deadline := time.Now().Add(time.Minute) // a connection that failed is tried again after pauses
	for client.PubSubNumSub(t.Context(), "mcptokens:hints").Val()["mcptokens:hints"] != int64(n) {
		if time.Now().After(deadline) {
			t.Fatalf("there are never %d subscriptions", n)
		}
	}
}

// Replicas hear of each change, at once and once, and of nothing else.
func TestWatch(t *testing.T) {
	m := miniredis.RunT(t)
	a, b := newStore(t, onMini(m)), newStore(t, onMini(m))
	changed, calls := heard()
	defer b.Watch(key, changed)()
	other := key
	other.Subject = "another"
	defer b.Watch(other, func() { t.Error("another key has not changed") })()
	subscribed(t, m, 1) // one, however many watch
	g := mustSave(t, a, record(0, "first"))
	await(t, "the first save", calls)
	g = mustSave(t, a, record(g, "second"))
	await(t, "the second save", calls)
	if err := a.Delete(t.Context(), key, g); err != nil {
		t.Fatal(err)
	}
	await(t, "the deletion", calls)
	if _, err := a.Save(t.Context(), key, record(g, "stale")); err == nil {
		t.Fatal("that was stale")
	}
	mustLock(t, a)()
	mustSave(t, b, record(0, "its own"))
	await(t, "its own save", calls)
	select {
	case <-calls:
		t.Error("a conflict or a lock was taken for a change")
	default:
	}
}

// Who has stopped watching is not called, even if a hint is being passed on.
func TestStopWhileOthersAreCalled(t *testing.T) {
	m := miniredis.RunT(t)
	s := newStore(t, onMini(m))
	calling, leave := make(chan struct{}), make(chan struct{})
	stopFirst := s.Watch(key, func() { close(calling); <-leave })
	stop := s.Watch(key, func() { t.Error("called after stop") })
	subscribed(t, m, 1)
	g := mustSave(t, s, record(0, "first"))
	await(t, "the call", calling)
	stop()
	close(leave)
	stopFirst()
	changed, calls := heard()
	defer s.Watch(key, changed)()
	mustSave(t, s, record(g, "second"))
	await(t, "the next call", calls) // so the one before is over
}

// A store without watchers or waiters does not subscribe.
func TestNoSubscription(t *testing.T) {
	m := miniredis.RunT(t)
	s := newStore(t, onMini(m))
	mustLock(t, s)()
	mustSave(t, s, record(0, "first"))
	subscribed(t, m, 0)
}

func TestWatchAfterConnectionWasCut(t *testing.T) {
	m := mortal(t)
	s := newStore(t, onMini(m))
	changed, calls := heard()
	defer s.Watch(key, changed)()
	subscribed(t, m, 1)
	m.Close()
	if err := m.Restart(); err != nil {
		t.Fatal(err)
	}
	subscribed(t, m, 1)
	mustSave(t, s, record(0, "first"))
	await(t, "the save", calls)
}
