package auth

import (
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/mcptokens/mcptokens/auth/internal/wire"
	"github.com/mcptokens/mcptokens/internal/httpx"
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
		`{"error":"invalid_grant","error_description":"secret-of-this-client is unknown"}`,
		`{"Access_Token":"a","token_type":"bearer"}`,
		`[]`, `null`, ``, `<html>`,
	} {
		f.Add([]byte(seed))
	}
	now := time.Date(2026, 7, 28, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, body []byte) {
		fail := &TokenError{StatusCode: 400, GrantType: "refresh_token"}
		fail.refused(wire.ReadRefusal(body, sent{form: url.Values{"refresh_token": {"secret-of-this-client"}}}.secrets()...))
		if text := fail.Error(); strings.Contains(text, "secret-of-this-client") || len(fail.Code) > 40 {
			t.Errorf("refused with %q", text)
		}
		tok, err := readToken("", body, []string{"asked"}, now)
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
		if !tok.Expiry.IsZero() && (tok.Expiry.Before(now) || tok.Expiry.After(now.Add(httpx.Longest))) {
			t.Errorf("Expiry %v", tok.Expiry)
		}
		for _, s := range tok.Scopes {
			if s == "" || strings.ContainsAny(s, " \t\r\n") {
				t.Errorf("scope %q", s)
			}
		}
		if !utf8.ValidString(tok.AccessToken) || !utf8.ValidString(tok.RefreshToken) {
			t.Errorf("a store cannot keep %q, %q", tok.AccessToken, tok.RefreshToken)
		}
		if _, err := tok.Expiry.MarshalJSON(); err != nil {
			t.Errorf("a store cannot keep the expiry: %v", err)
		}
	})
}
