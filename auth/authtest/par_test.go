package authtest_test

import (
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcptokens/mcptokens/auth/authtest"
)

// pushedForm is an authorization request to be pushed.
func pushedForm(srv *authtest.Server, changes ...string) url.Values {
	_, query, _ := strings.Cut(authorizationURL(srv, changes...), "?")
	v, _ := url.ParseQuery(query)
	return v
}

// authorizationOf is the URL that a browser visits after a push.
func authorizationOf(srv *authtest.Server, client, uri string) string {
	return srv.Endpoint(authtest.AuthorizeEndpoint) + "?" + form("client_id", client, "request_uri", uri).Encode()
}

func TestPushedAuthorizationRequest(t *testing.T) {
	for name, client := range map[string]struct {
		id, secret string
		header     []string
	}{
		"public":             {id: clientID},
		"secret":             {id: "web", secret: webSecret},
		"secret in a header": {id: "web", header: []string{"Authorization", basic("web", webSecret)}},
	} {
		t.Run(name, func(t *testing.T) {
			srv := newServer(t, authtest.Config{RequirePAR: true})
			res := srv.Protect(ok, authtest.Protection{})
			v := pushedForm(srv, "client_id", client.id, "resource", res.URL)
			if client.secret != "" {
				v.Set("client_secret", client.secret)
			}
			if client.header != nil {
				v.Del("client_id")
			}
			r := post(t, srv, authtest.PAREndpoint, v, client.header...)
			if r.status != 201 || r.text("request_uri") == "" || r.json["expires_in"] != 60.0 {
				t.Fatalf("%d %s", r.status, r.body)
			}
			target := authorizationOf(srv, client.id, r.text("request_uri"))
			answer := approve(t, srv, target)
			if answer.Get("code") == "" || answer.Get("state") != "xyz" || answer.Get("iss") != srv.Issuer {
				t.Errorf("answer %v", answer)
			}
			if r := get(t, srv, target); r.status != 400 {
				t.Errorf("second use: %d", r.status)
			}
			if n := srv.Counts().PAR; n != 1 {
				t.Errorf("%d pushes counted", n)
			}
		})
	}
}

func TestPushRefusals(t *testing.T) {
	srv := newServer(t, authtest.Config{PAR: true})
	tests := []struct {
		name    string
		changes []string
		want    string
	}{
		{"unknown client", []string{"client_id", "nobody"}, "invalid_client"},
		{"no secret", []string{"client_id", "web"}, "invalid_client"},
		{"redirect not registered", []string{"redirect_uri", "https://elsewhere.example/cb"}, "invalid_request"},
		{"no PKCE", []string{"code_challenge", "-"}, "invalid_request"},
		{"a request_uri", []string{"request_uri", "urn:x"}, "invalid_request"},
		{"unknown resource", []string{"resource", "not a URI"}, "invalid_target"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if r := post(t, srv, authtest.PAREndpoint, pushedForm(srv, tt.changes...)); r.text("error") != tt.want {
				t.Errorf("%d %s, want %s", r.status, r.body, tt.want)
			}
		})
	}
}

func TestRequestURIRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := newServer(t, authtest.Config{RequirePAR: true})
		uri := post(t, srv, authtest.PAREndpoint, pushedForm(srv)).text("request_uri")
		for name, target := range map[string]string{
			"not pushed":       authorizationURL(srv),
			"guessed":          authorizationOf(srv, clientID, "urn:guess"),
			"another client's": authorizationOf(srv, "web", uri),
		} {
			if r := get(t, srv, target); r.status != 400 {
				t.Errorf("%s: %d", name, r.status)
			}
		}
		time.Sleep(time.Minute)
		if r := get(t, srv, authorizationOf(srv, clientID, uri)); r.status != 400 {
			t.Errorf("expired: %d", r.status)
		}
	})
}

func TestPARInMetadata(t *testing.T) {
	for name, tt := range map[string]struct {
		cfg              authtest.Config
		listed, required bool
	}{
		"none":     {authtest.Config{}, false, false},
		"listed":   {authtest.Config{PAR: true}, true, false},
		"required": {authtest.Config{RequirePAR: true}, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			srv := newServer(t, tt.cfg)
			doc := get(t, srv, srv.Endpoint(authtest.MetadataEndpoint))
			if (doc.text("pushed_authorization_request_endpoint") == srv.Endpoint(authtest.PAREndpoint)) != tt.listed || (doc.json["require_pushed_authorization_requests"] == true) != tt.required {
				t.Errorf("metadata %s", doc.body)
			}
			if r := post(t, srv, authtest.PAREndpoint, pushedForm(srv)); (r.status == 201) != tt.listed {
				t.Errorf("push: %d", r.status)
			}
		})
	}
}
