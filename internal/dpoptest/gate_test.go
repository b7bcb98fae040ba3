package dpoptest_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/dpop"
	"github.com/mcptokens/mcptokens/internal/dpoptest"
)

const (
	tokenURL = "https://as.example/token"
	mcpURL   = "https://mcp.example/mcp"
)

// issuer is what is behind the gate: it issues the token "at" to everybody.
type issuer struct{}

func (issuer) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: 200, Header: http.Header{}, Request: r,
		Body: io.NopCloser(strings.NewReader(`{"access_token":"at","token_type":"Bearer","refresh_token":"rt"}`))}, nil
}

// send sends a request with a proof ("": none) and returns the status.
func send(t *testing.T, g *dpoptest.Gate, method, url, body, authorization string, proofs ...string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	req.Header["Dpop"] = proofs
	resp, err := g.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// The gate notices whatever can be wrong with a proof, so that a test in which
// it notices nothing means something.
func TestGateNotices(t *testing.T) {
	var keys [2]auth.ProofKey
	for i := range keys {
		key, err := dpop.Keys{}.New()
		if err != nil {
			t.Fatal(err)
		}
		keys[i] = key
	}
	proof := func(t *testing.T, key auth.ProofKey, method, url, token string) string {
		t.Helper()
		p, err := key.Proof(t.Context(), auth.Proof{Method: method, URL: url, AccessToken: token})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	for _, tc := range []struct {
		name   string
		status int
		do     func(t *testing.T, g *dpoptest.Gate) int
		says   string // "": nothing is wrong
	}{
		{"nothing", 200, func(t *testing.T, g *dpoptest.Gate) int {
			return send(t, g, "POST", mcpURL+"/x?y", "", "DPoP at", proof(t, keys[0], "POST", mcpURL+"/x?z", "at"))
		}, ""},
		{"no token", 200, func(t *testing.T, g *dpoptest.Gate) int { return send(t, g, "POST", mcpURL, "", "") }, ""},
		{"elsewhere", 200, func(t *testing.T, g *dpoptest.Gate) int {
			return send(t, g, "POST", mcpURL+"x", "", "Bearer at")
		}, ""},
		{"no proof", 401, func(t *testing.T, g *dpoptest.Gate) int { return send(t, g, "POST", mcpURL, "", "DPoP at") }, "0 DPoP headers"},
		{"no proof for a token", 400, func(t *testing.T, g *dpoptest.Gate) int { return send(t, g, "POST", tokenURL, "", "") }, "0 DPoP headers"},
		{"two proofs", 401, func(t *testing.T, g *dpoptest.Gate) int {
			return send(t, g, "POST", mcpURL, "", "DPoP at", proof(t, keys[0], "POST", mcpURL, "at"), proof(t, keys[0], "POST", mcpURL, "at"))
		}, "2 DPoP headers"},
		{"no JWT", 401, func(t *testing.T, g *dpoptest.Gate) int { return send(t, g, "POST", mcpURL, "", "DPoP at", "x") }, "malformed"},
		{"bearer", 401, func(t *testing.T, g *dpoptest.Gate) int {
			return send(t, g, "POST", mcpURL, "", "Bearer at", proof(t, keys[0], "POST", mcpURL, "at"))
		}, "as a bearer token"},
		{"method", 401, func(t *testing.T, g *dpoptest.Gate) int {
			return send(t, g, "POST", mcpURL, "", "DPoP at", proof(t, keys[0], "GET", mcpURL, "at"))
		}, "htm is GET"},
		{"URL", 401, func(t *testing.T, g *dpoptest.Gate) int {
			return send(t, g, "POST", mcpURL, "", "DPoP at", proof(t, keys[0], "POST", mcpURL+"/x", "at"))
		}, "htu is"},
		{"another token's hash", 401, func(t *testing.T, g *dpoptest.Gate) int {
			return send(t, g, "POST", mcpURL, "", "DPoP at", proof(t, keys[0], "POST", mcpURL, "other"))
		}, "ath is not"},
		{"no hash", 401, func(t *testing.T, g *dpoptest.Gate) int {
			return send(t, g, "POST", mcpURL, "", "DPoP at", proof(t, keys[0], "POST", mcpURL, ""))
		}, "ath is not"},
		{"hash of nothing", 400, func(t *testing.T, g *dpoptest.Gate) int {
			return send(t, g, "POST", tokenURL, "", "", proof(t, keys[0], "POST", tokenURL, "at"))
		}, "ath without"},
		{"another key", 401, func(t *testing.T, g *dpoptest.Gate) int {
			return send(t, g, "POST", mcpURL, "", "DPoP at", proof(t, keys[1], "POST", mcpURL, "at"))
		}, "another key"},
		{"another key to refresh", 400, func(t *testing.T, g *dpoptest.Gate) int {
			return send(t, g, "POST", tokenURL, "refresh_token=rt", "", proof(t, keys[1], "POST", tokenURL, ""))
		}, "another key"},
		{"used twice", 401, func(t *testing.T, g *dpoptest.Gate) int {
			p := proof(t, keys[0], "POST", mcpURL, "at")
			send(t, g, "POST", mcpURL, "", "DPoP at", p)
			return send(t, g, "POST", mcpURL, "", "DPoP at", p)
		}, "jti was used before"},
		{"old", 401, func(t *testing.T, g *dpoptest.Gate) int {
			p := proof(t, keys[0], "POST", mcpURL, "at")
			time.Sleep(time.Minute)
			return send(t, g, "POST", mcpURL, "", "DPoP at", p)
		}, "iat is"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := &dpoptest.Gate{Base: issuer{}, TokenEndpoint: tokenURL, Resource: mcpURL}
				if status := send(t, g, "POST", tokenURL, "", "", proof(t, keys[0], "POST", tokenURL, "")); status != 200 || len(g.Wrong()) != 0 {
					t.Fatalf("the token request got %d, %q", status, g.Wrong())
				}
				status, wrong := tc.do(t, g), g.Wrong()
				if status != tc.status || (tc.says == "") != (len(wrong) == 0) || tc.says != "" && !strings.Contains(wrong[0], tc.says) {
					t.Errorf("status %d, wrong %q; want %d, %q", status, wrong, tc.status, tc.says)
				}
			})
		})
	}
}

// A server demands its nonce, hands out others, and may never be satisfied.
func TestGateNonces(t *testing.T) {
	key, err := dpop.Keys{}.New()
	if err != nil {
		t.Fatal(err)
	}
	g := &dpoptest.Gate{Base: issuer{}, TokenEndpoint: tokenURL, Resource: mcpURL}
	for _, step := range []struct {
		url, nonce string
		set        dpoptest.Nonces
		status     int
		given      string
	}{
		{tokenURL, "", dpoptest.Nonces{}, 200, ""},
		{tokenURL, "x", dpoptest.Nonces{Want: "a"}, 400, "a"},
		{tokenURL, "a", dpoptest.Nonces{Want: "a"}, 200, ""},
		{tokenURL, "a", dpoptest.Nonces{Want: "a", Next: []string{"b"}}, 200, "b"},
		{mcpURL, "", dpoptest.Nonces{Want: "a", Challenge: "DPoP"}, 401, "a"},
		{mcpURL, "a", dpoptest.Nonces{Want: "a", Next: []string{"b"}}, 200, "b"},
		{mcpURL, "never-0", dpoptest.Nonces{Never: true}, 401, "never-1"},
		{mcpURL, "never-1", dpoptest.Nonces{Never: true}, 401, "never-2"},
		{mcpURL, "", dpoptest.Nonces{Never: true, Silent: true}, 401, ""},
	} {
		p, authorization := auth.Proof{Method: "POST", URL: step.url, Nonce: step.nonce}, ""
		if step.url == mcpURL {
			p.AccessToken, authorization = "at", "DPoP at"
		}
		proof, err := key.Proof(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		g.Set(func(g *dpoptest.Gate) { g.AtToken, g.AtResource = step.set, step.set })
		req, err := http.NewRequestWithContext(t.Context(), "POST", step.url, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("DPoP", proof)
		req.Header.Set("Authorization", authorization)
		resp, err := g.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if given := resp.Header.Get("DPoP-Nonce"); resp.StatusCode != step.status || given != step.given {
			t.Errorf("%+v: got %d with the nonce %q", step, resp.StatusCode, given)
		}
	}
	if got := g.Nonces(tokenURL); len(g.Wrong()) != 0 || strings.Join(got, " ") != " x a a" {
		t.Errorf("nonces seen %q, wrong %q", got, g.Wrong())
	}
}

// Parse refuses what is signed well and is no proof all the same.
func TestParseRefuses(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	type m = map[string]any
	jwk := func(more m) m {
		all := m{"kty": "EC", "crv": "P-256", "x": dpoptest.Encode(point[1:33]), "y": dpoptest.Encode(point[33:])}
		for k, v := range more {
			all[k] = v
		}
		return all
	}
	for name, tc := range map[string]struct {
		header m
		claims jwt.MapClaims
		says   string
	}{
		"nothing wrong": {m{}, jwt.MapClaims{}, ""},
		"typ":           {m{"typ": "JWT"}, jwt.MapClaims{}, "typ is JWT"},
		"kid":           {m{"kid": "1"}, jwt.MapClaims{}, "other members"},
		"private key":   {m{"jwk": jwk(m{"d": "AA"})}, jwt.MapClaims{}, "jwk has the members"},
		"shared secret": {m{"jwk": m{"kty": "oct", "k": "AA"}}, jwt.MapClaims{}, "jwk has the members"},
		"no key":        {m{"jwk": nil}, jwt.MapClaims{}, "jwk has the members"},
		"curve":         {m{"jwk": jwk(m{"crv": "P-384"})}, jwt.MapClaims{}, "on the curve P-384"},
		"x":             {m{"jwk": jwk(m{"x": "A="})}, jwt.MapClaims{}, "illegal base64"},
		"y":             {m{"jwk": jwk(m{"y": "A="})}, jwt.MapClaims{}, "illegal base64"},
		"jti":           {m{}, jwt.MapClaims{"jti": 1}, "jti is"},
		"htm":           {m{}, jwt.MapClaims{"htm": ""}, "htm is"},
		"htu":           {m{}, jwt.MapClaims{"htu": nil}, "htu is"},
		"iat":           {m{}, jwt.MapClaims{"iat": "now"}, "iat is"},
	} {
		t.Run(name, func(t *testing.T) {
			token := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{"jti": "1", "htm": "GET", "htu": mcpURL, "iat": 1})
			token.Header["typ"], token.Header["jwk"] = "dpop+jwt", jwk(nil)
			for k, v := range tc.header {
				token.Header[k] = v
			}
			for k, v := range tc.claims {
				token.Claims.(jwt.MapClaims)[k] = v
			}
			raw, err := token.SignedString(key)
			if err != nil {
				t.Fatal(err)
			}
			if _, err = dpoptest.Parse(raw); (err == nil) != (tc.says == "") || err != nil && !strings.Contains(err.Error(), tc.says) {
				t.Errorf("error %v, want %q", err, tc.says)
			}
		})
	}
}
