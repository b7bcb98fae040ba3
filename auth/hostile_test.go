package auth_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/browser"
	"github.com/mcptokens/mcptokens/auth/discovery"
	"github.com/mcptokens/mcptokens/auth/grant"
	"github.com/mcptokens/mcptokens/auth/registration"
	"github.com/mcptokens/mcptokens/internal/rawtest"
)

// The hosts of the hostile network.
const (
	hostileResource = "127.0.0.1:1"
	hostileServer   = "127.0.0.1:2"
	honestServer    = "127.0.0.1:3" // that nobody may be led to
)

// hostileCase is one thing that a server does, and what comes of it.
type hostileCase struct {
	name string
	at   string // host and path
	say  rawtest.Handler
	// want is in the error; nil: it works all the same, and ok is asked.
	want error
	ok   func(t *testing.T, tok *auth.Token)
	// most is how many requests at may get; 0: any number that time allows.
	most int
}

// errAny is wanted where the type is all that matters.
var errAny = errors.New("any")

const (
	metadataOfResource = hostileResource + "/.well-known/oauth-protected-resource/mcp"
	metadataOfServer   = hostileServer + "/.well-known/oauth-authorization-server"
	tokenAt            = hostileServer + "/token"
	registerAt         = hostileServer + "/register"
	authorizeAt        = hostileServer + "/authorize"
	json200            = "Content-Type: application/json"
)

// everywhere is what any answer can be like. elsewhere is a redirect's target.
func everywhere(at string) []hostileCase {
	self := "http://" + at
	return []hostileCase{
		{name: "endless body", at: at, say: rawtest.Endless(200, json200), want: discovery.ErrTooLarge},
		{name: "endless body of an error", at: at, say: rawtest.Endless(400, json200), want: errAny},
		{name: "endless header", at: at, say: rawtest.EndlessHeader, want: errAny},
		{name: "slow header", at: at, say: rawtest.SlowHeader, want: context.DeadlineExceeded},
		{name: "slow body", at: at, say: rawtest.SlowBody(200, json200), want: context.DeadlineExceeded},
		{name: "slow body of an error", at: at, say: rawtest.SlowBody(503, json200), want: errAny},
		{name: "gzip bomb", at: at, say: rawtest.Bomb(200, json200), want: discovery.ErrTooLarge},
		{name: "redirect loop", at: at, say: rawtest.Answer(307, "Location: "+self, ""), want: errAny, most: 8},
		{name: "redirect to a private address", at: at, say: rawtest.Answer(307, "Location: http://10.0.0.1/", ""), want: errAny, most: 1},
		{name: "redirect to another origin", at: at, say: rawtest.Answer(308, "Location: http://"+honestServer+"/", ""), want: errAny, most: 1},
		{name: "nesting without end", at: at, say: rawtest.JSON(strings.Repeat(`{"a":`, 100_000)), want: errAny},
		{name: "nesting that ends", at: at, say: rawtest.JSON(strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000)), want: errAny},
		{name: "not even HTTP", at: at, say: rawtest.Raw("canary canary\r\n\r\n"), want: errAny},
		{name: "an answer cut off", at: at, say: rawtest.Raw("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"), want: errAny},
		{name: "an error that forges lines", at: at, say: rawtest.Answer(400, json200, `{"error":"invalid_grant\r\ncanary","error_description":"gone\r\nfor good","error_uri":"https://h/\u202e"}`), want: errAny},
	}
}

// Whatever an authorization server answers, the caller gets a typed error in
// bounded time and memory, that repeats nothing of it; and what can be used is.
func TestHostileAuthorizationServer(t *testing.T) {
	cases := append(everywhere(tokenAt), everywhere(registerAt)...)
	for _, c := range append(everywhere(metadataOfServer), everywhere(metadataOfResource)...) {
		if c.name == "an error that forges lines" || c.name == "redirect to a private address" || strings.HasPrefix(c.name, "endless body of an error") {
			continue // no metadata here means: look elsewhere; see below for the redirects
		}
		if c.name == "redirect to another origin" {
			c.want = discovery.ErrRedirect
		}
		cases = append(cases, c)
	}
	cases = append(cases, hostileTokens()...)
	cases = append(cases, hostileMetadata()...)
	cases = append(cases, hostileLogins()...)
	for _, c := range cases {
		host, path, _ := strings.Cut(c.at, "/")
		t.Run("/"+path+"/"+c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) { c.run(t, host, "/"+path) })
		})
	}
}

func (c hostileCase) run(t *testing.T, host, path string) {
	n := newHostileNet(t)
	n.override(host, path, c.say)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := time.Now()
	var tok *auth.Token
	var err error
	bound := 130 * time.Second // 30 s each for discovery and registration, a minute for the answer with a token
	if c.at == tokenAt {
		bound = 61 * time.Second
		tok, err = n.refresh(t)
	} else {
		tok, err = n.login(t)
	}
	took := time.Since(began)
	runtime.ReadMemStats(&after)
	if took > bound {
		t.Errorf("it took %v, want at most %v", took, bound)
	}
	if grown := (after.TotalAlloc - before.TotalAlloc) >> 20; grown > 100 { // for all attempts together
		t.Errorf("it allocated %d MiB", grown)
	}
	n.check(t, c)
	if c.want == nil {
		if err != nil {
			t.Fatalf("error %v", err)
		}
		if c.ok != nil {
			c.ok(t, tok)
		}
		return
	}
	if tok != nil || err == nil {
		t.Fatalf("a token (%v) and the error %v", tok, err)
	}
	switch {
	case c.want == errSoon:
		if te := asError[*auth.TokenError](t, err); time.Until(te.NextAttempt) > maxRetryAfter+time.Minute {
			t.Errorf("next attempt in %v", time.Until(te.NextAttempt))
		}
	case c.want != errAny && !errors.Is(err, c.want):
		t.Errorf("error %v, want one that is %v", err, c.want)
	}
	if !isTyped(err) {
		t.Errorf("error of type %T", err)
	}
	if text := err.Error(); len(text) > 600 || strings.Contains(text, "canary") || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		t.Errorf("error text %q", text)
	}
}

// isTyped reports whether err is one of the types that callers are promised.
func isTyped(err error) bool {
	var (
		te *auth.TokenError
		ae *auth.AuthorizationError
		de *discovery.Error
		re *registration.Error
	)
	return errors.As(err, &te) || errors.As(err, &ae) || errors.As(err, &de) || errors.As(err, &re)
}

// hostileTokens are answers to a refresh request.
func hostileTokens() []hostileCase {
	token := func(more string) rawtest.Handler { return rawtest.JSON(`{"token_type":"Bearer",` + more + `}`) }
	lives := func(d time.Duration) func(*testing.T, *auth.Token) {
		return func(t *testing.T, tok *auth.Token) {
			switch {
			case d == 0 && !tok.Expiry.IsZero():
				t.Errorf("expires %v, want unknown", tok.Expiry)
			case d != 0 && time.Until(tok.Expiry) != d:
				t.Errorf("lives %v, want %v", time.Until(tok.Expiry), d)
			}
		}
	}
	cases := []hostileCase{
		{name: "a token with a line break", say: token(`"access_token":"a\r\nX-Canary: canary"`), want: errAny},
		{name: "a token with a space", say: token(`"access_token":"a canary"`), want: errAny},
		{name: "a token with a NUL", say: token(`"access_token":"a\u0000"`), want: errAny},
		{name: "a token beyond ASCII", say: token(`"access_token":"ä"`), want: errAny},
		{name: "a token type of its own", say: rawtest.JSON(`{"access_token":"a","token_type":"MAC"}`), want: errAny},
		{name: "a token type with a line break", say: rawtest.JSON(`{"access_token":"a","token_type":"Bearer\r\nCanary: canary"}`), ok: func(t *testing.T, tok *auth.Token) {
			if tok.Authorization() != "Bearer a" {
				t.Errorf("Authorization %q", tok.Authorization())
			}
		}},
		{name: "a number for a token", say: token(`"access_token":1`), ok: lives(0)},
		{name: "a megabyte of scopes", say: token(`"access_token":"a","scope":"` + strings.Repeat("canary ", 140_000) + `"`), want: errAny},
		{name: "scopes that are none", say: token(`"access_token":"a","scope":"b \u0000 c\"d e\u001b[31m"`), ok: func(t *testing.T, tok *auth.Token) {
			if len(tok.Scopes) != 1 || tok.Scopes[0] != "b" {
				t.Errorf("scopes %q", tok.Scopes)
			}
		}},
		{name: "two tokens", say: token(`"access_token":"b","access_token":"a"`), want: errAny},
		{name: "a token under another name", say: token(`"access_token":"a","Access_Token":"b"`), want: errAny},
		{name: "a lifetime beyond time", say: token(`"access_token":"a","expires_in":1e400`), ok: lives(10 * 365 * 24 * time.Hour)},
		{name: "a negative lifetime", say: token(`"access_token":"a","expires_in":-3600`), ok: lives(0)},
		{name: "a lifetime of nothing", say: token(`"access_token":"a","expires_in":0`), ok: lives(0)},
		{name: "a fraction for a lifetime", say: token(`"access_token":"a","expires_in":1.5`), ok: lives(1500 * time.Millisecond)},
		{name: "a string for a lifetime", say: token(`"access_token":"a","expires_in":"3600"`), ok: lives(time.Hour)},
		{name: "an object for a lifetime", say: token(`"access_token":"a","expires_in":{"a":1}`), ok: lives(0)},
		{name: "Retry-After of a century", say: rawtest.Answer(503, "Retry-After: 3153600000", ""), want: errSoon},
		{name: "Retry-After beyond numbers", say: rawtest.Answer(429, "Retry-After: "+strings.Repeat("9", 4000), ""), want: errSoon},
		{name: "Retry-After in another age", say: rawtest.Answer(503, "Retry-After: Fri, 31 Dec 9999 23:59:59 GMT", ""), want: errSoon},
	}
	for i := range cases {
		cases[i].at = tokenAt
	}
	return cases
}

// errSoon is wanted of a *TokenError that is due again in minutes.
var errSoon = errors.New("soon")

// hostileMetadata are documents that lead to a login.
func hostileMetadata() []hostileCase {
	resource := func(more string) rawtest.Handler {
		return rawtest.JSON(`{"resource":"http://` + hostileResource + `/mcp"` + more + `}`)
	}
	server := func(more string) rawtest.Handler {
		return rawtest.JSON(`{"issuer":"http://` + hostileServer + `"` + more + `}`)
	}
	scopes := `"` + strings.Repeat(`canary","`, 110_000) + `canary"`
	distinct := new(strings.Builder)
	for i := range 60_000 {
		_, _ = fmt.Fprintf(distinct, `"canary-%d",`, i)
	}
	return []hostileCase{
		{name: "for another resource", at: metadataOfResource, say: rawtest.JSON(`{"resource":"http://` + honestServer + `/mcp","authorization_servers":["http://` + hostileServer + `"]}`), want: discovery.ErrResourceMismatch},
		{name: "a member twice", at: metadataOfResource, say: resource(`,"authorization_servers":["http://` + honestServer + `"],"authorization_servers":["http://` + hostileServer + `"]`), want: discovery.ErrMalformed},
		{name: "an issuer with a line break", at: metadataOfResource, say: resource(`,"authorization_servers":["http://` + hostileServer + `\r\nHost: canary"]`), want: discovery.ErrInsecureURL},
		{name: "an issuer of another scheme", at: metadataOfResource, say: resource(`,"authorization_servers":["file:///etc/canary"]`), want: discovery.ErrInsecureURL},
		{name: "an unencrypted issuer", at: metadataOfResource, say: resource(`,"authorization_servers":["http://10.0.0.1"]`), want: discovery.ErrInsecureURL},
		{name: "redirect to a private address", at: metadataOfResource, say: rawtest.Answer(302, "Location: https://10.0.0.1/", ""), want: discovery.ErrRedirect},
		{name: "a megabyte of the same scope", at: metadataOfResource, say: resource(`,"authorization_servers":["http://` + hostileServer + `"],"scopes_supported":[` + scopes + `]`)},
		{name: "a megabyte of scopes", at: metadataOfResource, say: resource(`,"authorization_servers":["http://` + hostileServer + `"],"scopes_supported":[` + strings.TrimSuffix(distinct.String(), ",") + `]`)},
		{name: "for another issuer", at: metadataOfServer, say: rawtest.JSON(`{"issuer":"http://` + honestServer + `","token_endpoint":"http://` + hostileServer + `/token"}`), want: discovery.ErrIssuerMismatch},
		{name: "an issuer twice", at: metadataOfServer, say: server(`,"token_endpoint":"http://` + hostileServer + `/token","issuer":"http://` + hostileServer + `"`), want: discovery.ErrMalformed},
		{name: "a script for an endpoint", at: metadataOfServer, say: server(`,"token_endpoint":"http://` + hostileServer + `/token","code_challenge_methods_supported":["S256"],"authorization_endpoint":"javascript:canary()"`), want: discovery.ErrInsecureURL},
		{name: "an endpoint with a line break", at: metadataOfServer, say: server(`,"token_endpoint":"http://` + hostileServer + `/token\r\ncanary"`), want: discovery.ErrInsecureURL},
		{name: "redirect to a private address", at: metadataOfServer, say: rawtest.Answer(302, "Location: https://10.0.0.1/", ""), want: discovery.ErrRedirect},
		{name: "no PKCE", at: metadataOfServer, say: server(`,"token_endpoint":"http://` + hostileServer + `/token","authorization_endpoint":"http://` + hostileServer + `/authorize"`), want: auth.ErrNoPKCE},
	}
}

// hostileLogins are answers of the endpoints that a login needs.
func hostileLogins() []hostileCase {
	redirect := func(query string) rawtest.Handler {
		return func(conn io.Writer, r *http.Request) {
			query := strings.ReplaceAll(query, "STATE", r.URL.Query().Get("state"))
			rawtest.Answer(302, "Location: "+callback+"?"+query, "")(conn, r)
		}
	}
	return []hostileCase{
		{name: "another client's secret", at: registerAt, say: rawtest.JSON(`{"client_id":"not-ours","client_secret":"canary"}`), want: errAny, most: 1},
		{name: "two secrets", at: registerAt, say: rawtest.JSON(`{"client_id":"c","client_secret":"s","client_secret":"canary"}`), want: discovery.ErrMalformed, most: 1},
		{name: "no secret for a method that needs one", at: registerAt, say: rawtest.JSON(`{"client_id":"c","token_endpoint_auth_method":"client_secret_basic"}`), want: discovery.ErrMalformed, most: 1},
		{name: "redirect loop", at: authorizeAt, say: rawtest.Answer(302, "Location: http://"+authorizeAt, ""), want: errAny, most: 11},
		{name: "slow header", at: authorizeAt, say: rawtest.SlowHeader, want: context.DeadlineExceeded, most: 1},
		{name: "a redirect to a file", at: authorizeAt, say: rawtest.Answer(302, "Location: file:///etc/canary", ""), want: errAny, most: 1},
		{name: "another state", at: authorizeAt, say: redirect("code=c&state=canary"), want: errAny, most: 1},
		{name: "two states", at: authorizeAt, say: redirect("code=c&state=STATE&state=canary"), want: errAny, most: 1},
		{name: "no state", at: authorizeAt, say: redirect("code=c"), want: errAny, most: 1},
		{name: "another issuer", at: authorizeAt, say: redirect("code=c&state=STATE&iss=http%3A%2F%2F" + honestServer), want: auth.ErrIssuerParameter, most: 1},
		{name: "two issuers", at: authorizeAt, say: redirect("code=c&state=STATE&iss=http%3A%2F%2F" + hostileServer + "&iss=canary"), want: auth.ErrIssuerParameter, most: 1},
		{name: "no code", at: authorizeAt, say: redirect("state=STATE"), want: auth.ErrMissingCode, most: 1},
		{name: "an error that forges lines", at: authorizeAt, say: redirect("error=access_denied%0D%0Acanary&error_description=gone%0D%0Afor%20good&state=STATE"), want: errAny, most: 1},
	}
}

// hostileNet is a resource and its authorization server, which do all right
// but where they are overridden.
type hostileNet struct {
	*rawtest.Net
	paths  map[string]map[string]rawtest.Handler
	scopes int // bytes that the authorization request asked for
}

func newHostileNet(t *testing.T) *hostileNet {
	n := &hostileNet{Net: rawtest.New(t)}
	base := "http://" + hostileServer
	n.paths = map[string]map[string]rawtest.Handler{
		hostileResource: {"/.well-known/oauth-protected-resource/mcp": rawtest.JSON(`{"resource":"http://` + hostileResource + `/mcp","authorization_servers":["` + base + `"]}`)},
		hostileServer: {
			"/.well-known/oauth-authorization-server": rawtest.JSON(`{"issuer":"` + base + `","authorization_endpoint":"` + base + `/authorize","token_endpoint":"` + base +
				`/token","registration_endpoint":"` + base + `/register","code_challenge_methods_supported":["S256"]}`),
			"/register": rawtest.JSON(`{"client_id":"ours"}`),
			"/authorize": func(conn io.Writer, r *http.Request) {
				n.scopes = len(r.URL.Query().Get("scope"))
				rawtest.Answer(302, "Location: "+callback+"?code=c&state="+r.URL.Query().Get("state"), "")(conn, r)
			},
			"/token": func(conn io.Writer, r *http.Request) {
				answer := rawtest.JSON(`{"access_token":"a","token_type":"Bearer"}`)
				if _, _, basic := r.BasicAuth(); basic { // the client is public
					answer = rawtest.Answer(401, json200, `{"error":"invalid_client"}`)
				}
				answer(conn, r)
			},
		},
	}
	for host, paths := range n.paths {
		n.Serve(host, rawtest.Paths(paths))
	}
	return n
}

func (n *hostileNet) override(host, path string, h rawtest.Handler) { n.paths[host][path] = h }

// login is a manager's first token, from nothing but the resource's URL.
func (n *hostileNet) login(t *testing.T) (*auth.Token, error) {
	m := n.manager(t, auth.Config{
		Grant:                grant.AuthorizationCode{UserAgent: browser.Headless{Client: n.Client(), RedirectURI: callback}},
		AuthorizationTimeout: 90 * time.Second,
	})
	return m.Authorize(t.Context())
}

// refresh is a manager's first token, from a refresh token.
func (n *hostileNet) refresh(t *testing.T) (*auth.Token, error) {
	m := n.manager(t, auth.Config{Server: &auth.Server{TokenEndpoint: "http://" + tokenAt}, Client: auth.Client{ID: clientID}})
	if err := m.SetToken(t.Context(), &auth.Token{RefreshToken: "canary"}); err != nil {
		t.Fatal(err)
	}
	return m.Token(t.Context())
}

func (n *hostileNet) manager(t *testing.T, cfg auth.Config) *auth.Manager {
	cfg.Resource, cfg.HTTPClient = "http://"+hostileResource+"/mcp", n.Client()
	m, err := auth.NewManager(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return m
}

// check looks at what arrived where.
func (n *hostileNet) check(t *testing.T, c hostileCase) {
	t.Helper()
	count := 0
	for _, r := range n.Requests() {
		if r.Host+r.Path == c.at {
			count++
		}
		if r.Host != hostileServer && r.Host != hostileResource {
			t.Errorf("a request to %s", r.Host)
		}
	}
	if count == 0 {
		t.Errorf("nobody asked %s", c.at)
	}
	if c.most > 0 && count > c.most {
		t.Errorf("%d requests, want at most %d", count, c.most)
	}
	if n.scopes > 64<<10 {
		t.Errorf("%d bytes of scopes asked for", n.scopes)
	}
}
