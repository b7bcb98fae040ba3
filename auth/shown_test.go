package auth_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/discovery"
	"github.com/mcptokens/mcptokens/auth/grant"
	"github.com/mcptokens/mcptokens/auth/registration"
	"github.com/mcptokens/mcptokens/internal/shown"
)

// unseen has control, bidirectional, zero-width and other characters that cannot be seen, and
// is no UTF-8 at its end when it comes outside of JSON.
const unseen = "e\x1b[31m\u009b2J\u202evil\u2066\u200b\u200d\ufeff\ufe0f\u2028\r\nlevel=ERROR\u00a0\U000e0041\u3164\x7f"

// hostileTexts are what a server may say in any place.
var hostileTexts = map[string]string{
	"unseen":   unseen,
	"long":     strings.Repeat("l", 200<<10), // more than any limit, in a body that is read
	"words":    strings.Repeat("scope:of_many ", 4<<10),
	"host":     "https://as\u202e.\u009bevil.example/x",
	"hidden":   "https://%E2%80%AE%C2%9B.example/x",
	"zone":     "https://[fe80::1%25\u202e]/x",
	"path":     "https://as.example.com/\u202e\u200b/" + unseen,
	"fits":     strings.Repeat("f", 3<<10),
	"fits URL": "https://as.example.com/" + strings.Repeat("f", 3<<10),
	"far":      "https://as.example.com/" + strings.Repeat("p", 100<<10),
	"far host": "https://" + strings.Repeat("h.", 50<<10) + "example/",
}

// emitted collects what a program would show: errors, log lines, events, Info and prompts.
type emitted struct {
	t     *testing.T
	mu    sync.Mutex
	lines int
}

// longest is how many characters one text may have. An error quotes several texts of at most
// [shown.Max].
const longest = 8 * 300

func (e *emitted) text(where, text string) {
	e.t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.lines++
	if !shown.Visible(text) || utf8.RuneCountInString(text) > longest {
		e.t.Errorf("%s has characters that cannot be seen, or %d of them: %.400q", where, utf8.RuneCountInString(text), text)
	}
}

// error takes an error, and those of this module's types that it is around.
func (e *emitted) error(err error) {
	e.t.Helper()
	if err == nil {
		return
	}
	for _, line := range strings.Split(err.Error(), "\n") { // errors.Join's; that of unseen has more with it
		e.text("error", line)
	}
	var (
		token        *auth.TokenError
		authorize    *auth.AuthorizationError
		discovered   *discovery.Error
		registered   *registration.Error
		scopes       *auth.InsufficientScopeError
		reauthorized *auth.ReauthorizationRequiredError
	)
	if errors.As(err, &token) {
		e.text("TokenError", token.Error()+token.Description+token.URI+token.Code)
	}
	if errors.As(err, &authorize) {
		e.text("AuthorizationError", authorize.Error())
	}
	if errors.As(err, &discovered) {
		e.text("discovery.Error", discovered.Error())
	}
	if errors.As(err, &registered) {
		e.text("registration.Error", registered.Error()+registered.Description+registered.URI+registered.Code)
	}
	var fields []string // as they are, but for what no scope can be
	if errors.As(err, &scopes) {
		fields = scopes.Required
	}
	if errors.As(err, &reauthorized) {
		fields = append(fields, reauthorized.Scopes...)
	}
	if !shown.Visible(strings.Join(fields, " ")) {
		e.t.Errorf("scopes %.400q", fields)
	}
}

// names checks what a program may show or use: it has to be seen, and fit a record.
func (e *emitted) names(where string, list ...string) {
	e.t.Helper()
	for _, s := range list {
		if !shown.Visible(s) || len(s) > 64<<10 {
			e.t.Errorf("%s has characters that cannot be seen, or %d bytes: %.200q", where, len(s), s)
		}
	}
}

// Enabled implements [slog.Handler], as the others do. The values are taken as they
// are: handlers differ in what they escape.
func (e *emitted) Enabled(context.Context, slog.Level) bool { return true }

func (e *emitted) Handle(_ context.Context, r slog.Record) error {
	line := r.Message
	r.Attrs(func(a slog.Attr) bool {
		value := fmt.Sprint(a.Value.Resolve().Any())
		e.text("log, "+a.Key, value)
		if utf8.RuneCountInString(value) > 302 { // the brackets of a list
			e.t.Errorf("the log has %d characters of %s", utf8.RuneCountInString(value), a.Key)
		}
		line += " " + a.Key + "=" + a.Value.String()
		return true
	})
	e.text("log", line)
	return nil
}

func (e *emitted) WithAttrs([]slog.Attr) slog.Handler { return e }
func (e *emitted) WithGroup(string) slog.Handler      { return e }

// watch runs life under a manager of cfg, and looks at all that it says.
func (e *emitted) watch(k *kit, cfg auth.Config, life func(m *auth.Manager)) {
	e.t.Helper()
	cfg.Logger, cfg.NoIdleRefresh = slog.New(e), true
	m := k.manager(cfg)
	events, stop := m.Subscribe()
	life(m)
	stop()
	for event := range events {
		e.error(event.Err)
		e.names("event", event.Scopes...)
	}
	i := m.Info()
	e.error(i.LastError)
	e.names("info", append(append(i.Scopes, i.Requested...), i.Issuer, i.ClientID, i.Resource, i.TokenType)...)
	for _, v := range []any{m, &cfg} {
		e.text("printed", fmt.Sprintf("%+v", v))
	}
	if e.lines == 0 {
		e.t.Error("nothing was said: nothing is tested")
	}
}

// replaced answers as the server does, but for one member of its JSON documents.
func (k *kit) replaced(at, member string, value any) *http.Client {
	_, client := k.wired(func(r *http.Request) (*http.Response, error) {
		if u, err := url.Parse(at); err != nil || r.URL.Path != u.Path {
			return nil, err
		}
		resp, err := k.srv.Transport().RoundTrip(r)
		if err != nil {
			return nil, err
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		doc := make(map[string]any)
		if err != nil || json.Unmarshal(body, &doc) != nil {
			return answer(resp.StatusCode, "application/json", string(body)), err
		}
		doc[member] = value
		if body, err = json.Marshal(doc); err != nil {
			return nil, err
		}
		resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), -1
		resp.Header.Del("Content-Length")
		return resp, nil
	})
	return client
}

// Whatever a server puts into a member of its documents: errors, log lines, events, Info and
// prompts have visible characters only, and few.
func TestHostileWordsAreShownSafely(t *testing.T) {
	type place struct {
		at      func(k *kit) string
		members []string
	}
	endpoint := func(e authtest.Endpoint) func(k *kit) string {
		return func(k *kit) string { return k.srv.Endpoint(e) }
	}
	for name, p := range map[string]place{
		"resource": {func(k *kit) string { return k.res.MetadataURL }, []string{
			"resource", "authorization_servers", "scopes_supported", "resource_name", "resource_documentation", "jwks_uri", "bearer_methods_supported",
		}},
		"metadata": {endpoint(authtest.MetadataEndpoint), []string{
			"issuer", "authorization_endpoint", "token_endpoint", "registration_endpoint", "revocation_endpoint", "device_authorization_endpoint",
			"pushed_authorization_request_endpoint", "jwks_uri", "scopes_supported", "token_endpoint_auth_methods_supported", "code_challenge_methods_supported",
		}},
		"registration": {endpoint(authtest.RegistrationEndpoint), []string{
			"client_id", "client_secret", "token_endpoint_auth_method", "redirect_uris", "registration_client_uri", "error", "error_description",
		}},
		"token": {endpoint(authtest.TokenEndpoint), []string{"access_token", "refresh_token", "token_type", "scope", "expires_in", "error", "error_description", "issued_token_type"}},
		"device": {endpoint(authtest.DeviceEndpoint), []string{
			"device_code", "user_code", "verification_uri", "verification_uri_complete", "expires_in", "error", "error_description", "error_uri",
		}},
	} {
		for _, member := range p.members {
			for kind, text := range hostileTexts {
				forms := map[string]any{"": text}
				if kind == "unseen" || kind == "words" || kind == "long" {
					forms[" in a list"] = []string{text}
				}
				for form, value := range forms {
					t.Run(name+"/"+member+"/"+kind+form, func(t *testing.T) {
						bubble(t, func(t *testing.T) {
							k, e := newKit(t, authtest.Config{}, authtest.Protection{}), &emitted{t: t}
							cfg := k.discovered()
							cfg.HTTPClient = k.replaced(p.at(k), member, value)
							if name == "device" {
								cfg.Grant = grant.DeviceCode{Prompt: func(_ context.Context, p grant.DevicePrompt) error {
									e.names("prompt", p.UserCode, p.VerificationURI, p.VerificationURIComplete)
									e.text("prompt", fmt.Sprint(p))
									return errors.New("nobody is there")
								}}
							}
							e.watch(k, cfg, e.live(t, k))
						})
					})
				}
			}
		}
	}
}

// live is the life of a token.
func (e *emitted) live(t *testing.T, k *kit) func(m *auth.Manager) {
	return func(m *auth.Manager) {
		tok, err := m.Resolve(t.Context(), nil, k.unauthorized())
		e.error(err)
		if tok != nil {
			e.text("token", fmt.Sprintf("%+v", tok))
			_, err = m.Resolve(t.Context(), tok, insufficient("b"))
			e.error(err)
		}
		_, err = m.Refresh(t.Context())
		e.error(err)
		e.error(m.Revoke(t.Context()))
	}
}

// The same for challenges, redirects and refusals.
func TestHostileChallengesAreShownSafely(t *testing.T) {
	for kind, text := range hostileTexts {
		for name, c := range map[string]auth.Challenge{
			"words":     {Status: 401, Scheme: text, Error: text, Params: map[string]string{"error_description": text}},
			"metadata":  {Status: 401, Scheme: "Bearer", ResourceMetadata: text},
			"scopes":    {Status: 403, Error: "insufficient_scope", Scopes: strings.Fields(text)},
			"operation": {Status: 403, Error: "insufficient_scope", Scopes: []string{"b"}, Operation: text},
			"rejected":  {Status: 401, Error: "invalid_token", Operation: text},
		} {
			for _, interactive := range []bool{true, false} {
				t.Run(fmt.Sprint(kind, "/", name, "/", interactive), func(t *testing.T) {
					bubble(t, func(t *testing.T) {
						k, e := newKit(t, authtest.Config{}, authtest.Protection{}), &emitted{t: t}
						cfg := k.config()
						if interactive {
							cfg = k.discovered()
						}
						e.watch(k, cfg, func(m *auth.Manager) {
							if err := m.SetToken(t.Context(), k.token("a")); err != nil {
								t.Fatal(err)
							}
							tok := mustToken(t, m)
							for range 4 {
								next, err := m.Resolve(t.Context(), tok, c)
								e.error(err)
								if next != nil {
									tok = next
								}
							}
						})
					})
				})
			}
		}
		for name, q := range map[string]url.Values{
			"error": {"error": {text}, "error_description": {text}, "error_uri": {text}},
			"iss":   {"code": {"c"}, "iss": {text}},
			"code":  {"code": {text}},
			"state": {"state": {text}},
		} {
			t.Run(kind+"/redirect/"+name, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					k, e := newKit(t, authtest.Config{}, authtest.Protection{}), &emitted{t: t}
					cfg := k.discovered()
					cfg.Grant = grant.AuthorizationCode{UserAgent: brokenAgent{answer: q}}
					e.watch(k, cfg, func(m *auth.Manager) {
						_, err := m.Authorize(t.Context())
						e.error(err)
					})
				})
			})
		}
		for _, at := range []authtest.Endpoint{authtest.MetadataEndpoint, authtest.RegistrationEndpoint, authtest.TokenEndpoint} {
			t.Run(kind+"/location/"+string(at), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					k, e := newKit(t, authtest.Config{}, authtest.Protection{}), &emitted{t: t}
					cfg := k.discovered()
					cfg.HTTPClient = k.at(k.srv.Endpoint(at), func(*http.Request) (*http.Response, error) {
						resp := answer(302, "text/plain", text)
						resp.Status = "302 " + text
						resp.Header.Set("Location", text)
						resp.Header.Set("Retry-After", text)
						return resp, nil
					})
					e.watch(k, cfg, e.live(t, k))
				})
			})
		}
	}
}
