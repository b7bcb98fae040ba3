package redisstore_test

import (
	"errors"
	"strconv"
	"testing"

	"github.com/alicebob/miniredis/v2"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/store"
	"github.com/mcptokens/mcptokens/auth/store/redisstore"
)

// A list has all that can be read, and an error for each record that cannot.
func TestListWithBadRecords(t *testing.T) {
	other := auth.Key{Subject: "another"}
	at := "mcptokens:{" + other.ID() + "}:rec"
	theirs, err := store.Encode(key, record(1, "theirs"))
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		fields []string
		want   error
	}{
		"garbage":       {[]string{"g", "1", "d", secret}, store.ErrCorrupt},
		"no generation": {[]string{"d", string(theirs)}, store.ErrCorrupt},
		"another's":     {[]string{"g", "1", "d", string(theirs)}, store.ErrCorrupt},
		"newer":         {[]string{"g", "1", "d", `{"version":99}`}, store.ErrNewer},
	} {
		t.Run(name, func(t *testing.T) {
			m := miniredis.RunT(t)
			s := newStore(t, onMini(m))
			mustSave(t, s, record(0, "first"))
			m.HSet(at, tc.fields...)
			good, bad := 0, 0
			for entry, err := range s.List(t.Context()) {
				var failed *redisstore.Error
				switch {
				case err == nil && entry.Key == key:
					good++
				case errors.Is(err, tc.want) && errors.As(err, &failed) && failed.Key == at:
					bad++
				default:
					t.Errorf("%+v, %v", entry, err)
				}
			}
			if good != 1 || bad != 1 {
				t.Errorf("%d entries and %d errors; want one of each", good, bad)
			}
		})
	}
}

// More records than one answer of SCAN has.
func TestListOfMany(t *testing.T) {
	t.Parallel()
	m := miniredis.RunT(t)
	s := newStore(t, onMini(m))
	const records = 1200
	for i := range records {
		if _, err := s.Save(t.Context(), auth.Key{Subject: strconv.Itoa(i)}, record(0, "many")); err != nil {
			t.Fatal(err)
		}
	}
	seen := make(map[auth.Key]bool)
	for entry, err := range s.List(t.Context()) {
		if err != nil || seen[entry.Key] {
			t.Fatalf("%+v, %v", entry, err)
		}
		seen[entry.Key] = true
	}
	if len(seen) != records {
		t.Errorf("%d of %d are listed", len(seen), records)
	}
}

func TestListWithoutServer(t *testing.T) {
	m := miniredis.RunT(t)
	o := onMini(m)
	o.MaxRetries, o.DialerRetries = -1, 1
	s := newStore(t, o)
	mustSave(t, s, record(0, "first"))
	m.Close()
	n := 0
	for _, err := range s.List(t.Context()) {
		var failed *redisstore.Error
		if n++; !errors.As(err, &failed) || failed.Op != "list" {
			t.Errorf("List without a server: %v", err)
		}
	}
	if n != 1 {
		t.Errorf("%d errors, want one", n)
	}
}
