package filestore

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/store"
)

// List implements [auth.Lister]. A file that cannot be used is an *[Error] in
// the list and stays where it is: Load of its key moves a corrupt one aside.
func (s *Store) List(ctx context.Context) iter.Seq2[auth.StoreEntry, error] {
	return func(yield func(auth.StoreEntry, error) bool) {
		files, err := os.ReadDir(s.dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			yield(auth.StoreEntry{}, &Error{Op: "read", Path: s.dir, Err: err})
			return
		}
		for _, file := range files {
			id, isRecord := strings.CutSuffix(file.Name(), ".json")
			if !isRecord {
				continue
			}
			if ctx.Err() != nil {
				yield(auth.StoreEntry{}, ctx.Err())
				return
			}
			entry, err := s.entry(id)
			if errors.Is(err, fs.ErrNotExist) {
				continue // deleted meanwhile
			}
			if !yield(entry, err) {
				return
			}
		}
	}
}

// entry reads the record of an ID.
func (s *Store) entry(id string) (auth.StoreEntry, error) {
	path := filepath.Join(s.dir, id+".json")
	data, at, err := readPrivate(path)
	if err != nil {
		return auth.StoreEntry{}, err
	}
	key, r, err := decode(data)
	switch {
	case err != nil:
		return auth.StoreEntry{}, &Error{Op: "read", Path: path, Err: err}
	case key.ID() != id:
		return auth.StoreEntry{}, misplaced(path)
	}
	return r.Entry(key, at.ModTime()), nil
}

// decode is [store.Decode] for what a file holds.
func decode(data []byte) (auth.Key, *auth.Record, error) {
	key, r, err := store.Decode(data)
	if err == nil && r.Generation == 0 { // never saved, says a record that was
		err = store.ErrCorrupt
	}
	return key, r, err
}
