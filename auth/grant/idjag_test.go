package grant_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/discovery"
	"github.com/mcptokens/mcptokens/auth/grant"
)

const (
	idpMetadata = idpIssuer + "/.well-known/openid-configuration"
	idJAGType   = "urn:ietf:params:oauth:token-type:id-jag"
)

// issues is a token exchange response.
func issues(jag, more string) string {
	return `{"access_token":"` + jag + `","issued_token_type":"` + idJAGType + `","token_type":"N_A"` + more + `}`
}

// idJAG is a grant whose identity provider needs no discovery.
func idJAG() *grant.IDJAG {
	return &grant.IDJAG{
		IDPIssuer: idpIssuer, IDPTokenEndpoint: idpToken,
		IDPClient:    auth.Client{ID: "idp-client"},
		SubjectToken: fixed("id.token.secret"),
	}
}

func TestIDJAGRequests(t *testing.T) {
	metadata := `{"issuer":"` + idpIssuer + `","token_endpoint":"` + idpToken + `","token_endpoint_auth_methods_supported":["client_secret_post"]}`
	tests := []struct {
		name   string
		change func(g *grant.IDJAG, cfg *auth.Config)
		idp    []string // more of the form to the provider
		as     []string // more of the form to the authorization server
		basic  [2]bool  // HTTP Basic at the provider, at the authorization server
	}{
		{"ID token, public clients", func(*grant.IDJAG, *auth.Config) {},
			[]string{"client_id", "idp-client"}, []string{"client_id", "mcp-client"}, [2]bool{}},
		{"secrets, each at its own server", func(g *grant.IDJAG, cfg *auth.Config) {
			g.IDPClient.Secret, cfg.Client.Secret = "idp-secret", "mcp-secret"
		}, nil, nil, [2]bool{true, true}},
		{"discovered provider without PKCE in its metadata", func(g *grant.IDJAG, cfg *auth.Config) {
			g.IDPTokenEndpoint, g.IDPClient.Secret, g.IDPClient.Issuer = "", "idp-secret", idpIssuer
		}, []string{"client_id", "idp-client", "client_secret", "idp-secret"}, []string{"client_id", "mcp-client"}, [2]bool{}},
		{"token endpoint alone", func(g *grant.IDJAG, _ *auth.Config) { g.IDPIssuer = "" },
			[]string{"client_id", "idp-client"}, []string{"client_id", "mcp-client"}, [2]bool{}},
		{"SAML", func(g *grant.IDJAG, _ *auth.Config) { g.SubjectTokenType = grant.SubjectSAML2 },
			[]string{"client_id", "idp-client", "subject_token_type", "urn:ietf:params:oauth:token-type:saml2"},
			[]string{"client_id", "mcp-client"}, [2]bool{}},
		{"scopes", func(_ *grant.IDJAG, cfg *auth.Config) { cfg.Scopes = []string{"read", "write"} },
			[]string{"client_id", "idp-client", "scope", "read write"}, []string{"client_id", "mcp-client", "scope", "read write"}, [2]bool{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n := network{idpMetadata: says(metadata), idpToken: says(issues("the.jag.secret", `,"expires_in":300`)), asToken: says(bearer("access", ""))}
			g := idJAG()
			cfg := config(n, g)
			tt.change(g, &cfg)
			tok, err := start(t, cfg).Authorize(t.Context())
			if err != nil || tok.AccessToken != "access" {
				t.Fatalf("Authorize: %v, %v", tok, err)
			}
			atIDP := wantRequests(t, idpToken, n[idpToken], 1)[0]
			wantForm(t, atIDP.form, append([]string{"grant_type", typeExchange, "requested_token_type", idJAGType, "audience", asIssuer, "resource", mcpServer,
				"subject_token", "id.token.secret", "subject_token_type", grant.SubjectIDToken}, tt.idp...)...)
			atAS := wantRequests(t, asToken, n[asToken], 1)[0]
			wantForm(t, atAS.form, append([]string{"grant_type", typeBearer, "assertion", "the.jag.secret", "resource", mcpServer}, tt.as...)...)
			for i, r := range []request{atIDP, atAS} {
				id, secret, basic := (&http.Request{Header: r.header}).BasicAuth()
				if basic != tt.basic[i] || (basic && id+" "+secret != []string{"idp-client idp-secret", "mcp-client mcp-secret"}[i]) {
					t.Errorf("request %d: client authentication %v %q %q", i, basic, id, secret)
				}
			}
		})
	}
}

func TestIDJAGIsNotInteractive(t *testing.T) {
	g := new(grant.IDJAG)
	if g.Interactive() || g.Type() != typeBearer {
		t.Errorf("Interactive %v, Type %q", g.Interactive(), g.Type())
	}
}

func TestIDJAGConfigErrors(t *testing.T) {
	for field, change := range map[string]func(g *grant.IDJAG){
		"IDJAG.SubjectToken":     func(g *grant.IDJAG) { g.SubjectToken = nil },
		"IDJAG.IDPIssuer":        func(g *grant.IDJAG) { g.IDPIssuer, g.IDPTokenEndpoint = "", "" },
		"IDJAG.IDPTokenEndpoint": func(g *grant.IDJAG) { g.IDPTokenEndpoint = "http://idp.example/token" },
		"IDJAG.IDPClient.ID":     func(g *grant.IDJAG) { g.IDPClient.ID = "" },
		"IDJAG.IDPClient.Issuer": func(g *grant.IDJAG) { g.IDPClient.Issuer = asIssuer },
	} {
		t.Run(field, func(t *testing.T) {
			n := network{idpToken: says(issues("jag", "")), asToken: says(bearer("access", ""))}
			g := idJAG()
			change(g)
			wantConfigError(t, config(n, g), field)
			if field == "IDJAG.IDPTokenEndpoint" {
				if _, err := auth.NewManager(config(n, g)); err == nil || !strings.Contains(err.Error(), `IDPTokenEndpoint: is "http://idp.example", unencrypted: use https`) {
					t.Errorf("error %v, want what is wrong with the URL", err)
				}
			}
			wantRequests(t, idpToken, n[idpToken], 0)
			wantRequests(t, asToken, n[asToken], 0)
		})
	}
}

// An ID-JAG is issued for an authorization server, which has to have a name.
func TestIDJAGNeedsAnIssuer(t *testing.T) {
	n := network{idpToken: says(issues("jag", "")), asToken: says(bearer("access", ""))}
	cfg := config(n, idJAG())
	cfg.Server = &auth.Server{TokenEndpoint: asToken}
	_, err := start(t, cfg).Authorize(t.Context())
	if e := as[*auth.ConfigError](t, err); e.Field != "Config.Server.Issuer" {
		t.Errorf("error %v", err)
	}
	wantRequests(t, idpToken, n[idpToken], 0)
}

// An ID-JAG is used for as long as it lives, less a margin, and only for what it
// was issued for.
func TestIDJAGIsRemembered(t *testing.T) {
	tests := []struct {
		name      string
		life      string // of the ID-JAG
		wait      time.Duration
		change    func(g *grant.IDJAG)
		exchanges int
	}{
		{"alive", `,"expires_in":300`, 60 * time.Second, nil, 1},
		{"alive until the margin", `,"expires_in":300`, 269 * time.Second, nil, 1},
		{"inside the margin", `,"expires_in":300`, 270 * time.Second, nil, 2},
		{"life not told", ``, 60 * time.Second, nil, 2},
		{"life shorter than the margin", `,"expires_in":30`, time.Second, nil, 2},
		{"another user", `,"expires_in":300`, 60 * time.Second, func(g *grant.IDJAG) { g.SubjectToken = fixed("another.id.token") }, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := network{idpToken: says(issues("jag-1", tt.life), issues("jag-2", tt.life)), asToken: says(bearer("access", `,"expires_in":3600`))}
				g := idJAG()
				m := start(t, config(n, g))
				if _, err := m.Authorize(t.Context()); err != nil {
					t.Fatal(err)
				}
				time.Sleep(tt.wait)
				if tt.change != nil {
					tt.change(g)
				}
				if _, err := m.Refresh(t.Context()); err != nil {
					t.Fatal(err)
				}
				wantRequests(t, idpToken, n[idpToken], tt.exchanges)
				r := wantRequests(t, asToken, n[asToken], 2)
				if want := fmt.Sprint("jag-", tt.exchanges); r[1].form.Get("assertion") != want {
					t.Errorf("presented %s, want %s", r[1].form.Get("assertion"), want)
				}
			})
		})
	}
}

func TestIDJAGForMoreScopesIsANewOne(t *testing.T) {
	n := network{idpToken: says(issues("jag-1", `,"expires_in":300`), issues("jag-2", `,"expires_in":300`)), asToken: says(bearer("access", ""))}
	cfg := config(n, idJAG())
	cfg.Scopes = []string{"read"}
	m := start(t, cfg)
	if _, err := m.Authorize(t.Context()); err != nil {
		t.Fatal(err)
	}
	tok, err := m.UpgradeScopes(t.Context(), "write")
	if err != nil || strings.Join(tok.Scopes, " ") != "read write" {
		t.Fatalf("UpgradeScopes: %v, %v", tok, err)
	}
	if r := wantRequests(t, idpToken, n[idpToken], 2); r[1].form.Get("scope") != "read write" {
		t.Errorf("scope %q", r[1].form.Get("scope"))
	}
}

// What the provider granted is what the authorization server is asked for, and
// what a response without scope granted.
func TestIDJAGWithFewerScopes(t *testing.T) {
	n := network{idpToken: says(issues("jag", `,"scope":"read"`)), asToken: says(bearer("access", ""))}
	cfg := config(n, idJAG())
	cfg.Scopes = []string{"read", "write"}
	tok, err := start(t, cfg).Authorize(t.Context())
	if err != nil || strings.Join(tok.Scopes, " ") != "read" {
		t.Fatalf("Authorize: %v, %v", tok, err)
	}
	if r := wantRequests(t, asToken, n[asToken], 1); r[0].form.Get("scope") != "read" {
		t.Errorf("scope %q", r[0].form.Get("scope"))
	}
}

// One grant serves the managers of many MCP servers at once, each with an
// ID-JAG of its own.
func TestIDJAGIsShared(t *testing.T) {
	n := network{idpToken: says(issues("jag", `,"expires_in":300`)), asToken: says(bearer("access", ""))}
	g := idJAG()
	var wg sync.WaitGroup
	for i := range 8 {
		cfg := config(n, g)
		cfg.Resource = fmt.Sprintf("https://mcp%d.example/mcp", i%4)
		m := start(t, cfg)
		wg.Go(func() {
			if _, err := m.Authorize(t.Context()); err != nil {
				t.Errorf("Authorize: %v", err)
			}
		})
	}
	wg.Wait()
	audiences := map[string]bool{}
	for _, r := range n[idpToken].requests() {
		audiences[r.form.Get("resource")] = true
	}
	if len(audiences) != 4 {
		t.Errorf("ID-JAGs for %v, want one for each of 4 servers", audiences)
	}
}

func TestIDJAGRefusedByTheAuthorizationServer(t *testing.T) {
	tests := []struct {
		name      string
		second    []answer // of the authorization server, to the second token
		code      string
		exchanges int
		asked     int
	}{
		{"an old one, a new one is taken", []answer{refuses("invalid_grant"), {body: bearer("two", "")}}, "", 2, 3},
		{"an old one, a new one too", []answer{refuses("invalid_grant"), refuses("invalid_grant")}, "invalid_grant", 2, 3},
		{"for another reason", []answer{refuses("invalid_client")}, "invalid_client", 1, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n := network{idpToken: says(issues("jag-1", `,"expires_in":300`), issues("jag-2", `,"expires_in":300`)), asToken: says(bearer("one", "")).then(tt.second...)}
			m := start(t, config(n, idJAG()))
			if _, err := m.Authorize(t.Context()); err != nil {
				t.Fatal(err)
			}
			_, err := m.Refresh(t.Context())
			switch {
			case tt.code == "" && err != nil:
				t.Fatalf("Refresh: %v", err)
			case tt.code != "":
				var idp *grant.IDPError
				if e := as[*auth.TokenError](t, err); e.Code != tt.code || e.Issuer != asIssuer || errors.As(err, &idp) || errors.Is(err, grant.ErrLoginRequired) {
					t.Errorf("error %v", err)
				}
			}
			wantRequests(t, idpToken, n[idpToken], tt.exchanges)
			r := wantRequests(t, asToken, n[asToken], tt.asked)
			if want := fmt.Sprint("jag-", tt.exchanges); r[len(r)-1].form.Get("assertion") != want {
				t.Errorf("presented %s last, want %s", r[len(r)-1].form.Get("assertion"), want)
			}
		})
	}
}

// A new ID-JAG that is refused is neither presented again nor kept.
func TestIDJAGRefusedAtOnce(t *testing.T) {
	n := network{idpToken: says(issues("jag", `,"expires_in":300`)), asToken: new(endpoint).then(refuses("invalid_grant"))}
	m := start(t, config(n, idJAG()))
	for i := 1; i <= 2; i++ {
		if _, err := m.Authorize(t.Context()); err == nil {
			t.Fatal("Authorize succeeded")
		}
		wantRequests(t, idpToken, n[idpToken], i)
		wantRequests(t, asToken, n[asToken], i)
	}
}

// jwt is an unsigned JWT that expires in life.
func jwt(life time.Duration) string {
	return "e30." + base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"exp":%d}`, time.Now().Add(life).Unix())) + ".secret"
}

func TestIDJAGRefusedByTheProvider(t *testing.T) {
	tests := []struct {
		name    string
		subject string
		answer  answer
		login   bool
		code    string
		text    string
	}{
		{"subject token no good", "id.token.secret", refuses("invalid_grant"), true, "invalid_grant",
			"grant: identity provider https://idp.example: the user has to log in again: token request (token-exchange) to https://idp.example: refused with invalid_grant"},
		{"stronger login", "id.token.secret", refuses("insufficient_user_authentication"), true, "insufficient_user_authentication", ""},
		{"login required", "id.token.secret", refuses("login_required"), true, "login_required", ""},
		{"expired by RFC 8693", jwt(-time.Minute), refuses("invalid_request"), true, "invalid_request", ""},
		{"not expired", jwt(time.Minute), refuses("invalid_request"), false, "invalid_request", ""},
		{"no JWT", "opaque", refuses("invalid_request"), false, "invalid_request", ""},
		{"no base64url", "a.secret+.c", refuses("invalid_request"), false, "invalid_request", ""},
		{"policy", "id.token.secret", refuses("access_denied"), false, "access_denied",
			"grant: identity provider https://idp.example: token request (token-exchange) to https://idp.example: refused with access_denied"},
		{"target", "id.token.secret", refuses("invalid_target"), false, "invalid_target", ""},
		{"client", "id.token.secret", refuses("invalid_client"), false, "invalid_client", ""},
		{"an access token instead", "id.token.secret", answer{body: `{"access_token":"idp-secret","issued_token_type":"urn:ietf:params:oauth:token-type:access_token","token_type":"Bearer"}`}, false, "",
			"the token exchange response is no ID-JAG"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n := network{idpToken: new(endpoint).then(tt.answer), asToken: says(bearer("access", ""))}
			g := idJAG()
			g.SubjectToken = fixed(tt.subject)
			_, err := start(t, config(n, g)).Authorize(t.Context())
			e := as[*grant.IDPError](t, err)
			if e.LoginRequired != tt.login || errors.Is(err, grant.ErrLoginRequired) != tt.login || e.IDP != idpIssuer {
				t.Errorf("error %+v, want LoginRequired %v", *e, tt.login)
			}
			if tt.code != "" && as[*auth.TokenError](t, err).Code != tt.code {
				t.Errorf("code in %v, want %s", err, tt.code)
			}
			if !strings.Contains(err.Error(), tt.text) {
				t.Errorf("text %q, want %q", err, tt.text)
			}
			wantNoSecret(t, err.Error())
			wantRequests(t, idpToken, n[idpToken], 1)
			wantRequests(t, asToken, n[asToken], 0)
		})
	}
}

// Answers that are no token exchange responses. The provider understood the
// request and would give another one of the same kind.
func TestIDJAGMalformedAnswers(t *testing.T) {
	for name, body := range map[string]string{
		"no token":       `{"issued_token_type":"` + idJAGType + `"}`,
		"empty token":    `{"access_token":"","issued_token_type":"` + idJAGType + `"}`,
		"no issued type": `{"access_token":"secret","token_type":"N_A"}`,
		"wrong types":    `{"access_token":["secret"]}`,
		"broken":         `{"access_token":"secret`,
	} {
		t.Run(name, func(t *testing.T) {
			n := network{idpToken: says(body), asToken: says(bearer("access", ""))}
			_, err := start(t, config(n, idJAG())).Authorize(t.Context())
			if as[*grant.IDPError](t, err).LoginRequired {
				t.Error("a login is said to help")
			}
			wantNoSecret(t, err.Error())
			wantRequests(t, idpToken, n[idpToken], 1)
			wantRequests(t, asToken, n[asToken], 0)
		})
	}
}

func TestIDJAGTransientFailuresAtTheProvider(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		metadata := new(endpoint).then(answer{status: 503}, answer{body: `{"issuer":"` + idpIssuer + `","token_endpoint":"` + idpToken + `"}`})
		n := network{idpMetadata: metadata, idpToken: new(endpoint).then(answer{status: 503}, answer{body: "<html>"}, answer{body: issues("jag", "")}), asToken: says(bearer("access", ""))}
		g := idJAG()
		g.IDPTokenEndpoint = ""
		if _, err := start(t, config(n, g)).Authorize(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantRequests(t, idpToken, n[idpToken], 3)
	})
}

func TestIDJAGProviderNotFound(t *testing.T) {
	g := idJAG()
	g.IDPTokenEndpoint = ""
	_, err := start(t, config(network{}, g)).Authorize(t.Context())
	if e := as[*grant.IDPError](t, err); e.LoginRequired || !errors.Is(err, discovery.ErrNotFound) {
		t.Errorf("error %v", err)
	}
}

func TestIDJAGSubjectTokenErrors(t *testing.T) {
	tests := []struct {
		name    string
		subject func(context.Context) (string, error)
		login   bool
		text    string
	}{
		{"nobody is logged in", func(context.Context) (string, error) { return "", grant.ErrLoginRequired }, true,
			"grant: IDJAG.SubjectToken: the user has to log in at the identity provider"},
		{"another failure", func(context.Context) (string, error) { return "", errors.New("session file is gone") }, false,
			"grant: IDJAG.SubjectToken: session file is gone"},
		{"nothing", fixed(""), false, "grant: IDJAG.SubjectToken: is empty; provide a token"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n := network{idpToken: says(issues("jag", ""))}
			g := idJAG()
			g.SubjectToken = tt.subject
			_, err := start(t, config(n, g)).Authorize(t.Context())
			if e := as[*grant.AssertionError](t, err); e.Error() != tt.text || errors.Is(err, grant.ErrLoginRequired) != tt.login {
				t.Errorf("error %q, want %q", e, tt.text)
			}
			wantRequests(t, idpToken, n[idpToken], 0)
		})
	}
}

// The access token expires: the manager gets another by itself, from the
// remembered ID-JAG and then from a new one.
func TestIDJAGRenewsWithoutRefreshToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := network{idpToken: says(issues("jag", `,"expires_in":300`)), asToken: says(bearer("access", `,"expires_in":100`))}
		m := start(t, config(n, idJAG()))
		if _, err := m.Authorize(t.Context()); err != nil {
			t.Fatal(err)
		}
		for range 60 { // ten minutes
			time.Sleep(10 * time.Second)
			if _, err := m.Token(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if asked, exchanged := len(n[asToken].requests()), len(n[idpToken].requests()); asked < 8 || asked > 15 || exchanged < 2 || exchanged > 3 {
			t.Errorf("%d token requests with %d ID-JAGs", asked, exchanged)
		}
	})
}

// A refresh token, if there is one, goes first; its end is no end.
func TestIDJAGAfterTheRefreshToken(t *testing.T) {
	n := network{idpToken: says(issues("jag", `,"expires_in":300`)), asToken: says(bearer("one", `,"refresh_token":"r"`)).then(refuses("invalid_grant"), answer{body: bearer("two", "")})}
	m := start(t, config(n, idJAG()))
	if _, err := m.Authorize(t.Context()); err != nil {
		t.Fatal(err)
	}
	if tok, err := m.Refresh(t.Context()); err != nil || tok.AccessToken != "two" {
		t.Fatalf("Refresh: %v, %v", tok, err)
	}
	if r := wantRequests(t, asToken, n[asToken], 3); r[1].form.Get("grant_type") != "refresh_token" || r[2].form.Get("grant_type") != typeBearer {
		t.Errorf("grants %s, %s", r[1].form.Get("grant_type"), r[2].form.Get("grant_type"))
	}
	wantRequests(t, idpToken, n[idpToken], 1)
}

// While a renewal repeats its request to the authorization server, the provider
// is left alone.
func TestIDJAGRenewalRetriesAtTheAuthorizationServerOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := network{idpToken: says(issues("jag", `,"expires_in":300`)), asToken: says(bearer("one", `,"expires_in":600`)).then(
			answer{status: 503}, answer{status: 503}, answer{body: bearer("two", "")})}
		m := start(t, config(n, idJAG()))
		if _, err := m.Authorize(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(601 * time.Second)
		if tok, err := m.Token(t.Context()); err != nil || tok.AccessToken != "two" {
			t.Fatalf("Token: %v, %v", tok, err)
		}
		wantRequests(t, asToken, n[asToken], 4)
		wantRequests(t, idpToken, n[idpToken], 2)
	})
}

// A caller who gets no token reads who refused, not only at the first
// time.
func TestIDJAGRenewalRefusedByTheProvider(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := network{idpToken: says(issues("jag", "")).then(refuses("invalid_grant")), asToken: says(bearer("one", `,"expires_in":600`))}
		cfg := config(n, idJAG())
		cfg.NoIdleRefresh = true
		m := start(t, cfg)
		if _, err := m.Authorize(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(601 * time.Second)
		for range 3 {
			_, err := m.Token(t.Context())
			if e := as[*grant.IDPError](t, err); !e.LoginRequired || !errors.Is(err, grant.ErrLoginRequired) {
				t.Errorf("error %v", err)
			}
		}
		wantRequests(t, idpToken, n[idpToken], 2)
	})
}

// Printing the grant shows nothing of what it holds.
func TestIDJAGRedactsItself(t *testing.T) {
	n := network{idpToken: says(issues("the.jag.secret", `,"expires_in":300`)), asToken: says(bearer("access", ""))}
	g := idJAG()
	g.IDPClient.Secret = "idp-secret"
	if _, err := start(t, config(n, g)).Authorize(t.Context()); err != nil {
		t.Fatal(err)
	}
	var logged bytes.Buffer
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("grant", "grant", g)
	for _, shown := range []string{fmt.Sprintf("%v %+v %#v %s %q %x %d", g, g, g, g, g, g, g), logged.String()} {
		wantNoSecret(t, shown)
		if !strings.Contains(shown, "grant.IDJAG{"+idpIssuer+" client idp-client}") {
			t.Errorf("%q does not describe the grant", shown)
		}
	}
}
