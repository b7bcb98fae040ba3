package redisstore

import (
	"context"
	"errors"
	"iter"
	"maps"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/store"
)

// scanCount is how many keys Redis looks at for one answer.
const scanCount = 500

// List implements [auth.Lister]. It looks at every key of the database, by
// SCAN, and then at each record: for a database of its own it is quick. In a
// cluster it asks all primaries. Errors: *[Error] about one record or the
// server, [ErrClosed], and ctx's own.
func (s *Store) List(ctx context.Context) iter.Seq2[auth.StoreEntry, error] {
	return func(yield func(auth.StoreEntry, error) bool) {
		ids, err := s.ids(ctx)
		if err != nil {
			yield(auth.StoreEntry{}, wrap(ctx, "list", recKey("*"), err))
			return
		}
		for id := range ids {
			entry, err := s.entry(ctx, id)
			if errors.Is(err, auth.ErrNotFound) {
				continue // deleted
			}
			if !yield(entry, err) || ctx.Err() != nil || errors.Is(err, ErrClosed) {
				return
			}
		}
	}
}

// ids are those of all keys with a record, or with what is left of one.
func (s *Store) ids(ctx context.Context) (map[string]struct{}, error) {
	var mu sync.Mutex
	all := make(map[string]struct{})
	scan := func(ctx context.Context, node *redis.Client) error {
		ids, err := s.scan(ctx, node)
		mu.Lock()
		defer mu.Unlock()
		maps.Copy(all, ids)
		return err
	}
	switch client := s.client.(type) {
	case *redis.ClusterClient:
		return all, client.ForEachMaster(ctx, scan)
	case *redis.Ring:
		return all, client.ForEachShard(ctx, scan)
	}
	return s.scan(ctx, s.client)
}

// scan are the IDs on one server. SCAN may return a key twice.
func (s *Store) scan(ctx context.Context, node redis.Cmdable) (map[string]struct{}, error) {
	ids := make(map[string]struct{})
	before, after, _ := strings.Cut(recKey("*"), "*")
	type page struct {
		keys   []string
		cursor uint64
	}
	for cursor := uint64(0); ; {
		p, err := call(ctx, s, func() (p page, err error) {
			p.keys, p.cursor, err = node.Scan(ctx, cursor, recKey("*"), scanCount).Result()
			return p, err
		}, nil)
		if err != nil {
			return nil, err
		}
		for _, key := range p.keys {
			ids[strings.TrimSuffix(strings.TrimPrefix(key, before), after)] = struct{}{}
		}
		if cursor = p.cursor; cursor == 0 {
			return ids, nil
		}
	}
}

// entry reads the record of an ID.
func (s *Store) entry(ctx context.Context, id string) (auth.StoreEntry, error) {
	found, err := s.read(ctx, id)
	if err != nil {
		if !errors.Is(err, auth.ErrNotFound) {
			err = wrap(ctx, "list", recKey(id), err)
		}
		return auth.StoreEntry{}, err
	}
	key, r, err := found.decode()
	if err == nil && key.ID() != id {
		err = store.ErrCorrupt
	}
	if err != nil {
		return auth.StoreEntry{}, &Error{Op: "list", Key: recKey(id), Err: err}
	}
	var saved time.Time // unknown: an earlier version did not note it
	if seconds, err := strconv.ParseInt(found.saved, 10, 64); err == nil {
		saved = time.Unix(seconds, 0)
	}
	return r.Entry(key, saved), nil
}
