package filestore_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/store"
	"github.com/mcptokens/mcptokens/auth/store/filestore"
)

// A list has all that can be read, an error for each file that cannot, and
// changes none.
func TestListWithBadFiles(t *testing.T) {
	s, path, _ := stored(t)
	other := filepath.Join(s.Dir(), auth.Key{Subject: "another"}.ID()+".json")
	for name, tc := range map[string]struct {
		path, content string
		want          error
	}{
		"corrupt":        {other, "{", store.ErrCorrupt},
		"empty":          {other, "", store.ErrCorrupt},
		"newer":          {other, `{"version":99}`, store.ErrNewer},
		"never saved":    {other, `{"version":1,"key":{"subject":"another"}}`, store.ErrCorrupt},
		"another's":      {other, read(t, path), filestore.ErrUnsafe},
		"under any name": {filepath.Join(s.Dir(), "notes.json"), read(t, path), filestore.ErrUnsafe},
	} {
		t.Run(name, func(t *testing.T) {
			write(t, tc.path, tc.content)
			good, bad := 0, 0
			for entry, err := range s.List(t.Context()) {
				if err == nil && entry.Key == key {
					good++
					continue
				}
				fails(t, err, tc.want, tc.path)
				bad++
			}
			if good != 1 || bad != 1 {
				t.Errorf("%d entries and %d errors; want one of each", good, bad)
			}
			if read(t, tc.path) != tc.content {
				t.Error("the file was changed")
			}
			if err := os.Remove(tc.path); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// A directory that was removed holds nothing.
func TestListWithoutDirectory(t *testing.T) {
	s, _, _ := stored(t)
	if err := os.RemoveAll(s.Dir()); err != nil {
		t.Fatal(err)
	}
	for entry, err := range s.List(t.Context()) {
		t.Errorf("%+v, %v", entry, err)
	}
}
