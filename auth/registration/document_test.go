package registration

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"testing"
)

const documentURL = "https://app.example.com/client.json"

func TestNewDocument(t *testing.T) {
	m := Metadata{
		ClientName:   "Example & Sons",
		ClientURI:    "https://app.example.com/?a=1&b=2",
		RedirectURIs: []string{"http://127.0.0.1/callback"},
	}
	got, err := NewDocument(documentURL, m)
	if err != nil {
		t.Fatal(err)
	}
	want := `{
  "client_id": "https://app.example.com/client.json",
  "redirect_uris": [
    "http://127.0.0.1/callback"
  ],
  "grant_types": [
    "authorization_code",
    "refresh_token"
  ],
  "response_types": [
    "code"
  ],
  "client_name": "Example & Sons",
  "client_uri": "https://app.example.com/?a=1&b=2",
  "token_endpoint_auth_method": "none",
  "application_type": "native"
}
`
	if string(got) != want {
		t.Errorf("NewDocument = %s, want %s", got, want)
	}
	again, err := NewDocument(documentURL, m)
	if err != nil || !bytes.Equal(got, again) {
		t.Errorf("a second time: %s, %v", again, err)
	}
}

func TestNewDocumentKeepsWhatIsSet(t *testing.T) {
	got, err := NewDocument(documentURL, Metadata{
		ClientName: "Example", RedirectURIs: []string{"https://app.example.com/callback"},
		GrantTypes: []string{"authorization_code"}, ResponseTypes: []string{"code"},
		TokenEndpointAuthMethod: "private_key_jwt", ApplicationType: "native",
		JWKS: json.RawMessage(`{"keys":[{"kty":"EC","crv":"P-256","x":"a","y":"b"}]}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	var doc document
	if err := json.Unmarshal(got, &doc); err != nil {
		t.Fatal(err)
	}
	if len(doc.GrantTypes) != 1 || doc.TokenEndpointAuthMethod != "private_key_jwt" || doc.ApplicationType != "native" || len(doc.JWKS) == 0 {
		t.Errorf("document %s", got)
	}
}

func TestNewDocumentErrors(t *testing.T) {
	tests := []struct {
		name, url string
		m         Metadata
		want      []string
	}{
		{"everything missing", "", Metadata{}, []string{"client ID URL", "client_name", "redirect_uris"}},
		{"shared secret", documentURL, Metadata{ClientName: "E", RedirectURIs: []string{"http://localhost/"}, TokenEndpointAuthMethod: "client_secret_basic"}, []string{"token_endpoint_auth_method"}},
		{"key missing", documentURL, Metadata{ClientName: "E", RedirectURIs: []string{"http://localhost/"}, TokenEndpointAuthMethod: "private_key_jwt"}, []string{"jwks"}},
		{"keys that are no JSON", documentURL, Metadata{ClientName: "E", RedirectURIs: []string{"http://localhost/"}, JWKS: json.RawMessage(`{canary`)}, []string{"jwks"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := NewDocument(tt.url, tt.m)
			if got != nil || err == nil {
				t.Fatalf("NewDocument = %s, %v, want an error", got, err)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q lacks %q", err, want)
				}
			}
		})
	}
}

func TestValidateDocument(t *testing.T) {
	// The example of the MCP specification, and the least that is allowed.
	valid := []struct{ url, doc string }{
		{"https://app.example.com/oauth/client-metadata.json", `{
			"client_id": "https://app.example.com/oauth/client-metadata.json",
			"client_name": "Example MCP Client",
			"client_uri": "https://app.example.com",
			"logo_uri": "https://app.example.com/logo.png",
			"redirect_uris": ["http://127.0.0.1:3000/callback", "http://localhost:3000/callback"],
			"grant_types": ["authorization_code"],
			"response_types": ["code"],
			"token_endpoint_auth_method": "none"
		}`},
		{documentURL, `{"client_id":"https://app.example.com/client.json","client_name":"E","redirect_uris":["https://app.example.com/cb"],"unknown":1}`},
	}
	for _, tt := range valid {
		if err := ValidateDocument(tt.url, []byte(tt.doc)); err != nil {
			t.Errorf("ValidateDocument(%s): %v", tt.doc, err)
		}
	}

	// doc returns a valid document with these members added or replaced.
	doc := func(more string) string {
		members := map[string]json.RawMessage{
			"client_id": json.RawMessage(strconv.Quote(documentURL)), "client_name": json.RawMessage(`"E"`),
			"redirect_uris": json.RawMessage(`["https://app.example.com/cb"]`),
		}
		if err := json.Unmarshal([]byte("{"+more[1:]+"}"), &members); err != nil {
			t.Fatal(err)
		}
		all, err := json.Marshal(members)
		if err != nil {
			t.Fatal(err)
		}
		return string(all)
	}
	invalid := []struct {
		name, doc string
		want      []string
	}{
		{"not JSON", `<html>canary`, []string{"not a JSON object"}},
		{"array", `[]`, []string{"not a JSON object"}},
		{"wrong type", doc(`,"grant_types":"canary"`), []string{"document: grant_types has the wrong JSON type"}},
		{"empty", `{}`, []string{"client_id is", "client_name", "redirect_uris"}},
		{"other client ID", doc(`,"client_id":"https://canary.example/client.json"`), []string{"client_id is not the URL"}},
		{"client ID under another spelling", `{"Client_ID":"` + documentURL + `","client_name":"E","redirect_uris":["https://a.example/cb"]}`, []string{"client_id is not the URL"}},
		{"secret", doc(`,"client_secret":"canary"`), []string{"client_secret must not"}},
		{"expiry of a secret", doc(`,"client_secret_expires_at":0`), []string{"client_secret_expires_at must not"}},
		{"basic", doc(`,"token_endpoint_auth_method":"client_secret_basic"`), []string{"token_endpoint_auth_method"}},
		{"post", doc(`,"token_endpoint_auth_method":"client_secret_post"`), []string{"token_endpoint_auth_method"}},
		{"jwt", doc(`,"token_endpoint_auth_method":"client_secret_jwt"`), []string{"token_endpoint_auth_method"}},
		{"key without a key", doc(`,"token_endpoint_auth_method":"private_key_jwt"`), []string{"jwks_uri and jwks"}},
		{"private key", doc(`,"jwks":{"keys":[{"kty":"EC","d":"canary"}]}`), []string{"jwks.keys[0]"}},
		{"redirect URI", doc(`,"redirect_uris":["http://a.example/canary"]`), []string{"redirect_uris[0]"}},
		{"large", doc(`,"unknown":"` + strings.Repeat("x", 5<<10) + `"`), []string{"bytes"}},
		{"several", doc(`,"client_secret":"canary","client_name":"","application_type":"canary"`), []string{"client_secret must not", "client_name", "application_type"}},
	}
	for _, tt := range invalid {
		t.Run(tt.name, func(t *testing.T) {
			err := ValidateDocument(documentURL, []byte(tt.doc))
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q lacks %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "canary") {
				t.Errorf("error %q repeats the document", err)
			}
		})
	}
}

func TestValidateClientIDURL(t *testing.T) {
	for _, raw := range []string{
		documentURL,
		"https://app.example.com:8443/client",
		"https://app.example.com/a/b.json?v=1",
		"https://app.example.com/..hidden/client.json",
		"https://conformance-test.local/client-metadata.json",
	} {
		if err := ValidateClientIDURL(raw); err != nil {
			t.Errorf("ValidateClientIDURL(%q): %v", raw, err)
		}
	}
	for _, raw := range []string{
		"",
		"my-client",
		"http://app.example.com/client.json",
		"http://localhost/client.json",
		"https://app.example.com",
		"https://app.example.com/",
		"https://app.example.com/a/../client.json",
		"https://app.example.com/./client.json",
		"https://app.example.com/%2e%2e/client.json",
		"https://app.example.com/client.json#a",
		"https://user@app.example.com/client.json",
		"https://app.example.com/cli ent.json\n",
	} {
		if err := ValidateClientIDURL(raw); err == nil || !strings.Contains(err.Error(), "client ID URL") {
			t.Errorf("ValidateClientIDURL(%q) = %v, want an error that names it", raw, err)
		}
	}
}
