package clientsecret

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"testing"
)

func TestKnown(t *testing.T) {
	for method, want := range map[string]bool{
		"none": true, "client_secret_basic": true, "client_secret_post": true, Plain: false,
		"": false, "private_key_jwt": false, "NONE": false,
	} {
		if got := Known(method); got != want {
			t.Errorf("Known(%q) = %v, want %v", method, got, want)
		}
	}
}

func TestApply(t *testing.T) {
	for name, tc := range map[string]struct {
		method, id, secret string
		basic              string // what the header decodes to
		form               url.Values
	}{
		"none":               {None, "c", "", "", url.Values{"client_id": {"c"}}},
		"none with a secret": {None, "c", "s", "", url.Values{"client_id": {"c"}}},
		"post":               {Post, "c:1", "s &", "", url.Values{"client_id": {"c:1"}, "client_secret": {"s &"}}},
		"basic":              {Basic, "c", "s", "c:s", url.Values{}},
		// RFC 6749 section 2.3.1 and appendix B: each part is form-encoded first.
		"basic, colon": {Basic, "https://c.example", "a:b", "https%3A%2F%2Fc.example:a%3Ab", url.Values{}},
		"basic, odd":   {Basic, "c+d", "p %&+é", "c%2Bd:p+%25%26%2B%C3%A9", url.Values{}},
		"basic, empty": {Basic, "c", "", "c:", url.Values{}},
		"plain":        {Plain, "c+d", "p %&+é", "c+d:p %&+é", url.Values{}},
	} {
		t.Run(name, func(t *testing.T) {
			header := http.Header{}
			// client_id as a retry finds it: it must not be sent twice.
			form := url.Values{"grant_type": {"refresh_token"}, "client_id": {"stale"}}
			Apply(tc.method, tc.id, tc.secret, header, form)

			tc.form.Set("grant_type", "refresh_token")
			if got, want := form.Encode(), tc.form.Encode(); got != want {
				t.Errorf("form = %q, want %q", got, want)
			}
			want := ""
			if tc.basic != "" {
				want = "Basic " + base64.StdEncoding.EncodeToString([]byte(tc.basic))
			}
			if got := header.Get("Authorization"); got != want {
				t.Errorf("Authorization = %q, want %q (%s)", got, want, tc.basic)
			}
		})
	}
}

// What a server does with the header gives back the two parts.
func TestBasicComesBack(t *testing.T) {
	const id, secret = "ü:%+ /", "?&=:%20"
	r := &http.Request{Header: http.Header{}}
	Apply(Basic, id, secret, r.Header, url.Values{})
	user, pass, ok := r.BasicAuth()
	if !ok {
		t.Fatal("no Basic header")
	}
	gotID, err := url.QueryUnescape(user)
	if err != nil || gotID != id {
		t.Errorf("id = %q, %v; want %q", gotID, err, id)
	}
	gotSecret, err := url.QueryUnescape(pass)
	if err != nil || gotSecret != secret {
		t.Errorf("secret = %q, %v; want %q", gotSecret, err, secret)
	}
}

func TestEncoded(t *testing.T) {
	for _, tt := range []struct {
		id, secret string
		want       bool
	}{
		{"c", "s", false}, {"c-1_2.3", "s", false}, {"c", "s=", true}, {"c/d", "s", true}, {"c", "a:b", true}, {"a:b", "s", false}, {"a:b", "s=", false},
	} {
		if got := Encoded(tt.id, tt.secret); got != tt.want {
			t.Errorf("Encoded(%q, %q) = %v", tt.id, tt.secret, got)
		}
	}
}
