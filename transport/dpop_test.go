package transport_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/browser"
	"github.com/mcptokens/mcptokens/auth/dpop"
	"github.com/mcptokens/mcptokens/auth/grant"
	"github.com/mcptokens/mcptokens/internal/dpoptest"
	"github.com/mcptokens/mcptokens/transport"
)

// dpopKit is an MCP server that takes DPoP tokens only, its authorization
// server, and a client with a manager.
type dpopKit struct {
	t      *testing.T
	srv    *authtest.Server
	res    *authtest.Resource
	gate   *dpoptest.Gate
	cfg    auth.Config
	client *http.Client
}

// dpopBubble runs test with a kit in a bubble, and then asks the servers
// whether they had anything to object to. MCP requests are echoed; those below
// /moved are redirected there.
func dpopBubble(t *testing.T, cfg auth.Config, p authtest.Protection, test func(t *testing.T, k *dpopKit)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		k := &dpopKit{t: t, srv: authtest.NewServerConfig(t, authtest.Config{InMemory: true})}
		k.res = k.srv.Protect(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if to, ok := strings.CutSuffix(r.URL.Path, "/moved"); ok {
				http.Redirect(w, r, to, http.StatusTemporaryRedirect)
				return
			}
			body, _ := io.ReadAll(r.Body)
			_, _ = w.Write(body)
		}), p)
		k.gate = &dpoptest.Gate{Base: k.srv.Transport(), TokenEndpoint: k.srv.Endpoint(authtest.TokenEndpoint), Resource: k.res.URL}
		k.cfg = cfg
		k.cfg.Resource, k.cfg.HTTPClient, k.cfg.NoIdleRefresh = k.res.URL, &http.Client{Transport: k.gate}, true
		if k.cfg.DPoP == nil {
			k.cfg.DPoP = dpop.Keys{}
		}
		k.cfg.Grant = grant.AuthorizationCode{UserAgent: browser.Headless{Client: k.srv.Client()}}
		m, err := auth.NewManager(k.cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		k.client = &http.Client{Transport: &transport.RoundTripper{Source: m, Base: k.gate}}
		test(t, k)
		if wrong := k.gate.Wrong(); len(wrong) > 0 {
			t.Errorf("what the servers object to:\n%s", strings.Join(wrong, "\n"))
		}
	})
}

// post sends a message to the MCP server.
func (k *dpopKit) post(path, message string) (*http.Response, error) {
	return k.client.Post(k.res.URL+path, "application/json", io.NopCloser(strings.NewReader(message))) // no GetBody
}

// call sends a message that has to come back.
func (k *dpopKit) call(message string) {
	k.t.Helper()
	resp, err := k.post("", message)
	if err != nil {
		k.t.Errorf("Post: %v", err)
		return
	}
	defer resp.Body.Close()
	if echo, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != 200 || string(echo) != message {
		k.t.Errorf("got %d %q, %v", resp.StatusCode, echo, err)
	}
}

// want fails the test unless there were so many logins and refreshes, and proofs
// with these nonces at the MCP server (nil: any).
func (k *dpopKit) want(logins, refreshes int, nonces ...string) {
	k.t.Helper()
	if c := k.srv.Counts(); c.Authorize != logins || c.Refreshes != refreshes {
		k.t.Errorf("%d logins, %d refreshes, want %d, %d", c.Authorize, c.Refreshes, logins, refreshes)
	}
	if got := k.gate.Nonces(k.res.URL); nonces != nil && !slices.Equal(got, nonces) {
		k.t.Errorf("nonces at the MCP server: %q, want %q", got, nonces)
	}
}

// Nonces of a resource (RFC 9449 section 9): the request goes again with the
// same token, which is neither refreshed nor asked for again.
func TestDPoP(t *testing.T) {
	for _, tc := range []struct {
		name   string
		nonces dpoptest.Nonces
		want   []string // nonces of three calls
	}{
		{"without nonces", dpoptest.Nonces{}, []string{"", "", ""}},
		{"nonce demanded", dpoptest.Nonces{Want: "a"}, []string{"", "a", "a", "a"}},
		{"nonce rotated by a response", dpoptest.Nonces{Want: "a", Next: []string{"b", "c"}}, []string{"", "a", "b", "c"}},
		{"beside a bearer challenge that says more", dpoptest.Nonces{Want: "a",
			Challenge: `Bearer resource_metadata="https://h/m", scope="x", DPoP algs="ES256", error="use_dpop_nonce"`}, []string{"", "a", "a", "a"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dpopBubble(t, auth.Config{}, authtest.Protection{}, func(t *testing.T, k *dpopKit) {
				k.gate.AtResource = tc.nonces
				for range 3 {
					k.call("ping")
				}
				k.want(1, 0, tc.want...)
			})
		})
	}
}

// A nonce that expires is replaced in passing.
func TestDPoPNonceExpires(t *testing.T) {
	dpopBubble(t, auth.Config{}, authtest.Protection{}, func(t *testing.T, k *dpopKit) {
		for _, nonce := range []string{"a", "b"} {
			k.gate.Set(func(g *dpoptest.Gate) { g.AtResource.Want = nonce })
			k.call("ping")
		}
		k.want(1, 0, "", "a", "a", "b")
	})
}

// A hundred callers are refused because the same nonce is missing: all of them send
// again, none of them refreshes.
func TestDPoPManyCallers(t *testing.T) {
	dpopBubble(t, auth.Config{}, authtest.Protection{}, func(t *testing.T, k *dpopKit) {
		k.call("ping")
		k.gate.Set(func(g *dpoptest.Gate) { g.AtResource.Want = "a" })
		for range 2 {
			var wg sync.WaitGroup
			for range 100 {
				wg.Go(func() { k.call("ping") })
			}
			wg.Wait()
		}
		k.want(1, 0)
		if n := k.res.Counts().Accepted; n != 201 {
			t.Errorf("%d requests accepted, want 201", n)
		}
	})
}

// The whole life of a bound token: login, expiry, revocation, more scopes. The
// gate checks each proof's method, URL, token hash, key and identifier.
func TestDPoPLifeCycle(t *testing.T) {
	p := authtest.Protection{Scopes: []string{"read"}, ToolScopes: map[string][]string{"write": {"write"}}}
	dpopBubble(t, auth.Config{}, p, func(t *testing.T, k *dpopKit) {
		k.gate.AtToken.Want, k.gate.AtResource.Want = "as", "rs"
		k.call("ping")
		k.want(1, 0)
		time.Sleep(2 * time.Hour)
		k.call("ping")
		k.want(1, 1)
		k.srv.RevokeAll()
		k.call("ping")
		k.want(3, 2) // the refresh was refused: the first asks whether the client is known
		k.call(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"write"}}`)
		k.want(4, 3)
		for _, s := range k.gate.At(k.res.URL)[1:] {
			if s.Nonce != "rs" || s.Thumbprint != k.gate.At(k.gate.TokenEndpoint)[0].Thumbprint {
				t.Errorf("proof with the nonce %q of the key %s", s.Nonce, s.Thumbprint)
			}
		}
	})
}

// Whatever a request is, its proof is for it: the gate compares method and URL.
func TestDPoPProofIsForTheRequest(t *testing.T) {
	dpopBubble(t, auth.Config{}, authtest.Protection{}, func(t *testing.T, k *dpopKit) {
		for _, method := range []string{"", http.MethodGet, http.MethodDelete} { // "" means GET
			req, err := http.NewRequestWithContext(t.Context(), method, k.res.URL+"/a%2Fb?session=1#x", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Method = method
			req.Header.Set("DPoP", "of the caller")
			resp, err := k.client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode != 200 || req.Header.Get("DPoP") != "of the caller" {
				t.Errorf("%s: status %d, the caller's header is %q", method, resp.StatusCode, req.Header.Get("DPoP"))
			}
		}
		resp, err := k.client.Post(k.res.URL+"/moved", "application/json", strings.NewReader("ping"))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != 200 || resp.Request.URL.String() != k.res.URL {
			t.Errorf("status %d from %s", resp.StatusCode, resp.Request.URL)
		}
	})
}

// A server that is never satisfied, or gives no nonce, gets a few requests and
// nothing else; the caller learns why.
func TestDPoPEndlessNonces(t *testing.T) {
	dpopBubble(t, auth.Config{}, authtest.Protection{}, func(t *testing.T, k *dpopKit) {
		k.call("ping")
		for _, tc := range []struct {
			name     string
			nonces   dpoptest.Nonces
			requests int
		}{
			{"another nonce each time", dpoptest.Nonces{Never: true}, 4},
			{"no nonce", dpoptest.Nonces{Never: true, Silent: true}, 1},
		} {
			k.gate.Set(func(g *dpoptest.Gate) { g.AtResource = tc.nonces })
			before := len(k.gate.At(k.res.URL))
			resp, err := k.post("", "ping")
			if !errors.Is(err, auth.ErrNonce) || resp != nil {
				t.Errorf("%s: got %v, %v; want ErrNonce", tc.name, resp, err)
			}
			if n := len(k.gate.At(k.res.URL)) - before; n != tc.requests {
				t.Errorf("%s: %d requests, want %d", tc.name, n, tc.requests)
			}
		}
		k.want(1, 0)
		k.gate.Set(func(g *dpoptest.Gate) { g.AtResource = dpoptest.Nonces{} })
		k.call("ping")
		k.want(1, 0)
	})
}

// A body that cannot be sent again leaves the caller with the challenge; the
// next request has the nonce.
func TestDPoPBodyCannotBeSentAgain(t *testing.T) {
	dpopBubble(t, auth.Config{}, authtest.Protection{}, func(t *testing.T, k *dpopKit) {
		k.call("ping")
		k.gate.Set(func(g *dpoptest.Gate) { g.AtResource.Want = "a" })
		resp, err := k.post("", strings.Repeat("x", 2<<20))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("status %d, want the server's 401", resp.StatusCode)
		}
		k.call("ping")
		k.want(1, 0, "", "", "a")
	})
}

// brokenKeys sign what they sign for a token endpoint, and nothing for a
// resource.
type brokenKeys struct{ dpop.Keys }

func (b brokenKeys) New() (auth.ProofKey, error) {
	key, err := b.Keys.New()
	return brokenKey{key}, err
}

type brokenKey struct{ auth.ProofKey }

var errBroken = errors.New("broken")

func (b brokenKey) Proof(ctx context.Context, p auth.Proof) (string, error) {
	if p.AccessToken != "" {
		return "", errBroken
	}
	return b.ProofKey.Proof(ctx, p)
}

// Without a proof the token is not sent. The first request fails when it would
// be sent again, the second at once.
func TestDPoPKeyFails(t *testing.T) {
	dpopBubble(t, auth.Config{DPoP: brokenKeys{}}, authtest.Protection{}, func(t *testing.T, k *dpopKit) {
		for range 2 {
			body := &stream{Reader: strings.NewReader("ping")}
			if _, err := k.client.Post(k.res.URL, "text/plain", body); !errors.Is(err, errBroken) || !body.isClosed() {
				t.Errorf("error %v, body closed: %v", err, body.isClosed())
			}
		}
		if n := k.res.Counts(); n.Requests != 1 || n.Accepted != 0 {
			t.Errorf("%+v; want one request, without a token", n)
		}
	})
}

// A DPoP token whose key is not known goes without a proof, not with an empty
// one: a source that is no manager may have its own way to add it.
func TestDPoPTokenOfAnotherSource(t *testing.T) {
	src := having("", "")
	src.token = func(context.Context) (*auth.Token, error) {
		return &auth.Token{AccessToken: "secret", TokenType: "DPoP"}, nil
	}
	srv := &server{answer: func(*http.Request) (*http.Response, error) { return response(200, ""), nil }}
	req, _ := post(t, mcpURL, "ping")
	req.Header.Set("DPoP", "proof of the caller")
	send(t, &transport.RoundTripper{Source: src, Base: srv}, req)
	if got := srv.got[0].header.Values("DPoP"); srv.got[0].authorization != "DPoP secret" || !slices.Equal(got, []string{"proof of the caller"}) {
		t.Errorf("Authorization %q, DPoP %q", srv.got[0].authorization, got)
	}
}
