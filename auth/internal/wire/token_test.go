package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"
)

var now = time.Date(2026, 7, 28, 12, 0, 0, 0, time.UTC)

const form = "application/x-www-form-urlencoded"

// What real servers send, by the report that shows it.
//
//compat:reading token answers as forms, with `expires`, or without `token_type`
//compat:default read
//compat:attack TestReadTokenRefuses
func TestReadTokenOfRealServers(t *testing.T) {
	hour := now.Add(time.Hour)
	tests := []struct {
		name, contentType, body string
		requested               []string
		want                    TokenAnswer
	}{
		{
			name: "Entra ID, modelcontextprotocol/typescript-sdk#1111",
			body: `{"token_type":"Bearer","scope":"email User.Read","expires_in":"3600","ext_expires_in":"3600","expires_on":"1762781958","resource":"r","access_token":"a","refresh_token":"r","id_token":"i"}`,
			want: TokenAnswer{AccessToken: "a", RefreshToken: "r", Expiry: hour, Scopes: []string{"email", "User.Read"}, ScopesSaid: true},
		}, {
			name: "GitHub, with Accept: application/json (docs.github.com, authorizing OAuth apps)", requested: []string{"repo", "gist"},
			body: `{"access_token":"gho_16C7e42F292c6912E7710c838347Ae178B4a","scope":"repo,gist","token_type":"bearer"}`,
			want: TokenAnswer{AccessToken: "gho_16C7e42F292c6912E7710c838347Ae178B4a", Scopes: []string{"repo", "gist"}, ScopesSaid: true},
		}, {
			name: "GitHub, without Accept, evermeer/AlamofireOauth2#3", requested: []string{"repo", "gist"}, contentType: form + "; charset=utf-8",
			body: `access_token=gho_16C7e42F292c6912E7710c838347Ae178B4a&scope=repo%2Cgist&token_type=bearer`,
			want: TokenAnswer{AccessToken: "gho_16C7e42F292c6912E7710c838347Ae178B4a", Scopes: []string{"repo", "gist"}, ScopesSaid: true},
		}, {
			name: "GitHub App that expires its tokens", requested: []string{"x"},
			body: `{"access_token":"ghu_a","expires_in":28800,"refresh_token":"ghr_r","refresh_token_expires_in":15897600,"scope":"","token_type":"bearer"}`,
			want: TokenAnswer{AccessToken: "ghu_a", RefreshToken: "ghr_r", Expiry: now.Add(8 * time.Hour), Scopes: []string{"x"}},
		}, {
			name: "Slack, bot and user, UsefulSoftwareCo/executor#2050", requested: []string{"commands", "incoming-webhook"},
			body: `{"ok":true,"access_token":"xoxb-1","token_type":"bot","scope":"commands,incoming-webhook","bot_user_id":"U0","app_id":"A0","team":{"name":"T"},"enterprise":null,
				"authed_user":{"id":"U1","scope":"chat:write","access_token":"xoxp-1","token_type":"user"}}`,
			want: TokenAnswer{AccessToken: "xoxb-1", Scopes: []string{"commands", "incoming-webhook"}, ScopesSaid: true},
		}, {
			name: "Slack, token of a user, refreshed",
			body: `{"ok":true,"access_token":"xoxe.xoxp-1","expires_in":3600,"refresh_token":"xoxe-1","token_type":"user","scope":"chat:write"}`,
			want: TokenAnswer{AccessToken: "xoxe.xoxp-1", RefreshToken: "xoxe-1", Expiry: hour, Scopes: []string{"chat:write"}, ScopesSaid: true},
		}, {
			name: "Facebook once, oauthlib/oauthlib#268, golang/oauth2#38", contentType: "text/plain; charset=UTF-8",
			body: `access_token=a&expires=3600`, requested: []string{"email"},
			want: TokenAnswer{AccessToken: "a", Expiry: hour, Scopes: []string{"email"}},
		}, {
			name: "a point in time under that name, ueberauth/oauth2#77", contentType: "text/plain; charset=UTF-8",
			body: `access_token=a&expires=1785240000`,
			want: TokenAnswer{AccessToken: "a"},
		}, {
			name: "both, of which the RFC's counts",
			body: `{"access_token":"a","expires_in":3600,"expires":7}`,
			want: TokenAnswer{AccessToken: "a", Expiry: hour},
		}, {
			name: "Twitch, ramosbugs/oauth2-rs#86",
			body: `{"access_token":"a","expires_in":14487,"id_token":"i","refresh_token":"r","scope":["openid","user:read:email"],"token_type":"bearer"}`,
			want: TokenAnswer{AccessToken: "a", RefreshToken: "r", Expiry: now.Add(14487 * time.Second), Scopes: []string{"openid", "user:read:email"}, ScopesSaid: true},
		}, {
			name: "Google's empty refresh token, diegosouzapw/OmniRoute#5214",
			body: `{"access_token":"a","expires_in":3600,"refresh_token":"","token_type":"Bearer"}`,
			want: TokenAnswer{AccessToken: "a", Expiry: hour},
		}, {
			name: "no lifetime, QwenLM/qwen-code#5355", contentType: form,
			body: `access_token=tok&token_type=Bearer&expires_in=0`,
			want: TokenAnswer{AccessToken: "tok"},
		}, {
			name: "token exchange (RFC 8693 section 2.3)",
			body: `{"access_token":"é jwt","issued_token_type":"urn:ietf:params:oauth:token-type:id-jag","token_type":"N_A","expires_in":3600}`,
			want: TokenAnswer{AccessToken: "é jwt", TokenType: NotAccess, Expiry: hour, IssuedTokenType: "urn:ietf:params:oauth:token-type:id-jag"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ReadToken(tt.contentType, []byte(tt.body), tt.requested, now)
			if err != nil {
				t.Fatal(err)
			}
			want := tt.want
			if want.TokenType == "" {
				want.TokenType = Bearer
			}
			if got.AccessToken != want.AccessToken || got.TokenType != want.TokenType || got.RefreshToken != want.RefreshToken ||
				!got.Expiry.Equal(want.Expiry) || !slices.Equal(got.Scopes, want.Scopes) || got.ScopesSaid != want.ScopesSaid || got.IssuedTokenType != want.IssuedTokenType {
				t.Errorf("got access token %q, type %q, refresh token %q, expiry %v, scopes %q (%v), issued %q",
					got.AccessToken, got.TokenType, got.RefreshToken, got.Expiry, got.Scopes, got.ScopesSaid, got.IssuedTokenType)
			}
		})
	}
}

//compat:reading `token_type` "user", "bot", "JWT" and others
//compat:default Bearer, unless the type needs a proof
//compat:attack same
func TestTokenTypes(t *testing.T) {
	for sent, want := range map[string]string{
		`null`: Bearer, `""`: Bearer, `"Bearer"`: Bearer, `"bearer "`: Bearer, `" BEARER"`: Bearer, `"user"`: Bearer, `"bot"`: Bearer, `"JWT"`: Bearer,
		`"BearerToken"`: Bearer, `"bearer token"`: Bearer, `"example"`: Bearer, `"machine"`: Bearer, `"urn:ietf:params:oauth:token-type:jwt"`: Bearer, `1`: Bearer, `[]`: Bearer,
		`"DPoP"`: DPoP, `"dpop"`: DPoP, `"DPOP "`: DPoP,

		`"mac"`: "", `"MAC"`: "", `"hmac-sha-256"`: "", `"mac_sha256"`: "", `"PoP"`: "", `"pop+jwt"`: "", `"jwt-pop"`: "", `"jwtpop"`: "", `"dpop+jwt"`: "",
		`"hok"`: "", `"holder-of-key hok"`: "", `"httpsig"`: "", `"signed request"`: "", `"Bearer; proof"`: "", `"N_A"`: "", `"n_a"`: "",
	} {
		got, err := ReadToken("", []byte(`{"access_token":"a","token_type":`+sent+`}`), nil, now)
		if got.TokenType != want || (want == "") != errors.Is(err, ErrTokenType) || (want != "") != (err == nil) {
			t.Errorf("%s is %q, %v, want %q", sent, got.TokenType, err, want)
		}
	}
	if got, err := ReadToken("", []byte(`{"access_token":"a"}`), nil, now); err != nil || got.TokenType != Bearer {
		t.Errorf("without a type: %q, %v", got.TokenType, err)
	}
	if _, err := ReadToken("", []byte(`{"access_token":"a","issued_token_type":"x","token_type":"mac"}`), nil, now); !errors.Is(err, ErrTokenType) {
		t.Errorf("an exchanged mac token: %v", err)
	}
}

//compat:reading `refresh_token` false, 0 or an empty string
//compat:default none
//compat:attack TestReadTokenRefuses
func TestRefreshTokens(t *testing.T) {
	for sent, want := range map[string]string{`"r"`: "r", `"false"`: "false", `12`: "12", `false`: "", `true`: "", `null`: "", `""`: "", `0`: "", `{}`: "", `[]`: ""} {
		got, err := ReadToken("", []byte(`{"access_token":"a","refresh_token":`+sent+`}`), nil, now)
		if err != nil || got.RefreshToken != want {
			t.Errorf("%s is %q, %v, want %q", sent, got.RefreshToken, err, want)
		}
	}
}

func TestReadTokenRefuses(t *testing.T) {
	long := strings.Repeat("a", MaxToken+1)
	tests := []struct {
		name, contentType, body string
		err                     error
	}{
		{"a page", "text/html", "<html>access_token=a", ErrPage},
		{"a page that is called JSON", "application/json", " <html>", ErrPage},
		{"a page without a bracket", "text/html", "access_token=a&token_type=bearer", ErrPage},
		{"a page that looks like JSON", "application/json", `{"access_token":"a"}<html>`, ErrNotObject},
		{"a text", "text/plain", "internal error=1", ErrNotObject},
		{"lines that look like a form", "text/plain", "x&access_token=a\ny", ErrNotObject},
		{"a list", "application/json", `[{"access_token":"a"}]`, ErrNotObject},
		{"nothing", "application/json", "", ErrNotObject},
		{"no token", "", `{"token_type":"bearer"}`, ErrNoAccessToken},
		{"null for a token", "", `{"access_token":null}`, ErrNoAccessToken},
		{"a token deeper down", "", `{"data":{"access_token":"a"}}`, ErrNoAccessToken},
		{"Slack, only a user's token", "", `{"ok":true,"authed_user":{"access_token":"xoxp","token_type":"user"}}`, ErrNoAccessToken},
		{"a message", "", `{"message":"try again"}`, ErrNoAccessToken},
		{"a list for a token", "", `{"access_token":["a"]}`, ErrMember},
		{"a space", "", `{"access_token":"a b"}`, ErrBadToken},
		{"a header line", "", `{"access_token":"a\r\nX-Injected: 1"}`, ErrBadToken},
		{"a header line in a form", form, "access_token=a%0d%0aX-Injected:%201", ErrBadToken},
		{"beyond ASCII", "", `{"access_token":"é"}`, ErrBadToken},
		{"not UTF-8", "", "{\"access_token\":\"\xff\"}", ErrBadToken},
		{"a long token", "", `{"access_token":"` + long + `"}`, ErrBadToken},
		{"a long refresh token", "", `{"access_token":"a","refresh_token":"` + long + `"}`, ErrBadToken},
		{"a long assertion", "", `{"access_token":"` + long + `","token_type":"N_A","issued_token_type":"x"}`, ErrBadToken},
		{"many scopes", "", `{"access_token":"a","scope":"` + strings.Repeat("a ", MaxScopes) + `"}`, ErrScopes},
		{"many scopes in a list", "", `{"access_token":"a","scope":[` + strings.Repeat(`"a",`, MaxScopes) + `"a"]}`, ErrScopes},
		{"two tokens", "", `{"access_token":"a","access_token":"b"}`, ErrAmbiguous},
		{"two tokens in a form", form, "access_token=a&access_token=b", ErrAmbiguous},
		{"a token in another case", "", `{"Access_Token":"a"}`, ErrAmbiguous},
		{"a token in another case in a form", form, "access_token=a&ACCESS_TOKEN=b", ErrAmbiguous},
		{"two refresh tokens", "", `{"access_token":"a","refresh_token":"r","Refresh_Token":"s"}`, ErrAmbiguous},
		{"two scopes", "", `{"access_token":"a","scope":"a","scope":"b"}`, ErrAmbiguous},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ReadToken(tt.contentType, []byte(tt.body), nil, now)
			if !errors.Is(err, tt.err) || got.AccessToken != "" {
				t.Errorf("token %q, error %v, want %v", got.AccessToken, err, tt.err)
			}
		})
	}
	fits := strings.Repeat("a", MaxToken)
	if got, err := ReadToken("", []byte(`{"access_token":"`+fits+`"}`), nil, now); err != nil || got.AccessToken != fits {
		t.Errorf("a token of 64 KiB: %v", err)
	}
}

// Servers refuse with 200, too.
func TestRefusedWithSuccess(t *testing.T) {
	for body, code := range map[string]string{
		// sourcegraph/sourcegraph-public-snapshot#14295, geniushkg/github-oauth#8
		`{"error":"bad_verification_code","error_description":"The code passed is incorrect or expired.","error_uri":"https://docs.github.com/x"}`: "bad_verification_code",
		// omniauth/omniauth-github#33
		`error=bad_verification_code&error_description=The+code+passed+is+incorrect+or+expired.`: "bad_verification_code",
		`{"ok":false,"error":"invalid_refresh_token"}`:                                           "invalid_refresh_token",
		`{"error":{"code":"invalid_grant"}}`:                                                     "invalid_grant",
		`{"error":"No such token","access_token":""}`:                                            "",
		`{"code":400,"error_code":"session_not_found"}`:                                          "session_not_found",
		`{"access_token":null,"error":"slow_down"}`:                                              "slow_down",
	} {
		_, err := ReadToken("", []byte(body), nil, now)
		var refused *RefusedError
		if !errors.As(err, &refused) || refused.Refusal.Code != code || !refused.Refusal.Named {
			t.Errorf("%s: error %v", body, err)
		}
	}
	for _, body := range []string{
		`{"access_token":"a","error":"invalid_grant"}`, // it may have cost the refresh token
		`{"access_token":"a","error":""}`, `{"access_token":"a","error":false}`, `{"access_token":"a","error":null}`,
	} {
		if got, err := ReadToken("", []byte(body), nil, now); err != nil || got.AccessToken != "a" {
			t.Errorf("%s: %q, %v", body, got.AccessToken, err)
		}
	}
}

//compat:reading scopes separated by commas
//compat:default split where one of the parts was requested; a scope that was not granted does not come out of it
//compat:attack same
func TestReadScopes(t *testing.T) {
	asked := []string{"repo", "read:org"}
	tests := []struct {
		name, raw string
		requested []string
		want      []string
		said      bool
	}{
		{"words", `"repo  read:org"`, asked, asked, true},
		{"list", `["repo","read:org"]`, asked, asked, true},
		{"list with spaces", `["repo read:org"]`, asked, asked, true},
		{"commas", `"repo,read:org"`, asked, asked, true},
		{"commas and spaces", `"repo, read:org"`, asked, asked, true},
		{"commas, in part", `"gist,repo"`, asked, []string{"gist", "repo"}, true},
		{"repeated", `"repo repo"`, asked, []string{"repo"}, true},
		{"fewer", `"repo"`, asked, []string{"repo"}, true},
		{"others", `"x"`, asked, []string{"x"}, true},
		{"no scopes in it", `"\" \\ é"`, asked, nil, true},

		// A scope that was not granted does not come out of a split.
		{"a scope with commas", `"repo,read:org"`, []string{"repo,read:org"}, []string{"repo,read:org"}, true},
		{"beside a scope with commas", `"a,b"`, []string{"a", "x,y"}, []string{"a,b"}, true},
		{"commas without a requested scope", `"a,b"`, asked, []string{"a,b"}, true},
		{"commas, nothing requested", `"a,b"`, nil, []string{"a,b"}, true},
		{"a part of a word", `"repository,x"`, asked, []string{"repository,x"}, true},

		{"absent", ``, asked, asked, false},
		{"null", `null`, asked, asked, false},
		{"empty", `""`, asked, asked, false},
		{"spaces", `"  "`, asked, asked, false},
		{"empty list", `[]`, asked, asked, false},
		{"object", `{"repo":true}`, asked, asked, false},
		{"nothing at all", ``, nil, nil, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, said, err := ReadScopes(json.RawMessage(tt.raw), tt.requested)
			if !slices.Equal(got, tt.want) || said != tt.said || err != nil {
				t.Errorf("%q, %v, %v, want %q, %v", got, said, err, tt.want, tt.said)
			}
		})
	}
}

//compat:reading `verification_url` in device answers (Google)
//compat:default read as `verification_uri`
//compat:attack auth/grant.TestDeviceCodeUnusable
func TestReadDevice(t *testing.T) {
	const codes = `"device_code":"d","user_code":"u",`
	tests := []struct {
		name, body string
		uri        string
		interval   time.Duration
		expiry     time.Time
		err        error
	}{
		{name: "RFC 8628 section 3.2", body: `{` + codes + `"verification_uri":"https://h/d","expires_in":1800,"interval":5}`, uri: "https://h/d", interval: 5 * time.Second, expiry: now.Add(30 * time.Minute)},
		{name: "Google, int128/kubelogin#846", body: `{` + codes + `"verification_url":"https://h/d","expires_in":"1800"}`, uri: "https://h/d", expiry: now.Add(30 * time.Minute)},
		{name: "both, AzureAD/microsoft-authentication-library-for-dotnet#984", body: `{` + codes + `"verification_url":"https://h/old","verification_uri":"https://h/d"}`, uri: "https://h/d"},
		{name: "a storm", body: `{` + codes + `"verification_uri":"https://h/d","interval":1e-9,"expires_in":0.5}`, uri: "https://h/d", expiry: now.Add(time.Second)},
		{name: "half a second", body: `{` + codes + `"verification_uri":"https://h/d","interval":"0.5"}`, uri: "https://h/d"},
		{name: "no number", body: `{` + codes + `"verification_uri":"https://h/d","interval":"often"}`, uri: "https://h/d"},
		{name: "negative", body: `{` + codes + `"verification_uri":"https://h/d","interval":-5}`, uri: "https://h/d"},
		{name: "as a string", body: `{` + codes + `"verification_uri":"https://h/d","interval":"7"}`, uri: "https://h/d", interval: 7 * time.Second},
		{name: "numeric codes", body: `{"device_code":12,"user_code":345678,"verification_uri":"https://h/d"}`, uri: "https://h/d"},

		{name: "no place", body: `{"device_code":"d","user_code":"u"}`, err: ErrMember},
		{name: "no user code", body: `{"device_code":"d","verification_uri":"https://h/d"}`, err: ErrMember},
		{name: "two places", body: `{` + codes + `"verification_uri":"https://h/d","verification_uri":"https://evil"}`, err: ErrAmbiguous},
		{name: "two cases", body: `{` + codes + `"verification_uri":"https://h/d","Verification_Uri":"https://evil"}`, err: ErrAmbiguous},
		{name: "two codes", body: `{` + codes + `"device_code":"e","verification_uri":"https://h/d"}`, err: ErrAmbiguous},
		{name: "page", body: `<html>`, err: ErrPage},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, err := ReadDevice([]byte(tt.body), now)
			if tt.err != nil {
				if !errors.Is(err, tt.err) || d.DeviceCode != "" {
					t.Errorf("error %v, want %v", err, tt.err)
				}
				return
			}
			if err != nil || d.DeviceCode == "" || d.UserCode == "" || d.VerificationURI != tt.uri || d.Interval != tt.interval || !d.Expiry.Equal(tt.expiry) {
				t.Errorf("place %q, interval %v, expiry %v, error %v", d.VerificationURI, d.Interval, d.Expiry, err)
			}
		})
	}
	var refused *RefusedError
	if _, err := ReadDevice([]byte(`{"error":"unauthorized_client"}`), now); !errors.As(err, &refused) || refused.Refusal.Code != "unauthorized_client" {
		t.Errorf("a refusal: %v", err)
	}
}

func TestAnswersAreNotPrinted(t *testing.T) {
	tok, err := ReadToken("", []byte(`{"access_token":"canary","refresh_token":"canary","id_token":"canary"}`), nil, now)
	if err != nil {
		t.Fatal(err)
	}
	d, err := ReadDevice([]byte(`{"device_code":"canary","user_code":"canary","verification_uri":"canary"}`), now)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, v := range []any{tok, &tok, d, &d, []any{tok, d}, map[string]any{"t": tok}, struct{ T TokenAnswer }{tok}} {
		fmt.Fprintf(&out, "%v %+v %#v %s %q %x\n", v, v, v, v, v, v)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "v", v)
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "v", v)
		if err := json.NewEncoder(&out).Encode(v); err != nil {
			t.Error(err)
		}
	}
	if s := out.String(); strings.Contains(s, "canary") || strings.Contains(s, "63616e617279") {
		t.Errorf("printed %s", s)
	}
}
