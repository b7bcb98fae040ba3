package clientauth

import (
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/mcptokens/mcptokens/auth"
)

// newRequest is a request as the manager makes it, of a client with the secret
// given.
func newRequest(secret string) *auth.ClientAuthRequest {
	return &auth.ClientAuthRequest{
		ClientID: "client:1", ClientSecret: secret,
		Issuer: "https://as.example", Endpoint: "https://as.example/token",
		Header: http.Header{}, Form: url.Values{"grant_type": {"client_credentials"}},
	}
}

func wantConfigError(t *testing.T, err error, field string) {
	t.Helper()
	var config *auth.ConfigError
	if !errors.As(err, &config) || config.Field != field {
		t.Fatalf("error = %v, want an *auth.ConfigError for %s", err, field)
	}
}

func TestPlainMethods(t *testing.T) {
	for name, tc := range map[string]struct {
		auth          auth.ClientAuth
		method        string
		authorization string
		form          url.Values
	}{
		"none": {None{}, "none", "", url.Values{"client_id": {"client:1"}}},
		"basic": {SecretBasic{}, "client_secret_basic",
			"Basic " + base64.StdEncoding.EncodeToString([]byte("client%3A1:s3cret+%26")), url.Values{}},
		"post": {SecretPost{}, "client_secret_post", "",
			url.Values{"client_id": {"client:1"}, "client_secret": {"s3cret &"}}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tc.auth.Method(); got != tc.method {
				t.Errorf("Method = %q, want %q", got, tc.method)
			}
			r := newRequest("s3cret &")
			if err := tc.auth.Authenticate(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			if got := r.Header.Get("Authorization"); got != tc.authorization {
				t.Errorf("Authorization = %q, want %q", got, tc.authorization)
			}
			tc.form.Set("grant_type", "client_credentials")
			if got, want := r.Form.Encode(), tc.form.Encode(); got != want {
				t.Errorf("form = %q, want %q", got, want)
			}
		})
	}
}

func TestWhatIsMissingIsNamed(t *testing.T) {
	for _, a := range []auth.ClientAuth{SecretBasic{}, SecretPost{}} {
		r := newRequest("")
		err := a.Authenticate(t.Context(), r)
		wantConfigError(t, err, "Client.Secret")
		if !strings.Contains(err.Error(), a.Method()) {
			t.Errorf("%v does not name the method", err)
		}
		if len(r.Header) != 0 || len(r.Form) != 1 {
			t.Errorf("%s changed the request: %v %v", a.Method(), r.Header, r.Form)
		}
	}
	for _, a := range []auth.ClientAuth{None{}, SecretBasic{}, SecretPost{}, PrivateKeyJWT{}} {
		r := newRequest("s3cret")
		r.ClientID = ""
		wantConfigError(t, a.Authenticate(t.Context(), r), "Client.ID")
	}
}
