package keyringstore

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/store"
)

// Whatever its size, a record keeps to the limits of the platforms, or is
// refused as a whole.
func TestSizes(t *testing.T) {
	for name, limit := range map[string]func(int, string, string, string, string) error{"windows": windowsLimit, "darwin": macLimit} {
		for what, service := range map[string]string{"short": "s", "long": strings.Repeat("'", 128)} {
			t.Run(name+" "+what, func(t *testing.T) {
				ring := &fake{refuse: limit}
				s, err := open(ring, service, WithLockDir(t.TempDir()))
				if err != nil {
					t.Fatal(err)
				}
				var g uint64
				for _, size := range []int{0, 1, 1000, 1500, 1600, 1700, 1800, 3000, 10_000, 50_000, 57_000, 10} {
					r := record(g, strings.Repeat("x", size))
					g = mustSave(t, s, r)
					mustLoad(t, s, r)
				}
				before := ring.names()
				_, err = s.Save(t.Context(), key, record(g, strings.Repeat("x", 60_000)))
				if !errors.Is(err, ErrTooLarge) || !strings.Contains(err.Error(), "too large") {
					t.Errorf("Save of what is too large: %v", err)
				}
				if after := ring.names(); len(before) != 1 || len(after) != 1 {
					t.Errorf("entries: %q, then %q", before, after)
				}
			})
		}
	}
}

// Whoever dies while writing leaves the old record or the new one, and nothing
// that stays forever.
func TestDiesWhileWriting(t *testing.T) {
	died := errors.New("died")
	for name, step := range map[string]struct{ before, after *auth.Record }{
		"small to small": {record(0, "old"), record(0, "new")},
		"small to large": {record(0, "old"), large(0, "new")},
		"large to small": {large(0, "old"), record(0, "new")},
		"large to large": {large(0, "old"), large(0, "new")},
		"deletion":       {large(0, "old"), nil},
	} {
		t.Run(name, func(t *testing.T) {
			for n, finished := 1, false; !finished; n++ {
				dir, ring := t.TempDir(), &fake{}
				s := newStore(t, ring, dir)
				g := mustSave(t, s, step.before)
				start := ring.calls
				ring.refuse = func(call int, _, _, _, _ string) error {
					if call >= start+n {
						return died
					}
					return nil
				}
				var err error
				if step.after == nil {
					err = s.Delete(t.Context(), key, g)
				} else {
					r := *step.after
					r.Generation = g
					_, err = s.Save(t.Context(), key, &r)
				}
				finished = ring.calls < start+n
				ring.always(nil)

				s = newStore(t, ring, dir)
				now, loadErr := s.Load(t.Context(), key)
				switch {
				case errors.Is(loadErr, auth.ErrNotFound) && step.after == nil:
					now = &auth.Record{}
				case loadErr != nil:
					t.Fatalf("died at call %d: Load: %v", n, loadErr)
				case (now.Generation == g) != (now.Token.AccessToken == step.before.Token.AccessToken):
					t.Fatalf("died at call %d: the record is neither the old one nor the new one", n)
				case err == nil && now.Generation == g:
					t.Fatalf("died at call %d: it was done, and was not", n)
				}
				last, err := s.Save(t.Context(), key, record(now.Generation, "last"))
				if err != nil {
					t.Fatalf("died at call %d: Save: %v", n, err)
				}
				if err := s.Delete(t.Context(), key, last); err != nil {
					t.Fatalf("died at call %d: Delete: %v", n, err)
				}
				if left := ring.names(); len(left) != 0 {
					t.Fatalf("died at call %d: %q are left", n, left)
				}
			}
		})
	}
}

// A record that cannot be read is reported once and moved aside; one that is
// too new stays.
func TestDamaged(t *testing.T) {
	id := key.ID()
	entry := func(name string) string { return "service/" + id + name }
	other := key
	other.Subject = "another"
	for name, tc := range map[string]struct {
		damage func(f *fake)
		want   error
	}{
		"garbage":         {func(f *fake) { f.entries[entry("")] = secret }, store.ErrCorrupt},
		"empty":           {func(f *fake) { f.entries[entry("")] = "" }, store.ErrCorrupt},
		"huge":            {func(f *fake) { f.entries[entry("")] = strings.Repeat("x", 10_000) }, store.ErrCorrupt},
		"no generation":   {func(f *fake) { f.entries[entry("")] = `{"v":1}` }, store.ErrCorrupt},
		"strange slot":    {func(f *fake) { f.entries[entry("")] = `{"v":1,"generation":1,"slot":"z","parts":2}` }, store.ErrCorrupt},
		"many parts":      {func(f *fake) { f.entries[entry("")] = `{"v":1,"generation":1,"slot":"a","parts":999}` }, store.ErrCorrupt},
		"no base64":       {func(f *fake) { f.entries[entry("")] = `{"v":1,"generation":1,"data":"!"}` }, store.ErrCorrupt},
		"no record":       {func(f *fake) { f.entries[entry("")] = `{"v":1,"generation":1,"data":"aGVsbG8="}` }, store.ErrCorrupt},
		"another's":       {func(f *fake) { f.entries[entry("")] = f.entries["service/"+other.ID()] }, store.ErrCorrupt},
		"part is gone":    {func(f *fake) { delete(f.entries, entry(".a.1")) }, store.ErrCorrupt},
		"part is changed": {func(f *fake) { f.entries[entry(".a.1")] = secret }, store.ErrCorrupt},
		"part is another": {func(f *fake) { f.entries[entry(".a.1")] = strings.Repeat("aGVsbG8g", maxEntry/8) }, store.ErrCorrupt},
		"newer layout":    {func(f *fake) { f.entries[entry("")] = `{"v":2}` }, store.ErrNewer},
		"newer record":    {func(f *fake) { f.entries[entry("")] = `{"v":1,"generation":1,"data":"eyJ2ZXJzaW9uIjo5OX0="}` }, store.ErrNewer},
	} {
		t.Run(name, func(t *testing.T) {
			ring := &fake{}
			s := newStore(t, ring, t.TempDir())
			g := mustSave(t, s, large(0, "first"))
			if _, err := s.Save(t.Context(), other, record(0, "another's")); err != nil {
				t.Fatal(err)
			}
			tc.damage(ring)
			damaged := ring.entries[entry("")]
			if _, err := s.Save(t.Context(), key, record(0, "mine")); err == nil {
				t.Error("Save overwrote it")
			}
			if err := s.Delete(t.Context(), key, 2); err == nil {
				t.Error("Delete removed it")
			}
			_, err := s.Load(t.Context(), key)
			var failed *Error
			if !errors.Is(err, tc.want) || !errors.As(err, &failed) || failed.Op != "load" || !permanent(err) || strings.Contains(err.Error(), secret) {
				t.Fatalf("Load: %v, want %v", err, tc.want)
			}
			if tc.want == store.ErrNewer {
				if _, err := s.Load(t.Context(), key); !errors.Is(err, tc.want) || ring.entries[entry("")] != damaged {
					t.Errorf("Load again: %v; or it was changed", err)
				}
				return
			}
			if aside := ring.entries[entry(".corrupt")]; aside != damaged[:min(len(damaged), maxEntry)] {
				t.Errorf("moved aside: %q, was %q", aside, damaged)
			}
			if _, err := s.Load(t.Context(), key); !errors.Is(err, auth.ErrNotFound) {
				t.Errorf("Load again: %v", err)
			}
			if after := mustSave(t, s, record(0, "again")); after <= g {
				t.Errorf("generation %d after %d", after, g)
			}
			mustLoad(t, s, record(0, "again"))
		})
	}
}

// A keyring that fails while a record is moved aside has not lost it.
func TestDamagedAndFailing(t *testing.T) {
	failing := errors.New("failing")
	for _, op := range []string{"set", "delete"} {
		ring := &fake{entries: map[string]string{"service/" + key.ID(): "garbage"}}
		s := newStore(t, ring, t.TempDir())
		ring.refuse = func(_ int, o, _, _, _ string) error {
			if o == op {
				return failing
			}
			return nil
		}
		if _, err := s.Load(t.Context(), key); !errors.Is(err, failing) {
			t.Errorf("Load when %s fails: %v", op, err)
		}
		if ring.entries["service/"+key.ID()] != "garbage" {
			t.Error("it is gone")
		}
	}
}

// Readers take no lock, and yet never see half of a record.
func TestReadersAndWriter(t *testing.T) {
	dir, ring := t.TempDir(), &fake{}
	s := newStore(t, ring, dir)
	g := mustSave(t, s, large(0, "first"))
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 4 {
		reader := newStore(t, ring, dir)
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := reader.Load(t.Context(), key); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 100 {
		g = mustSave(t, s, large(g, "next"))
	}
	close(stop)
	readers.Wait()
}

// Some keyrings fail without saying so.
func TestWritesAreChecked(t *testing.T) {
	ring := &fake{}
	s := newStore(t, ring, t.TempDir())
	g := mustSave(t, s, record(0, "first"))
	ring.forget = true
	if _, err := s.Save(t.Context(), key, record(g, "second")); err == nil || !strings.Contains(err.Error(), "did not keep") {
		t.Errorf("Save: %v", err)
	}
}

// permanent reports whether err says that it is, as [auth.Store] has it.
func permanent(err error) bool {
	var says interface{ Retryable() bool }
	return errors.As(err, &says) && !says.Retryable()
}
