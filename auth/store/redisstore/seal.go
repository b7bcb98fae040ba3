package redisstore

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/internal/errtext"
)

// errSealKey is about the argument of [AESGCM].
var errSealKey = errtext.New("redisstore: seal key: must have 16, 24 or 32 random bytes; 32 from crypto/rand are a good choice")

// AESGCM returns the AEAD for [WithSeal] that most need: AES-GCM with random
// nonces. key has 16, 24 or 32 bytes, random ones, not a password. All
// processes that share records have to have the same.
func AESGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, errSealKey
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// A sealed record starts with this byte, one that is not with the '{' of JSON.
const sealVersion = 1

// seal encrypts an encoded record, if the store has a key. It is bound to the
// key's ID, so that nobody can put one user's record in the place of
// another's.
func (s *Store) seal(id string, data []byte) []byte {
	if s.aead == nil {
		return data
	}
	n := 1 + s.aead.NonceSize()
	out := make([]byte, n, n+len(data)+s.aead.Overhead())
	out[0] = sealVersion
	_, _ = rand.Read(out[1:]) // never fails
	return s.aead.Seal(out, out[1:], data, sealedFor(id))
}

// open is the opposite of seal.
func (s *Store) open(id string, data []byte) ([]byte, error) {
	switch {
	case len(data) > 0 && data[0] == sealVersion:
	case len(data) > 0 && data[0] > sealVersion && data[0] < ' ':
		return nil, auth.ErrNewerRecord
	case s.aead != nil:
		return nil, ErrUnsealed
	default:
		return data, nil
	}
	if s.aead == nil {
		return nil, ErrSealed
	}
	n := 1 + s.aead.NonceSize()
	if len(data) < n {
		return nil, ErrWrongSeal
	}
	plain, err := s.aead.Open(nil, data[1:n], data[n:], sealedFor(id))
	if err != nil {
		return nil, ErrWrongSeal
	}
	return plain, nil
}

func sealedFor(id string) []byte { return []byte("mcptokens/1 " + id) }
