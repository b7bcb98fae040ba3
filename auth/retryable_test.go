package auth_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
)

// ownError is an error of another package that says whether to try again.
type ownError struct{ retryable bool }

func (ownError) Error() string     { return "the vault is sealed" }
func (e ownError) Retryable() bool { return e.retryable }

// A grant of somebody's own can say that its failure passes.
func TestRetryableErrorOfAGrant(t *testing.T) {
	tests := []struct {
		name  string
		err   error
		tries int
		works bool
	}{
		{"passes", ownError{true}, 3, true},
		{"passes, wrapped", errors.Join(errors.New("asking"), ownError{true}), 3, true},
		{"permanent", ownError{false}, 1, false},
		{"does not say", errors.New("the vault is sealed"), 1, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, authtest.Config{}, authtest.Protection{})
				tries := 0
				cfg := k.config()
				cfg.Grant = service{func(context.Context, *auth.Flow) (*auth.Token, error) {
					if tries++; tries < 3 {
						return nil, tt.err
					}
					return &auth.Token{AccessToken: "access"}, nil
				}}
				m := k.manager(cfg)
				if err := m.SetToken(t.Context(), &auth.Token{AccessToken: "old"}); err != nil {
					t.Fatal(err)
				}
				tok, err := m.Refresh(t.Context())
				if tries != tt.tries || (err == nil) != tt.works {
					t.Fatalf("%d tries, want %d: %v, %v", tries, tt.tries, tok, err)
				}
				if tt.works {
					return
				}
				e := asError[*auth.AuthorizationError](t, err)
				if want := "auth: authorization at " + k.srv.Issuer + ": the vault is sealed"; e.Error() != want || !errors.Is(err, tt.err) {
					t.Errorf("error %q, want %q", e, want)
				}
			})
		})
	}
}

// So can a store. What it does not say passes.
func TestRetryableErrorOfAStore(t *testing.T) {
	tests := []struct {
		name string
		err  error
		once bool
	}{
		{"permanent", ownError{false}, true},
		{"permanent, wrapped", errors.Join(errors.New("loading"), ownError{false}), true},
		{"passes", ownError{true}, false},
		{"does not say", errors.New("no connection"), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, authtest.Config{}, authtest.Protection{})
				s := new(store)
				cfg := k.config()
				cfg.Store, cfg.NoIdleRefresh = s, true
				m := k.manager(cfg)
				if err := m.SetToken(t.Context(), plantedToken()); err != nil {
					t.Fatal(err)
				}
				s.fail(tt.err, nil, nil)
				began := time.Now()
				_, err := m.Refresh(t.Context())
				if e := asError[*auth.StoreError](t, err); e.Op != "load" || !errors.Is(err, tt.err) {
					t.Errorf("error %v", err)
				}
				if took := time.Since(began); (took == 0) != tt.once {
					t.Errorf("it took %v; tried once: %v, want %v", took, took == 0, tt.once)
				}
				if n := k.srv.Counts().Token; n != 0 {
					t.Errorf("%d token requests without the store", n)
				}
				s.fail(nil, nil, nil)
			})
		})
	}
}
