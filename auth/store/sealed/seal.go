package sealed

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/store"
)

// A sealed record is a line that says what follows, and the nonce, ciphertext
// and tag. The line is authenticated with the rest.
//
//	mcptokens-sealed 1 KEYID\n…
//
// A reserved number is that line alone, without a key and with nothing after it.
const (
	magic    = "mcptokens-sealed "
	version  = 1
	reserved = magic + "1 \n"
)

// prefix of the keys of the store below.
const prefix = "sealed "

// below is the key of the store below for a key.
func below(key auth.Key) auth.Key { return auth.Key{Subject: prefix + key.ID()} }

// head is the line of a record that a key seals.
func head(keyID string) string { return magic + strconv.Itoa(version) + " " + keyID + "\n" }

// bound is what is authenticated beside the record: the line, where it is
// stored and under which number. None of them can be longer than it is without
// another being shorter: the first ends in the only line feed, the second has
// a fixed length.
func bound(head string, at auth.Key, generation uint64) []byte {
	return []byte(head + at.Subject + " " + strconv.FormatUint(generation, 10))
}

// seal encrypts a record that is to be stored under at with that generation.
func (s *sealer) seal(at auth.Key, generation uint64, plain []byte) []byte {
	line := head(s.keys[0].id)
	return s.keys[0].aead.Seal([]byte(line), nil, plain, bound(line, at, generation))
}

// isReserved reports whether a record of the store below holds nothing but its
// number. Anybody who can write to the store can put one there, which is no more
// than deleting.
func isReserved(r *auth.Record) bool { return string(r.ProofKey) == reserved }

// open is the opposite of seal. r was found under at. The key ID is that of the
// record even where it cannot be opened, if it says one.
func (s *sealer) open(at auth.Key, r *auth.Record) (key auth.Key, plain *auth.Record, keyID string, err error) {
	line, sealed, found := bytes.Cut(r.ProofKey, []byte("\n"))
	rest, isSealed := strings.CutPrefix(string(line), magic)
	if !found || !isSealed {
		return auth.Key{}, nil, "", ErrUnsealed
	}
	format, keyID, _ := strings.Cut(rest, " ")
	if n, err := strconv.Atoi(format); err != nil || n < version || strconv.Itoa(n) != format {
		return auth.Key{}, nil, "", ErrUnsealed
	} else if n > version {
		return auth.Key{}, nil, "", store.ErrNewer
	}
	if keyID != "" && !validID(keyID) { // not ours, and not fit to be shown
		return auth.Key{}, nil, "", ErrUnsealed
	}
	for _, k := range s.keys {
		if k.id != keyID {
			continue
		}
		data, err := k.aead.Open(nil, nil, sealed, bound(head(keyID), at, r.Generation))
		if err != nil {
			return auth.Key{}, nil, keyID, ErrWrongKey
		}
		key, plain, err := store.Decode(data)
		if err != nil {
			return auth.Key{}, nil, keyID, err
		}
		if below(key) != at {
			return auth.Key{}, nil, keyID, store.ErrCorrupt
		}
		plain.Generation = r.Generation
		return key, plain, keyID, nil
	}
	return auth.Key{}, nil, keyID, ErrUnknownKey
}
