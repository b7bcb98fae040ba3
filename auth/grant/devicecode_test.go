package grant_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/grant"
)

const typeDevice = "urn:ietf:params:oauth:grant-type:device_code"

var (
	pending  = refuses("authorization_pending")
	slowDown = refuses("slow_down")
	done     = answer{body: bearer("access", `,"refresh_token":"r"`)}
)

// device is a device authorization response; more replaces its members. An
// answer that has one twice is refused.
func device(more string) *endpoint {
	members := map[string]json.RawMessage{}
	for _, part := range []string{
		`{"device_code":"device-secret","user_code":"WDJB-MJHT","verification_uri":"https://as.example/device-login","expires_in":900}`,
		`{` + strings.TrimPrefix(more, ",") + `}`,
	} {
		if err := json.Unmarshal([]byte(part), &members); err != nil {
			panic(err)
		}
	}
	body, err := json.Marshal(members)
	if err != nil {
		panic(err)
	}
	return says(string(body))
}

// shown is a prompt that keeps what it was given.
type shown struct {
	ctx     context.Context
	prompts []grant.DevicePrompt
}

func (s *shown) grant() grant.DeviceCode {
	return grant.DeviceCode{Prompt: func(ctx context.Context, p grant.DevicePrompt) error {
		s.ctx, s.prompts = ctx, append(s.prompts, p)
		return nil
	}}
}

func TestDeviceCode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := network{
			asDevice: device(`,"verification_uri_complete":"https://as.example/device-login?user_code=WDJB-MJHT"`),
			asToken:  new(endpoint).then(pending, done),
		}
		var s shown
		cfg := config(n, s.grant())
		cfg.Scopes = []string{"read", "write"}
		cfg.AuthorizationTimeout = time.Hour
		began := time.Now()
		tok, err := start(t, cfg).Authorize(t.Context())
		if err != nil || tok.AccessToken != "access" || tok.RefreshToken != "r" || strings.Join(tok.Scopes, " ") != "read write" {
			t.Fatalf("Authorize: %v, %v", tok, err)
		}
		asked := wantRequests(t, asDevice, n[asDevice], 1)[0]
		wantForm(t, asked.form, "client_id", "mcp-client", "scope", "read write", "resource", mcpServer)
		for _, r := range wantRequests(t, asToken, n[asToken], 2) {
			wantForm(t, r.form, "grant_type", typeDevice, "device_code", "device-secret", "client_id", "mcp-client", "resource", mcpServer)
		}
		want := grant.DevicePrompt{
			UserCode: "WDJB-MJHT", VerificationURI: "https://as.example/device-login",
			VerificationURIComplete: "https://as.example/device-login?user_code=WDJB-MJHT", Expires: began.Add(15 * time.Minute).Round(0),
		}
		if len(s.prompts) != 1 || s.prompts[0] != want {
			t.Errorf("prompts %+v, want one, %+v", s.prompts, want)
		}
		if s.ctx.Err() == nil {
			t.Error("the prompt's context has not ended with the login")
		}
	})
}

// watchedStore looks at something whenever a token is stored.
type watchedStore struct {
	auth.MemoryStore
	look func()
}

func (s *watchedStore) Save(ctx context.Context, key auth.Key, r *auth.Record) (uint64, error) {
	s.look()
	return s.MemoryStore.Save(ctx, key, r)
}

// The prompt may disappear as soon as the user is done, before anything else is
// done with the token.
func TestDeviceCodePromptEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s shown
		var ended []error
		cfg := config(network{asDevice: device(""), asToken: new(endpoint).then(done)}, s.grant())
		cfg.Store = &watchedStore{look: func() { ended = append(ended, s.ctx.Err()) }}
		if _, err := start(t, cfg).Authorize(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(ended) != 1 || ended[0] == nil {
			t.Errorf("as the token was stored the prompt's context said %v", ended)
		}
	})
}

func TestDeviceCodeIsInteractive(t *testing.T) {
	g := grant.DeviceCode{}
	if !g.Interactive() || g.Type() != typeDevice {
		t.Errorf("Interactive %v, Type %q", g.Interactive(), g.Type())
	}
}

// A client with a secret proves itself in both requests (RFC 8628 section 3.1).
func TestDeviceCodeWithAClientSecret(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := network{asDevice: device(""), asToken: new(endpoint).then(done)}
		var s shown
		cfg := config(n, s.grant())
		cfg.Client.Secret = "mcp-secret"
		if _, err := start(t, cfg).Authorize(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, r := range append(n[asDevice].requests(), n[asToken].requests()...) {
			if id, secret, _ := (&http.Request{Header: r.header}).BasicAuth(); id != "mcp-client" || secret != "mcp-secret" {
				t.Errorf("client authentication %q %q", id, secret)
			}
		}
	})
}

// When polls are sent, in seconds after the device authorization (RFC 8628
// section 3.5).
func TestDeviceCodePolling(t *testing.T) {
	later := http.Header{"Retry-After": {"40"}}
	tests := []struct {
		name    string
		device  string
		answers []answer
		at      []int
	}{
		{"interval not told", ``, []answer{pending, pending, done}, []int{5, 10, 15}},
		{"interval", `,"interval":7`, []answer{pending, pending, done}, []int{7, 14, 21}},
		{"interval of less than a second", `,"interval":0.9`, []answer{pending, pending, done}, []int{5, 10, 15}},
		{"tiny interval", `,"interval":1e-9`, []answer{{status: 500}, pending, done}, []int{5, 15, 20}},
		{"interval of nothing", `,"interval":0`, []answer{pending, done}, []int{5, 10}},
		{"negative interval", `,"interval":-3`, []answer{{down: true}, {down: true}, done}, []int{5, 15, 35}},
		{"interval that is no number", `,"interval":"NaN"`, []answer{pending, done}, []int{5, 10}},
		{"the shortest interval", `,"interval":1`, []answer{pending, {status: 500}, done}, []int{1, 2, 4}},
		{"interval as a string", `,"interval":"7"`, []answer{pending, done}, []int{7, 14}},
		{"slow down, for good", ``, []answer{slowDown, pending, slowDown, pending, done}, []int{5, 15, 25, 40, 55}},
		{"slow down as 429", ``, []answer{{status: 429, body: `{"error":"slow_down"}`}, pending, done}, []int{5, 15, 25}},
		{"pending with Retry-After", ``, []answer{{status: 400, header: later, body: `{"error":"authorization_pending"}`}, done}, []int{5, 45}},
		{"slow down with Retry-After", ``, []answer{{status: 400, header: later, body: `{"error":"slow_down"}`}, done}, []int{5, 45}},
		{"time-outs of 15 s back off, until an answer", `,"interval":2`, []answer{{hang: true}, {hang: true}, pending, done}, []int{2, 21, 44, 46}},
		{"connections that fail", `,"interval":2`, []answer{{down: true}, {down: true}, {lost: true}, {down: true}, {down: true}, {down: true}, done}, []int{2, 6, 14, 30, 62, 122, 182}},
		{"server errors", `,"interval":2`, []answer{{status: 500}, {body: "<html>"}, pending, {status: 500}, done}, []int{2, 6, 14, 16, 20}},
		{"unavailable with Retry-After", ``, []answer{{status: 503, header: later}, done}, []int{5, 45}},
		{"an interval beyond the limit of backing off", `,"interval":90`, []answer{{status: 500}, done}, []int{90, 180}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := network{asDevice: device(tt.device), asToken: new(endpoint).then(tt.answers...)}
				var s shown
				if _, err := start(t, config(n, s.grant())).Authorize(t.Context()); err != nil {
					t.Fatal(err)
				}
				began := n[asDevice].requests()[0].at
				var at []int
				for _, r := range n[asToken].requests() {
					at = append(at, int(r.at.Sub(began).Seconds()))
				}
				if fmt.Sprint(at) != fmt.Sprint(tt.at) {
					t.Errorf("polls at %v, want %v", at, tt.at)
				}
			})
		})
	}
}

// Codes that live for less than a second, says the server, live for one: it
// rounded. A person is asked and the server once.
func TestDeviceCodeShortLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := network{asDevice: device(`,"expires_in":0.01,"interval":1`), asToken: new(endpoint).then(done)}
		var s shown
		_, err := start(t, config(n, s.grant())).Authorize(t.Context())
		if e := as[*auth.AuthorizationError](t, err); e.Code != "expired_token" {
			t.Errorf("error %v", e)
		}
		if life := s.prompts[0].Expires.Sub(n[asDevice].requests()[0].at); life != time.Second {
			t.Errorf("the codes live for %v", life)
		}
	})
}

// The older name of the member, which Google's servers still use. The newer one
// goes first.
func TestDeviceCodeVerificationURL(t *testing.T) {
	for more, want := range map[string]string{
		`,"verification_uri":"","verification_url":"https://as.example/old"`: "https://as.example/old",
		`,"verification_url":"https://as.example/old"`:                       "https://as.example/device-login",
	} {
		synctest.Test(t, func(t *testing.T) {
			n := network{asDevice: device(more), asToken: new(endpoint).then(done)}
			var s shown
			if _, err := start(t, config(n, s.grant())).Authorize(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := s.prompts[0].VerificationURI; got != want {
				t.Errorf("%s: shown %q, want %q", more, got, want)
			}
		})
	}
}

// A server that fails until the codes expire is what the error is about, not the
// user who was too slow.
func TestDeviceCodeOutage(t *testing.T) {
	broken := answer{status: 502, body: "<html>secret"}
	tests := []struct {
		name    string
		device  string
		answers []answer
		text    string
		status  int
	}{
		{"until the codes expire", `,"expires_in":60`, []answer{pending, broken}, "refused with expired_token: token request (device_code) to https://as.example: HTTP 502", 502},
		{"until the manager's time is up", `,"expires_in":6000`, []answer{broken}, "HTTP 502", 502},
		{"and then answers", `,"expires_in":60`, []answer{broken, pending}, "refused with expired_token", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := network{asDevice: device(tt.device), asToken: new(endpoint).then(tt.answers...)}
				var s shown
				_, err := start(t, config(n, s.grant())).Authorize(t.Context())
				e := as[*auth.AuthorizationError](t, err)
				if e.Code != "expired_token" || !strings.Contains(e.Error(), tt.text) || strings.Contains(e.Error(), "gave up") {
					t.Errorf("error %q, want %q", e, tt.text)
				}
				wantNoSecret(t, e.Error())
				if te := new(auth.TokenError); errors.As(err, &te) != (tt.status != 0) || te.StatusCode != tt.status {
					t.Errorf("the last answer in it has status %d, want %d", te.StatusCode, tt.status)
				}
			})
		})
	}
}

// Nobody is polled for who has gone, and not at once: a caller may come back.
func TestDeviceCodeWithoutWaiters(t *testing.T) {
	for name, poll := range map[string]answer{"between polls": pending, "in a poll": {hang: true}, "after failures": {status: 500}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := network{asDevice: device(""), asToken: new(endpoint).then(poll)}
				var s shown
				ctx, leave := context.WithTimeout(t.Context(), 7*time.Second)
				defer leave()
				if _, err := start(t, config(n, s.grant())).Authorize(ctx); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("Authorize: %v", err)
				}
				if s.ctx.Err() != nil {
					t.Error("the login ended as soon as its caller left")
				}
				time.Sleep(31 * time.Second)
				polls := len(n[asToken].requests())
				time.Sleep(10 * time.Minute)
				if again := len(n[asToken].requests()); s.ctx.Err() == nil || polls == 0 || again != polls {
					t.Errorf("%d polls when nobody waited any more, then %d; the prompt's context says %v", polls, again, s.ctx.Err())
				}
			})
		})
	}
}

func TestDeviceCodeRefused(t *testing.T) {
	tests := []struct {
		name    string
		device  string
		answers []answer
		code    string
		polls   int
	}{
		{"by the user", ``, []answer{pending, refuses("access_denied")}, "access_denied", 2},
		{"too late, says the server", ``, []answer{pending, refuses("expired_token")}, "expired_token", 2},
		{"too late, says the clock", `,"expires_in":16`, []answer{pending}, "expired_token", 3},
		{"an interval longer than the codes live", `,"expires_in":16,"interval":60`, []answer{pending}, "expired_token", 0},
		{"the manager's own time is up", `,"expires_in":6000`, []answer{pending}, "expired_token", 119},
		{"life not told", `,"expires_in":null`, []answer{pending}, "expired_token", 119},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := network{asDevice: device(tt.device), asToken: new(endpoint).then(tt.answers...)}
				var s shown
				_, err := start(t, config(n, s.grant())).Authorize(t.Context())
				if e := as[*auth.AuthorizationError](t, err); e.Code != tt.code || e.Issuer != asIssuer {
					t.Errorf("error %v", e)
				}
				wantRequests(t, asToken, n[asToken], tt.polls)
				if s.ctx.Err() == nil {
					t.Error("the prompt's context has not ended with the login")
				}
				if life := s.prompts[0].Expires.Sub(n[asDevice].requests()[0].at); life > 10*time.Minute {
					t.Errorf("the user was given %v, more than the manager waits", life)
				}
			})
		})
	}
}

// Any other refusal of a poll ends the login as what it is.
func TestDeviceCodePollRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := network{asDevice: device(""), asToken: new(endpoint).then(pending, refuses("invalid_grant"))}
		var s shown
		_, err := start(t, config(n, s.grant())).Authorize(t.Context())
		if e := as[*auth.TokenError](t, err); e.Code != "invalid_grant" || e.GrantType != typeDevice {
			t.Errorf("error %v", err)
		}
		wantRequests(t, asToken, n[asToken], 2)
	})
}

// A client authentication that fails is no answer of the server's: nothing is
// polled for.
func TestDeviceCodeClientAuthenticationFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := network{asDevice: device(""), asToken: new(endpoint).then(pending)}
		var s shown
		cfg := config(n, s.grant())
		cfg.Client.Auth = failingAuth{}
		_, err := start(t, cfg).Authorize(t.Context())
		if e := as[*auth.TokenError](t, err); e.Retryable() || !strings.Contains(e.Error(), "device authorization request") {
			t.Errorf("error %v", e)
		}
		wantNoSecret(t, err.Error())
		wantRequests(t, asDevice, n[asDevice], 0)
	})
}

type failingAuth struct{}

func (failingAuth) Method() string { return "failing" }

func (failingAuth) Authenticate(context.Context, *auth.ClientAuthRequest) error {
	return &url.Error{Op: "Post", URL: "https://kms.example/?key=secret", Err: errors.New("secret")}
}

func TestDeviceCodeUnusable(t *testing.T) {
	var s shown
	own := errors.New("terminal is gone")
	n := func(more string) network {
		return network{asDevice: device(more), asToken: new(endpoint).then(done)}
	}
	tests := []struct {
		name string
		cfg  auth.Config
		is   error
		text string
	}{
		{"no endpoint", func() auth.Config {
			cfg := config(n(""), s.grant())
			cfg.Server.DeviceAuthorizationEndpoint = ""
			return cfg
		}(), grant.ErrNoDeviceEndpoint, "the authorization server has no device_authorization_endpoint; use AuthorizationCode"},
		{"prompt fails", config(n(""), grant.DeviceCode{Prompt: func(context.Context, grant.DevicePrompt) error { return own }}), own, "terminal is gone"},
		{"escape sequence in the code", config(n(`,"user_code":"\u001b]0;secret"`), s.grant()), grant.ErrDeviceResponse, "user_code"},
		{"endless code", config(n(`,"user_code":"`+strings.Repeat("secret", 20)+`"`), s.grant()), grant.ErrDeviceResponse, "user_code"},
		{"bidirectional URI", config(n(`,"verification_uri":"https://as.example/\u202esecret"`), s.grant()), grant.ErrDeviceResponse, "verification_uri"},
		{"unencrypted URI", config(n(`,"verification_uri":"http://as.example/secret"`), s.grant()), nil, "verification_uri is \"http://as.example\", unencrypted"},
		{"URI of another kind", config(n(`,"verification_uri":"file:///secret"`), s.grant()), nil, "verification_uri"},
		{"by its older name", config(n(`,"verification_uri":null,"verification_url":"file:///secret"`), s.grant()), nil, "verification_uri"},
		{"bidirectional, by its older name", config(n(`,"verification_uri":null,"verification_url":"https://as.example/\u202esecret"`), s.grant()), grant.ErrDeviceResponse, "verification_uri"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s = shown{}
			_, err := start(t, tt.cfg).Authorize(t.Context())
			e := as[*auth.AuthorizationError](t, err)
			if !strings.Contains(e.Error(), tt.text) || (tt.is != nil && !errors.Is(err, tt.is)) {
				t.Errorf("error %q, want %q", e, tt.text)
			}
			wantNoSecret(t, err.Error())
			if len(s.prompts) != 0 {
				t.Errorf("the user was shown %+v", s.prompts)
			}
		})
	}
}

// A link that cannot be used is left out: the user can enter the code.
func TestDeviceCodeWithABadLink(t *testing.T) {
	for name, link := range map[string]string{"script": "javascript:alert(1)", "escape": `https://as.example/\u202e`, "none": ""} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := network{asDevice: device(`,"verification_uri_complete":"` + link + `"`), asToken: new(endpoint).then(done)}
				var s shown
				if _, err := start(t, config(n, s.grant())).Authorize(t.Context()); err != nil {
					t.Fatal(err)
				}
				if s.prompts[0].VerificationURIComplete != "" || s.prompts[0].UserCode == "" {
					t.Errorf("prompt %+v", s.prompts[0])
				}
			})
		})
	}
}

func TestDeviceCodeWithoutAPrompt(t *testing.T) {
	n := network{asDevice: device("")}
	wantConfigError(t, config(n, grant.DeviceCode{}), "DeviceCode.Prompt")
	wantRequests(t, asDevice, n[asDevice], 0)
}

// It is named as what it is, not as a token request, also when its answer cannot be
// used (RFC 8628 section 3.2).
func TestDeviceAuthorizationRefused(t *testing.T) {
	tests := []struct {
		name     string
		answers  []answer
		code     string
		requests int
	}{
		{"refused", []answer{refuses("invalid_scope")}, "invalid_scope", 1},
		{"no code", []answer{{body: `{"user_code":"secret","verification_uri":"https://as.example/"}`}}, "", 1},
		{"no user code", []answer{{body: `{"device_code":"secret","verification_uri":"https://as.example/"}`}}, "", 1},
		{"no URI", []answer{{body: `{"device_code":"secret","user_code":"secret"}`}}, "", 1},
		{"wrong types", []answer{{body: `{"device_code":["secret"]}`}}, "", 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n := network{asDevice: new(endpoint).then(tt.answers...), asToken: new(endpoint).then(done)}
			var s shown
			_, err := start(t, config(n, s.grant())).Authorize(t.Context())
			if e := as[*auth.TokenError](t, err); e.Code != tt.code || e.GrantType != "device authorization request" ||
				!strings.HasPrefix(e.Error(), "auth: device authorization request to "+asIssuer+": ") {
				t.Errorf("error %v", e)
			}
			wantNoSecret(t, err.Error())
			wantRequests(t, asDevice, n[asDevice], tt.requests)
		})
	}
}

func TestDeviceAuthorizationIsRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := network{asDevice: new(endpoint).then(answer{status: 503}, answer{body: "<html>"}, device("").answers[0]), asToken: new(endpoint).then(done)}
		var s shown
		if _, err := start(t, config(n, s.grant())).Authorize(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantRequests(t, asDevice, n[asDevice], 3)
	})
}

// Closing the manager ends the login at once, wherever it is.
func TestDeviceCodeClose(t *testing.T) {
	for name, poll := range map[string]answer{"between polls": pending, "in a poll": {hang: true}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := network{asDevice: device(""), asToken: new(endpoint).then(poll)}
				var s shown
				m := start(t, config(n, s.grant()))
				failed := make(chan error, 1)
				go func() {
					_, err := m.Authorize(t.Context())
					failed <- err
				}()
				time.Sleep(7 * time.Second) // after the first poll
				began := time.Now()
				if err := m.Close(); err != nil {
					t.Fatal(err)
				}
				if err := <-failed; !errors.Is(err, auth.ErrClosed) {
					t.Errorf("Authorize: %v, want ErrClosed", err)
				}
				if took := time.Since(began); took != 0 {
					t.Errorf("Close took %v", took)
				}
				if s.ctx.Err() == nil {
					t.Error("the prompt's context has not ended")
				}
			})
		})
	}
}

// With nothing known but the MCP server's URL the client registers itself for
// this grant.
func TestDeviceCodeRegisters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const register = asIssuer + "/register"
		n := network{
			"https://mcp.example/.well-known/oauth-protected-resource/mcp": says(`{"resource":"` + mcpServer + `","authorization_servers":["` + asIssuer + `"]}`),
			asIssuer + "/.well-known/oauth-authorization-server": says(`{"issuer":"` + asIssuer + `","token_endpoint":"` + asToken +
				`","device_authorization_endpoint":"` + asDevice + `","registration_endpoint":"` + register + `"}`),
			register: new(endpoint).then(answer{status: 201, body: `{"client_id":"registered"}`}),
			asDevice: device(""),
			asToken:  new(endpoint).then(done),
		}
		var s shown
		cfg := auth.Config{Resource: mcpServer, Grant: s.grant(), HTTPClient: &http.Client{Transport: n}, Network: auth.Network{AnyAddress: true}}
		if _, err := start(t, cfg).Authorize(t.Context()); err != nil {
			t.Fatal(err)
		}
		if r := wantRequests(t, asDevice, n[asDevice], 1)[0]; r.form.Get("client_id") != "registered" {
			t.Errorf("client_id %q", r.form.Get("client_id"))
		}
		if doc := n[register].requests()[0].body; !strings.Contains(doc, `"grant_types":["`+typeDevice+`","refresh_token"]`) {
			t.Errorf("registered as %s", doc)
		}
	})
}
