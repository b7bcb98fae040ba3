package weblogin

import (
	"context"
	"sync"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/internal/suspended"
)

// sweeper removes what has expired: what this process stored, when it is due, and
// now and then what replicas left that are gone.
type sweeper struct {
	store auth.Store

	mu     sync.Mutex
	cancel context.CancelFunc // of the run under way; nil: none
	due    []stored           // the first ends first: all live equally long
	timer  *time.Timer
	listed time.Time // when the whole store was looked through
	closed bool
	work   sync.WaitGroup
}

type stored struct {
	key     auth.Key
	expires time.Time
}

// listEvery is how often the whole store is looked through. The first time is when
// something expires.
const listEvery = time.Hour

// sweepTime bounds one run.
const sweepTime = time.Minute

func (s *sweeper) add(key auth.Key, expires time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.due = append(s.due, stored{key, expires})
	s.arm()
}

// arm sets the timer for the first that is due; the caller holds s.mu.
func (s *sweeper) arm() {
	if s.timer == nil && len(s.due) > 0 && !s.closed {
		s.work.Add(1)
		s.timer = time.AfterFunc(time.Until(s.due[0].expires)+time.Second, s.run)
	}
}

func (s *sweeper) run() {
	defer s.work.Done()
	ctx, cancel := context.WithTimeout(context.Background(), sweepTime)
	defer cancel()
	now := time.Now()
	s.mu.Lock()
	s.cancel = cancel
	if s.closed {
		cancel()
	}
	n := 0
	for n < len(s.due) && !now.Before(s.due[n].expires) {
		n++
	}
	gone := append([]stored(nil), s.due[:n]...)
	s.due = append([]stored(nil), s.due[n:]...)
	list := now.Sub(s.listed) >= listEvery
	if list {
		s.listed = now
	}
	s.mu.Unlock()
	for _, one := range gone {
		if rec, err := s.store.Load(ctx, one.key); err == nil { // another replica may have used it
			_ = s.store.Delete(ctx, one.key, rec.Generation)
		}
	}
	if l, ok := s.store.(auth.Lister); ok && list {
		s.lookThrough(ctx, l, now)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.timer, s.cancel = nil, nil
	s.arm()
}

func (s *sweeper) lookThrough(ctx context.Context, l auth.Lister, now time.Time) {
	for e, err := range l.List(ctx) {
		if err == nil && e.Key.Issuer == suspended.KeyIssuer && !now.Before(e.Expiry) {
			_ = s.store.Delete(ctx, e.Key, e.Generation)
		}
	}
}

func (s *sweeper) close() {
	s.mu.Lock()
	s.closed = true
	if s.timer != nil && s.timer.Stop() {
		s.work.Done()
	}
	if s.cancel != nil {
		s.cancel()
	}
	s.mu.Unlock()
	s.work.Wait()
}
