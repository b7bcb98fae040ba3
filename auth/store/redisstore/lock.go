package redisstore

import (
	"context"
	crand "crypto/rand"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/mcptokens/mcptokens/auth"
)

// A lock that somebody else holds is tried again after these times, jittered,
// or when a hint says that it is free.
const (
	pollFirst = 20 * time.Millisecond
	pollMax   = 500 * time.Millisecond
)

// unlockWait is how long unlocking waits for Redis; it goes on behind.
const unlockWait = time.Second

// lease is a lock that this store took. It may have lost it meanwhile; only
// Redis knows.
type lease struct {
	id    string
	nonce string
	since string // generation of the record when the lease was taken
}

// leaseOf returns the lease that the store holds for a key, or an empty one.
func (s *Store) leaseOf(id string) lease {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.held[id]; l != nil {
		return *l
	}
	return lease{}
}

// Lock implements [auth.Store]. Errors: *[Error], [ErrClosed], and ctx's own.
// unlock waits for Redis for a second at most, and tells it behind if that was
// not enough.
func (s *Store) Lock(ctx context.Context, key auth.Key) (unlock func(), err error) {
	leave, err := s.local.Lock(ctx, key)
	if err != nil {
		return nil, err
	}
	l := &lease{id: key.ID(), nonce: crand.Text()}
	if err := s.acquire(ctx, l); err != nil {
		leave()
		return nil, wrap(ctx, "lock", lockKey(l.id), err)
	}
	renewing, stop := context.WithCancel(context.Background())
	released := make(chan struct{})
	s.mu.Lock()
	s.held[l.id] = l
	s.mu.Unlock()
	if !s.start(func() {
		defer close(released)
		s.renew(renewing, l)
		if renewing.Err() != nil { // unlocked; else the lease is lost, or runs out after Close
			s.release(l)
		}
	}) {
		close(released) // the store was closed just now: the lease runs out
	}
	return func() {
		s.mu.Lock()
		delete(s.held, l.id)
		s.mu.Unlock()
		stop()
		timer := time.NewTimer(unlockWait)
		defer timer.Stop()
		select {
		case <-released:
		case <-timer.C:
		}
		leave()
	}, nil
}

// acquire waits until the lease is l's.
func (s *Store) acquire(ctx context.Context, l *lease) error {
	var free chan struct{}
	for wait := pollFirst; ; wait = min(2*wait, pollMax) {
		left, err := s.take(ctx, l)
		if err != nil || left == 0 {
			return err
		}
		if free == nil {
			free = make(chan struct{}, 1)
			stop := s.listen(freeHint(l.id), func() {
				select {
				case free <- struct{}{}:
				default:
				}
			})
			defer stop()
		}
		timer := time.NewTimer(min(wait/2+rand.N(wait), left))
		select {
		case <-free:
			timer.Stop()
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-s.closing:
			timer.Stop()
			return ErrClosed
		}
	}
}

// take tries once. It returns how long the lease that somebody else holds runs
// at least, or 0 if it is l's now.
func (s *Store) take(ctx context.Context, l *lease) (left time.Duration, err error) {
	answer, err := call(ctx, s, func() (any, error) {
		return takeScript.Run(ctx, s.client, []string{lockKey(l.id), recKey(l.id)}, l.nonce, s.lease.Milliseconds()).Result()
	}, func() { _ = s.giveBack(l) })
	var refused redis.Error
	if err != nil && !errors.As(err, &refused) {
		// It may have been taken without our hearing of it.
		s.start(func() { _ = s.giveBack(l) })
	}
	switch answer := answer.(type) {
	case string:
		l.since = answer
	case int64:
		if answer < 1 { // about to end, or without an end: set by hand
			return pollMax, nil
		}
		return time.Duration(answer) * time.Millisecond, nil
	}
	return 0, err
}

// renew extends the lease every third of its time until ctx ends, the store is
// closed or the lease is lost.
func (s *Store) renew(ctx context.Context, l *lease) {
	ticker := time.NewTicker(s.lease / 3)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		case <-s.closing:
			return
		}
		attempt, cancel := context.WithTimeout(ctx, s.lease/3)
		ours, err := call(attempt, s, func() (bool, error) {
			return renewScript.Run(attempt, s.client, []string{lockKey(l.id)}, l.nonce, s.lease.Milliseconds()).Bool()
		}, nil)
		cancel()
		if err == nil && !ours {
			return
		}
	}
}

// release ends the lease, if need be by several attempts: others would have to
// wait until it runs out.
func (s *Store) release(l *lease) {
	end := time.Now().Add(s.lease)
	for wait := pollFirst; s.giveBack(l) != nil && time.Now().Before(end); wait = min(2*wait, pollMax) {
		timer := time.NewTimer(wait/2 + rand.N(wait))
		select {
		case <-timer.C:
		case <-s.closing:
			timer.Stop()
			return
		}
	}
}

// giveBack is one attempt to end the lease. It is called in goroutines of the
// store's.
func (s *Store) giveBack(l *lease) error {
	ctx, cancel := context.WithTimeout(context.Background(), unlockWait)
	defer cancel()
	return releaseScript.Run(ctx, s.client, []string{lockKey(l.id)}, l.nonce, hintChannel, freeHint(l.id)).Err()
}
