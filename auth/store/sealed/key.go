package sealed

import (
	"crypto/aes"
	"crypto/cipher"
	"fmt"
	"log/slog"
	"strings"

	"github.com/mcptokens/mcptokens/internal/errtext"
)

// secretSize is that of AES-256.
const secretSize = 32

var (
	errID     = errtext.New("sealed: key ID: must have 1 to 32 letters, digits, dots, hyphens or underscores, such as 2026-11")
	errSecret = errtext.New("sealed: secret: must have 32 random bytes, such as crypto/rand or openssl rand make; not a password")
	errNoKey  = errtext.New("sealed: key: is empty; make it with NewKey")
	errSameID = errtext.New("sealed: keys: two have the same ID")
)

// Key seals records and opens them. It prints no secret.
type Key struct {
	id   string
	aead cipher.AEAD
}

// NewKey returns the key of a secret. id is stored with each record, readable by
// all, and tells keys apart: a date or a count, of 1 to 32 letters, digits, dots,
// hyphens or underscores; never used again for another secret. secret has 32
// random bytes, the same for all processes that share records.
func NewKey(id string, secret []byte) (Key, error) {
	if !validID(id) {
		return Key{}, errID
	}
	if len(secret) != secretSize {
		return Key{}, errSecret
	}
	block, err := aes.NewCipher(secret)
	if err != nil {
		return Key{}, errSecret
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return Key{}, errSecret
	}
	return Key{id, aead}, nil
}

func validID(id string) bool {
	other := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune(".-_", r)
	}
	return id != "" && len(id) <= 32 && !strings.ContainsFunc(id, other)
}

// ID returns what the key is called.
func (k Key) ID() string { return k.id }

// Format makes every fmt verb print the key without its secret.
func (k Key) Format(f fmt.State, _ rune) { _, _ = fmt.Fprintf(f, "sealed.Key{%s}", k.id) }

// LogValue implements [slog.LogValuer] without the secret.
func (k Key) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(k)) }
