package auth_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/dpop"
	"github.com/mcptokens/mcptokens/internal/dpoptest"
)

// dpopKit is a kit whose servers demand DPoP of its manager, which has a login
// and a store.
type dpopKit struct {
	*kit
	gate *dpoptest.Gate
	cfg  auth.Config
}

func newDPoPKit(t *testing.T, p authtest.Protection) *dpopKit {
	t.Helper()
	k := &dpopKit{kit: newKit(t, authtest.Config{}, p)}
	k.gate = &dpoptest.Gate{
		Base: k.srv.Transport(), TokenEndpoint: k.srv.Endpoint(authtest.TokenEndpoint), Resource: k.res.URL,
	}
	k.cfg = k.onDemand()
	k.cfg.HTTPClient = &http.Client{Transport: k.gate}
	k.cfg.Store = new(auth.MemoryStore)
	k.cfg.Grant = k.login()
	k.cfg.DPoP = dpop.Keys{}
	t.Cleanup(func() {
		if wrong := k.gate.Wrong(); len(wrong) > 0 {
			t.Errorf("what the servers object to:\n%s", strings.Join(wrong, "\n"))
		}
	})
	return k
}

// authorize is m.Authorize without an error.
func (k *dpopKit) authorize(m *auth.Manager) *auth.Token {
	k.t.Helper()
	tok, err := m.Authorize(k.t.Context())
	if err != nil {
		k.t.Fatalf("Authorize: %v", err)
	}
	return tok
}

// refresh is m.Refresh without an error.
func (k *dpopKit) refresh(m *auth.Manager) *auth.Token {
	k.t.Helper()
	tok, err := m.Refresh(k.t.Context())
	if err != nil {
		k.t.Fatalf("Refresh: %v", err)
	}
	return tok
}

// wantAccepted presents a token and a proof to the MCP server.
func (k *dpopKit) wantAccepted(tok *auth.Token) {
	k.t.Helper()
	if tok.TokenType != "DPoP" || !strings.HasPrefix(tok.Authorization(), "DPoP ") {
		k.t.Fatalf("the token is %v, want one of type DPoP", tok)
	}
	proof, err := tok.Proof(k.t.Context(), http.MethodPost, k.res.URL)
	if err != nil {
		k.t.Fatalf("Proof: %v", err)
	}
	req, err := http.NewRequestWithContext(k.t.Context(), http.MethodPost, k.res.URL, strings.NewReader(`{}`))
	if err != nil {
		k.t.Fatal(err)
	}
	req.Header.Set("Authorization", tok.Authorization())
	req.Header.Set("DPoP", proof)
	resp, err := k.cfg.HTTPClient.Do(req)
	if err != nil {
		k.t.Fatal(err)
	}
	_ = resp.Body.Close()
	tok.ObserveNonce(k.res.URL, resp.Header)
	if resp.StatusCode != http.StatusOK {
		k.t.Errorf("the MCP server answered %d %s", resp.StatusCode, resp.Header.Get("WWW-Authenticate"))
	}
}

// wantTokenNonces fails the test unless proofs with these nonces arrived at the
// token endpoint, all of one key.
func (k *dpopKit) wantTokenNonces(want ...string) {
	k.t.Helper()
	if got := k.gate.Nonces(k.gate.TokenEndpoint); !slices.Equal(got, want) {
		k.t.Errorf("nonces at the token endpoint: %q, want %q", got, want)
	}
	all := k.gate.At(k.gate.TokenEndpoint)
	for _, p := range all {
		if p.Thumbprint != all[0].Thumbprint {
			k.t.Errorf("proofs of different keys at the token endpoint: %+v", all)
		}
	}
}

// From login over refreshes to a token that the MCP server takes (RFC 9449
// sections 5, 7 and 8).
func TestDPoP(t *testing.T) {
	for _, tc := range []struct {
		name    string
		atToken dpoptest.Nonces
		want    []string // nonces of login and two refreshes
	}{
		{"without nonces", dpoptest.Nonces{}, []string{"", "", ""}},
		{"nonce demanded", dpoptest.Nonces{Want: "a"}, []string{"", "a", "a", "a"}},
		{"nonce offered with a token", dpoptest.Nonces{Next: []string{"b"}}, []string{"", "b", "b"}},
		{"nonce rotated with each token", dpoptest.Nonces{Want: "a", Next: []string{"b", "c"}}, []string{"", "a", "b", "c"}},
	} {
		for _, alg := range []string{dpop.ES256, dpop.EdDSA} {
			t.Run(tc.name+"/"+alg, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					k := newDPoPKit(t, authtest.Protection{})
					k.gate.AtToken = tc.atToken
					k.cfg.DPoP = dpop.Keys{Algorithm: alg}
					m := k.manager(k.cfg)
					k.wantAccepted(k.authorize(m))
					k.wantAccepted(k.refresh(m))
					k.wantAccepted(k.refresh(m))
					k.wantTokenNonces(tc.want...)
					if c := k.srv.Counts(); c.Authorize != 1 || c.Token != 3 {
						t.Errorf("%d logins, %d token requests got through, want 1, 3", c.Authorize, c.Token)
					}
				})
			})
		}
	}
}

// A code that was refused because a nonce is missing is not spent: the same request
// goes again, once (RFC 9449 section 8).
func TestDPoPNonceRepeatsTheRequest(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newDPoPKit(t, authtest.Protection{})
		k.gate.AtToken.Want = "a"
		k.authorize(k.manager(k.cfg))
		sent := k.gate.At(k.gate.TokenEndpoint)
		if len(sent) != 2 || sent[0].Body != sent[1].Body || !strings.Contains(sent[0].Body, "code=") {
			t.Errorf("sent %+v, want the same request twice", sent)
		}
	})
}

// Other answers that bring a nonce are what they are, and their nonce is kept.
func TestDPoPNonceWithAnotherAnswer(t *testing.T) {
	for _, tc := range []struct {
		name, refused string // refused: with this code; "": it goes well at the next attempt
		status        int
		body          io.Reader
	}{
		{"another error", "invalid_client", 400, strings.NewReader(`{"error":"invalid_client"}`)},
		{"another status", "", 403, strings.NewReader(`{"error":"use_dpop_nonce"}`)},
		{"broken off", "", 400, io.MultiReader(strings.NewReader(`{"error":"use_dpop`), iotest.ErrReader(io.ErrUnexpectedEOF))},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newDPoPKit(t, authtest.Protection{})
				requests := 0
				k.cfg.HTTPClient.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
					if r.URL.String() == k.gate.TokenEndpoint {
						if requests++; requests == 1 {
							return &http.Response{StatusCode: tc.status, Header: http.Header{"Dpop-Nonce": {"z"}}, Body: io.NopCloser(tc.body), Request: r}, nil
						}
					}
					return k.gate.RoundTrip(r)
				})
				m := k.manager(k.cfg)
				_, err := m.Authorize(t.Context())
				if tc.refused != "" {
					if te := asError[*auth.TokenError](t, err); te.Code != tc.refused || requests != 1 {
						t.Errorf("error %v after %d requests, want %s after 1", te, requests, tc.refused)
					}
				} else if err != nil {
					t.Fatal(err)
				}
				k.wantAccepted(k.authorize(m))
				k.wantTokenNonces("z")
			})
		})
	}
}

// roundTripper is a transport in the shape of a function.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A server that is never satisfied: tried for as long as a refresh may take, and
// never a reason to log in again.
func TestDPoPEndlessNonces(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newDPoPKit(t, authtest.Protection{})
		m := k.manager(k.cfg)
		k.authorize(m)
		k.gate.Set(func(g *dpoptest.Gate) { g.AtToken.Never = true })
		began := time.Now()
		_, err := m.Refresh(t.Context())
		if te := asError[*auth.TokenError](t, err); te.Code != "use_dpop_nonce" || !te.Retryable() {
			t.Errorf("error %v (retryable: %v), want use_dpop_nonce, retryable", te, te.Retryable())
		}
		if n := len(k.gate.At(k.gate.TokenEndpoint)); n > 50 || time.Since(began) > refreshTimeout {
			t.Errorf("%d requests in %v", n, time.Since(began))
		}
		k.gate.Set(func(g *dpoptest.Gate) { g.AtToken.Never = false })
		time.Sleep(maxRetryAfter)
		k.wantAccepted(k.refresh(m))
		if n := k.srv.Counts().Authorize; n != 1 {
			t.Errorf("%d logins, want 1", n)
		}
	})
}

// A server that knows nothing of DPoP issues bearer tokens, and they are used as
// such.
func TestDPoPIgnored(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newDPoPKit(t, authtest.Protection{})
		k.gate.Bearer = true
		m := k.manager(k.cfg)
		tok := k.authorize(m)
		proof, err := tok.Proof(t.Context(), http.MethodPost, k.res.URL)
		if tok.TokenType != "Bearer" || proof != "" || err != nil || tok.ObserveNonce(k.res.URL, http.Header{"Dpop-Nonce": {"x"}}) {
			t.Errorf("%v with the proof %q, %v; want a bearer token", tok, proof, err)
		}
		if status := k.call(tok); status != http.StatusOK {
			t.Errorf("the MCP server answered %d", status)
		}
		if got := mustToken(t, k.manager(k.cfg)); got.AccessToken != tok.AccessToken {
			t.Error("the token was not stored")
		}
	})
}

// A restart keeps the key, and with it the token and what refreshes it.
func TestDPoPSurvivesRestart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newDPoPKit(t, authtest.Protection{})
		first := k.manager(k.cfg)
		tok := k.authorize(first)
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}
		second := k.manager(k.cfg)
		again := mustToken(t, second)
		if again.AccessToken != tok.AccessToken {
			t.Fatal("another token after the restart")
		}
		k.wantAccepted(again)
		k.wantAccepted(k.refresh(second))
		k.wantTokenNonces("", "")
	})
}

// A stored token whose key cannot be loaded is not used, and stays stored for a
// manager that has it.
func TestDPoPTokenWithoutItsKey(t *testing.T) {
	for name, keys := range map[string]auth.ProofKeys{
		"DPoP not configured": nil,
		"another algorithm":   dpop.Keys{Algorithm: dpop.EdDSA},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newDPoPKit(t, authtest.Protection{})
				tok := k.authorize(k.manager(k.cfg))
				other := k.cfg
				other.DPoP = keys
				if got, err := k.manager(other).Token(t.Context()); !errors.Is(err, auth.ErrNoToken) {
					t.Errorf("got %v, %v; want ErrNoToken", got, err)
				}
				if got := mustToken(t, k.manager(k.cfg)); got.AccessToken != tok.AccessToken {
					t.Error("the token was lost for those who have the key")
				}
				if n := len(k.gate.At(k.gate.TokenEndpoint)); n != 1 {
					t.Errorf("%d token requests, want 1", n)
				}
			})
		})
	}
}

// slowLogin is a login in which the user takes a while.
type slowLogin struct {
	auth.Grant
	takes time.Duration
}

func (g slowLogin) Authorize(ctx context.Context, f *auth.Flow) (*auth.Token, error) {
	tok, err := g.Grant.Authorize(ctx, f)
	time.Sleep(g.takes)
	return tok, err
}

// Two processes log in at once, each with a key of its own, since their store has
// no lock that lasts as long as a login. Whichever token is
// stored last is stored with its own key, and so is the one that each hands out.
func TestDPoPKeyBelongsToToken(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newDPoPKit(t, authtest.Protection{})
		var managers []*auth.Manager
		for i := range 2 {
			cfg := k.cfg
			cfg.Grant = slowLogin{k.login(), time.Duration(i+1) * time.Minute}
			cfg.Store = shortLocks{k.cfg.Store}
			managers = append(managers, k.manager(cfg))
		}
		together(len(managers), func(i int) { k.wantAccepted(k.authorize(managers[i])) })
		if n := k.srv.Counts().Authorize; n != 2 {
			t.Fatalf("%d logins, want 2: the test tests nothing", n)
		}
		for _, m := range append(managers, k.manager(k.cfg)) {
			k.wantAccepted(mustToken(t, m))
			k.wantAccepted(k.refresh(m))
		}
	})
}

// Nonces of the authorization server and of the resource are kept apart even
// where both are at one origin (RFC 9449 sections 8 and 9).
func TestDPoPNoncesAreKeptApart(t *testing.T) {
	for _, same := range []bool{false, true} {
		bubble(t, func(t *testing.T) {
			k := newDPoPKit(t, authtest.Protection{SameOrigin: same})
			k.gate.AtToken.Next = []string{"as1", "as2"}
			k.gate.AtResource.Next = []string{"rs1", "rs2"}
			m := k.manager(k.cfg)
			k.wantAccepted(k.authorize(m))
			k.wantAccepted(k.refresh(m))
			k.wantAccepted(k.refresh(m))
			k.wantTokenNonces("", "as1", "as2")
			if got, want := k.gate.Nonces(k.res.URL), []string{"", "rs1", "rs2"}; !slices.Equal(got, want) {
				t.Errorf("same origin %v: nonces at the resource: %q, want %q", same, got, want)
			}
		})
	}
}

// Many requests at once that are refused because the same nonce is missing are all
// worth sending again.
func TestObserveNonce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newDPoPKit(t, authtest.Protection{})
		tok := k.authorize(k.manager(k.cfg))
		for range 2 {
			if !tok.ObserveNonce(k.res.URL, http.Header{"Dpop-Nonce": {"x"}}) {
				t.Error("a nonce was not noticed")
			}
		}
		if tok.ObserveNonce(k.res.URL, http.Header{}) {
			t.Error("a nonce was noticed where there is none")
		}
	})
}

// SetToken takes a DPoP token only together with its key.
func TestSetDPoPToken(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newDPoPKit(t, authtest.Protection{})
		tok := k.authorize(k.manager(k.cfg))
		elsewhere := k.cfg
		elsewhere.Store = new(auth.MemoryStore)
		for range 2 { // the second time from the store
			m := k.manager(elsewhere)
			if err := m.SetToken(t.Context(), tok); err != nil {
				t.Fatal(err)
			}
			k.wantAccepted(mustToken(t, m))
		}
		k.wantAccepted(k.refresh(k.manager(elsewhere)))

		stranger := &auth.Token{AccessToken: "a", TokenType: "DPoP"}
		without := elsewhere
		without.DPoP = nil
		for name, set := range map[string]struct {
			cfg auth.Config
			tok *auth.Token
		}{"no key": {elsewhere, stranger}, "DPoP not configured": {without, tok}} {
			err := k.manager(set.cfg).SetToken(t.Context(), set.tok)
			if e := asError[*auth.ConfigError](t, err); e.Field != "Token.TokenType" {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// A DPoP token that nobody asked for cannot be used.
func TestDPoPTokenWithoutAskingForOne(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		cfg := k.onDemand()
		cfg.Grant = k.login()
		requests := 0
		cfg.HTTPClient = &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			if r.URL.String() != k.srv.Endpoint(authtest.TokenEndpoint) {
				return k.srv.Transport().RoundTrip(r)
			}
			requests++
			return &http.Response{StatusCode: 200, Request: r, Header: http.Header{},
				Body: io.NopCloser(strings.NewReader(`{"access_token":"planted","token_type":"dpop","refresh_token":"planted"}`))}, nil
		})}
		_, err := k.manager(cfg).Authorize(t.Context())
		if e := asError[*auth.TokenError](t, err); !strings.Contains(e.Error(), "Config.DPoP") || strings.Contains(e.Error(), "planted") || requests != 1 {
			t.Errorf("error %v after %d requests, want one that says what to do after 1", e, requests)
		}
	})
}

// badKeys are keys that fail.
type badKeys struct{ newErr, marshalErr, proofErr error }

func (b badKeys) New() (auth.ProofKey, error)                       { return b, b.newErr }
func (b badKeys) Load([]byte) (auth.ProofKey, error)                { return b, nil }
func (b badKeys) Marshal() ([]byte, error)                          { return []byte("key"), b.marshalErr }
func (b badKeys) Proof(context.Context, auth.Proof) (string, error) { return "", b.proofErr }

// Keys that fail are a mistake in the configuration: nothing is sent, and the
// error says what they said.
func TestDPoPKeysFail(t *testing.T) {
	planted := errors.New("planted")
	for name, keys := range map[string]badKeys{
		"New": {newErr: planted}, "Marshal": {marshalErr: planted}, "Proof": {proofErr: planted},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newDPoPKit(t, authtest.Protection{})
				k.cfg.DPoP = keys
				_, err := k.manager(k.cfg).Authorize(t.Context())
				e := asError[*auth.TokenError](t, err)
				if !strings.Contains(e.Error(), "planted") || e.Retryable() {
					t.Errorf("error %v (retryable: %v)", e, e.Retryable())
				}
				if n := k.srv.Counts().Token; n != 0 {
					t.Errorf("%d token requests without a proof", n)
				}
			})
		})
	}
}
