package authtest_test

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcptokens/mcptokens/auth/authtest"
)

// basic is the header of RFC 6749 section 2.3.1: both halves form-urlencoded.
func basic(id, secret string) string {
	pair := url.QueryEscape(id) + ":" + url.QueryEscape(secret)
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(pair))
}

func TestClientAuthentication(t *testing.T) {
	const odd, oddSecret = "https://odd.example:1", "a+b c%:ü"
	raw := "Basic " + base64.StdEncoding.EncodeToString([]byte("odd2:100%"))
	tests := []struct {
		name   string
		form   url.Values
		header string
		want   string // error; "unsupported_grant_type" is success here
	}{
		{"none", form("client_id", clientID), "", "unsupported_grant_type"},
		{"post", form("client_id", "web", "client_secret", webSecret), "", "unsupported_grant_type"},
		{"basic", form(), basic("web", webSecret), "unsupported_grant_type"},
		{"basic and the same client_id", form("client_id", "web"), basic("web", webSecret), "unsupported_grant_type"},
		{"basic with characters to escape", form(), basic(odd, oddSecret), "unsupported_grant_type"},
		{"basic not escaped", form(), raw, "invalid_client"},
		{"basic and post", form("client_id", "web", "client_secret", webSecret), basic("web", webSecret), "invalid_request"},
		{"basic and another client_id", form("client_id", clientID), basic("web", webSecret), "invalid_request"},
		{"not basic", form("client_id", clientID), "Bearer x", "invalid_client"},
		{"no client", form(), "", "invalid_client"},
		{"unknown client", form("client_id", "nobody"), "", "invalid_client"},
		{"secret missing", form("client_id", "web"), "", "invalid_client"},
		{"secret wrong", form(), basic("web", "guess"), "invalid_client"},
		{"a URL, but no metadata documents", form("client_id", "https://app.example/c"), "", "invalid_client"},
	}
	srv := newServer(t, authtest.Config{})
	srv.AddClient(odd, oddSecret)
	srv.AddClient("odd2", "100%")
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.form.Set("grant_type", "x")
			var header []string
			if tt.header != "" {
				header = []string{"Authorization", tt.header}
			}
			r := post(t, srv, authtest.TokenEndpoint, tt.form, header...)
			if r.text("error") != tt.want {
				t.Fatalf("%d %s, want %s", r.status, r.body, tt.want)
			}
			unauthorized := tt.want == "invalid_client"
			if (r.status == 401) != unauthorized || (r.header.Get("WWW-Authenticate") != "") != (unauthorized && tt.header != "") {
				t.Errorf("status %d, challenge %q", r.status, r.header.Get("WWW-Authenticate"))
			}
		})
	}
}

func TestAuthMethodNotOffered(t *testing.T) {
	srv := newServer(t, authtest.Config{TokenEndpointAuthMethods: []string{"client_secret_post"}})
	if r := post(t, srv, authtest.TokenEndpoint, form("grant_type", "client_credentials"), "Authorization", basic("web", webSecret)); r.text("error") != "invalid_client" {
		t.Errorf("basic: %s", r.body)
	}
	if r := post(t, srv, authtest.TokenEndpoint, form("grant_type", "client_credentials", "client_id", "web", "client_secret", webSecret)); r.status != 200 {
		t.Errorf("post: %s", r.body)
	}
}

func TestRemoveClient(t *testing.T) {
	srv := newServer(t, authtest.Config{})
	res := srv.Protect(ok, authtest.Protection{})
	pair := srv.IssueToken(nil, res.URL)
	srv.RemoveClient(clientID)
	if r := refresh(t, srv, pair.RefreshToken); r.text("error") != "invalid_client" {
		t.Errorf("refresh: %s", r.body)
	}
	if r := call(t, srv, res.URL, pair.AccessToken, ""); r.status != 200 {
		t.Errorf("call: %d", r.status)
	}
}

func register(t *testing.T, srv *authtest.Server, body string) reply {
	t.Helper()
	return must(t, srv, request(t, http.MethodPost, srv.Endpoint(authtest.RegistrationEndpoint), body, "Content-Type", "application/json"))
}

func TestRegistration(t *testing.T) {
	tests := []struct{ name, body, want string }{
		{"public", `{"redirect_uris":["http://localhost/cb"],"token_endpoint_auth_method":"none"}`, ""},
		{"confidential", `{"redirect_uris":["https://app.example/cb","app.example:/cb"]}`, ""},
		{"without redirects", `{"grant_types":["client_credentials"]}`, ""},
		{"not JSON", `hello`, "invalid_client_metadata"},
		{"null", `null`, "invalid_client_metadata"},
		{"array", `[]`, "invalid_client_metadata"},
		{"wrong type", `{"redirect_uris":"http://localhost/cb"}`, "invalid_client_metadata"},
		{"unknown method", `{"redirect_uris":["http://localhost/cb"],"token_endpoint_auth_method":"tls_client_auth"}`, "invalid_client_metadata"},
		{"no redirects", `{}`, "invalid_redirect_uri"},
		{"plain http", `{"redirect_uris":["http://app.example/cb"]}`, "invalid_redirect_uri"},
		{"fragment", `{"redirect_uris":["https://app.example/cb#x"]}`, "invalid_redirect_uri"},
		{"relative", `{"redirect_uris":["/cb"]}`, "invalid_redirect_uri"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			srv := newServer(t, authtest.Config{})
			r := register(t, srv, tt.body)
			if r.text("error") != tt.want || (r.status == 201) != (tt.want == "") {
				t.Fatalf("%d %s, want %q", r.status, r.body, tt.want)
			}
			if tt.want != "" {
				if n := len(srv.Registrations()); n != 0 {
					t.Errorf("%d registrations", n)
				}
				return
			}
			reg := srv.Registrations()[0]
			if reg.ClientID != r.text("client_id") || reg.TokenEndpointAuthMethod != r.text("token_endpoint_auth_method") || reg.Document == nil {
				t.Errorf("registration %+v for %s", reg, r.body)
			}
			if (r.text("client_secret") == "") != (reg.TokenEndpointAuthMethod == "none") {
				t.Errorf("secret in %s", r.body)
			}
		})
	}
}

func TestRegisteredClientIsHeldToIt(t *testing.T) {
	srv := newServer(t, authtest.Config{})
	r := register(t, srv, `{"redirect_uris":["http://localhost/cb"],"application_type":"native","client_name":"x"}`)
	id, secret := r.text("client_id"), r.text("client_secret")
	if r.text("client_name") != "x" || srv.Registrations()[0].ApplicationType != "native" {
		t.Errorf("response %s", r.body)
	}
	grant := form("grant_type", "client_credentials")
	if r := post(t, srv, authtest.TokenEndpoint, grant, "Authorization", basic(id, secret)); r.text("error") != "unauthorized_client" {
		t.Errorf("grant type it did not register: %s", r.body)
	}
	grant.Set("client_id", id)
	grant.Set("client_secret", secret)
	if r := post(t, srv, authtest.TokenEndpoint, grant); r.text("error") != "invalid_client" {
		t.Errorf("method it did not register: %s", r.body)
	}
	code := approve(t, srv, authorizationURL(srv, "client_id", id, "redirect_uri", "http://localhost:99/cb")).Get("code")
	v := codeForm(code, "redirect_uri", "http://localhost:99/cb")
	v.Del("client_id")
	if r := post(t, srv, authtest.TokenEndpoint, v, "Authorization", basic(id, secret)); r.status != 200 || r.text("refresh_token") != "" {
		t.Errorf("without the refresh_token grant: %d %s", r.status, r.body)
	}
}

func TestNoRegistration(t *testing.T) {
	srv := newServer(t, authtest.Config{NoRegistration: true})
	if r := register(t, srv, `{"redirect_uris":["http://localhost/cb"]}`); r.status != 404 {
		t.Errorf("status %d", r.status)
	}
}

func TestRevocation(t *testing.T) {
	tests := []struct {
		name            string
		token           func(authtest.TokenPair) string
		access, refresh int // status afterwards
	}{
		{"access token", func(p authtest.TokenPair) string { return p.AccessToken }, 401, 200},
		{"refresh token", func(p authtest.TokenPair) string { return p.RefreshToken }, 401, 400},
		{"unknown token", func(authtest.TokenPair) string { return "guess" }, 200, 200},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			srv := newServer(t, authtest.Config{})
			res := srv.Protect(ok, authtest.Protection{})
			pair := srv.IssueToken(nil, res.URL)
			if r := post(t, srv, authtest.RevocationEndpoint, form("client_id", clientID, "token", tt.token(pair))); r.status != 200 {
				t.Fatalf("%d %s", r.status, r.body)
			}
			if r := call(t, srv, res.URL, pair.AccessToken, ""); r.status != tt.access {
				t.Errorf("access token: %d, want %d", r.status, tt.access)
			}
			if r := refresh(t, srv, pair.RefreshToken); r.status != tt.refresh {
				t.Errorf("refresh token: %d, want %d", r.status, tt.refresh)
			}
		})
	}
}

func TestRevocationRefusals(t *testing.T) {
	srv := newServer(t, authtest.Config{})
	pair := srv.IssueToken(nil, "")
	next := refresh(t, srv, pair.RefreshToken) // claims it for clientID
	tests := []struct {
		name string
		form url.Values
		want string
	}{
		{"no client", form("token", pair.AccessToken), "invalid_client"},
		{"no token", form("client_id", clientID), "invalid_request"},
		{"another client", form("client_id", "web", "client_secret", webSecret, "token", next.text("refresh_token")), "unauthorized_client"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if r := post(t, srv, authtest.RevocationEndpoint, tt.form); r.text("error") != tt.want {
				t.Errorf("%d %s, want %s", r.status, r.body, tt.want)
			}
		})
	}
	srv.RevokeAccess("guess") // is ignored
}

func TestIntrospection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := newServer(t, authtest.Config{})
		res := srv.Protect(ok, authtest.Protection{})
		pair := srv.IssueToken([]string{"read", "list"}, res.URL)
		next := refresh(t, srv, pair.RefreshToken)
		introspect := func(token string) reply {
			return post(t, srv, authtest.IntrospectionEndpoint, form("token", token), "Authorization", basic("web", webSecret))
		}
		for name, token := range map[string]string{"access": pair.AccessToken, "refresh": next.text("refresh_token")} {
			r := introspect(token)
			if r.json["active"] != true || r.text("scope") != "read list" || r.text("aud") != res.URL || r.text("client_id") != clientID || r.text("iss") != srv.Issuer {
				t.Errorf("%s token: %s", name, r.body)
			}
		}
		for name, token := range map[string]string{"spent": pair.RefreshToken, "unknown": "guess"} {
			if r := introspect(token); r.json["active"] != false || len(r.json) != 1 {
				t.Errorf("%s token: %s", name, r.body)
			}
		}
		time.Sleep(time.Hour)
		if r := introspect(pair.AccessToken); r.json["active"] != false {
			t.Errorf("expired token: %s", r.body)
		}
		srv.RevokeAll()
		if r := introspect(next.text("refresh_token")); r.json["active"] != false {
			t.Errorf("revoked token: %s", r.body)
		}
		if r := post(t, srv, authtest.IntrospectionEndpoint, form("client_id", clientID, "token", pair.AccessToken)); r.status != 401 {
			t.Errorf("public client: %d", r.status)
		}
		if n := srv.Counts().Introspect; n != 7 {
			t.Errorf("%d introspections counted", n)
		}
	})
}
