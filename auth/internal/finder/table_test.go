package finder

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func newTable() *table[string, int] { return &table[string, int]{clock: new(atomic.Uint32)} }

// Callers that wait for another's request do not fail because that one's context ends: the
// next asks. Its error is theirs when it is the server's.
func TestTableIsAskedForByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table, w := newTable(), wanted{age: time.Minute}
		var asked atomic.Int32
		slowly := func(ctx context.Context) (int, error) {
			n := int(asked.Add(1))
			select {
			case <-time.After(10 * time.Second):
				return n, nil
			case <-ctx.Done():
				return 0, ctx.Err()
			}
		}
		hasty, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		errs := make(chan error, 3)
		go func() {
			_, err := table.get(hasty, "owner", "a", w, slowly)
			errs <- err
		}()
		synctest.Wait()
		for range 2 {
			go func() {
				v, err := table.get(t.Context(), "owner", "a", w, slowly)
				if v != 2 {
					t.Errorf("got %d", v)
				}
				errs <- err
			}()
		}
		if err := <-errs; !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if err := errors.Join(<-errs, <-errs); err != nil || asked.Load() != 2 {
			t.Errorf("asked %d times: %v", asked.Load(), err)
		}

		broken := errors.New("broken")
		asked.Store(0)
		for range 3 {
			go func() {
				_, err := table.get(t.Context(), "owner", "b", w, func(context.Context) (int, error) {
					asked.Add(1)
					time.Sleep(time.Second)
					return 0, broken
				})
				errs <- err
			}()
		}
		for range 3 {
			if err := <-errs; err != broken {
				t.Error(err)
			}
		}
		if _, known := table.known("owner", "b", w); asked.Load() != 1 || known {
			t.Errorf("asked %d times", asked.Load())
		}
	})
}

// Who waits leaves by its own context.
func TestWaiterLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table, w := newTable(), wanted{age: time.Minute}
		done := make(chan error, 1)
		go func() {
			_, err := table.get(t.Context(), "owner", "a", w, func(context.Context) (int, error) { time.Sleep(time.Minute); return 1, nil })
			done <- err
		}()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if _, err := table.get(ctx, "owner", "a", w, nil); err != context.DeadlineExceeded || time.Since(start) != time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// An answer that was asked for too early does not serve who wants a newer one.
func TestWaiterWantsANewerAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newTable()
		ask := func(v int) func(context.Context) (int, error) {
			return func(context.Context) (int, error) { time.Sleep(time.Second); return v, nil }
		}
		done := make(chan error, 1)
		go func() {
			_, err := table.get(t.Context(), "owner", "a", wanted{age: time.Minute}, ask(1))
			done <- err
		}()
		synctest.Wait()
		if v, err := table.get(t.Context(), "owner", "a", wanted{time.Minute, table.clock.Load()}, ask(2)); v != 2 || err != nil {
			t.Errorf("got %d, %v", v, err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// A transport that panics takes nobody along.
func TestAskPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table, w := newTable(), wanted{age: time.Minute}
		recovered := make(chan any, 1)
		go func() {
			defer func() { recovered <- recover() }()
			_, _ = table.get(t.Context(), "owner", "a", w, func(context.Context) (int, error) { time.Sleep(time.Second); panic("transport") })
		}()
		synctest.Wait()
		if v, err := table.get(t.Context(), "owner", "a", w, func(context.Context) (int, error) { return 2, nil }); v != 2 || err != nil {
			t.Errorf("%d, %v", v, err)
		}
		if r := <-recovered; r != "transport" {
			t.Errorf("recovered %v", r)
		}
	})
}

// What was known survives a request that fails.
func TestFailureKeepsWhatWasKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newTable()
		give := func(v int, err error) func(context.Context) (int, error) {
			return func(context.Context) (int, error) { return v, err }
		}
		if _, err := table.get(t.Context(), "owner", "a", wanted{age: time.Minute}, give(1, nil)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if _, err := table.get(t.Context(), "owner", "a", wanted{age: time.Minute}, give(0, errRefused)); err != errRefused {
			t.Error(err)
		}
		if v, ok := table.known("owner", "a", wanted{age: anyAge}); v != 1 || !ok {
			t.Errorf("known: %d, %v", v, ok)
		}
		table.forget(func(v int) bool { return v == 2 })
		if _, ok := table.known("owner", "a", wanted{age: anyAge}); !ok {
			t.Error("forgot another one")
		}
		table.forget(func(v int) bool { return v == 1 })
		if _, ok := table.known("owner", "a", wanted{age: anyAge}); ok {
			t.Error("not forgotten")
		}
	})
}

// Addresses that challenges and documents make up do not fill the memory.
func TestTablesAreBounded(t *testing.T) {
	table := newTable()
	for i := range 10 * maxEntries {
		v, err := table.get(t.Context(), strconv.Itoa(i/2), strconv.Itoa(i), wanted{age: time.Minute}, func(context.Context) (int, error) { return i, nil })
		if v != i || err != nil {
			t.Fatal(v, err)
		}
	}
	if n := len(table.entries); n != maxEntries {
		t.Errorf("%d entries", n)
	}
	// To replace one pushes no other out.
	for k := range table.entries {
		if _, err := table.get(t.Context(), "owner", k, wanted{}, func(context.Context) (int, error) { return 0, nil }); err != nil {
			t.Fatal(err)
		}
		break
	}
	if n := len(table.entries); n != maxEntries {
		t.Errorf("%d entries", n)
	}

	bubble(t, func(t *testing.T, w *web) {
		f := w.finder(Config{})
		for i := range 2 * maxEntries {
			q := Query{Resource: fmt.Sprintf("https://mcp%d.example/mcp", i), Metadata: fmt.Sprintf("https://mcp.example/%d", i)}
			if _, err := f.Find(t.Context(), q); err != nil {
				t.Fatal(err)
			}
		}
		if len(f.homes) > maxEntries || len(f.resources.entries) > maxEntries || len(f.servers.entries) > maxEntries {
			t.Errorf("%d homes, %d resources, %d servers", len(f.homes), len(f.resources.entries), len(f.servers.entries))
		}
	})
}

// A resource that names ever new addresses pushes out its own entries, and not those of
// others: neither what they alone asked for nor what it has named as well.
func TestOneResourceDoesNotPushOutOthers(t *testing.T) {
	give := func(context.Context) (int, error) { return 1, nil }
	for name, honest := range map[string]int{"room for all": 100, "a full table": maxEntries - 1, "a very full one": 2 * maxEntries} {
		t.Run(name, func(t *testing.T) {
			table, w := newTable(), wanted{age: time.Minute}
			ask := func(owner, key string) {
				if _, err := table.get(t.Context(), owner, key, w, give); err != nil {
					t.Fatal(err)
				}
			}
			for i := range honest {
				ask(fmt.Sprint("honest-", i), fmt.Sprint("honest-", i))
			}
			ask("hostile", "its own")
			if honest < maxEntries-1 { // a server that the hostile one named first
				ask("hostile", "of both")
				ask("honest-0", "of both")
			}
			before := maps.Clone(table.entries)
			delete(before, "its own")
			for key := range before { // an authorization server, for instance
				ask("hostile", key)
				break
			}
			for i := range 10 * maxEntries {
				ask("hostile", fmt.Sprint("hostile-", i))
			}
			for key, e := range before {
				if table.entries[key] != e {
					t.Fatalf("%s was pushed out", key)
				}
			}
			if n := len(table.entries); n > max(maxEntries, len(before)+1) || n > len(before)+maxOwned {
				t.Errorf("%d entries", n)
			}
		})
	}

	bubble(t, func(t *testing.T, w *web) {
		f := w.finder(Config{})
		if _, err := f.Find(t.Context(), query()); err != nil {
			t.Fatal(err)
		}
		w.requested()
		for i := range 2 * maxEntries {
			q := Query{Resource: "https://hostile.example/mcp", Metadata: fmt.Sprintf("https://hostile.example/%d", i)}
			_, _ = f.Find(t.Context(), q)
		}
		if n := len(w.requested()); n < maxEntries {
			t.Errorf("%d requests for the hostile one", n)
		}
		if _, err := f.Find(t.Context(), query()); err != nil {
			t.Error(err)
		}
		if again := w.requested(); len(again) != 0 {
			t.Errorf("what was known is asked for again: %q", again)
		}
	})
}

// Of a document only what matters is kept, and of that not more than could be used.
func TestSummaryIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T, w *web) {
		var issuers []string
		for i := range 200 {
			issuers = append(issuers, fmt.Sprintf("https://as%d.example/%s", i, strings.Repeat("x", i%2*maxIssuer)))
		}
		scopes := make([]string, 100)
		for i := range scopes {
			scopes[i] = fmt.Sprintf(`"%d%s"`, i, strings.Repeat("x", 1000))
		}
		w.set(atMCP, page{body: fmt.Sprintf(`{"resource":%q,"authorization_servers":["%s"],"scopes_supported":[%s]}`, mcp, strings.Join(issuers, `","`), strings.Join(scopes, ","))})
		f := w.finder(Config{})
		l, err := f.resource(t.Context(), query(), wanted{age: freshMetadata})
		if err != nil {
			t.Fatal(err)
		}
		if len(l.issuers) != maxIssuers || l.scopes != nil {
			t.Errorf("%d issuers, %d scopes", len(l.issuers), len(l.scopes))
		}
		for _, issuer := range l.issuers {
			if len(issuer) > maxIssuer {
				t.Errorf("an issuer of %d bytes", len(issuer))
			}
		}
	})
}

// A hundred managers ask for each document once, whatever they want it for.
func TestManagersShare(t *testing.T) {
	bubble(t, func(t *testing.T, w *web) {
		slow := resourceDoc(asOne)
		slow.delay = time.Second
		w.set(atMCP, slow)
		slow = serverDoc(asOne)
		slow.delay = time.Second
		w.set(asOne+wellKnown, slow)
		f := w.finder(Config{})
		for round := range 3 {
			since := f.Now()
			var wg sync.WaitGroup
			for range 100 {
				wg.Go(func() {
					q := of(asOne)
					q.Since = since
					if err := f.Moved(t.Context(), q); err != nil {
						t.Errorf("round %d: %v", round, err)
					}
					if p, err := f.Find(t.Context(), q); err != nil || p.Server.Issuer != asOne {
						t.Errorf("round %d: %v", round, err)
					}
				})
			}
			wg.Wait()
			wantRequests(t, w, atMCP, asOne+wellKnown)
		}
	})
}
