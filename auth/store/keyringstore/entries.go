package keyringstore

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strconv"
	"strings"

	"github.com/zalando/go-keyring"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/store"
)

// What an entry may hold, see the package's comment. On macOS go-keyring makes
// 3200 bytes of 2400, which leaves room for a service of 128 quotation marks.
const (
	maxEntry = 2400
	maxParts = 32
)

// backend is a keyring: user names an entry of the service. Get returns
// keyring.ErrNotFound for one that is not there.
type backend interface {
	Get(service, user string) (password string, err error)
	Set(service, user, password string) error
	Delete(service, user string) error
}

// system is the operating system's.
type system struct{}

func (system) Get(service, user string) (string, error) { return keyring.Get(service, user) }
func (system) Set(service, user, password string) error { return keyring.Set(service, user, password) }
func (system) Delete(service, user string) error        { return keyring.Delete(service, user) }

// entryVersion is the layout that this version of the package writes, and the
// newest that it reads.
const entryVersion = 1

// head is a record's first entry. Small records are in it; others are in parts,
// in one of two slots, so that the parts of the record before are not touched.
type head struct {
	Version    int    `json:"v"`
	Generation uint64 `json:"generation"`
	Data       string `json:"data,omitempty"` // base64
	Slot       string `json:"slot,omitempty"`
	Parts      int    `json:"parts,omitempty"`
	SHA256     string `json:"sha256,omitempty"` // of all parts
}

// readHead returns the first entry of id, or auth.ErrNotFound.
func (s *Store) readHead(id string) (head, error) {
	text, err := s.ring.Get(s.service, id)
	if errors.Is(err, keyring.ErrNotFound) {
		return head{}, auth.ErrNotFound
	}
	if err != nil {
		return head{}, err
	}
	var h head
	if json.Unmarshal([]byte(text), &h) != nil || h.Version < 1 {
		return head{}, store.ErrCorrupt
	}
	if h.Version > entryVersion {
		return head{}, store.ErrNewer
	}
	if h.Generation == 0 || h.Parts < 0 || h.Parts > s.maxParts || h.Parts > 0 && h.Slot != "a" && h.Slot != "b" {
		return head{}, store.ErrCorrupt
	}
	return h, nil
}

// read returns the record of key.
func (s *Store) read(key auth.Key, id string) (*auth.Record, error) {
	h, err := s.readHead(id)
	if err != nil {
		return nil, err
	}
	text := h.Data
	if h.Parts > 0 {
		if text, err = s.readParts(id, h); err != nil {
			return nil, err
		}
	}
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, store.ErrCorrupt
	}
	of, r, err := store.Decode(data)
	if err != nil {
		return nil, err
	}
	if of != key {
		return nil, store.ErrCorrupt
	}
	r.Generation = h.Generation
	return r, nil
}

func (s *Store) readParts(id string, h head) (string, error) {
	var b strings.Builder
	for i := range h.Parts {
		part, err := s.ring.Get(s.service, partName(id, h.Slot, i))
		if errors.Is(err, keyring.ErrNotFound) {
			return "", store.ErrCorrupt
		}
		if err != nil {
			return "", err
		}
		b.WriteString(part)
	}
	if checksum(b.String()) != h.SHA256 {
		return "", store.ErrCorrupt
	}
	return b.String(), nil
}

// write replaces the record of old, whose head is zero if there is none. All
// but the last write go to entries that nobody reads yet.
func (s *Store) write(id string, old head, generation uint64, data []byte) error {
	text := base64.StdEncoding.EncodeToString(data)
	h := head{Version: entryVersion, Generation: generation, Data: text}
	encoded := h.encode()
	if len(encoded) > s.maxEntry {
		parts := (len(text) + s.maxEntry - 1) / s.maxEntry
		if parts > s.maxParts {
			return ErrTooLarge
		}
		h.Data, h.Slot, h.Parts, h.SHA256 = "", "a", parts, checksum(text)
		if old.Slot == "a" {
			h.Slot = "b"
		}
		for i := range parts {
			if err := s.ring.Set(s.service, partName(id, h.Slot, i), text[i*s.maxEntry:min((i+1)*s.maxEntry, len(text))]); err != nil {
				return err
			}
		}
		encoded = h.encode()
	}
	if err := s.ring.Set(s.service, id, encoded); err != nil {
		return err
	}
	// Not every tool that go-keyring runs reports its failures.
	if got, err := s.ring.Get(s.service, id); err != nil {
		return err
	} else if got != encoded {
		return errNotKept
	}
	if old.Parts+h.Parts > 0 {
		s.clear(id, "a", h.partsIn("a"))
		s.clear(id, "b", h.partsIn("b"))
	}
	return nil
}

// remove deletes a record.
func (s *Store) remove(id string) error {
	if err := s.ring.Delete(s.service, id); err != nil && !errors.Is(err, keyring.ErrNotFound) {
		return err
	}
	s.clear(id, "a", 0)
	s.clear(id, "b", 0)
	return nil
}

// clear deletes the parts of a slot from the given one on: those of the record
// before, and what a process left that died while writing. The last goes first,
// so that none is ever left behind a gap. It is not said when that fails: the
// next save tries again.
func (s *Store) clear(id, slot string, from int) {
	n := from
	for n < s.maxParts {
		if _, err := s.ring.Get(s.service, partName(id, slot, n)); err != nil {
			break
		}
		n++
	}
	for n--; n >= from; n-- {
		if s.ring.Delete(s.service, partName(id, slot, n)) != nil {
			return
		}
	}
}

// partsIn is how many parts of h are in a slot.
func (h head) partsIn(slot string) int {
	if h.Slot == slot {
		return h.Parts
	}
	return 0
}

// setAside moves the first entry of a record that cannot be read.
func (s *Store) setAside(id string) error {
	text, err := s.ring.Get(s.service, id)
	if err != nil {
		return err
	}
	if err := s.ring.Set(s.service, id+".corrupt", text[:min(len(text), maxEntry)]); err != nil {
		return err
	}
	return s.ring.Delete(s.service, id)
}

func (h head) encode() string {
	b, _ := json.Marshal(h) // strings and numbers: it cannot fail
	return string(b)
}

func partName(id, slot string, i int) string { return id + "." + slot + "." + strconv.Itoa(i) }

func checksum(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
