package auth

import (
	"strings"
	"testing"
	"time"
)

// FuzzTokenResponse checks that whatever a token endpoint answers, a token that
// is made of it can be presented, stored and compared.
func FuzzTokenResponse(f *testing.F) {
	for _, seed := range []string{
		`{"access_token":"a","token_type":"Bearer"}`,
		`{"access_token":"a","token_type":"dpop","expires_in":"3600","scope":"x y","refresh_token":"r"}`,
		`{"access_token":"a","token_type":"bearer","expires_in":1e400}`,
		`{"access_token":"a","token_type":"bearer","expires_in":-1.5,"scope":""}`,
		`{"access_token":"a\r\nX-Injected: 1","token_type":"bearer"}`,
		`{"access_token":"a b","token_type":"bearer"}`,
		`{"access_token":"a","access_token":"b","token_type":"MAC"}`,
		`{"error":"invalid_grant","error_description":"x"}`,
		`{"Access_Token":"a","token_type":"bearer"}`,
		`[]`, `null`, ``, `<html>`,
	} {
		f.Add([]byte(seed))
	}
	now := time.Date(2026, 7, 28, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(errorCode(body)) > 40 {
			t.Errorf("error code %q", errorCode(body))
		}
		if x, err := parseExchangeResponse(body, now, nil); err == nil && (x.Token == "" || x.IssuedTokenType == "") {
			t.Errorf("exchanged %+v", *x)
		}
		if d, err := parseDeviceResponse(body, now); err == nil && (d.DeviceCode == "" || d.Interval < 0 || d.Interval > maxLifetime) {
			t.Errorf("device authorization %+v", *d)
		}
		tok, err := parseTokenResponse(body, now, []string{"asked"})
		if err != nil {
			if tok != nil {
				t.Error("a token beside an error")
			}
			return
		}
		kind, value, _ := strings.Cut(tok.Authorization(), " ")
		if (kind != "Bearer" && kind != "DPoP") || value == "" || value != tok.AccessToken {
			t.Errorf("Authorization %q", tok.Authorization())
		}
		for i := range len(value) {
			if value[i] <= ' ' || value[i] >= 0x7f {
				t.Fatalf("Authorization %q", tok.Authorization())
			}
		}
		if !tok.Expiry.IsZero() && (tok.Expiry.Before(now) || tok.Expiry.After(now.Add(maxLifetime))) {
			t.Errorf("Expiry %v", tok.Expiry)
		}
		for _, s := range tok.Scopes {
			if s == "" || strings.ContainsAny(s, " \t\r\n") {
				t.Errorf("scope %q", s)
			}
		}
		key := Key{Resource: "https://h/mcp"}
		data, err := EncodeRecord(key, &Record{Token: tok})
		if err != nil {
			t.Fatalf("EncodeRecord: %v", err)
		}
		if _, rec, err := DecodeRecord(data); err != nil || rec.Token.AccessToken != tok.AccessToken || rec.Token.RefreshToken != tok.RefreshToken || !rec.Token.Expiry.Equal(tok.Expiry) {
			t.Errorf("stored as %s, error %v", data, err)
		}
	})
}
