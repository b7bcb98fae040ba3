package grant_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/grant"
)

const typeAccess = "urn:ietf:params:oauth:token-type:access_token"

func exchangeAnswer(access, more string) string {
	return bearer(access, `,"issued_token_type":"`+typeAccess+`"`+more)
}

func TestTokenExchangeRequest(t *testing.T) {
	tests := []struct {
		name   string
		grant  grant.TokenExchange
		scopes []string
		form   []string // beside what all have
	}{
		{"from the context", grant.TokenExchange{}, nil,
			[]string{"subject_token", "from.the.call", "subject_token_type", typeAccess, "requested_token_type", typeAccess, "resource", mcpServer}},
		{"from a function", grant.TokenExchange{SubjectToken: fixed("a.jwt"), SubjectTokenType: grant.SubjectJWT}, []string{"read", "write"},
			[]string{"subject_token", "a.jwt", "subject_token_type", grant.SubjectJWT, "requested_token_type", typeAccess, "resource", mcpServer, "scope", "read write"}},
		{"with an actor, down-scoped", grant.TokenExchange{ActorToken: grant.ActorTokenFrom, ActorTokenType: grant.SubjectJWT, MaxScopes: []string{"read", "list"}}, []string{"read", "write"},
			[]string{"subject_token", "from.the.call", "subject_token_type", typeAccess, "requested_token_type", typeAccess, "resource", mcpServer,
				"actor_token", "the.agent", "actor_token_type", grant.SubjectJWT, "scope", "read"}},
		{"down-scoped where the server would decide", grant.TokenExchange{MaxScopes: []string{"read"}}, nil,
			[]string{"subject_token", "from.the.call", "subject_token_type", typeAccess, "requested_token_type", typeAccess, "resource", mcpServer, "scope", "read"}},
		{"down-scoped where all is too much", grant.TokenExchange{MaxScopes: []string{"read"}}, []string{"write"},
			[]string{"subject_token", "from.the.call", "subject_token_type", typeAccess, "requested_token_type", typeAccess, "resource", mcpServer, "scope", "read"}},
		{"for a target", grant.TokenExchange{Audience: []string{"the-server"}, Resource: "https://other.example", RequestedTokenType: grant.SubjectJWT, Issuer: asIssuer}, nil,
			[]string{"subject_token", "from.the.call", "subject_token_type", typeAccess, "requested_token_type", grant.SubjectJWT, "resource", "https://other.example", "audience", "the-server"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n := network{asToken: says(exchangeAnswer("access", `,"refresh_token":"outlives"`))}
			cfg := config(n, tt.grant)
			cfg.Scopes = tt.scopes
			ctx := grant.WithActorToken(grant.WithSubjectToken(t.Context(), "from.the.call"), "the.agent")
			tok, err := start(t, cfg).Authorize(ctx)
			if err != nil || tok.AccessToken != "access" || tok.RefreshToken != "" {
				t.Fatalf("Authorize: %v, %v", tok, err)
			}
			r := wantRequests(t, asToken, n[asToken], 1)[0]
			wantForm(t, r.form, append(tt.form, "grant_type", typeExchange, "client_id", "mcp-client")...)
		})
	}
}

func TestTokenExchangeIsNotInteractive(t *testing.T) {
	if g := (grant.TokenExchange{}); g.Interactive() || g.Type() != typeExchange {
		t.Errorf("Interactive %v, Type %q", g.Interactive(), g.Type())
	}
	if g := (grant.OnBehalfOf{}); g.Interactive() || g.Type() != typeBearer {
		t.Errorf("Interactive %v, Type %q", g.Interactive(), g.Type())
	}
}

// Both grants, each with a way to present a subject token.
var exchanges = map[string]struct {
	grant  auth.Grant
	member string // of the form that has the subject token
	field  string
}{
	"TokenExchange": {grant.TokenExchange{Issuer: asIssuer + "/"}, "subject_token", "TokenExchange.SubjectToken"},
	"OnBehalfOf":    {grant.OnBehalfOf{Issuer: asIssuer}, "assertion", "OnBehalfOf.Assertion"},
}

// exchangeConfig is config for grants that need scopes, with no timer, since
// subject tokens come with calls.
func exchangeConfig(n network, g auth.Grant) auth.Config {
	cfg := config(n, g)
	cfg.Scopes, cfg.NoIdleRefresh = []string{"read"}, true
	cfg.Client.Secret = "its-secret"
	return cfg
}

func TestOnBehalfOfRequest(t *testing.T) {
	n := network{asToken: says(bearer("access", `,"refresh_token":"outlives"`))}
	cfg := exchangeConfig(n, grant.OnBehalfOf{MaxScopes: []string{"api://server/.default"}})
	tok, err := start(t, cfg).Authorize(grant.WithSubjectToken(t.Context(), "from.the.call"))
	if err != nil || tok.AccessToken != "access" || tok.RefreshToken != "" {
		t.Fatalf("Authorize: %v, %v", tok, err)
	}
	r := wantRequests(t, asToken, n[asToken], 1)[0]
	wantForm(t, r.form, "grant_type", typeBearer, "requested_token_use", "on_behalf_of", "assertion", "from.the.call", "scope", "api://server/.default")
	if r.header.Get("Authorization") == "" {
		t.Error("the client did not prove itself")
	}
}

func TestOnBehalfOfWithoutScopes(t *testing.T) {
	n := network{asToken: says(bearer("access", ""))}
	_, err := start(t, config(n, grant.OnBehalfOf{})).Authorize(grant.WithSubjectToken(t.Context(), "a.jwt"))
	if e := as[*auth.ConfigError](t, err); e.Field != "Config.Scopes" {
		t.Errorf("error %v", err)
	}
	wantRequests(t, asToken, n[asToken], 0)
}

// The token is kept for as long as it lives, and never longer than the subject
// token.
func TestExchangedTokenLife(t *testing.T) {
	for name, g := range exchanges {
		for _, tt := range []struct {
			name    string
			subject time.Duration // the life of the subject token; 0: not known
			issued  string
			want    time.Duration // 0: not known
		}{
			{"its own", 2 * time.Hour, `,"expires_in":3600`, time.Hour},
			{"the subject token's", time.Minute, `,"expires_in":3600`, time.Minute},
			{"the subject token's alone", time.Minute, ``, time.Minute},
			{"its own, of an opaque subject token", 0, `,"expires_in":3600`, time.Hour},
			{"not known", 0, ``, 0},
		} {
			t.Run(name+", "+tt.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					n := network{asToken: says(exchangeAnswer("one", tt.issued), exchangeAnswer("two", tt.issued))}
					m := start(t, exchangeConfig(n, g.grant))
					subject := "opaque"
					if tt.subject > 0 {
						subject = jwt(tt.subject)
					}
					tok, err := m.Authorize(grant.WithSubjectToken(t.Context(), subject))
					if err != nil {
						t.Fatal(err)
					}
					if tt.want == 0 {
						if !tok.Expiry.IsZero() {
							t.Errorf("expires %v", tok.Expiry)
						}
						return
					}
					if got := time.Until(tok.Expiry); got != tt.want {
						t.Fatalf("lives %v, want %v", got, tt.want)
					}
					time.Sleep(tt.want / 3)
					if tok, err := m.Token(t.Context()); err != nil || tok.AccessToken != "one" {
						t.Errorf("meanwhile: %v, %v", tok, err)
					}
					time.Sleep(tt.want)
					next := jwt(time.Hour)
					tok, err = m.Resolve(grant.WithSubjectToken(t.Context(), next), nil, auth.Challenge{})
					if err != nil || tok.AccessToken != "two" {
						t.Errorf("afterwards: %v, %v", tok, err)
					}
					if r := wantRequests(t, asToken, n[asToken], 2); r[1].form.Get(g.member) != next {
						t.Error("the old subject token was exchanged again")
					}
				})
			})
		}
	}
}

// An actor's token bounds the life as well.
func TestExchangedTokenLivesNoLongerThanTheActor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := network{asToken: says(exchangeAnswer("access", `,"expires_in":3600`))}
		g := grant.TokenExchange{SubjectToken: fixed("opaque"), ActorToken: fixed(jwt(time.Minute))}
		tok, err := start(t, exchangeConfig(n, g)).Authorize(t.Context())
		if err != nil || time.Until(tok.Expiry) != time.Minute {
			t.Errorf("Authorize: %v, %v", tok, err)
		}
	})
}

// A subject token that is renewed early again and again, as it comes to its end,
// makes few requests.
func TestExchangesNearTheSubjectsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := network{asToken: says(exchangeAnswer("access", `,"expires_in":3600`))}
		m := start(t, exchangeConfig(n, grant.TokenExchange{}))
		ctx := grant.WithSubjectToken(t.Context(), jwt(time.Hour))
		if _, err := m.Authorize(ctx); err != nil {
			t.Fatal(err)
		}
		for range 3590 {
			time.Sleep(time.Second)
			if _, err := m.Token(ctx); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if got := len(n[asToken].requests()); got > 10 {
			t.Errorf("%d exchanges in an hour", got)
		}
	})
}

func TestSubjectTokenRefused(t *testing.T) {
	describe := func(code, text string) answer {
		return answer{status: 400, body: `{"error":"` + code + `","error_description":"` + text + `"}`}
	}
	tests := []struct {
		name   string
		answer answer
		yes    bool // it is the subject token
	}{
		{"RFC 8693, named", describe("invalid_request", "subject_token is invalid"), true},
		{"RFC 8693, the actor named", describe("invalid_request", "The actor token has expired"), true},
		{"RFC 8693, not named", refuses("invalid_request"), false},
		{"its type", describe("invalid_request", "subject_token_type is not supported"), false},
		{"RFC 7521", refuses("invalid_grant"), true},
		{"RFC 6750", refuses("invalid_token"), true},
		{"a stronger login", refuses("interaction_required"), true},
		{"the client", refuses("invalid_client"), false},
		{"the target", refuses("invalid_target"), false},
		{"the scope", refuses("invalid_scope"), false},
	}
	for name, g := range exchanges {
		for _, tt := range tests {
			t.Run(name+", "+tt.name, func(t *testing.T) {
				n := network{asToken: new(endpoint).then(tt.answer)}
				_, err := start(t, exchangeConfig(n, g.grant)).Authorize(grant.WithSubjectToken(t.Context(), "opaque.secret"))
				var refused *grant.SubjectTokenError
				if errors.As(err, &refused) != tt.yes {
					t.Fatalf("error %v", err)
				}
				if e := as[*auth.TokenError](t, err); e.Issuer != asIssuer {
					t.Errorf("issuer %q", e.Issuer)
				}
				if tt.yes && (refused.Issuer != asIssuer || refused.Expired || !strings.HasPrefix(err.Error(), "grant: the subject token is not accepted; make the call with a new one: token request (")) {
					t.Errorf("error %v", err)
				}
				wantNoSecret(t, err.Error())
				wantRequests(t, asToken, n[asToken], 1)
			})
		}
	}
}

// One that has expired by its own words is not even sent.
func TestSubjectTokenExpired(t *testing.T) {
	for name, g := range exchanges {
		t.Run(name, func(t *testing.T) {
			n := network{asToken: says(exchangeAnswer("access", ""))}
			_, err := start(t, exchangeConfig(n, g.grant)).Authorize(grant.WithSubjectToken(t.Context(), jwt(-time.Second)))
			if e := as[*grant.SubjectTokenError](t, err); !e.Expired || !strings.Contains(err.Error(), "the subject token has expired; make the call with a new one") {
				t.Errorf("error %v", err)
			}
			wantNoSecret(t, err.Error())
			wantRequests(t, asToken, n[asToken], 0)
		})
	}
}

// What cannot be read of a token says nothing about its life.
func TestSubjectTokensThatAreNotRead(t *testing.T) {
	for name, token := range map[string]string{
		"opaque": "opaque", "encrypted": "a.b.c.d.e", "no base64url": "a.A.c", "no JSON": "a.YQ.c",
		"a word for exp": "e30.eyJleHAiOiJub3cifQ.c", "exp 0": "e30.eyJleHAiOjB9.c", "exp beyond time": "e30.eyJleHAiOjFlMzAwfQ.c",
	} {
		t.Run(name, func(t *testing.T) {
			n := network{asToken: says(exchangeAnswer("access", ""))}
			g := grant.TokenExchange{SubjectToken: fixed(token)}
			tok, err := start(t, exchangeConfig(n, g)).Authorize(t.Context())
			if err != nil || !tok.Expiry.IsZero() {
				t.Errorf("Authorize: %v, %v", tok, err)
			}
		})
	}
}

// A refusal is not repeated for the same token, and another one is tried at once.
func TestNewSubjectTokenIsTriedAtOnce(t *testing.T) {
	for name, g := range exchanges {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := network{asToken: new(endpoint).then(refuses("invalid_grant"), answer{body: exchangeAnswer("access", "")})}
				m := start(t, exchangeConfig(n, g.grant))
				old := grant.WithSubjectToken(t.Context(), "old")
				for range 3 {
					_, err := m.Resolve(old, nil, auth.Challenge{})
					as[*grant.SubjectTokenError](t, err)
				}
				wantRequests(t, asToken, n[asToken], 1)
				tok, err := m.Resolve(grant.WithSubjectToken(t.Context(), "new"), nil, auth.Challenge{})
				if err != nil || tok.AccessToken != "access" {
					t.Fatalf("Resolve: %v, %v", tok, err)
				}
				if r := wantRequests(t, asToken, n[asToken], 2); r[1].form.Get(g.member) != "new" {
					t.Errorf("sent %q", r[1].form.Get(g.member))
				}
			})
		})
	}
}

// A renewal whose subject token is refused leaves the token in use until it
// expires; then callers hear why, and there is no login.
func TestRenewalRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := network{asToken: says(exchangeAnswer("one", `,"expires_in":600`)).then(refuses("invalid_grant"))}
		m := start(t, exchangeConfig(n, grant.TokenExchange{}))
		ctx := grant.WithSubjectToken(t.Context(), "opaque")
		if _, err := m.Authorize(ctx); err != nil {
			t.Fatal(err)
		}
		time.Sleep(599 * time.Second)
		if tok, err := m.Token(ctx); err != nil || tok.AccessToken != "one" {
			t.Errorf("while it lives: %v, %v", tok, err)
		}
		synctest.Wait()
		time.Sleep(time.Second)
		_, err := m.Token(ctx)
		as[*grant.SubjectTokenError](t, err)
	})
}

// A call that says nothing about whom it is for sends nothing, and does not keep
// the next one from being served.
func TestNoSubjectToken(t *testing.T) {
	for name, g := range exchanges {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := network{asToken: says(exchangeAnswer("access", ""))}
				m := start(t, exchangeConfig(n, g.grant))
				for range 3 {
					_, err := m.Resolve(t.Context(), nil, auth.Challenge{})
					if e := as[*grant.AssertionError](t, err); e.Field != g.field || !errors.Is(err, grant.ErrNoSubjectToken) {
						t.Errorf("error %v", err)
					}
				}
				wantRequests(t, asToken, n[asToken], 0)
				if _, err := m.Resolve(grant.WithSubjectToken(t.Context(), "a.jwt"), nil, auth.Challenge{}); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestNoActorToken(t *testing.T) {
	n := network{asToken: says(exchangeAnswer("access", ""))}
	g := grant.TokenExchange{ActorToken: grant.ActorTokenFrom}
	_, err := start(t, exchangeConfig(n, g)).Authorize(grant.WithSubjectToken(t.Context(), "a.jwt"))
	if e := as[*grant.AssertionError](t, err); e.Field != "TokenExchange.ActorToken" || !errors.Is(err, grant.ErrNoSubjectToken) {
		t.Errorf("error %v: without its actor the token would be the subject's alone", err)
	}
	wantRequests(t, asToken, n[asToken], 0)
}

// Tokens go to the issuer that the program named.
func TestExchangeAtAnotherIssuer(t *testing.T) {
	const other = "https://other.example"
	for name, g := range map[string]auth.Grant{
		"TokenExchange.Issuer": grant.TokenExchange{Issuer: other},
		"OnBehalfOf.Issuer":    grant.OnBehalfOf{Issuer: other},
	} {
		t.Run(name, func(t *testing.T) {
			n := network{asToken: says(exchangeAnswer("access", ""))}
			_, err := start(t, exchangeConfig(n, g)).Authorize(grant.WithSubjectToken(t.Context(), "a.jwt"))
			if e := as[*auth.ConfigError](t, err); e.Field != name || !strings.Contains(e.Problem, other) || !strings.Contains(e.Problem, asIssuer) {
				t.Errorf("error %v", err)
			}
			wantRequests(t, asToken, n[asToken], 0)
		})
	}
}

// What is issued may be no access token, and then goes to nobody.
func TestExchangedForSomethingElse(t *testing.T) {
	n := network{asToken: says(`{"access_token":"id.token.secret","issued_token_type":"urn:ietf:params:oauth:token-type:id_token","token_type":"N_A"}`)}
	_, err := start(t, exchangeConfig(n, grant.TokenExchange{})).Authorize(grant.WithSubjectToken(t.Context(), "a.jwt"))
	if e := as[*auth.TokenError](t, err); e.StatusCode != 200 || !strings.Contains(err.Error(), "no access token") {
		t.Errorf("error %v", err)
	}
	wantNoSecret(t, err.Error())
}

// A step-up asks for more by another exchange, within the program's bounds.
func TestExchangeStepUp(t *testing.T) {
	n := network{asToken: says(exchangeAnswer("one", `,"scope":"read"`), exchangeAnswer("two", `,"scope":"read write"`))}
	cfg := exchangeConfig(n, grant.TokenExchange{MaxScopes: []string{"read", "write"}})
	m := start(t, cfg)
	ctx := grant.WithSubjectToken(t.Context(), "a.jwt")
	tok, err := m.Authorize(ctx)
	if err != nil {
		t.Fatal(err)
	}
	tok, err = m.Resolve(ctx, tok, auth.Challenge{Status: 403, Error: "insufficient_scope", Scopes: []string{"write", "admin"}})
	if err != nil || strings.Join(tok.Scopes, " ") != "read write" {
		t.Errorf("Resolve: %v, %v", tok, err)
	}
	if r := wantRequests(t, asToken, n[asToken], 2); r[1].form.Get("scope") != "read write" {
		t.Errorf("asked for %q", r[1].form.Get("scope"))
	}
}

func TestInputHasNoSecret(t *testing.T) {
	ctx := grant.WithSubjectToken(context.Background(), "a.secret")
	seen := map[string]bool{}
	for name, g := range map[string]interface{ Input(context.Context) string }{
		"subject": grant.TokenExchange{}, "with an actor": grant.TokenExchange{ActorToken: fixed("an.actor")}, "on behalf of": grant.OnBehalfOf{},
	} {
		in := g.Input(ctx)
		if in == "" || strings.Contains(in, "secret") {
			t.Errorf("%s: %q", name, in)
		}
		seen[in] = true
		if none := g.Input(context.Background()); none != "" {
			t.Errorf("%s: %q of nothing", name, none)
		}
	}
	if len(seen) < 2 {
		t.Error("the actor does not count")
	}
}
