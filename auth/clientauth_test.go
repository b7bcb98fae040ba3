package auth_test

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/grant"
	"github.com/mcptokens/mcptokens/auth/registration"
)

// usedMethod is how a token request was authenticated.
func usedMethod(r authtest.TokenRequest) string {
	switch {
	case strings.HasPrefix(r.Header.Get("Authorization"), "Basic "):
		return "client_secret_basic"
	case r.Form.Has("client_secret"):
		return "client_secret_post"
	}
	return "none"
}

// What a client on demand is registered for, and how it then authenticates.
func TestRegisteredAuthMethod(t *testing.T) {
	const none, basic, post = "none", "client_secret_basic", "client_secret_post"
	tests := []struct {
		name       string
		supported  []string // by the server; nil: it does not say
		configured string
		answered   map[string]any // the response's; nil: as asked for
		registered string
		used       string
	}{
		{"all", []string{post, basic, none}, "", nil, none, none},
		{"secrets only", []string{post, basic}, "", nil, basic, basic},
		{"post only", []string{"private_key_jwt", post}, "", nil, post, post},
		{"nothing said", nil, "", nil, none, none},
		{"nothing that we know", []string{"tls_client_auth"}, "", nil, none, none},
		{"configured", []string{none, basic, post}, post, nil, post, post},
		{"the server decides for post", []string{none}, "", map[string]any{"client_secret": "s", "token_endpoint_auth_method": post}, none, post},
		{"the server decides for a secret", []string{none}, "", map[string]any{"client_secret": "s", "token_endpoint_auth_method": nil}, none, basic},
		{"the server decides for none", []string{basic}, "", map[string]any{"client_secret": nil, "token_endpoint_auth_method": none}, basic, none},
		{"a method that we do not know, and a secret", []string{post}, "", map[string]any{"client_secret": "s", "token_endpoint_auth_method": "other"}, post, post},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, authtest.Config{Metadata: func(doc map[string]any) {
					delete(doc, "token_endpoint_auth_methods_supported")
					if tt.supported != nil {
						doc["token_endpoint_auth_methods_supported"] = tt.supported
					}
				}}, authtest.Protection{})
				cfg := k.discovered()
				cfg.Registration = registration.Metadata{TokenEndpointAuthMethod: tt.configured}
				cfg.HTTPClient = k.editing(func(doc map[string]any) {
					for name, value := range tt.answered {
						if doc[name] = value; value == nil {
							delete(doc, name)
						}
					}
				})
				_, err := k.manager(cfg).Resolve(t.Context(), nil, k.unauthorized())
				if err != nil && tt.answered == nil { // the kit knows nothing of what we made up
					t.Fatal(err)
				}
				if got := k.srv.Registrations()[0].TokenEndpointAuthMethod; got != tt.registered {
					t.Errorf("registered for %q, want %q", got, tt.registered)
				}
				if got := usedMethod(k.srv.TokenRequests()[0]); got != tt.used {
					t.Errorf("authenticated by %q, want %q", got, tt.used)
				}
			})
		})
	}
}

// A stored registration for a secret that is not there: better tried without
// one than not at all.
func TestStoredRegistrationWithoutSecret(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		cfg := k.discovered()
		s := new(auth.MemoryStore)
		cfg.Store = s
		if _, err := s.Save(t.Context(), auth.Key{Issuer: k.srv.Issuer}, &auth.Record{Issuer: k.srv.Issuer, Registration: &registration.Client{
			ClientID: clientID, TokenEndpointAuthMethod: "client_secret_basic", RedirectURIs: []string{callback},
		}}); err != nil {
			t.Fatal(err)
		}
		if _, err := k.manager(cfg).Authorize(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := usedMethod(k.srv.TokenRequests()[0]); got != "none" || k.srv.Counts().Register != 0 {
			t.Errorf("authenticated by %q after %d registrations", got, k.srv.Counts().Register)
		}
	})
}

// How a configured client authenticates: as the configuration says, else as
// the server's metadata allow, basic first.
func TestConfiguredAuthMethod(t *testing.T) {
	const none, basic, post = "none", "client_secret_basic", "client_secret_post"
	tests := []struct {
		name      string
		secret    string
		supported []string
		want      string
	}{
		{"public", "", []string{basic, post}, none},
		{"the server does not say", "s", nil, basic},
		{"all", "s", []string{post, basic}, basic},
		{"post only", "s", []string{post}, post},
		{"neither", "s", []string{none}, basic},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, authtest.Config{}, authtest.Protection{})
				k.srv.AddClient(clientID, tt.secret)
				cfg := k.config()
				cfg.Client.Secret = tt.secret
				cfg.Server.TokenEndpointAuthMethodsSupported = tt.supported
				m, _ := k.started(cfg)
				if _, err := m.Refresh(t.Context()); err != nil {
					t.Fatal(err)
				}
				if got := usedMethod(k.srv.TokenRequests()[0]); got != tt.want {
					t.Errorf("authenticated by %q, want %q", got, tt.want)
				}
			})
		})
	}
}

// RFC 6749 section 2.3.1: identifier and secret are form-encoded before they
// are joined.
func TestBasicIsEncoded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const id, secret = "https://client.example.com/a b", "p:ä%&+s"
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		k.srv.AddClient(id, secret)
		cfg := k.config()
		cfg.Client, cfg.Grant = auth.Client{ID: id, Secret: secret}, grant.ClientCredentials{}
		if _, err := k.manager(cfg).Authorize(t.Context()); err != nil {
			t.Fatal(err)
		}
		r := k.srv.TokenRequests()[0]
		want := "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(secret)))
		if got := r.Header.Get("Authorization"); got != want || r.Form.Has("client_id") || r.Form.Has("client_secret") {
			t.Errorf("Authorization %q and form %v", got, r.Form)
		}
	})
}

// proving is a [auth.ClientAuth] by hand.
type proving struct {
	err  error
	seen []auth.ClientAuthRequest
}

func (*proving) Method() string { return "proving" }

func (p *proving) Authenticate(_ context.Context, r *auth.ClientAuthRequest) error {
	seen := *r
	seen.Form = make(url.Values)
	for name, values := range r.Form {
		seen.Form[name] = slices.Clone(values)
	}
	p.seen = append(p.seen, seen)
	r.Header.Set("X-Proof", "fresh")
	r.Form.Set("client_id", r.ClientID)
	r.Form.Set("own_proof", "a")
	return p.err
}

// A client authentication of the program is asked for every request, each retry
// too, and sees everything it has to bind a proof to.
func TestOwnClientAuth(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		cfg := k.config()
		p := new(proving)
		cfg.Client.Auth = p
		m, tok := k.started(cfg)
		k.srv.Inject(authtest.TokenEndpoint, authtest.Status(503))
		if _, err := m.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(p.seen) != 2 {
			t.Fatalf("asked %d times, want 2", len(p.seen))
		}
		for _, r := range p.seen {
			if r.ClientID != clientID || r.Issuer != k.srv.Issuer || r.Endpoint != k.srv.Endpoint(authtest.TokenEndpoint) ||
				r.Form.Get("refresh_token") != tok.RefreshToken || r.Form.Has("own_proof") {
				t.Errorf("asked with %+v", r)
			}
		}
		for _, r := range k.srv.TokenRequests() {
			if r.Header.Get("X-Proof") != "fresh" || r.Form.Get("own_proof") != "a" {
				t.Errorf("sent without the proof: %v", r.Form)
			}
		}
	})

	t.Run("fails", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			k := newKit(t, authtest.Config{}, authtest.Protection{})
			cfg := k.config()
			boom := errors.New("the key is locked")
			cfg.Client.Auth = &proving{err: boom}
			m, _ := k.started(cfg)
			_, err := m.Refresh(t.Context())
			te := asError[*auth.TokenError](t, err)
			if !errors.Is(err, boom) || te.Retryable() || k.srv.Counts().Token != 0 {
				t.Errorf("%v after %d requests, want the cause and no request", err, k.srv.Counts().Token)
			}
		})
	})
}

// No answer of the server's may be followed with the client's credentials.
func TestCredentialsStayHome(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		k.srv.AddClient(clientID, "secret")
		cfg := k.config()
		cfg.Client.Secret, cfg.Grant = "secret", grant.ClientCredentials{}
		w, client := k.wired(func(r *http.Request) (*http.Response, error) {
			if r.URL.Path == "/token" {
				resp := answer(308, "text/plain", "")
				resp.Header.Set("Location", "https://evil.example.com/token")
				return resp, nil
			}
			return nil, nil
		})
		client.CheckRedirect = func(*http.Request, []*http.Request) error { return nil } // the user's own policy does not count
		cfg.HTTPClient = client
		_, err := k.manager(cfg).Authorize(t.Context())
		if te := asError[*auth.TokenError](t, err); te.StatusCode != 308 || len(w.heard("evil")) != 0 {
			t.Errorf("%v, sent %q", err, w.heard("evil"))
		}
	})
}
