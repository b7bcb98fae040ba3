package dpop_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/dpop"
	"github.com/mcptokens/mcptokens/internal/dpoptest"
)

// newKey makes a key.
func newKey(t testing.TB, alg string) *dpop.Key {
	t.Helper()
	made, err := dpop.Keys{Algorithm: alg}.New()
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	key, ok := made.(*dpop.Key)
	if !ok {
		t.Fatalf("New made a %T", made)
	}
	return key
}

// prove makes a proof and verifies it.
func prove(t testing.TB, key auth.ProofKey, p auth.Proof) *dpoptest.Proof {
	t.Helper()
	raw, err := key.Proof(t.Context(), p)
	if err != nil {
		t.Fatalf("Proof: %v", err)
	}
	got, err := dpoptest.Parse(raw)
	if err != nil {
		t.Fatalf("verifying %s: %v", raw, err)
	}
	return got
}

// What is in a proof (RFC 9449 section 4.2), and that nothing else is.
func TestProof(t *testing.T) {
	const token = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU" // RFC 9449 section 7.1
	for _, alg := range []string{"", dpop.ES256, dpop.EdDSA} {
		key := newKey(t, alg)
		wantAlg := alg
		if alg == "" {
			wantAlg = dpop.ES256
		}
		for _, tc := range []struct {
			name string
			p    auth.Proof
			more map[string]any // beside jti, htm, htu and iat
		}{
			{"token request", auth.Proof{Method: "POST", URL: "https://as.example/token"}, nil},
			{"with a nonce", auth.Proof{Method: "POST", URL: "https://as.example/token", Nonce: `eyJ7S_zG."`},
				map[string]any{"nonce": `eyJ7S_zG."`}},
			{"resource", auth.Proof{Method: "GET", URL: "https://mcp.example/mcp", AccessToken: token},
				map[string]any{"ath": "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo"}},
			{"resource with a nonce", auth.Proof{Method: "DELETE", URL: "https://mcp.example/mcp", AccessToken: token, Nonce: "n"},
				map[string]any{"ath": "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo", "nonce": "n"}},
		} {
			t.Run(alg+"/"+tc.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					got := prove(t, key, tc.p)
					if got.Header["alg"] != wantAlg || got.Thumbprint != key.Thumbprint() {
						t.Errorf("alg %v, key %s, want %s, %s", got.Header["alg"], got.Thumbprint, wantAlg, key.Thumbprint())
					}
					want := map[string]any{
						"jti": got.Claim("jti"), "htm": tc.p.Method, "htu": tc.p.URL, "iat": float64(time.Now().Unix()),
					}
					maps.Copy(want, tc.more)
					if !maps.Equal(got.Claims, want) {
						t.Errorf("claims %v, want %v", got.Claims, want)
					}
				})
			})
		}
	}
}

// The htu of a request's URL (RFC 9449 sections 4.2 and 4.3).
func TestTargetURI(t *testing.T) {
	key := newKey(t, "")
	for name, tc := range map[string]struct{ url, htu string }{
		"as it is":               {"https://mcp.example/a/b", "https://mcp.example/a/b"},
		"query":                  {"https://mcp.example/mcp?a=b&c", "https://mcp.example/mcp"},
		"empty query":            {"https://mcp.example/mcp?", "https://mcp.example/mcp"},
		"fragment":               {"https://mcp.example/mcp#top", "https://mcp.example/mcp"},
		"query and fragment":     {"https://mcp.example/mcp?a#b", "https://mcp.example/mcp"},
		"upper case":             {"HTTPS://MCP.Example/Mcp", "https://mcp.example/Mcp"},
		"default port":           {"https://mcp.example:443/mcp", "https://mcp.example/mcp"},
		"default port of http":   {"http://localhost:80/mcp", "http://localhost/mcp"},
		"another port":           {"https://mcp.example:8443/mcp", "https://mcp.example:8443/mcp"},
		"the other default port": {"https://mcp.example:80/mcp", "https://mcp.example:80/mcp"},
		"empty port":             {"https://mcp.example:/mcp", "https://mcp.example/mcp"},
		"no path":                {"https://mcp.example", "https://mcp.example/"},
		"no path but a query":    {"https://mcp.example?a", "https://mcp.example/"},
		"root":                   {"https://mcp.example/", "https://mcp.example/"},
		"trailing slash":         {"https://mcp.example/mcp/", "https://mcp.example/mcp/"},
		"escapes":                {"https://mcp.example/a%2Fb%20c;d=%C3%A9", "https://mcp.example/a%2Fb%20c;d=%C3%A9"},
		"not escaped":            {"https://mcp.example/a b", "https://mcp.example/a%20b"},
		"user information":       {"https://me:planted@mcp.example/mcp", "https://mcp.example/mcp"},
		"IPv6":                   {"http://[::1]:8080/mcp", "http://[::1]:8080/mcp"},
		"IPv6 default port":      {"https://[2001:DB8::1]:443/mcp", "https://[2001:db8::1]/mcp"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := prove(t, key, auth.Proof{Method: "POST", URL: tc.url}).Claim("htu"); got != tc.htu {
				t.Errorf("htu of %s is %s, want %s", tc.url, got, tc.htu)
			}
		})
	}
}

func TestProofRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		key   *dpop.Key
		p     auth.Proof
		field string
	}{
		"no method":          {newKey(t, ""), auth.Proof{URL: "https://h/planted"}, "Proof.Method"},
		"no URL":             {newKey(t, ""), auth.Proof{Method: "POST"}, "Proof.URL"},
		"relative URL":       {newKey(t, ""), auth.Proof{Method: "POST", URL: "/planted"}, "Proof.URL"},
		"no host":            {newKey(t, ""), auth.Proof{Method: "POST", URL: "https:///planted"}, "Proof.URL"},
		"opaque":             {newKey(t, ""), auth.Proof{Method: "POST", URL: "https:planted"}, "Proof.URL"},
		"another scheme":     {newKey(t, ""), auth.Proof{Method: "POST", URL: "ftp://h/planted"}, "Proof.URL"},
		"no URL at all":      {newKey(t, ""), auth.Proof{Method: "POST", URL: "https://h/%planted"}, "Proof.URL"},
		"a key from nowhere": {new(dpop.Key), auth.Proof{Method: "POST", URL: "https://h/planted"}, "Key"},
	} {
		t.Run(name, func(t *testing.T) {
			proof, err := tc.key.Proof(t.Context(), tc.p)
			wantConfigError(t, err, tc.field)
			if proof != "" || strings.Contains(err.Error(), "planted") {
				t.Errorf("got %q, %v; want nothing but an error that quotes nothing", proof, err)
			}
		})
	}
	_, err := new(dpop.Key).Marshal()
	wantConfigError(t, err, "Key")
}

func wantConfigError(t *testing.T, err error, field string) {
	t.Helper()
	var e *auth.ConfigError
	if !errors.As(err, &e) || e.Field != field || e.Problem == "" {
		t.Errorf("error %v (%T), want an *auth.ConfigError for %s", err, err, field)
	}
}

// Every proof has an identifier of its own, also when many are made at once.
func TestProofsAreUnique(t *testing.T) {
	for _, alg := range []string{dpop.ES256, dpop.EdDSA} {
		key := newKey(t, alg)
		ids := make([]string, 64)
		var wg sync.WaitGroup
		for i := range ids {
			wg.Go(func() {
				ids[i] = prove(t, key, auth.Proof{Method: "GET", URL: "https://h/"}).Claim("jti")
			})
		}
		wg.Wait()
		slices.Sort(ids)
		if len(slices.Compact(ids)) != 64 {
			t.Errorf("%s: identifiers repeat", alg)
		}
		if len(ids[0]) < 26 { // base32: 130 bits
			t.Errorf("%s: identifier %q is short", alg, ids[0])
		}
	}
}
