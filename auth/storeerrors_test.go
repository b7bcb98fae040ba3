package auth_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	records "github.com/mcptokens/mcptokens/auth/store"
)

// A store's error that says it is for good is not met again and again, and one
// that does not say so is tried again.
func TestPermanentStoreErrors(t *testing.T) {
	for _, tt := range []struct {
		name      string
		err       error
		permanent bool
	}{
		{"written by a newer version", records.ErrNewer, true},
		{"corrupt", fmt.Errorf("file x: %w", records.ErrCorrupt), true},
		{"another", errDisk, false},
	} {
		for op, set := range map[string]func(s *store){
			"load": func(s *store) { s.fail(tt.err, nil, nil) },
			"lock": func(s *store) { s.fail(nil, nil, tt.err) },
		} {
			t.Run(tt.name+", "+op, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					k, s := newKit(t, authtest.Config{}, authtest.Protection{}), new(store)
					cfg := k.onDemand()
					cfg.Store = s
					m, _ := k.started(cfg)
					set(s)
					began, before := time.Now(), s.loads+s.locks
					_, err := m.Refresh(t.Context())
					se := asError[*auth.StoreError](t, err)
					took, asked := time.Since(began), s.loads+s.locks-before
					if se.Op != op || !errors.Is(err, tt.err) || tt.permanent && (took != 0 || asked > 3 /* a corrupt record is read again once */) || !tt.permanent && (took < time.Second || asked < 4) {
						t.Errorf("%v after %v and %d calls of the store", err, took, asked)
					}
					k.wantRefreshes(0)
				})
			})
		}
	}
}
