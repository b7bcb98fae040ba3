package auth_test

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
)

// A hundred goroutines and every fault of the kit: everybody gets an answer,
// nobody gets a wrong token, no fault costs a login that a retry would have
// saved, and the authorization server never sees a refresh token again unless
// its answer was lost.
func TestEveryFault(t *testing.T) {
	scenarios := []struct {
		name string
		run  func(t *testing.T, fault authtest.Fault)
	}{
		{"at a refresh", func(t *testing.T, f authtest.Fault) { faultyRefresh(t, f, 10*time.Second, false) }},
		{"at a refresh without grace", func(t *testing.T, f authtest.Fault) { faultyRefresh(t, f, 0, false) }},
		{"at every refresh for a minute", func(t *testing.T, f authtest.Fault) { faultyRefresh(t, f, 10*time.Minute, true) }},
		{"at metadata after a restart", faultyRestart},
		{"at server metadata of a login", func(t *testing.T, f authtest.Fault) { faultyLogin(t, authtest.MetadataEndpoint, f) }},
		{"at resource metadata of a login", func(t *testing.T, f authtest.Fault) { faultyLogin(t, authtest.ResourceMetadataEndpoint, f) }},
	}
	for _, fault := range authtest.Faults() {
		t.Run(fault.String(), func(t *testing.T) {
			for _, s := range scenarios {
				t.Run(s.name, func(t *testing.T) {
					bubble(t, func(t *testing.T) { s.run(t, fault) })
				})
			}
		})
	}
}

// faultyRefresh: two managers share a store, their token has expired, and its
// refresh meets the fault once or for a minute.
func faultyRefresh(t *testing.T, fault authtest.Fault, grace time.Duration, lasting bool) {
	k := newKit(t, authtest.Config{RotationGrace: grace}, authtest.Protection{})
	cfg := k.onDemand()
	cfg.Grant, cfg.Store = k.login(), new(auth.MemoryStore)
	a, old := k.started(cfg)
	b := k.manager(cfg)
	mustToken(t, b)
	expire(old)

	logins := 0
	if name := fault.String(); grace == 0 && (name == "ResetAfter()" || name == "Truncated()") {
		logins = 1 // the new refresh token is lost, and the old one is spent
	}
	if lasting {
		k.srv.InjectAlways(authtest.TokenEndpoint, fault)
		time.AfterFunc(time.Minute, func() { k.srv.ClearFaults(authtest.TokenEndpoint) })
	} else {
		k.srv.Inject(authtest.TokenEndpoint, fault)
	}
	k.everybodyCalls(a, b)
	k.wantNoRepeatedRefreshToken()
	if fault.String() == "OAuthError(invalid_request,400)" {
		return // the server's last word: who heard it asks the user, unless the other manager was luckier
	}
	k.wantLogins(logins)
	k.wantNoWrongTokens(fault, logins > 0)
}

// faultyRestart: what is stored has expired and the server's metadata, which
// is not stored, meets the fault.
func faultyRestart(t *testing.T, fault authtest.Fault) {
	k := newKit(t, authtest.Config{RotationGrace: 10 * time.Second}, authtest.Protection{})
	cfg := k.discovered()
	cfg.Store, cfg.NoIdleRefresh = new(auth.MemoryStore), true
	before := k.manager(cfg)
	tok, err := before.Authorize(t.Context())
	if err != nil {
		t.Fatalf("Authorize: %v", err)
	}
	if err := before.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	expire(tok)
	k.srv.Inject(authtest.MetadataEndpoint, fault)
	k.everybodyCalls(k.manager(cfg))
	k.wantLogins(1)
	k.wantNoWrongTokens(fault, false)
	k.wantNoRepeatedRefreshToken()
	if n := len(k.srv.Registrations()); n != 1 {
		t.Errorf("%d registrations, want 1", n)
	}
}

// faultyLogin: nothing is known yet, and the search for the server meets the
// fault.
func faultyLogin(t *testing.T, at authtest.Endpoint, fault authtest.Fault) {
	k := newKit(t, authtest.Config{}, authtest.Protection{})
	k.srv.Inject(at, fault)
	k.everybodyCalls(k.manager(k.discovered()))
	k.wantLogins(1)
	k.wantNoWrongTokens(fault, true)
	if n := len(k.srv.Registrations()); n != 1 {
		t.Errorf("%d registrations, want 1", n)
	}
}

// everybodyCalls lets 100 goroutines call the MCP server with tokens of these
// managers until each was let in.
func (k *kit) everybodyCalls(managers ...*auth.Manager) {
	k.t.Helper()
	began := time.Now()
	together(100, func(i int) {
		if err := k.callPatiently(managers[i%len(managers)]); err != nil {
			k.t.Errorf("caller %d was never let in: %v", i, err)
		}
	})
	if took := time.Since(began); took > 4*time.Minute {
		k.t.Errorf("the last caller was let in after %v", took)
	}
}

// callPatiently does what transport.RoundTripper does, and comes back when it
// was told to.
func (k *kit) callPatiently(m *auth.Manager) (err error) {
	for range 20 {
		if err = k.callOnce(m); err == nil {
			return nil
		}
		wait := 31 * time.Second // until a failed login is no longer remembered
		var te *auth.TokenError
		if errors.As(err, &te) && !te.NextAttempt.IsZero() {
			wait = time.Until(te.NextAttempt)
		}
		time.Sleep(wait)
	}
	return err
}

func (k *kit) callOnce(m *auth.Manager) error {
	tok, err := m.Token(k.t.Context())
	if err != nil && !errors.Is(err, auth.ErrNoToken) {
		return err
	}
	status := 0
	for range 3 {
		if status, err = k.present(tok); err != nil || status == http.StatusOK {
			return err
		}
		c := auth.Challenge{Status: status, ResourceMetadata: k.res.MetadataURL}
		if tok, err = m.Resolve(k.t.Context(), tok, c); err != nil {
			return err
		}
	}
	return fmt.Errorf("the MCP server answered %d", status)
}

// wantLogins fails the test unless the user was asked n times.
func (k *kit) wantLogins(n int) {
	k.t.Helper()
	if got := k.srv.Counts().Authorize; got != n {
		k.t.Errorf("%d logins, want %d", got, n)
	}
}

// wantNoWrongTokens looks at everything that the MCP server was shown.
func (k *kit) wantNoWrongTokens(fault authtest.Fault, beforeLogin bool) {
	k.t.Helper()
	for _, seen := range k.res.Seen() {
		switch seen.Verdict {
		case authtest.Accepted:
		case authtest.Missing:
			if !beforeLogin {
				k.t.Error("a request went out without a token")
			}
		case authtest.Revoked:
			if fault.String() != "ExpiredAtOnce()" {
				k.t.Error("a revoked token was used")
			}
		default:
			k.t.Errorf("the MCP server was shown a token that is %q", seen.Verdict)
		}
	}
}

// wantNoRepeatedRefreshToken looks at everything that the token endpoint was
// sent.
func (k *kit) wantNoRepeatedRefreshToken() {
	k.t.Helper()
	lost := map[string]int{}
	for _, r := range k.srv.TokenRequests() {
		if r.Processed && !r.Answered {
			lost[r.Form.Get("refresh_token")]++
		}
	}
	for token, uses := range k.srv.RefreshTokenUses() {
		if uses > 1+lost[token] {
			k.t.Errorf("a refresh token was used %d times, and %d answers were lost", uses, lost[token])
		}
	}
}
