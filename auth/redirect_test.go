package auth_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/discovery"
	"github.com/mcptokens/mcptokens/auth/dpop"
)

// slashed lets an endpoint answer with a redirect to the same path with a slash
// more, and takes the slash off again in front of the server.
func (k *kit) slashed(status int, endpoints ...authtest.Endpoint) (*wire, *http.Client) {
	paths := make(map[string]bool)
	for _, e := range endpoints {
		u, err := url.Parse(k.srv.Endpoint(e))
		if err != nil {
			k.t.Fatal(err)
		}
		paths[u.Path] = true
	}
	return k.wired(func(r *http.Request) (*http.Response, error) {
		if paths[r.URL.Path] && r.Method == http.MethodPost {
			resp := answer(status, "text/plain", "")
			resp.Header.Set("Location", r.URL.Path+"/")
			return resp, nil
		}
		if path, cut := strings.CutSuffix(r.URL.Path, "/"); cut && paths[path] {
			r.URL.Path = path
		}
		return nil, nil
	})
}

// Servers behind frameworks want a slash more, and say so with 307 or 308. The
// request goes there once, body, credentials and a proof for that URL included.
//
//compat:refusal a 307 or 308 of an endpoint to the same origin
//compat:default followed once
//compat:attack TestRedirectToAnotherOriginIsNamed
func TestRedirectWithinTheOriginIsFollowed(t *testing.T) {
	for _, status := range []int{307, 308} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, authtest.Config{}, authtest.Protection{})
				_, client := k.slashed(status, authtest.TokenEndpoint, authtest.RegistrationEndpoint, authtest.RevocationEndpoint)
				cfg := k.discovered()
				cfg.HTTPClient = client
				m := k.manager(cfg)
				if _, err := m.Authorize(t.Context()); err != nil {
					t.Fatal(err)
				}
				if _, err := m.Refresh(t.Context()); err != nil {
					t.Fatal(err)
				}
				if err := m.Revoke(t.Context()); err != nil {
					t.Fatal(err)
				}
				if n := k.srv.Counts(); n.Register != 1 || n.Token != 2 || n.Refreshes != 1 || n.Revoke == 0 {
					t.Errorf("%+v, want each request once", n)
				}
			})
		})
	}
}

// claim is a string in the claims of a JWT.
func claim(t *testing.T, jwt, name string) string {
	t.Helper()
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		t.Fatalf("no JWT: %q", jwt)
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	claims := make(map[string]any)
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	s, _ := claims[name].(string)
	return s
}

// The proof names the URL that the request goes to (RFC 9449 section 4.2).
func TestRedirectGetsAProofOfItsOwn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		var proofs []string
		_, client := k.wired(func(r *http.Request) (*http.Response, error) {
			if !strings.HasPrefix(r.URL.Path, "/token") {
				return nil, nil
			}
			proofs = append(proofs, claim(t, r.Header.Get("DPoP"), "htu"))
			resp := answer(307, "text/plain", "")
			resp.Header.Set("Location", "/token/")
			return resp, nil
		})
		cfg := k.discovered()
		cfg.HTTPClient, cfg.DPoP = client, dpop.Keys{}
		_, err := k.manager(cfg).Authorize(t.Context())
		te := asError[*auth.TokenError](t, err)
		if !errors.Is(err, discovery.ErrRedirect) || te.StatusCode != 307 {
			t.Errorf("%v, want the second redirect in a row refused", err)
		}
		at := k.srv.Endpoint(authtest.TokenEndpoint)
		if len(proofs) != 2 || proofs[0] != at || proofs[1] != at+"/" {
			t.Errorf("proofs for %q, want one for each of the two URLs", proofs)
		}
	})
}

// To another origin nothing goes, and the error says where it would have gone.
func TestRedirectToAnotherOriginIsNamed(t *testing.T) {
	for _, at := range []authtest.Endpoint{authtest.TokenEndpoint, authtest.RegistrationEndpoint, authtest.RevocationEndpoint} {
		t.Run(string(at), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, authtest.Config{}, authtest.Protection{})
				thief := authtest.NewServerConfig(t, authtest.Config{Peer: k.srv})
				m := k.manager(k.discovered())
				k.srv.InjectAlways(at, authtest.Redirect(thief.Endpoint(at)))
				_, err := m.Authorize(t.Context())
				if err == nil {
					time.Sleep(time.Second)
					err = m.Revoke(t.Context())
				}
				if !errors.Is(err, discovery.ErrRedirect) || !strings.Contains(err.Error(), `to another origin, "`+thief.URL+`"`) {
					t.Errorf("%v, want where the redirect led", err)
				}
				if n := thief.Counts(); n.Token+n.Register+n.Revoke != 0 {
					t.Errorf("the other server got requests: %+v", n)
				}
			})
		})
	}
}
