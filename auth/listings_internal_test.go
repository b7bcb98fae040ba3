package auth

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

// Those who wait for somebody else's request do not fail because he leaves: the
// next of them asks. His error is theirs, when it is the server's.
func TestListingsAreAskedForByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d directory
		var table listings[string, int]
		w := wanted{age: time.Minute}
		asked := 0
		slowly := func(ctx context.Context) (int, error) {
			asked++
			select {
			case <-time.After(10 * time.Second):
				return asked, nil
			case <-ctx.Done():
				return 0, ctx.Err()
			}
		}
		hasty, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		errs := make(chan error, 3)
		go func() {
			_, err := table.get(hasty, &d, "a", w, slowly)
			errs <- err
		}()
		synctest.Wait()
		for range 2 {
			go func() {
				v, err := table.get(t.Context(), &d, "a", w, slowly)
				if v != 2 {
					t.Errorf("got %d", v)
				}
				errs <- err
			}()
		}
		if err := <-errs; !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if err := errors.Join(<-errs, <-errs); err != nil || asked != 2 {
			t.Errorf("asked %d times: %v", asked, err)
		}

		broken, asked := errors.New("broken"), 0
		for range 3 {
			go func() {
				_, err := table.get(t.Context(), &d, "b", w, func(context.Context) (int, error) {
					asked++
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
		if _, known := table.known("b", w); asked != 1 || known {
			t.Errorf("asked %d times", asked)
		}
	})
}

// Addresses that challenges make up do not fill the memory.
func TestListingsAreBounded(t *testing.T) {
	var d directory
	var table listings[string, int]
	for i := range 10 * maxListings {
		if v, err := table.get(t.Context(), &d, strconv.Itoa(i), wanted{age: time.Minute}, func(context.Context) (int, error) { return i, nil }); v != i || err != nil {
			t.Fatal(v, err)
		}
	}
	if n := len(table.table); n != maxListings {
		t.Errorf("%d listings", n)
	}
}
