package registration

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"testing"
)

// A server that refuses a part of the registration is asked once more without that
// part, and only without that.
//
//compat:client a part of a registration is refused (`refresh_token`, `application_type`, `none`, a scope)
//compat:default once more without that part
//compat:attack same
func TestReduce(t *testing.T) {
	asked := Metadata{
		RedirectURIs: []string{"http://127.0.0.1/callback"}, GrantTypes: []string{"authorization_code", "refresh_token"},
		TokenEndpointAuthMethod: "none", Scope: "read write",
	}
	all := []string{"application_type", "grant_types", "scope", "token_endpoint_auth_method"}
	for _, tt := range []struct {
		name    string
		status  int
		refusal string
		listed  []string
		without []string // nil: there is no second request
		method  string   // of the second request
	}{
		{"grant types", 400, `{"error":"invalid_client_metadata","error_description":"Unsupported grant type: refresh_token"}`, nil, []string{"grant_types"}, "none"},
		{"application type", 400, `{"error":"invalid_client_metadata","error_description":"application_type is not allowed"}`, nil, []string{"application_type"}, "none"},
		{"application type, called a redirect URI", 400, `{"error":"invalid_redirect_uri","error_description":"redirect_uris for application_type native"}`, nil, []string{"application_type"}, "none"},
		{"scope", 422, `{"error":"invalid_client_metadata","error_description":"Scope 'write' is unknown"}`, nil, []string{"scope"}, "none"},
		{"none", 400, `{"error":"invalid_client_metadata","error_description":"token_endpoint_auth_method none is not supported"}`, nil, []string{"token_endpoint_auth_method"}, ""},
		{"none where post is listed", 400, `{"error":"invalid_client_metadata","error_description":"public clients are not supported"}`, []string{"client_secret_post"}, []string{"token_endpoint_auth_method"}, "client_secret_post"},
		{"none where it is listed", 400, `{"error":"invalid_client_metadata","error_description":"token_endpoint_auth_method is odd"}`, []string{"none"}, nil, ""},
		{"without a word", 400, `{"error":"invalid_client_metadata"}`, nil, all, ""},
		{"redirect URI", 400, `{"error":"invalid_redirect_uri","error_description":"not ours"}`, nil, nil, ""},
		{"software statement", 400, `{"error":"unapproved_software_statement"}`, nil, nil, ""},
		{"closed", 401, `{"error":"invalid_token"}`, nil, nil, ""},
		{"forbidden", 403, `{"error":"invalid_client_metadata","error_description":"grant_types"}`, nil, nil, ""},
		{"trouble", 500, `{"error":"invalid_client_metadata"}`, nil, nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []map[string]any
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				var doc map[string]any
				if err := json.NewDecoder(r.Body).Decode(&doc); err != nil {
					t.Error(err)
				}
				got = append(got, doc)
				if len(got) == 1 {
					w.WriteHeader(tt.status)
					_, _ = io.WriteString(w, tt.refusal)
					return
				}
				_, _ = io.WriteString(w, `{"client_id":"id","client_secret":"s"}`)
			}))
			defer srv.Close()
			c, err := Registrar{Reduce: true, AuthMethods: tt.listed}.Register(t.Context(), srv.URL, asked)
			if tt.without == nil {
				if err == nil || len(got) != 1 {
					t.Fatalf("%v, %v after %d requests, want the refusal after one", c, err, len(got))
				}
				return
			}
			if err != nil || len(got) != 2 || c.ClientID != "id" || c.GrantType != "authorization_code" {
				t.Fatalf("%v, %v after %d requests", c, err, len(got))
			}
			var without []string
			for _, name := range all {
				if !reflect.DeepEqual(got[0][name], got[1][name]) {
					without = append(without, name)
				}
			}
			if !reflect.DeepEqual(without, tt.without) {
				t.Errorf("second request %v, want a change of %v only", got[1], tt.without)
			}
			if method, _ := got[1]["token_endpoint_auth_method"].(string); method != tt.method {
				t.Errorf("method %q, want %q", method, tt.method)
			}
			got = nil
			if _, err := (Registrar{}).Register(t.Context(), srv.URL, asked); err == nil || len(got) != 1 {
				t.Errorf("without Reduce: %v after %d requests", err, len(got))
			}
		})
	}
}

// What the server registered is kept beside what it did not.
func TestRegisteredScopes(t *testing.T) {
	for body, want := range map[string][2][]string{
		`{"client_id":"id"}`:                                  {nil, nil},
		`{"client_id":"id","scope":""}`:                       {nil, nil},
		`{"client_id":"id","scope":"read write more"}`:        {{"read", "write", "more"}, nil},
		`{"client_id":"id","scope":"openid read"}`:            {{"openid", "read"}, {"write"}},
		`{"client_id":"id","scope":["openid","offline"]}`:     {{"openid", "offline"}, {"read", "write"}},
		`{"client_id":"id","scope":{"read":true},"scopes":1}`: {nil, nil},
	} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }))
		c, err := Register(t.Context(), nil, srv.URL, Metadata{Scope: "read write"})
		srv.Close()
		if err != nil || !reflect.DeepEqual([2][]string{c.Scopes, c.DeclinedScopes}, want) {
			t.Errorf("%s: %v, %q, %q, want %q", body, err, c.Scopes, c.DeclinedScopes, want)
		}
	}
}

// A secret without a method: what the server lists decides.
//
//compat:client a secret without a method
//compat:default what the server lists decides
//compat:attack auth.TestCredentialsStayHome
func TestMethodOfASecret(t *testing.T) {
	for _, tt := range []struct {
		asked  string
		listed []string
		want   string
	}{
		{"none", nil, "client_secret_basic"},
		{"none", []string{"client_secret_post", "none"}, "client_secret_post"},
		{"none", []string{"client_secret_basic", "client_secret_post"}, "client_secret_basic"},
		{"", []string{"client_secret_post"}, "client_secret_post"},
		{"", []string{"private_key_jwt"}, "client_secret_basic"},
		{"client_secret_basic", []string{"client_secret_post"}, "client_secret_basic"},
		{"client_secret_post", nil, "client_secret_post"},
	} {
		if got := authMethod("", tt.asked, "s", tt.listed); got != tt.want {
			t.Errorf("asked for %q, listed %q: %s, want %s", tt.asked, tt.listed, got, tt.want)
		}
	}
	if got := authMethod("client_secret_basic", "none", "s", []string{"client_secret_post"}); got != "client_secret_basic" {
		t.Errorf("what the server says gives way to what it lists: %s", got)
	}
}
