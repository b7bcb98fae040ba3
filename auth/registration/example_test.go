package registration_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/mcptokens/mcptokens/auth/registration"
)

func ExampleRegister() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		fmt.Fprint(w, `{"client_id": "s6BhdRkqt3", "token_endpoint_auth_method": "none"}`)
	}))
	defer server.Close()

	client, err := registration.Register(context.Background(), nil, server.URL+"/register", registration.Metadata{
		ClientName:              "Example",
		RedirectURIs:            []string{"http://127.0.0.1/callback"},
		GrantTypes:              []string{"authorization_code", "refresh_token"},
		TokenEndpointAuthMethod: "none",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(client.ClientID, client.TokenEndpointAuthMethod)
	// Output: s6BhdRkqt3 none
}

// A refusal says what to do about it.
func ExampleError() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
	}))
	defer server.Close()

	_, err := registration.Register(context.Background(), nil, server.URL, registration.Metadata{})
	var refused *registration.Error
	if errors.As(err, &refused) {
		fmt.Println(refused.StatusCode, refused.Retryable())
		fmt.Println(refused.Hint)
	}
	// Output:
	// 401 false
	// registration is closed or needs an initial access token: register the client with the server's operator and set Config.Client.ID
}

func ExampleNewDocument() {
	doc, err := registration.NewDocument("https://app.example.com/client.json", registration.Metadata{
		ClientName:   "Example",
		RedirectURIs: []string{"http://127.0.0.1/callback"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(string(doc))
	// Output:
	// {
	//   "client_id": "https://app.example.com/client.json",
	//   "redirect_uris": [
	//     "http://127.0.0.1/callback"
	//   ],
	//   "grant_types": [
	//     "authorization_code",
	//     "refresh_token"
	//   ],
	//   "response_types": [
	//     "code"
	//   ],
	//   "client_name": "Example",
	//   "token_endpoint_auth_method": "none",
	//   "application_type": "native"
	// }
}

func ExampleValidateDocument() {
	err := registration.ValidateDocument("https://app.example.com/client.json", []byte(`{
		"client_id": "https://app.example.com/client.json",
		"client_name": "Example",
		"redirect_uris": ["http://app.example.com/callback"]
	}`))
	fmt.Println(err)
	// Output: client ID metadata document: URL not allowed: redirect_uris[0] is "http://app.example.com", unencrypted: use https (http is for localhost, 127.0.0.0/8 and [::1] only)
}
