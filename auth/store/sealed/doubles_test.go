package sealed_test

import (
	"context"
	"errors"

	"github.com/mcptokens/mcptokens/auth"
)

var errDied = errors.New("the process died")

// dying is a store that takes no save any more after a few.
type dying struct {
	*auth.MemoryStore
	left int
}

func (s *dying) Save(ctx context.Context, key auth.Key, r *auth.Record) (uint64, error) {
	if s.left--; s.left < 0 {
		return 0, errDied
	}
	return s.MemoryStore.Save(ctx, key, r)
}

// miscounting is a store that counts by another measure.
type miscounting struct{ *auth.MemoryStore }

func (s miscounting) Save(ctx context.Context, key auth.Key, r *auth.Record) (uint64, error) {
	g, err := s.MemoryStore.Save(ctx, key, r)
	if r.Generation > 0 {
		g++
	}
	return g, err
}

// one is a store that holds one record, whatever is asked for.
type one struct{ r *auth.Record }

func (s one) Load(context.Context, auth.Key) (*auth.Record, error) { return s.r, nil }
func (s one) Save(context.Context, auth.Key, *auth.Record) (uint64, error) {
	return 0, auth.ErrConflict
}
func (s one) Delete(context.Context, auth.Key, uint64) error          { return auth.ErrConflict }
func (s one) Lock(context.Context, auth.Key) (unlock func(), e error) { return func() {}, nil }

// planting is a store in which somebody has put another record for what was
// there, under the same number.
type planting struct {
	*auth.MemoryStore
	planted []byte
}

func (s *planting) Load(ctx context.Context, key auth.Key) (*auth.Record, error) {
	r, err := s.MemoryStore.Load(ctx, key)
	if err == nil && s.planted != nil {
		r.ProofKey = s.planted
	}
	return r, err
}
