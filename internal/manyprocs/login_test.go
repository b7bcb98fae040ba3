package manyprocs

import (
	"errors"
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
)

// Whatever it is that processes need a person for, one window opens, and all go on
// with what the person granted.
func TestOneLoginForProcesses(t *testing.T) {
	t.Parallel()
	for name, at := range stores(t, time.Minute) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			oneLogin(t, at)
		})
	}
}

// oneLogin has four processes need a person. They share a store, one after the other
// for each reason.
func oneLogin(t *testing.T, at storeAt) {
	for name, run := range map[string]func(t *testing.T, f *fleet){
		// Nobody has a token.
		"first login": func(_ *testing.T, f *fleet) {
			f.empty()
			f.crowd()
		},
		// Neither a token nor a client: one registers.
		"first login, nobody is registered": func(t *testing.T, f *fleet) {
			f.job.Register = true
			f.crowd()
			if n := f.srv.Counts().Register; n != 1 {
				t.Errorf("%d registrations", n)
			}
		},
		// The token that all have is good, and not good enough.
		"step-up": func(_ *testing.T, f *fleet) {
			f.job.Method = moreMethod
			f.crowd()
		},
		// The server ends the session while all are at work.
		"revoked": func(_ *testing.T, f *fleet) {
			f.crowd()
			before := f.token().RefreshToken
			f.srv.RevokeAll()
			f.until("a login", func() bool {
				now := f.token().RefreshToken
				return now != "" && now != before
			})
			for _, p := range f.crew {
				f.expect(p, sayReady, mark(f.token()))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := loginFleet(t, at)
			run(t, f)
			f.stop()
			for _, e := range f.complaints() {
				t.Error(e)
			}
			if n := f.srv.Counts(); n.Authorize != 1 || n.ReusedRefreshTokens != 0 {
				t.Errorf("%d windows, %d refresh tokens sent twice", n.Authorize, n.ReusedRefreshTokens)
			}
		})
	}
}

// The one that asks the person is killed: another one asks.
func TestLoginOfAKilledProcess(t *testing.T) {
	t.Parallel()
	for name, at := range stores(t, 10*time.Second) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			loginIsTakenOver(t, at)
		})
	}
}

func loginIsTakenOver(t *testing.T, at storeAt) {
	f := loginFleet(t, at)
	f.empty()
	f.srv.Inject(authtest.AuthorizeEndpoint, authtest.Delay(10*patience)) // it is killed before the person answers
	first := f.start()
	f.until("a window", func() bool { return f.srv.Counts().Authorize == 1 })
	for range 3 {
		f.start()
	}
	f.kill(first)
	for _, p := range f.crew {
		f.await(p)
	}
	f.stop()
	if n := f.srv.Counts().Authorize; n != 2 {
		t.Errorf("%d windows", n)
	}
}

// loginFleet has workers that log in, a token in the store, and a person who takes a
// second.
func loginFleet(t *testing.T, at storeAt) *fleet {
	f := newFleet(t, at, false, authtest.Config{AccessTokenTTL: time.Hour})
	f.srv.InjectAlways(authtest.AuthorizeEndpoint, authtest.Delay(time.Second))
	f.job.Authorize = true
	return f
}

// empty takes the token out of the store.
func (f *fleet) empty() {
	f.t.Helper()
	r, err := f.view.Load(f.t.Context(), f.key())
	if err != nil {
		f.t.Fatal(err)
	}
	if err := f.view.Delete(f.t.Context(), f.key(), r.Generation); err != nil {
		f.t.Fatal(err)
	}
	if _, err := f.view.Load(f.t.Context(), f.key()); !errors.Is(err, auth.ErrNotFound) {
		f.t.Fatal(err)
	}
}

// crowd starts four workers at once and waits until all are ready.
func (f *fleet) crowd() {
	f.t.Helper()
	for range 4 {
		f.start()
	}
	for _, p := range f.crew {
		f.await(p)
	}
}

// token is the one that all should have.
func (f *fleet) token() *auth.Token {
	f.t.Helper()
	r, err := f.view.Load(f.t.Context(), f.key())
	if err != nil || r.Token == nil {
		f.t.Fatalf("stored is %v: %v", r, err)
	}
	return r.Token
}
