package auth

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// Login is the key whose lock a process holds while it asks a person to log in
// for k: see [Store].Lock. Nothing is stored under it.
func (k Key) Login() Key {
	k.Resource = "login " + k.Resource
	return k
}

// ID is a name for the key that is safe in file names, Redis keys and the
// like: 32 lower case hexadecimal digits, the same for equal keys on every
// machine and in every version of this package.
func (k Key) ID() string {
	h := sha256.New()
	for _, s := range []string{k.Resource, k.Issuer, k.ClientID, k.Subject} {
		_, _ = fmt.Fprintf(h, "%d:%s", len(s), s) // a hash takes everything
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}
