package redisstore

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/store/internal/lease"
)

// Lock implements [auth.Store]. Errors: *[Error], [ErrClosed], and ctx's own.
// unlock waits for Redis for a second at most, and goes on in the background if
// that was not enough.
func (s *Store) Lock(ctx context.Context, key auth.Key) (unlock func(), err error) {
	unlock, err = s.locks.Lock(ctx, key)
	if err != nil {
		return nil, wrap(ctx, "lock", lockKey(key.ID()), err)
	}
	return unlock, nil
}

// Held implements [auth.Leaser].
func (s *Store) Held(key auth.Key) bool { return s.locks.Held(key.ID()) }

// server keeps the leases of a store in Redis.
type server struct{ *Store }

var _ lease.Server = server{}

// Take implements [lease.Server].
func (s server) Take(ctx context.Context, id, holder string) (since string, left time.Duration, err error) {
	answer, err := call(ctx, s.Store, func() (any, error) {
		return takeScript.Run(ctx, s.client, []string{lockKey(id), recKey(id)}, holder, s.lease.Milliseconds()).Result()
	}, func() { s.giveBack(id, holder) })
	var refused redis.Error
	if err != nil && !errors.As(err, &refused) {
		// It may have been taken although the answer was lost.
		s.start(func() { s.giveBack(id, holder) })
	}
	switch answer := answer.(type) {
	case string:
		return answer, 0, nil
	case int64:
		if answer < 1 { // about to end, or without an end: set by hand
			return "", lease.PollMax, nil
		}
		return "", time.Duration(answer) * time.Millisecond, nil
	}
	return "", 0, err
}

// Renew implements [lease.Server].
func (s server) Renew(ctx context.Context, id, holder string) (ours bool, err error) {
	return call(ctx, s.Store, func() (bool, error) {
		return renewScript.Run(ctx, s.client, []string{lockKey(id)}, holder, s.lease.Milliseconds()).Bool()
	}, nil)
}

// Release implements [lease.Server]. It is called in goroutines of the store.
func (s server) Release(ctx context.Context, id, holder string) error {
	return releaseScript.Run(ctx, s.client, []string{lockKey(id)}, holder, hintChannel, freeHint(id)).Err()
}

// Free implements [lease.Server].
func (s server) Free(id string, f func()) (stop func()) { return s.listen(freeHint(id), f) }

func (s server) giveBack(id, holder string) {
	ctx, cancel := context.WithTimeout(context.Background(), lease.UnlockWait)
	defer cancel()
	_ = s.Release(ctx, id, holder) // else it runs out
}
