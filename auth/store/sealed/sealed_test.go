package sealed_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/store"
	"github.com/mcptokens/mcptokens/auth/store/filestore"
	"github.com/mcptokens/mcptokens/auth/store/redisstore"
	"github.com/mcptokens/mcptokens/auth/store/sealed"
	"github.com/mcptokens/mcptokens/auth/store/storetest"
)

var key = auth.Key{Resource: "https://mcp.example/mcp", Issuer: "https://as.example", ClientID: "client", Subject: "alice"}

// at is what the package's comment says of the store below.
var at = auth.Key{Subject: "sealed " + key.ID()}

const secret = "planted-secret"

func record(generation uint64, what string) *auth.Record {
	return &auth.Record{
		Generation: generation, Issuer: key.Issuer, Resource: key.Resource,
		Token: &auth.Token{AccessToken: what, TokenType: "Bearer", RefreshToken: secret},
	}
}

// newKey returns a key whose secret is all of one byte.
func newKey(t testing.TB, id string, b byte) sealed.Key {
	t.Helper()
	k, err := sealed.NewKey(id, bytes.Repeat([]byte{b}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func seal(t testing.TB, below auth.Store, k sealed.Key, older ...sealed.Key) auth.Store {
	t.Helper()
	s, err := sealed.New(below, k, older...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustSave(t *testing.T, s auth.Store, r *auth.Record) uint64 {
	t.Helper()
	g, err := s.Save(t.Context(), key, r)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// The contract holds over each kind of store, with what it can do.
func TestContract(t *testing.T) {
	memories := func(t *testing.T) func(t *testing.T) auth.Store {
		m := new(auth.MemoryStore)
		return func(*testing.T) auth.Store { return m }
	}
	files := func(t *testing.T) func(t *testing.T) auth.Store {
		dir := t.TempDir()
		return func(t *testing.T) auth.Store {
			s, err := filestore.Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
	}
	servers := func(t *testing.T) func(t *testing.T) auth.Store {
		m := miniredis.RunT(t)
		return func(t *testing.T) auth.Store {
			client := redis.NewClient(&redis.Options{Addr: m.Addr()})
			s := redisstore.New(client)
			t.Cleanup(func() { _ = s.Close(); _ = client.Close() })
			return s
		}
	}
	for name, tc := range map[string]struct {
		below func(t *testing.T) func(t *testing.T) auth.Store
		hints bool
	}{"memory": {memories, true}, "files": {files, false}, "Redis": {servers, true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			more := make(map[auth.Store]func(t *testing.T) auth.Store)
			storetest.Suite{
				Open: func(t *testing.T) auth.Store {
					below := tc.below(t)
					s := seal(t, below(t), newKey(t, "new", 1), newKey(t, "old", 2))
					more[s] = below
					if _, hints := s.(auth.Watcher); hints != tc.hints {
						t.Errorf("gives hints: %v", hints)
					}
					return s
				},
				// Another process may still seal with the key that was before.
				Reopen: func(t *testing.T, s auth.Store) auth.Store {
					return seal(t, more[s](t), newKey(t, "old", 2), newKey(t, "new", 1))
				},
			}.Run(t)
		})
	}
}

// Nothing of a record can be read in the store, nor whose it is, and the same
// record is never stored twice as the same bytes.
func TestHides(t *testing.T) {
	dir := t.TempDir()
	below, err := filestore.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	s := seal(t, below, newKey(t, "k", 1))
	g := mustSave(t, s, record(0, "first"))
	before := files(t, dir)
	mustSave(t, s, record(g, "first"))
	after := files(t, dir)
	for _, stored := range []string{before, after} {
		for _, word := range []string{secret, "first", key.Issuer, key.Resource, key.Subject, key.ClientID} {
			if strings.Contains(stored, word) {
				t.Errorf("%q can be read", word)
			}
		}
	}
	if before == after {
		t.Error("the nonce was used twice")
	}
}

// files is all that is in a directory, names and contents, also those that a
// record has in base64.
func files(t *testing.T, dir string) string {
	t.Helper()
	var all strings.Builder
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range list {
		data, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&all, f.Name(), string(data))
		if _, r, err := store.Decode(data); err == nil {
			fmt.Fprintln(&all, string(r.ProofKey))
		}
	}
	return all.String()
}

// A new key seals what is saved from now on, and the old one opens the rest.
func TestRotation(t *testing.T) {
	below := new(auth.MemoryStore)
	older, newer := newKey(t, "2025", 1), newKey(t, "2026", 2)
	g := mustSave(t, seal(t, below, older), record(0, "first"))
	s := seal(t, below, newer, older)
	r, err := s.Load(t.Context(), key)
	if err != nil || r.Token.AccessToken != "first" || r.Generation != g {
		t.Fatalf("Load with both keys: %v, %v", r, err)
	}
	refuses(t, seal(t, below, newer), "2025", sealed.ErrUnknownKey) // too early
	mustSave(t, s, record(g, "second"))
	refuses(t, seal(t, below, older), "2026", sealed.ErrUnknownKey)
	if r, err := seal(t, below, newer).Load(t.Context(), key); err != nil || r.Token.AccessToken != "second" {
		t.Errorf("Load with the new key: %v, %v", r, err)
	}
}

// refuses checks that s neither uses nor overwrites what is stored, that the
// error says so for good and names the key, and that it is enough to delete it.
func refuses(t *testing.T, s auth.Store, id string, want error) {
	t.Helper()
	_, err := s.Load(t.Context(), key)
	var failed *sealed.Error
	if !errors.Is(err, want) || !errors.As(err, &failed) || failed.KeyID != id || failed.Stored != at || !strings.Contains(err.Error(), id) {
		t.Fatalf("Load: %v, want %v and key %q", err, want, id)
	}
	var says interface{ Retryable() bool }
	if !errors.As(err, &says) || says.Retryable() {
		t.Errorf("%v does not say that it is permanent", err)
	}
	if strings.Contains(err.Error(), secret) {
		t.Errorf("%v tells the record", err)
	}
	if _, err := s.Save(t.Context(), key, record(0, "mine")); !errors.Is(err, auth.ErrConflict) {
		t.Errorf("Save: %v", err)
	}
	n := 0
	for entry, err := range s.(auth.Lister).List(t.Context()) {
		if n++; !errors.Is(err, want) || entry.Key != (auth.Key{}) {
			t.Errorf("List: %+v, %v", entry, err)
		}
	}
	if n != 1 {
		t.Errorf("List has %d entries, want an error", n)
	}
}

// What somebody who can write to the store can do is to delete.
func TestTampering(t *testing.T) {
	other := key
	other.Subject = "mallory"
	atOther := auth.Key{Subject: "sealed " + other.ID()}
	for name, tc := range map[string]struct {
		tamper func(first, now, others *auth.Record) []byte // what is put in the record's place
		want   error
		id     string
	}{
		"an older one of its own": {func(first, _, _ *auth.Record) []byte { return first.ProofKey }, sealed.ErrWrongKey, "k"},
		"another user's":          {func(_, _, others *auth.Record) []byte { return others.ProofKey }, sealed.ErrWrongKey, "k"},
		"a changed byte":          {func(_, now, _ *auth.Record) []byte { now.ProofKey[len(now.ProofKey)-1] ^= 1; return now.ProofKey }, sealed.ErrWrongKey, "k"},
		"cut off":                 {func(_, now, _ *auth.Record) []byte { return now.ProofKey[:25] }, sealed.ErrWrongKey, "k"},
		"another key's name": {func(_, now, _ *auth.Record) []byte {
			return bytes.Replace(now.ProofKey, []byte(" k\n"), []byte(" j\n"), 1)
		}, sealed.ErrWrongKey, "j"},
		"an unknown key's name": {func(_, now, _ *auth.Record) []byte {
			return bytes.Replace(now.ProofKey, []byte(" k\n"), []byte(" x\n"), 1)
		}, sealed.ErrUnknownKey, "x"},
		"a name that is none": {func(*auth.Record, *auth.Record, *auth.Record) []byte {
			return []byte("mcptokens-sealed 1 \x1b[2J\nabc")
		}, sealed.ErrUnsealed, ""},
		"another format's number": {func(_, now, _ *auth.Record) []byte {
			return bytes.Replace(now.ProofKey, []byte(" 1 "), []byte(" 01 "), 1)
		}, sealed.ErrUnsealed, ""},
		"nothing":                          {func(*auth.Record, *auth.Record, *auth.Record) []byte { return nil }, sealed.ErrUnsealed, ""},
		"something that nobody has sealed": {func(*auth.Record, *auth.Record, *auth.Record) []byte { return []byte("{}") }, sealed.ErrUnsealed, ""},
	} {
		t.Run(name, func(t *testing.T) {
			below := &planting{MemoryStore: new(auth.MemoryStore)}
			s := seal(t, below, newKey(t, "k", 1), newKey(t, "j", 2))
			load := func(at auth.Key) *auth.Record {
				t.Helper()
				r, err := below.Load(t.Context(), at)
				if err != nil {
					t.Fatal(err)
				}
				return r
			}
			if _, err := s.Save(t.Context(), other, record(0, "mallory's")); err != nil {
				t.Fatal(err)
			}
			others := load(atOther)
			g := mustSave(t, s, record(0, "first"))
			first := load(at)
			mustSave(t, s, record(g, "second"))
			now := load(at)
			if err := below.Delete(t.Context(), atOther, others.Generation); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Load(t.Context(), key); err != nil {
				t.Fatal(err) // untouched, it opens
			}
			below.planted = append([]byte{}, tc.tamper(first, now, others)...)
			refuses(t, s, tc.id, tc.want)
		})
	}
}

// A record with a token that nobody has sealed is not used either.
func TestPlantedRecord(t *testing.T) {
	below := new(auth.MemoryStore)
	if _, err := below.Save(t.Context(), at, record(0, "mallory's")); err != nil {
		t.Fatal(err)
	}
	_, err := seal(t, below, newKey(t, "k", 1)).Load(t.Context(), key)
	if !errors.Is(err, sealed.ErrUnsealed) || strings.Contains(err.Error(), secret) {
		t.Errorf("Load: %v", err)
	}
}

func TestWrongSecret(t *testing.T) {
	below := new(auth.MemoryStore)
	mustSave(t, seal(t, below, newKey(t, "k", 1)), record(0, "first"))
	refuses(t, seal(t, below, newKey(t, "k", 2)), "k", sealed.ErrWrongKey)
}

// What the error names is enough to remove the record and begin again.
func TestDeleteWhatDoesNotOpen(t *testing.T) {
	below := new(auth.MemoryStore)
	mustSave(t, seal(t, below, newKey(t, "k", 1)), record(0, "first"))
	s := seal(t, below, newKey(t, "k", 2))
	_, err := s.Load(t.Context(), key)
	var failed *sealed.Error
	if !errors.As(err, &failed) {
		t.Fatal(err)
	}
	if err := below.Delete(t.Context(), failed.Stored, failed.Generation); err != nil {
		t.Fatal(err)
	}
	mustSave(t, s, record(0, "again"))
}

// A process that dies between the two saves of a first record leaves a number
// and no record. The next one goes on from there.
func TestDiedBetweenTheSaves(t *testing.T) {
	below := &dying{MemoryStore: new(auth.MemoryStore), left: 1}
	s := seal(t, below, newKey(t, "k", 1))
	if _, err := s.Save(t.Context(), key, record(0, "first")); !errors.Is(err, errDied) {
		t.Fatalf("Save: %v", err)
	}
	left, err := below.Load(t.Context(), at)
	if err != nil || strings.Contains(string(left.ProofKey), "k\n") {
		t.Fatalf("it left %v, %v", left, err)
	}
	below.left = 10
	if _, err := s.Load(t.Context(), key); !errors.Is(err, auth.ErrNotFound) {
		t.Errorf("Load: %v", err)
	}
	if err := s.Delete(t.Context(), key, left.Generation+5); err != nil {
		t.Errorf("Delete of what is not there: %v", err)
	}
	for entry, err := range s.(auth.Lister).List(t.Context()) {
		t.Errorf("List: %+v, %v", entry, err)
	}
	g := mustSave(t, s, record(0, "second"))
	if _, err := s.Save(t.Context(), key, record(0, "third")); !errors.Is(err, auth.ErrConflict) {
		t.Errorf("Save over it: %v", err)
	}
	if r, err := s.Load(t.Context(), key); err != nil || r.Generation != g || r.Token.AccessToken != "second" {
		t.Errorf("Load: %v, %v", r, err)
	}
}

func TestMiscounting(t *testing.T) {
	s := seal(t, miscounting{new(auth.MemoryStore)}, newKey(t, "k", 1))
	if _, err := s.Save(t.Context(), key, record(0, "first")); !errors.Is(err, sealed.ErrMiscounted) {
		t.Errorf("Save: %v", err)
	}
}

func TestKeys(t *testing.T) {
	for id, ok := range map[string]bool{
		"2026-11": true, "a": true, "K.1_b": true, strings.Repeat("x", 32): true,
		"": false, " ": false, "a b": false, "a\n": false, "\u00e9": false, strings.Repeat("x", 33): false,
	} {
		if _, err := sealed.NewKey(id, make([]byte, 32)); (err == nil) != ok {
			t.Errorf("ID %q: %v", id, err)
		}
	}
	for _, n := range []int{0, 16, 24, 31, 33} {
		if _, err := sealed.NewKey("k", make([]byte, n)); err == nil || !strings.Contains(err.Error(), "32 random bytes") {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	below := new(auth.MemoryStore)
	if _, err := sealed.New(below, sealed.Key{}); err == nil {
		t.Error("a zero Key was taken")
	}
	if _, err := sealed.New(below, newKey(t, "k", 1), sealed.Key{}); err == nil {
		t.Error("a zero older Key was taken")
	}
	if _, err := sealed.New(below, newKey(t, "k", 1), newKey(t, "k", 2)); err == nil {
		t.Error("two keys of one ID were taken")
	}
}

// A key that is printed, in whatever it is, tells no secret.
func TestKeyIsNotPrinted(t *testing.T) {
	k, err := sealed.NewKey("k", []byte("planted-secret-of-the-sealed-key"))
	if err != nil {
		t.Fatal(err)
	}
	type nested struct {
		keys []sealed.Key
		By   map[string]*sealed.Key
	}
	var out strings.Builder
	log := slog.New(slog.NewJSONHandler(&out, nil))
	for _, v := range []any{k, &k, nested{[]sealed.Key{k}, map[string]*sealed.Key{"k": &k}}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
			fmt.Fprintf(&out, verb, v)
		}
		log.Info("key", "key", v)
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(data)
	}
	for _, hidden := range []string{"planted", fmt.Sprintf("%x", "planted"), fmt.Sprintf("%d", []byte("plant"))[1:20]} {
		if strings.Contains(out.String(), hidden) {
			t.Errorf("%q was printed", hidden)
		}
	}
}

// A sealed store can do what the one below can, and says so: a lock that is good
// for minutes is one of a store that has them.
func TestAbilities(t *testing.T) {
	k := newKey(t, "k", 1)
	mini := miniredis.RunT(t)
	client := redis.NewClient(&redis.Options{Addr: mini.Addr()})
	hinting := redisstore.New(client)
	t.Cleanup(func() { _ = hinting.Close(); _ = client.Close() })
	type noHints struct {
		auth.Store
		auth.Leaser
	}
	type noLeaser struct {
		auth.Store
		auth.Watcher
	}
	for name, tc := range map[string]struct {
		below         auth.Store
		leases, hints bool
	}{
		"neither": {below: struct{ auth.Store }{new(auth.MemoryStore)}},
		"leases":  {below: noHints{new(auth.MemoryStore), new(auth.MemoryStore)}, leases: true},
		"hints":   {below: noLeaser{new(auth.MemoryStore), hinting}, hints: true},
		"both":    {below: hinting, leases: true, hints: true},
	} {
		s := seal(t, tc.below, k)
		_, leases := s.(auth.Leaser)
		_, hints := s.(auth.Watcher)
		if leases != tc.leases || hints != tc.hints {
			t.Errorf("%s: leases %v, hints %v", name, leases, hints)
		}
	}
}
