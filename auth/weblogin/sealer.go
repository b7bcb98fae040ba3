package weblogin

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
)

// Sealer seals what [auth.Manager.BeginLogin] returned, for a cookie of the browser
// that began: a program with routes of its own needs no store for logins then. The
// key is 32 random bytes that all replicas have. It seals with AES-256-GCM.
type Sealer struct{ aead cipher.AEAD }

// ErrSealed is what [Sealer.Open] returns for what was not sealed with its key, and
// for the same name.
var ErrSealed = errors.New("weblogin: what was sealed is damaged, for another login, or sealed with another key")

// NewSealer returns a sealer with key, of 32 bytes.
func NewSealer(key []byte) (*Sealer, error) {
	if len(key) != 32 {
		return nil, errors.New("weblogin: the key of a Sealer has 32 bytes")
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	return &Sealer{aead}, nil
}

// Seal returns kept as a value that a cookie can have, of less than 2 KiB as a rule.
// name is what has to be the same when it is opened, such as the state and the user
// of the session.
func (s *Sealer) Seal(name string, kept []byte) string {
	return base64.RawURLEncoding.EncodeToString(s.aead.Seal(nil, nil, kept, []byte(name)))
}

// Open is the opposite of Seal. The error is [ErrSealed].
func (s *Sealer) Open(name, value string) ([]byte, error) {
	data, err := base64.RawURLEncoding.DecodeString(value)
	if err != nil {
		return nil, ErrSealed
	}
	kept, err := s.aead.Open(nil, nil, data, []byte(name))
	if err != nil {
		return nil, ErrSealed
	}
	return kept, nil
}

// Format makes every fmt verb print the sealer without its key.
func (s Sealer) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "weblogin.Sealer{}") }
