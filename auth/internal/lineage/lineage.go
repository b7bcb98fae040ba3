// Package lineage remembers which refresh tokens led to one, without keeping them.
// Of two records the one whose lineage has the other's token is newer, whatever
// their counters and the clocks say.
package lineage

import "crypto/sha256"

const (
	// size is how much of a token's hash is kept: nobody chooses tokens to collide.
	size = 8
	// most is how many tokens are remembered. A store that went back further is
	// judged by the time.
	most = 8
)

// List is the hashes of the tokens that came before one, the last one at the end.
// It is no secret: a refresh token cannot be
// guessed, so neither can it be found by its hash.
type List string

// With returns l and refreshToken; empty: l.
func (l List) With(refreshToken string) List {
	if refreshToken == "" || l.Has(refreshToken) {
		return l
	}
	return l[max(0, len(l)-(most-1)*size):] + hash(refreshToken)
}

// Has reports whether refreshToken is in l.
func (l List) Has(refreshToken string) bool {
	if refreshToken == "" {
		return false
	}
	h := hash(refreshToken)
	for at := 0; at+size <= len(l); at += size {
		if l[at:at+size] == h {
			return true
		}
	}
	return false
}

func hash(token string) List {
	sum := sha256.Sum256([]byte("mcptokens refresh token\x00" + token))
	return List(sum[:size])
}
