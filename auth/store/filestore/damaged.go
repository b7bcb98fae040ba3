package filestore

import (
	"errors"
	"os"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/store"
)

// errDamaged is what Load returns after a corrupt file was moved aside. It is no
// record for who has no token, who logs in; a manager that has one takes it for
// corrupt and puts its own in its place, whoever has found it first.
var errDamaged = errors.Join(auth.ErrNotFound, store.ErrCorrupt)

// damaged reports whether there is no record because it was moved aside, and not
// because it was deleted.
func (s *Store) damaged(key auth.Key) bool {
	_, err := os.Lstat(s.path(key, ".damaged"))
	return err == nil
}

// noteDamage is called before a corrupt file is moved aside. If the disk is full the
// record is gone for all but the one that found it.
func (s *Store) noteDamage(key auth.Key) { _ = replace(s.path(key, ".damaged"), nil) }

// settle ends that: there is a record again, or there is to be none. The caller has
// the swap lock.
func (s *Store) settle(key auth.Key) { _ = os.Remove(s.path(key, ".damaged")) }
