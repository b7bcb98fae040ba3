package wire

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/mcptokens/mcptokens/internal/shown"
)

// FuzzObject checks that what is read of any document keeps the promises of the
// accessors, and that a deciding member is the one that encoding/json finds.
func FuzzObject(f *testing.F) {
	for _, seed := range []string{
		`{"m":"a"}`, `{"m":["a",null,1]}`, `{"m":"3600","M":1}`, `{"m":1e400}`, `{"m":-1}`, `{"m":"2027-01-02"}`, `{"m":true}`,
		"\xef\xbb\xbf {\"m\":0.1}", `{"m":1,"m":2}`, `{"m":{"m":1}}`, `{"other":1,"m":1798859045000}`,
		`{"a\"}" : "\\\\" ,"b":[{"x":"]"},{}],"c":-1.5e3 , "\u0064":true,"e":{"f":[]}, "f":false}`, `[]`, `null`, ``, `<html>`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		o, err := ReadObject(body, "m")
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || o.Has("m") {
				t.Errorf("error %#v", err)
			}
			return
		}
		var same struct {
			M json.RawMessage `json:"m"`
		}
		if json.Unmarshal(trim(body), &same) != nil {
			t.Fatal("read what is no JSON object")
		}
		raw := string(same.M)
		if raw == "null" {
			raw = ""
		}
		if string(o.Raw("m")) != raw {
			t.Errorf("m is %s, encoding/json says %s", o.Raw("m"), raw)
		}
		var all map[string]json.RawMessage
		if err := json.Unmarshal(trim(body), &all); err != nil {
			t.Fatal(err)
		}
		for name, want := range all {
			if got := string(o.Raw(name)); utf8.Valid(body) && got != string(want) && string(want) != "null" {
				t.Errorf("%q is %s, encoding/json says %s", name, got, want)
			}
		}
		if d := o.Seconds("m"); d != 0 && (d < time.Second || d > Longest) {
			t.Errorf("Seconds = %v", d)
		}
		at, err := o.Time("m", now)
		if !at.IsZero() && (err != nil || !at.After(now)) {
			t.Errorf("Time = %v, %v", at, err)
		}
		if _, err := at.UTC().MarshalJSON(); err != nil {
			t.Errorf("Time = %v: %v", at, err)
		}
		words, _ := o.Words("m")
		for _, w := range words {
			if w == "" || strings.ContainsFunc(w, unicode.IsSpace) {
				t.Errorf("word %q", w)
			}
		}
		if list, _ := o.List("m"); len(words) == 0 && !onlySpace(list) {
			t.Errorf("list %q has no words", list)
		}
	})
}

func onlySpace(list []string) bool {
	return !strings.ContainsFunc(strings.Join(list, ""), func(r rune) bool { return !unicode.IsSpace(r) && r != ',' })
}

// FuzzToken checks that a token that was read can be presented, stored and
// compared, whatever the endpoint answered.
func FuzzToken(f *testing.F) {
	for _, seed := range []string{
		`{"access_token":"a","token_type":"Bearer"}`,
		`{"access_token":"a","token_type":"dpop","expires_in":"3600","scope":"x,asked","refresh_token":"r"}`,
		`{"access_token":"a","token_type":"mac","expires_in":1e400}`,
		`{"access_token":"a b","issued_token_type":"x","token_type":"N_A"}`,
		`{"access_token":"a","scope":["x","x y"],"refresh_token":false}`,
		`access_token=a&scope=x%2Casked&expires=60`, `error=slow_down`, `{"error":{"code":"x"}}`,
		`{"access_token":"a","access_token":"b"}`, `[]`, `null`, ``, `<html>`,
	} {
		f.Add("application/json", []byte(seed))
	}
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		tok, err := ReadToken(contentType, body, []string{"asked"}, now)
		if err != nil {
			var (
				e *Error
				r *RefusedError
			)
			if tok.AccessToken != "" || !errors.As(err, &e) && !errors.As(err, &r) {
				t.Errorf("token %q beside %#v", tok.AccessToken, err)
			}
			return
		}
		if IsPage(body) || tok.AccessToken == "" || len(tok.AccessToken) > MaxToken || len(tok.RefreshToken) > MaxToken {
			t.Errorf("accepted %q", body)
		}
		switch tok.TokenType {
		case Bearer, DPoP:
			if strings.ContainsFunc(tok.AccessToken, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
				t.Errorf("access token %q", tok.AccessToken)
			}
		case NotAccess:
			if tok.IssuedTokenType == "" {
				t.Error("N_A without issued_token_type")
			}
		default:
			t.Errorf("type %q", tok.TokenType)
		}
		if !tok.Expiry.IsZero() && (tok.Expiry.Before(now.Add(time.Second)) || tok.Expiry.After(now.Add(Longest))) {
			t.Errorf("expiry %v", tok.Expiry)
		}
		seen := make(map[string]bool)
		for _, s := range tok.Scopes {
			if !isScope(s) || seen[s] {
				t.Errorf("scope %q", s)
			}
			seen[s] = true
		}
	})
}

// FuzzDevice checks that no device answer makes a client poll without end.
func FuzzDevice(f *testing.F) {
	for _, seed := range []string{
		`{"device_code":"d","user_code":"u","verification_uri":"https://h","interval":5,"expires_in":1800}`,
		`{"device_code":"d","user_code":"u","verification_url":"https://h","interval":1e-9}`,
		`{"device_code":1,"user_code":2,"verification_uri":3,"interval":"0.99999999999999999","expires_in":1e-300}`,
		`{"error":"invalid_client"}`, `[]`, ``, `<html>`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		d, err := ReadDevice(body, now)
		if err != nil {
			return
		}
		if d.DeviceCode == "" || d.UserCode == "" || d.VerificationURI == "" {
			t.Errorf("accepted %q", body)
		}
		if d.Interval != 0 && (d.Interval < time.Second || d.Interval > Longest) {
			t.Errorf("interval %v", d.Interval)
		}
		if !d.Expiry.IsZero() && d.Expiry.Before(now.Add(time.Second)) {
			t.Errorf("expiry %v", d.Expiry)
		}
	})
}

// FuzzRefusal checks that nothing of an error can forge a line, hide text or
// fill a screen.
func FuzzRefusal(f *testing.F) {
	for _, seed := range []string{
		`{"error":"invalid_grant","error_description":"gone","error_uri":"https://h/e"}`,
		`{"error":{"code":"x","message":"y"}}`, `{"code":400,"error_code":"x","msg":"y"}`, `{"detail":{"error":"x"}}`,
		`{"error":"invalid_grant: gone"}`, `error=x&error_description=%1b%5b31m`, `{"error":"a\u202eb"}`, `{"error":"\u2028"}`, `[]`, ``, `<html>`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		r := ReadRefusal(body)
		if r.Code != "" && !isCode(r.Code) {
			t.Errorf("code %q", r.Code)
		}
		if r.Named != (r.Code != "" || r.Description != "") || r.Page && r.Named {
			t.Errorf("%+v", r)
		}
		for _, s := range []string{r.Description, r.URI} {
			if utf8.RuneCountInString(s) > shown.Max || !shown.Visible(s) {
				t.Errorf("text %q", s)
			}
		}
	})
}
