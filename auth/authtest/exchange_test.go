package authtest_test

import (
	"encoding/json"
	"net/url"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcptokens/mcptokens/auth/authtest"
)

const (
	typeExchange    = "urn:ietf:params:oauth:grant-type:token-exchange"
	typeBearer      = "urn:ietf:params:oauth:grant-type:jwt-bearer"
	typeAccessToken = "urn:ietf:params:oauth:token-type:access_token"
	typeJWT         = "urn:ietf:params:oauth:token-type:jwt"
)

// exchangeForm is a token exchange of the client "web".
func exchangeForm(subject, subjectType string, changes ...string) url.Values {
	v := form("grant_type", typeExchange, "client_id", "web", "client_secret", webSecret,
		"subject_token", subject, "subject_token_type", subjectType)
	for i := 0; i+1 < len(changes); i += 2 {
		v.Add(changes[i], changes[i+1])
	}
	return v
}

func TestTokenExchange(t *testing.T) {
	idp := authtest.NewJWTIssuer("https://idp.example")
	srv := newServer(t, authtest.Config{})
	srv.TrustIssuer(idp.URL, idp.PublicKey())
	res := srv.Protect(ok, authtest.Protection{})
	user := srv.IssueTokenFor("alice", []string{"read", "write"}, "https://gateway.example")
	agent := post(t, srv, authtest.TokenEndpoint, form("grant_type", "client_credentials", "client_id", "web", "client_secret", webSecret)).text("access_token")
	jwt := idp.JWT(map[string]any{"sub": "bob", "aud": srv.Issuer})

	tests := []struct {
		name    string
		subject string
		typ     string
		changes []string
		want    authtest.TokenInfo
	}{
		{"all of it", user.AccessToken, typeAccessToken, nil,
			authtest.TokenInfo{Subject: "alice", Scopes: []string{"read", "write"}}},
		{"fewer scopes", user.AccessToken, typeAccessToken, []string{"scope", "read admin"},
			authtest.TokenInfo{Subject: "alice", Scopes: []string{"read"}}},
		{"for a resource and audiences", user.AccessToken, typeAccessToken, []string{"resource", res.URL, "audience", "a", "audience", "b"},
			authtest.TokenInfo{Subject: "alice", Scopes: []string{"read", "write"}, Resource: res.URL, Audience: []string{"a", "b"}}},
		{"delegation", user.AccessToken, typeAccessToken, []string{"actor_token", agent, "actor_token_type", typeAccessToken},
			authtest.TokenInfo{Subject: "alice", Actors: []string{"web"}, Scopes: []string{"read", "write"}}},
		{"refresh token", user.RefreshToken, "urn:ietf:params:oauth:token-type:refresh_token", nil,
			authtest.TokenInfo{Subject: "alice", Scopes: []string{"read", "write"}}},
		{"JWT", jwt, typeJWT, []string{"scope", "any"},
			authtest.TokenInfo{Subject: "bob", Scopes: []string{"any"}}},
		{"ID token for the client", idp.JWT(map[string]any{"sub": "bob", "aud": []string{"web"}}), "urn:ietf:params:oauth:token-type:id_token", nil,
			authtest.TokenInfo{Subject: "bob"}},
		{"JWT with scopes and an actor", idp.JWT(map[string]any{"sub": "bob", "aud": srv.Issuer, "scope": "read", "act": map[string]any{"sub": "first"}}), typeJWT,
			[]string{"actor_token", agent, "actor_token_type", typeAccessToken},
			authtest.TokenInfo{Subject: "bob", Actors: []string{"web", "first"}, Scopes: []string{"read"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := post(t, srv, authtest.TokenEndpoint, exchangeForm(tt.subject, tt.typ, tt.changes...))
			if r.status != 200 || r.text("issued_token_type") != typeAccessToken || r.text("token_type") != "Bearer" || r.text("refresh_token") != "" {
				t.Fatalf("%d %s", r.status, r.body)
			}
			got, known := srv.Inspect(r.text("access_token"))
			tt.want.Active, tt.want.ClientID, tt.want.Expiry = true, "web", got.Expiry
			if !known || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("Inspect = %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestTokenExchangeRefusals(t *testing.T) {
	idp, stranger := authtest.NewJWTIssuer("https://idp.example"), authtest.NewJWTIssuer("https://idp.example")
	srv := newServer(t, authtest.Config{})
	srv.TrustIssuer(idp.URL, idp.PublicKey())
	srv.Protect(ok, authtest.Protection{})
	user, revoked := srv.IssueTokenFor("alice", []string{"read"}, ""), srv.IssueTokenFor("alice", nil, "")
	srv.RevokeAccess(revoked.AccessToken)
	claims := func(more ...any) map[string]any {
		m := map[string]any{"sub": "bob", "aud": srv.Issuer}
		for i := 0; i < len(more); i += 2 {
			m[more[i].(string)] = more[i+1]
		}
		return m
	}
	tests := []struct {
		name    string
		subject string
		typ     string
		changes []string
		want    string
	}{
		{"unknown", "guess", typeAccessToken, nil, "invalid_request"},
		{"none", "", typeAccessToken, nil, "invalid_request"},
		{"revoked", revoked.AccessToken, typeAccessToken, nil, "invalid_request"},
		{"unknown type", user.AccessToken, "urn:example:type", nil, "invalid_request"},
		{"of another type", user.AccessToken, "urn:ietf:params:oauth:token-type:refresh_token", nil, "invalid_request"},
		{"unknown target", user.AccessToken, typeAccessToken, []string{"resource", "https://elsewhere.example"}, "invalid_target"},
		{"only more scopes", user.AccessToken, typeAccessToken, []string{"scope", "admin"}, "invalid_scope"},
		{"for something else", user.AccessToken, typeAccessToken, []string{"requested_token_type", typeJWT}, "invalid_request"},
		{"bad actor", user.AccessToken, typeAccessToken, []string{"actor_token", "guess", "actor_token_type", typeAccessToken}, "invalid_request"},
		{"actor without a type", user.AccessToken, typeAccessToken, []string{"actor_token", "guess"}, "invalid_request"},
		{"actor that may not", idp.JWT(claims("may_act", map[string]any{"sub": "another"})), typeJWT,
			[]string{"actor_token", user.AccessToken, "actor_token_type", typeAccessToken}, "invalid_request"},
		{"JWT of a stranger", stranger.JWT(claims()), typeJWT, nil, "invalid_request"},
		{"JWT for another", idp.JWT(claims("aud", "https://other.example")), typeJWT, nil, "invalid_request"},
		{"JWT that expired", idp.JWT(claims("exp", time.Now().Add(-time.Second).Unix())), typeJWT, nil, "invalid_request"},
		{"JWT without an expiry", idp.JWT(claims("exp", nil)), typeJWT, nil, "invalid_request"},
		{"JWT about nobody", idp.JWT(claims("sub", nil)), typeJWT, nil, "invalid_request"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if r := post(t, srv, authtest.TokenEndpoint, exchangeForm(tt.subject, tt.typ, tt.changes...)); r.text("error") != tt.want {
				t.Errorf("%d %s, want %s", r.status, r.body, tt.want)
			}
		})
	}
}

func TestTokenExchangeOfAnExpiredToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := newServer(t, authtest.Config{})
		user := srv.IssueTokenFor("alice", nil, "")
		time.Sleep(time.Hour)
		if r := post(t, srv, authtest.TokenEndpoint, exchangeForm(user.AccessToken, typeAccessToken)); r.text("error") != "invalid_request" {
			t.Errorf("%d %s", r.status, r.body)
		}
		if got, known := srv.Inspect(user.AccessToken); !known || got.Active {
			t.Errorf("Inspect = %+v, %t", got, known)
		}
	})
}

// Introspection shows who acts, nested as RFC 8693 section 4.1 has it.
func TestIntrospectionOfDelegation(t *testing.T) {
	idp := authtest.NewJWTIssuer("https://idp.example")
	srv := newServer(t, authtest.Config{})
	srv.TrustIssuer(idp.URL, idp.PublicKey())
	subject := idp.JWT(map[string]any{"sub": "bob", "aud": srv.Issuer, "act": map[string]any{"sub": "first"}})
	actor := idp.JWT(map[string]any{"sub": "second", "aud": srv.Issuer})
	got := post(t, srv, authtest.TokenEndpoint, exchangeForm(subject, typeJWT, "actor_token", actor, "actor_token_type", typeJWT, "audience", "a"))
	r := post(t, srv, authtest.IntrospectionEndpoint, form("token", got.text("access_token"), "client_id", "web", "client_secret", webSecret))
	who, _ := json.Marshal(r.json["act"])
	if string(who) != `{"act":{"sub":"first"},"sub":"second"}` || r.text("sub") != "bob" {
		t.Errorf("introspection: %s", r.body)
	}
}

func TestJWTBearer(t *testing.T) {
	idp := authtest.NewJWTIssuer("https://platform.example")
	srv := newServer(t, authtest.Config{})
	srv.TrustIssuer(idp.URL, idp.PublicKey())
	res := srv.Protect(ok, authtest.Protection{})
	forServer := map[string]any{"sub": "job", "aud": srv.Issuer}
	forClient := map[string]any{"sub": "alice", "aud": "api://web"}
	tests := []struct {
		name    string
		claims  map[string]any
		public  bool
		changes []string
		want    string // error; "" for success
	}{
		{"workload", forServer, false, []string{"resource", res.URL, "scope", "read"}, ""},
		{"workload of a public client", forServer, true, nil, ""},
		{"for the endpoint", map[string]any{"sub": "job", "aud": srv.Endpoint(authtest.TokenEndpoint)}, false, nil, ""},
		{"for another", map[string]any{"sub": "job", "aud": "https://other.example"}, false, nil, "invalid_grant"},
		{"for the client", forClient, false, nil, "invalid_grant"},
		{"about nobody", map[string]any{"aud": srv.Issuer}, false, nil, "invalid_grant"},
		{"expired", map[string]any{"sub": "job", "aud": srv.Issuer, "exp": 1}, false, nil, "invalid_grant"},
		{"on behalf of", forClient, false, []string{"requested_token_use", "on_behalf_of", "scope", "read"}, ""},
		{"on behalf of, without scope", forClient, false, []string{"requested_token_use", "on_behalf_of"}, "invalid_request"},
		{"on behalf of, with a resource", forClient, false, []string{"requested_token_use", "on_behalf_of", "scope", "read", "resource", res.URL}, "invalid_request"},
		{"on behalf of, for another", forServer, false, []string{"requested_token_use", "on_behalf_of", "scope", "read"}, "invalid_grant"},
		{"on behalf of, public", forClient, true, []string{"requested_token_use", "on_behalf_of", "scope", "read"}, "unauthorized_client"},
		{"another use", forServer, false, []string{"requested_token_use", "x"}, "invalid_request"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := form(append([]string{"grant_type", typeBearer, "assertion", idp.JWT(tt.claims), "client_id", clientID}, tt.changes...)...)
			if !tt.public {
				v.Set("client_id", "web")
				v.Set("client_secret", webSecret)
			}
			r := post(t, srv, authtest.TokenEndpoint, v)
			if r.text("error") != tt.want || (r.status == 200) != (tt.want == "") {
				t.Fatalf("%d %s, want %q", r.status, r.body, tt.want)
			}
			if tt.want != "" {
				return
			}
			got, _ := srv.Inspect(r.text("access_token"))
			if got.Subject != tt.claims["sub"] || !slices.Equal(got.Scopes, slices.Compact([]string{v.Get("scope")})) && v.Has("scope") || got.Resource != v.Get("resource") {
				t.Errorf("Inspect = %+v", got)
			}
		})
	}
}

func TestIssuerThatIsNotTrusted(t *testing.T) {
	idp := authtest.NewJWTIssuer("https://idp.example")
	srv := newServer(t, authtest.Config{})
	srv.TrustIssuer(idp.URL, idp.PublicKey())
	v := form("grant_type", typeBearer, "assertion", idp.JWT(map[string]any{"sub": "job", "aud": srv.Issuer}), "client_id", clientID)
	if r := post(t, srv, authtest.TokenEndpoint, v); r.status != 200 {
		t.Fatalf("trusted: %s", r.body)
	}
	srv.TrustIssuer(idp.URL)
	if r := post(t, srv, authtest.TokenEndpoint, v); r.text("error") != "invalid_grant" {
		t.Errorf("forgotten: %d %s", r.status, r.body)
	}
	if _, known := srv.Inspect("guess"); known {
		t.Error("Inspect knows a guess")
	}
}
