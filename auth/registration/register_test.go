package registration

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/internal/httpx"
)

const endpoint = "https://as.example.com/register"

// answer is the one answer of a registration endpoint. As an http.RoundTripper it keeps the
// request, too.
type answer struct {
	status int
	header map[string]string
	body   string
	err    error

	request *http.Request
	sent    []byte
	count   int
}

func (a *answer) RoundTrip(r *http.Request) (*http.Response, error) {
	a.count++
	a.request = r
	var err error
	if a.sent, err = io.ReadAll(r.Body); err != nil {
		return nil, err
	}
	if a.err != nil {
		return nil, a.err
	}
	rec := httptest.NewRecorder()
	for name, value := range a.header {
		rec.Header().Set(name, value)
	}
	rec.WriteHeader(a.status)
	_, _ = io.WriteString(rec, a.body)
	resp := rec.Result()
	resp.Request = r
	return resp, nil
}

func (a *answer) client() *http.Client { return &http.Client{Transport: a} }

func TestRegisterRequest(t *testing.T) {
	a := &answer{status: 201, body: `{"client_id":"id"}`}
	given := Metadata{
		RedirectURIs:            []string{"http://127.0.0.1/callback"},
		GrantTypes:              []string{"authorization_code", "refresh_token"},
		ClientName:              "Example",
		Scope:                   "a b",
		TokenEndpointAuthMethod: "none",
		JWKS:                    json.RawMessage(`{"keys":[{"kty":"EC"}]}`),
	}
	if _, err := Register(t.Context(), a.client(), endpoint, given); err != nil {
		t.Fatal(err)
	}
	if r := a.request; r.Method != http.MethodPost || r.URL.String() != endpoint ||
		r.Header.Get("Content-Type") != "application/json" || r.Header.Get("Accept") != "application/json" {
		t.Errorf("request %s %s with %v", r.Method, r.URL, r.Header)
	}
	var got map[string]any
	if err := json.Unmarshal(a.sent, &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"redirect_uris":              []any{"http://127.0.0.1/callback"},
		"grant_types":                []any{"authorization_code", "refresh_token"},
		"client_name":                "Example",
		"scope":                      "a b",
		"token_endpoint_auth_method": "none",
		"application_type":           "native",
		"jwks":                       map[string]any{"keys": []any{map[string]any{"kty": "EC"}}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("sent %s, want %v", a.sent, want)
	}
	if given.ApplicationType != "" {
		t.Error("the caller's metadata was changed")
	}

	given.ApplicationType = "web"
	if _, err := Register(t.Context(), a.client(), endpoint, given); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(a.sent), `"application_type":"web"`) {
		t.Errorf("sent %s, want the application type that was set", a.sent)
	}
}

func TestRegisterResponseTypes(t *testing.T) {
	tests := []struct {
		name string
		m    Metadata
		want string // member of the request; "": left out
	}{
		{"nothing said", Metadata{}, ""},
		{"code flow", Metadata{GrantTypes: []string{"authorization_code"}}, ""},
		{"code flow, said", Metadata{GrantTypes: []string{"authorization_code"}, ResponseTypes: []string{"code"}}, `["code"]`},
		{"no redirects", Metadata{GrantTypes: []string{"urn:ietf:params:oauth:grant-type:device_code", "refresh_token"}}, `[]`},
		{"no redirects, said", Metadata{ResponseTypes: []string{}}, `[]`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := &answer{status: 201, body: `{"client_id":"id"}`}
			if _, err := Register(t.Context(), a.client(), endpoint, tt.m); err != nil {
				t.Fatal(err)
			}
			var sent map[string]json.RawMessage
			if err := json.Unmarshal(a.sent, &sent); err != nil {
				t.Fatal(err)
			}
			if got := string(sent["response_types"]); got != tt.want {
				t.Errorf("response_types %s, want %s", got, tt.want)
			}
		})
	}
}

func TestRegisterResponse(t *testing.T) {
	asked := []string{"https://app.example.com/callback"}
	tests := []struct {
		name, body string
		method     string // asked for
		want       Client
	}{
		{
			name: "complete", method: "client_secret_post",
			body: `{"client_id":"id","client_secret":"s","client_secret_expires_at":4102444800,"token_endpoint_auth_method":"client_secret_basic",
				"redirect_uris":["https://app.example.com/other"],"registration_access_token":"rat","registration_client_uri":"https://as.example.com/register/id","extra":{}}`,
			want: Client{
				ClientID: "id", ClientSecret: "s", ClientSecretExpiresAt: time.Unix(4102444800, 0).UTC(), TokenEndpointAuthMethod: "client_secret_basic",
				RedirectURIs:            []string{"https://app.example.com/other"},
				RegistrationAccessToken: "rat", RegistrationClientURI: "https://as.example.com/register/id",
			},
		},
		{name: "public", method: "none", body: `{"client_id":"id"}`, want: Client{ClientID: "id", TokenEndpointAuthMethod: "none", RedirectURIs: asked}},
		{name: "nothing asked, no secret", body: `{"client_id":"id"}`, want: Client{ClientID: "id", TokenEndpointAuthMethod: "none", RedirectURIs: asked}},
		{name: "nothing asked, secret", body: `{"client_id":"id","client_secret":"s"}`, want: Client{ClientID: "id", ClientSecret: "s", TokenEndpointAuthMethod: "client_secret_basic", RedirectURIs: asked}},
		{name: "public asked, secret", method: "none", body: `{"client_id":"id","client_secret":"s"}`, want: Client{ClientID: "id", ClientSecret: "s", TokenEndpointAuthMethod: "client_secret_basic", RedirectURIs: asked}},
		{name: "post asked, secret", method: "client_secret_post", body: `{"client_id":"id","client_secret":"s"}`, want: Client{ClientID: "id", ClientSecret: "s", TokenEndpointAuthMethod: "client_secret_post", RedirectURIs: asked}},
		{name: "key asked", method: "private_key_jwt", body: `{"client_id":"id"}`, want: Client{ClientID: "id", TokenEndpointAuthMethod: "private_key_jwt", RedirectURIs: asked}},
		{name: "never expires", body: `{"client_id":"id","client_secret":"s","client_secret_expires_at":0}`, want: Client{ClientID: "id", ClientSecret: "s", TokenEndpointAuthMethod: "client_secret_basic", RedirectURIs: asked}},
		{name: "expiry as a string", body: `{"client_id":"id","client_secret":"s","client_secret_expires_at":"4102444800"}`, want: Client{ClientID: "id", ClientSecret: "s", ClientSecretExpiresAt: time.Unix(4102444800, 0).UTC(), TokenEndpointAuthMethod: "client_secret_basic", RedirectURIs: asked}},
		{name: "expiry as a float", body: `{"client_id":"id","client_secret":"s","client_secret_expires_at":4.1024448e9}`, want: Client{ClientID: "id", ClientSecret: "s", ClientSecretExpiresAt: time.Unix(4102444800, 0).UTC(), TokenEndpointAuthMethod: "client_secret_basic", RedirectURIs: asked}},
		{name: "expiry as a date", body: `{"client_id":"id","client_secret":"s","client_secret_expires_at":"2100-01-01T00:00:00Z"}`, want: Client{ClientID: "id", ClientSecret: "s", ClientSecretExpiresAt: time.Unix(4102444800, 0).UTC(), TokenEndpointAuthMethod: "client_secret_basic", RedirectURIs: asked}},
		{name: "expiry in milliseconds", body: `{"client_id":"id","client_secret":"s","client_secret_expires_at":4102444800000}`, want: Client{ClientID: "id", ClientSecret: "s", ClientSecretExpiresAt: time.Unix(4102444800, 0).UTC(), TokenEndpointAuthMethod: "client_secret_basic", RedirectURIs: asked}},
		{name: "negative expiry", body: `{"client_id":"id","client_secret":"s","client_secret_expires_at":-1}`, want: Client{ClientID: "id", ClientSecret: "s", TokenEndpointAuthMethod: "client_secret_basic", RedirectURIs: asked}},
		{name: "expiry that is over", body: `{"client_id":"id","client_secret":"s","client_secret_expires_at":3600}`, want: Client{ClientID: "id", ClientSecret: "s", TokenEndpointAuthMethod: "client_secret_basic", RedirectURIs: asked}},
		{name: "endless expiry", body: `{"client_id":"id","client_secret":"s","client_secret_expires_at":1e300}`, want: Client{ClientID: "id", ClientSecret: "s", TokenEndpointAuthMethod: "client_secret_basic", RedirectURIs: asked}},
		{name: "no expiry", body: `{"client_id":"id","client_secret":"s","client_secret_expires_at":false}`, want: Client{ClientID: "id", ClientSecret: "s", TokenEndpointAuthMethod: "client_secret_basic", RedirectURIs: asked}},
		{name: "expiry that is no time", body: `{"client_id":"id","client_secret":"s","client_secret_expires_at":{}}`, want: Client{ClientID: "id", ClientSecret: "s", TokenEndpointAuthMethod: "client_secret_basic", RedirectURIs: asked}},
		{name: "numeric ID", body: `{"client_id":12345678901234567890}`, want: Client{ClientID: "12345678901234567890", TokenEndpointAuthMethod: "none", RedirectURIs: asked}},
		{name: "one redirect URI as a string", body: `{"client_id":"id","redirect_uris":"https://app.example.com/a,b"}`, want: Client{ClientID: "id", TokenEndpointAuthMethod: "none", RedirectURIs: []string{"https://app.example.com/a,b"}}},
		{name: "byte order mark", body: "\xef\xbb\xbf{\"client_id\":\"id\"}", want: Client{ClientID: "id", TokenEndpointAuthMethod: "none", RedirectURIs: asked}},
		{
			name: "ory/hydra#4116, huggingface/chat-ui#2467, sigbit/mcp-auth-proxy#173", method: "none",
			body: `{"client_id":"id","client_secret":null,"contacts":null,"client_uri":"","logo_uri":null,"grant_types":null,"redirect_uris":null,"token_endpoint_auth_method":"","registration_client_uri":"/.idp/register/1"}`,
			want: Client{ClientID: "id", TokenEndpointAuthMethod: "none", RedirectURIs: asked, RegistrationClientURI: "/.idp/register/1"},
		},
	}
	for _, tt := range tests {
		for _, status := range []int{200, 201} {
			t.Run(tt.name, func(t *testing.T) {
				a := &answer{status: status, body: tt.body}
				got, err := Register(t.Context(), a.client(), endpoint, Metadata{RedirectURIs: asked, TokenEndpointAuthMethod: tt.method})
				if err != nil {
					t.Fatal(err)
				}
				if !reflect.DeepEqual(*got, tt.want) {
					type plain Client // without the methods
					t.Errorf("Register = %+v, want %+v", plain(*got), plain(tt.want))
				}
			})
		}
	}
}

func TestRegisterErrors(t *testing.T) {
	tests := []struct {
		name      string
		answer    answer
		code      string
		is        error
		text      string
		retryable bool
	}{
		{name: "redirect URI", answer: answer{status: 400, body: `{"error":"invalid_redirect_uri","error_description":"not\u202e \nyours","error_uri":"https://h/e"}`}, code: "invalid_redirect_uri", text: `invalid_redirect_uri: "not\u202e \nyours" (see "https://h/e") (HTTP status 400): the server does not take`},
		{name: "metadata", answer: answer{status: 400, body: `{"error":"invalid_client_metadata"}`}, code: "invalid_client_metadata", text: "grant types"},
		{name: "software statement", answer: answer{status: 400, body: `{"error":"unapproved_software_statement"}`}, code: "unapproved_software_statement", text: "software statement"},
		{name: "unknown code", answer: answer{status: 400, body: `{"error":"odd_one"}`}, code: "odd_one", text: "odd_one (HTTP status 400)"},
		{name: "code that is text", answer: answer{status: 400, body: `{"error":"not with me"}`}, text: `failed: "not with me" (HTTP status 400)`},
		{name: "unauthorized", answer: answer{status: 401, body: "canary"}, text: "initial access token"},
		{name: "forbidden", answer: answer{status: 403, body: `{"error":"access_denied"}`}, code: "access_denied", text: "registration is closed"},
		{name: "not there", answer: answer{status: 404, body: "canary"}, text: "no dynamic registration"},
		{name: "redirect", answer: answer{status: 307, header: map[string]string{"Location": "https://elsewhere.example/canary?canary"}}, is: httpx.ErrRedirect, text: `redirects to another origin, "https://elsewhere.example", which`},
		{name: "see other", answer: answer{status: 303, header: map[string]string{"Location": "/login"}}, is: httpx.ErrRedirect, text: "not with 307 or 308"},
		{name: "down", answer: answer{status: 503, body: "canary"}, text: "HTTP status 503", retryable: true},
		{name: "throttled", answer: answer{status: 429}, text: "HTTP status 429", retryable: true},
		{name: "no answer", answer: answer{err: errors.New("canary")}, text: "failed (", retryable: true},
		{name: "cancelled", answer: answer{err: context.Canceled}, is: context.Canceled, text: "canceled"},
		{name: "page", answer: answer{status: 200, body: "<html>canary"}, is: httpx.ErrMalformed, text: "a page instead of JSON"},
		{name: "too large", answer: answer{status: 201, body: strings.Repeat(" ", httpx.MaxBody+1)}, is: httpx.ErrTooLarge, text: "larger"},
		{name: "no client ID", answer: answer{status: 201, body: `{"client_secret":"canary"}`}, is: httpx.ErrMalformed, text: "client_id is missing"},
		{name: "no secret", answer: answer{status: 201, body: `{"client_id":"canary","token_endpoint_auth_method":"client_secret_basic"}`}, is: httpx.ErrMalformed, text: "client_secret is missing"},
		{name: "two IDs", answer: answer{status: 201, body: `{"client_id":"a","client_id":"canary"}`}, is: httpx.ErrMalformed, text: "client_id is there more than once"},
		{name: "two cases", answer: answer{status: 201, body: `{"client_id":"a","Client_ID":"canary"}`}, is: httpx.ErrMalformed, text: "client_id is there under a name in another case"},
		{name: "two secrets", answer: answer{status: 201, body: `{"client_id":"a","client_secret":"s","client_secret":"canary"}`}, is: httpx.ErrMalformed, text: "client_secret is there more than once"},
		{name: "a page that looks like JSON", answer: answer{status: 200, body: `{"client_id":"canary"}<html>`}, is: httpx.ErrMalformed, text: "not a JSON object"},
		{name: "refused with success", answer: answer{status: 200, body: `{"error":"invalid_client_metadata"}`}, code: "invalid_client_metadata", text: "grant types"},
		{name: "redirect URI of this machine, apify/mcpc#269", answer: answer{status: 400, body: `{"error":"invalid_redirect_uri"}`}, code: "invalid_redirect_uri", text: `set Host of browser.Loopback to "localhost"`},
		{name: "an error as an object", answer: answer{status: 400, body: `{"error":{"code":"invalid_redirect_uri","message":"by policy"}}`}, code: "invalid_redirect_uri", text: `"by policy"`},
		{name: "wrong type", answer: answer{status: 201, body: `{"client_id":"id","client_secret":["canary"]}`}, is: httpx.ErrMalformed, text: "client_secret is not a string"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Register(t.Context(), tt.answer.client(), endpoint, Metadata{})
			var e *Error
			if got != nil || !errors.As(err, &e) {
				t.Fatalf("Register = %v, %v, want an *Error", got, err)
			}
			if e.Code != tt.code || e.Retryable() != tt.retryable {
				t.Errorf("code %q, retryable %v, want %q, %v", e.Code, e.Retryable(), tt.code, tt.retryable)
			}
			if tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("error = %v, want %v", err, tt.is)
			}
			if !strings.Contains(err.Error(), tt.text) || strings.Contains(err.Error(), "canary") {
				t.Errorf("error %q, want %q in it and nothing of the server's", err, tt.text)
			}
			if tt.answer.count != 1 {
				t.Errorf("%d requests, want 1", tt.answer.count)
			}
		})
	}
}

func TestRegisterRetryAfter(t *testing.T) {
	a := &answer{status: 429, header: map[string]string{"Retry-After": "9"}}
	_, err := Register(t.Context(), a.client(), endpoint, Metadata{})
	var e *Error
	if !errors.As(err, &e) || e.RetryAfter != 9*time.Second || e.StatusCode != 429 {
		t.Errorf("error = %+v, want status 429 and 9 seconds", err)
	}
}

func TestRegisterRefusesInput(t *testing.T) {
	tests := []struct {
		name, endpoint string
		m              Metadata
		field          string
	}{
		{"no endpoint", "", Metadata{}, "registration_endpoint"},
		{"unencrypted endpoint", "http://as.example.com/register", Metadata{}, "registration_endpoint"},
		{"redirect URI", endpoint, Metadata{RedirectURIs: []string{"https://a.example", "http://a.example"}}, "redirect_uris[1]"},
		{"application type", endpoint, Metadata{ApplicationType: "desktop"}, "application_type"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := &answer{status: 201, body: `{"client_id":"id"}`}
			_, err := Register(t.Context(), a.client(), tt.endpoint, tt.m)
			if err == nil || !strings.Contains(err.Error(), tt.field) || a.count != 0 {
				t.Errorf("error = %v after %d requests, want one that names %s after none", err, a.count, tt.field)
			}
		})
	}
}

func TestErrorRetryableAfterTimeout(t *testing.T) {
	e := &Error{Err: httpx.NewTransportError(context.DeadlineExceeded)}
	if !e.Retryable() {
		t.Error("a timeout is not retryable")
	}
}
