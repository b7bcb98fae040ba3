package sealed_test

import (
	"errors"
	"testing"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/store/sealed"
)

// FuzzLoad: whatever is in the store, nothing but what was sealed for this
// place and number opens.
func FuzzLoad(f *testing.F) {
	below := new(auth.MemoryStore)
	s := seal(f, below, newKey(f, "k", 1))
	g, err := s.Save(f.Context(), key, record(0, "first"))
	if err != nil {
		f.Fatal(err)
	}
	genuine, err := below.Load(f.Context(), at)
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{string(genuine.ProofKey), "mcptokens-sealed 1 \n", "mcptokens-sealed 1 k\n", "mcptokens-sealed 2 k\n", "mcptokens-sealed -1 \n", "{}", ""} {
		f.Add([]byte(seed), g+1)
	}
	f.Fuzz(func(t *testing.T, planted []byte, generation uint64) {
		if generation == 0 {
			generation = 1
		}
		store := one{&auth.Record{Generation: generation, ProofKey: planted}}
		r, err := seal(t, store, newKey(t, "k", 1)).Load(t.Context(), key)
		// Each process of the fuzzer has sealed the same record, with another nonce.
		if err == nil && (generation != genuine.Generation || len(planted) != len(genuine.ProofKey) || r.Token.AccessToken != "first") {
			t.Errorf("%q opened at %d: %v", planted, generation, r)
		}
		var failed *sealed.Error
		if err != nil && !errors.Is(err, auth.ErrNotFound) && !errors.As(err, &failed) {
			t.Errorf("%q: %v", planted, err)
		}
	})
}
