package auth_test

import (
	"context"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/grant"
)

// forms are the requests that a server was asked about.
type forms struct {
	mu   sync.Mutex
	seen map[string]url.Values // by endpoint and grant type
}

// refuse notes each request and refuses those that unfit is true for.
func (f *forms) refuse(code string, unfit func(url.Values) bool) func(authtest.Endpoint, url.Values) string {
	return func(e authtest.Endpoint, form url.Values) string {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.seen == nil {
			f.seen = map[string]url.Values{}
		}
		f.seen[strings.TrimSpace(string(e)+" "+form.Get("grant_type"))] = form
		if unfit(form) {
			return code
		}
		return ""
	}
}

func (f *forms) get(request, name string) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.seen[request][name]
}

func (f *forms) requests() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Sorted(maps.Keys(f.seen))
}

// devices is a grant for a person who approves on another device.
func (k *kit) devices() auth.Grant {
	return grant.DeviceCode{Prompt: func(_ context.Context, p grant.DevicePrompt) error { return k.srv.ApproveDevice(p.UserCode) }}
}

// The resource parameter is the one discovered, another one or none, in all
// requests alike.
//
//compat:asking the `resource` parameter is refused, or another one is wanted
//compat:default the resource that was discovered is sent
//compat:setting Config.Requests.Resource
//compat:attack TestServerRefusesResource
func TestResourceParameter(t *testing.T) {
	for name, test := range map[string]struct {
		set    func(k *kit) string
		want   func(k *kit) []string
		device bool
		par    bool
	}{
		"as discovered":    {func(*kit) string { return "" }, func(k *kit) []string { return []string{k.res.URL} }, false, false},
		"another":          {func(k *kit) string { return k.res.URL + "/" }, func(k *kit) []string { return []string{k.res.URL + "/"} }, false, false},
		"none":             {func(*kit) string { return auth.NoResource }, func(*kit) []string { return nil }, false, false},
		"none, pushed":     {func(*kit) string { return auth.NoResource }, func(*kit) []string { return nil }, false, true},
		"none, device":     {func(*kit) string { return auth.NoResource }, func(*kit) []string { return nil }, true, false},
		"another, device":  {func(k *kit) string { return k.res.URL + "/" }, func(k *kit) []string { return []string{k.res.URL + "/"} }, true, false},
		"discovered, devi": {func(*kit) string { return "" }, func(k *kit) []string { return []string{k.res.URL} }, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				var f forms
				k := newKit(t, authtest.Config{PAR: test.par, Refuse: f.refuse("", func(url.Values) bool { return false })}, authtest.Protection{AllowUnbound: true})
				cfg := k.discovered()
				requests := []string{"authorize", "token authorization_code", "token refresh_token"}
				if test.device {
					cfg.Grant = k.devices()
					requests = []string{"device", "token refresh_token", "token urn:ietf:params:oauth:grant-type:device_code"}
				}
				cfg.Requests.Resource = test.set(k)
				m := k.manager(cfg)
				tok, err := m.Authorize(t.Context())
				if err != nil || k.call(tok) != 200 {
					t.Fatalf("login: %v", err)
				}
				if _, err := m.Refresh(t.Context()); err != nil {
					t.Fatalf("refresh: %v", err)
				}
				if got := f.requests(); !slices.Equal(got, requests) {
					t.Fatalf("requests %q, want %q", got, requests)
				}
				for _, r := range requests {
					if got := f.get(r, "resource"); !slices.Equal(got, test.want(k)) {
						t.Errorf("%s: resource %q, want %q", r, got, test.want(k))
					}
				}
			})
		})
	}
}

// A server that refuses the parameter is of no use without the setting, and the
// token still goes to the resource alone: what is not sent is not forgotten.
func TestServerRefusesResource(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var f forms
		k := newKit(t, authtest.Config{Refuse: f.refuse("invalid_target", func(form url.Values) bool { return form.Has("resource") })}, authtest.Protection{AllowUnbound: true})
		_, err := k.manager(k.discovered()).Authorize(t.Context())
		if e := asError[*auth.AuthorizationError](t, err); e.Code != "invalid_target" {
			t.Fatalf("code %q", e.Code)
		}
		cfg := k.discovered()
		cfg.Requests.Resource = auth.NoResource
		store := new(auth.MemoryStore)
		cfg.Store = store
		m := k.manager(cfg)
		if _, err := m.Authorize(t.Context()); err != nil {
			t.Fatal(err)
		}
		if rec, err := store.Load(t.Context(), auth.Key{Resource: k.res.URL}); err != nil || rec.Resource != k.res.URL {
			t.Errorf("stored for %+v, %v", rec, err)
		}
	})
}

// A server took the parameter at the login and refuses it in a refresh, as Entra ID,
// Dropbox and others do (modelcontextprotocol/csharp-sdk#1883, dust-tt/dust#22773).
//
//compat:asking the `resource` parameter is refused in a refresh only
//compat:default the refresh is sent once more without, and from then on at once; the token is for what was granted
//compat:setting Config.Requests.Resource
//compat:attack TestServerRefusesResource
func TestRefreshWithoutResource(t *testing.T) {
	refreshing := func(form url.Values) bool { return form.Get("grant_type") == "refresh_token" }
	bound := func(form url.Values) bool { return refreshing(form) && form.Has("resource") }
	for name, tt := range map[string]struct {
		refuse    func(form url.Values) string
		edit      func(k *kit, c *auth.Config)
		refreshes []int // after each of three
		ok        bool
	}{
		"invalid_target": {refuse: func(f url.Values) string {
			if bound(f) {
				return "invalid_target: AADSTS9010010: The resource parameter provided in the request doesn't match with the requested scopes."
			}
			return ""
		}, refreshes: []int{2, 3, 4}, ok: true},
		"invalid_request that names it": {refuse: func(f url.Values) string {
			if bound(f) {
				return `invalid_request: unknown field "Resource"`
			}
			return ""
		}, refreshes: []int{3, 4, 5}, ok: true}, // scopes could have been missing, too
		"and the scopes are wanted": {refuse: func(f url.Values) string {
			switch {
			case bound(f):
				return "invalid_target"
			case lacksScope(f):
				return "invalid_request"
			}
			return ""
		}, refreshes: []int{3, 4, 5}, ok: true},
		"refused without, too": {refuse: func(f url.Values) string {
			if refreshing(f) {
				return "invalid_target"
			}
			return ""
		}, refreshes: []int{2}},
		"dead, in other words": {refuse: func(f url.Values) string {
			if refreshing(f) {
				return "invalid_request: refresh_token is invalid" // obot-platform/obot#7501
			}
			return ""
		}, refreshes: []int{2}},
		"the program named it": {refuse: func(f url.Values) string {
			if bound(f) {
				return "invalid_target"
			}
			return ""
		}, edit: func(k *kit, c *auth.Config) { c.Requests.Resource = k.res.URL }, refreshes: []int{1}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, authtest.Config{Refuse: func(_ authtest.Endpoint, form url.Values) string { return tt.refuse(form) }}, authtest.Protection{})
				cfg := k.discovered()
				cfg.Scopes = []string{"a", "b"}
				if tt.edit != nil {
					tt.edit(k, &cfg)
				}
				m := k.manager(cfg)
				if _, err := m.Authorize(t.Context()); err != nil {
					t.Fatal(err)
				}
				for i, want := range tt.refreshes {
					tok, err := m.Refresh(t.Context())
					if (err == nil) != tt.ok || err == nil && (k.call(tok) != 200 || !slices.Equal(tok.Scopes, cfg.Scopes)) {
						t.Fatalf("refresh %d: %v, %v", i, tok, err)
					}
					k.wantRefreshes(want)
				}
				for _, uses := range k.srv.RefreshTokenUses() {
					if uses > 1 {
						t.Error("a refresh token was spent twice")
					}
				}
				if tok := mustToken(t, m); k.call(tok) != 200 {
					t.Error("the token is lost")
				}
			})
		})
	}
}

// The program's own parameters are in the requests that they are for, and in no
// other.
//
//compat:asking parameters of the server's own (`audience`, `access_type`)
//compat:default none
//compat:setting Config.Requests.Authorization, Token, Device
//compat:attack TestParametersOfTheProtocol
func TestExtraParameters(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for _, device := range []bool{false, true} {
			var f forms
			lacks := func(form url.Values) bool { return form.Get("audience") == "" }
			k := newKit(t, authtest.Config{ScopesSupported: []string{"read", "offline_access"}, Refuse: f.refuse("access_denied", lacks)}, authtest.Protection{Scopes: []string{"read"}})
			cfg := k.discovered()
			if device {
				cfg.Grant = k.devices()
			}
			if _, err := k.manager(cfg).Authorize(t.Context()); err == nil {
				t.Fatal("the server does without audience")
			}
			cfg.Requests = auth.Requests{
				Authorization: map[string]string{"audience": "a", "access_type": "offline", "prompt": ""},
				Token:         map[string]string{"audience": "t"},
				Device:        map[string]string{"audience": "d", "login_hint": "alice@example.com"},
			}
			m := k.manager(cfg)
			cfg.Requests.Token["audience"] = "changed later"
			if _, err := m.Authorize(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, err := m.Refresh(t.Context()); err != nil {
				t.Fatal(err)
			}
			want := map[string]string{"authorize": "a", "device": "d"}
			for _, r := range f.requests() {
				if got := f.get(r, "audience"); !slices.Equal(got, []string{orElse(want[r], "t")}) {
					t.Errorf("%s: audience %q", r, got)
				}
				if hint := f.get(r, "login_hint"); (hint != nil) != (r == "device") {
					t.Errorf("%s: login_hint %q", r, hint)
				}
				if p := f.get(r, "prompt"); p != nil {
					t.Errorf("%s: prompt %q, which the program left out", r, p)
				}
			}
		}
	})
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// What the protocol owns cannot be set by the way.
func TestParametersOfTheProtocol(t *testing.T) {
	owned := []string{
		"", "scope", "resource", "client_id", "client_secret", "client_assertion", "client_assertion_type", "redirect_uri", "dpop_jkt",
		"response_type", "response_mode", "state", "iss", "code", "code_verifier", "code_challenge", "code_challenge_method", "request",
		"request_uri", "grant_type", "refresh_token", "device_code", "username", "password", "assertion", "subject_token", "actor_token",
		"requested_token_type", "STATE", "Code_Challenge",
	}
	for _, name := range owned {
		for field, r := range map[string]auth.Requests{
			"Config.Requests.Authorization": {Authorization: map[string]string{name: "x"}},
			"Config.Requests.Token":         {Token: map[string]string{name: "x"}},
			"Config.Requests.Device":        {Device: map[string]string{name: "x"}},
		} {
			_, err := auth.NewManager(auth.Config{Resource: "https://mcp.example", Requests: r})
			if e := asError[*auth.ConfigError](t, err); e.Field != field || !strings.Contains(e.Problem, strings.ToLower(name)) {
				t.Errorf("%q in %s: %v", name, field, err)
			}
		}
	}
	for _, raw := range []string{"mcp", "/mcp", "https://mcp.example/#x", "https://mcp.example#", "://"} {
		_, err := auth.NewManager(auth.Config{Resource: "https://mcp.example", Requests: auth.Requests{Resource: raw}})
		if e := asError[*auth.ConfigError](t, err); e.Field != "Config.Requests.Resource" {
			t.Errorf("%q: %v", raw, err)
		}
	}
	for _, raw := range []string{"api://app", "urn:app:1", auth.NoResource} {
		m, err := auth.NewManager(auth.Config{Resource: "https://mcp.example", Requests: auth.Requests{Resource: raw}})
		if err != nil {
			t.Errorf("%q: %v", raw, err)
			continue
		}
		_ = m.Close()
	}
}
