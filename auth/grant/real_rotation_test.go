//go:build realservers

package grant_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/grant"
	"github.com/mcptokens/mcptokens/internal/realservers"
)

// Four managers on one store are four processes; sixteen callers each want a
// fresh token all the time. The server takes every reuse of a refresh token for
// theft and ends the grant.
func TestRealOIDCProviderRotation(t *testing.T) {
	const (
		processes = 4
		callers   = 16 // each
		rotations = 200
	)
	p := realservers.StartOIDCProvider(t, realservers.OIDCConfig{TokenTTL: 2 * time.Second})
	user := newRealUser(realservers.OpenBrowser(t))
	store := new(auth.MemoryStore)
	managers := make([]*auth.Manager, processes)
	for i := range managers {
		managers[i] = newRealManager(t, p, auth.Config{
			Store: store, Grant: grant.AuthorizationCode{UserAgent: user},
			NoIdleRefresh: true, // nothing happens while events are counted
		})
	}
	var first *auth.Token
	user.during(t, func() (err error) {
		first, err = managers[0].Authorize(t.Context())
		return err
	}, user.signIn)

	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	var (
		work sync.WaitGroup
		mu   sync.Mutex
		seen = map[string]bool{}
	)
	note := func(tok *auth.Token) (enough bool) {
		mu.Lock()
		defer mu.Unlock()
		seen[tok.AccessToken] = true
		return len(seen) > rotations
	}
	for _, m := range managers {
		for range callers {
			work.Go(func() {
				for enough := false; !enough; {
					if _, err := m.Token(ctx); err != nil {
						t.Error(err)
						cancel()
						return
					}
					tok, err := m.Refresh(ctx)
					if err != nil {
						t.Error(err)
						cancel()
						return
					}
					enough = note(tok)
				}
			})
		}
	}
	work.Wait()
	if t.Failed() {
		t.FailNow()
	}

	events := p.Events()
	got := events["refresh_token.consumed"]
	t.Logf("%d rotations", got)
	if got < rotations {
		t.Errorf("%d rotations, want %d", got, rotations)
	}
	if issued := events["access_token.saved"]; issued != got+1 {
		t.Errorf("%d access tokens for %d rotations", issued, got)
	}
	wantEvents(t, p, map[string]int{"grant.revoked": 0})
	if in := mustCall(t, p, managers[1]); in.Subject != "alice" {
		t.Errorf("the last token says %+v", in)
	}

	// The server would have noticed: this is what a reuse does.
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {first.RefreshToken}, "client_id": {managers[0].Info().ClientID}}
	resp, err := p.HTTPClient().PostForm(p.Issuer+"/token", form)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if n := p.Events()["grant.revoked"]; resp.StatusCode != http.StatusBadRequest || n != 1 {
		t.Errorf("a spent refresh token got %s and revoked %d grants", resp.Status, n)
	}
	for err = nil; err == nil; { // it may have to adopt a newer token first
		_, err = managers[0].Refresh(ctx)
	}
	if !errors.Is(err, auth.ErrNoToken) {
		t.Errorf("Refresh after a theft: %v, want ErrNoToken", err)
	}
}
