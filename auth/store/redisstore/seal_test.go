package redisstore_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/store/redisstore"
	"github.com/mcptokens/mcptokens/auth/store/storetest"
)

func sealed(t *testing.T, key string) redisstore.Option {
	t.Helper()
	aead, err := redisstore.AESGCM([]byte(key))
	if err != nil {
		t.Fatal(err)
	}
	return redisstore.WithSeal(aead)
}

const (
	sealKey  = "0123456789abcdef"
	otherKey = "fedcba9876543210fedcba9876543210"
)

func TestContractSealed(t *testing.T) {
	servers := make(map[auth.Store]*miniredis.Miniredis)
	storetest.Suite{
		Open: func(t *testing.T) auth.Store {
			m := miniredis.RunT(t)
			s := newStore(t, onMini(m), sealed(t, otherKey))
			servers[s] = m
			return s
		},
		Reopen: func(t *testing.T, s auth.Store) auth.Store {
			return newStore(t, onMini(servers[s]), sealed(t, otherKey))
		},
	}.Run(t)
}

func TestSealKey(t *testing.T) {
	for _, n := range []int{16, 24, 32} {
		if _, err := redisstore.AESGCM(make([]byte, n)); err != nil {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	for _, n := range []int{0, 15, 33} {
		if _, err := redisstore.AESGCM(make([]byte, n)); err == nil || !strings.Contains(err.Error(), "seal key") {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

// Nothing of a sealed record can be read in Redis, and the same record is never
// stored twice as the same bytes.
func TestSealHides(t *testing.T) {
	m := miniredis.RunT(t)
	s := newStore(t, onMini(m), sealed(t, sealKey))
	g := mustSave(t, s, record(0, "first"))
	before := m.HGet(recKey, "d")
	mustSave(t, s, record(g, "first"))
	after := m.HGet(recKey, "d")
	for _, stored := range []string{before, after} {
		for _, word := range []string{secret, "first", key.Issuer, key.Subject} {
			if strings.Contains(stored, word) {
				t.Errorf("%q can be read", word)
			}
		}
	}
	if before == after {
		t.Error("the nonce was used twice")
	}
	if keys := strings.Join(m.Keys(), " "); strings.Contains(keys, key.Subject) {
		t.Errorf("the keys say whose it is: %s", keys)
	}
}

// Who cannot open a record neither reads nor overwrites it.
func TestSealMismatch(t *testing.T) {
	swap := func(m *miniredis.Miniredis) { // another user's sealed record in this one's place
		other := key
		other.Subject = "another"
		m.HSet(recKey, "d", m.HGet("mcptokens:{"+other.ID()+"}:rec", "d"))
	}
	for name, tc := range map[string]struct {
		with, without []redisstore.Option
		tamper        func(m *miniredis.Miniredis)
		want          error
	}{
		"no key":    {[]redisstore.Option{sealed(t, sealKey)}, nil, nil, redisstore.ErrSealed},
		"wrong key": {[]redisstore.Option{sealed(t, sealKey)}, []redisstore.Option{sealed(t, otherKey)}, nil, redisstore.ErrWrongSeal},
		"unsealed":  {nil, []redisstore.Option{sealed(t, sealKey)}, nil, redisstore.ErrUnsealed},
		"swapped":   {[]redisstore.Option{sealed(t, sealKey)}, []redisstore.Option{sealed(t, sealKey)}, swap, redisstore.ErrWrongSeal},
		"cut off": {
			[]redisstore.Option{sealed(t, sealKey)}, []redisstore.Option{sealed(t, sealKey)},
			func(m *miniredis.Miniredis) { m.HSet(recKey, "d", "\x01") }, redisstore.ErrWrongSeal,
		},
		"no room for a nonce": {
			[]redisstore.Option{withNonce(t)}, []redisstore.Option{withNonce(t)},
			func(m *miniredis.Miniredis) { m.HSet(recKey, "d", "\x01abc") }, redisstore.ErrWrongSeal,
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := miniredis.RunT(t)
			a, b := newStore(t, onMini(m), tc.with...), newStore(t, onMini(m), tc.without...)
			mustSave(t, a, record(0, "first"))
			other := key
			other.Subject = "another"
			if _, err := a.Save(t.Context(), other, record(0, "another's")); err != nil {
				t.Fatal(err)
			}
			if tc.tamper != nil {
				tc.tamper(m)
			}
			stored := m.HGet(recKey, "d")
			_, err := b.Load(t.Context(), key)
			var failed *redisstore.Error
			if !errors.Is(err, tc.want) || !errors.As(err, &failed) || failed.SafeText() != err.Error() || strings.Contains(err.Error(), secret) {
				t.Errorf("Load: %v, want %v", err, tc.want)
			}
			if _, err := b.Save(t.Context(), key, record(0, "mine")); !errors.Is(err, auth.ErrConflict) {
				t.Errorf("Save: %v", err)
			}
			if m.HGet(recKey, "d") != stored {
				t.Error("it was overwritten")
			}
		})
	}
}

// withNonce is an AEAD that is given its nonces.
func withNonce(t *testing.T) redisstore.Option {
	t.Helper()
	block, err := aes.NewCipher(bytes.Repeat([]byte{7}, 16))
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	return redisstore.WithSeal(aead)
}

func TestSealWithOtherAEAD(t *testing.T) {
	m := miniredis.RunT(t)
	s := newStore(t, onMini(m), withNonce(t))
	mustSave(t, s, record(0, "first"))
	mustLoad(t, s, "first")
	if strings.Contains(m.HGet(recKey, "d"), secret) {
		t.Error("it can be read")
	}
}
