package wire

import (
	"strings"
	"testing"
)

//compat:reading errors without a code of RFC 6749: objects, texts, codes of their own
//compat:default code and description as far as they are there
//compat:attack TestReadRefusalWithSecrets
func TestReadRefusal(t *testing.T) {
	tests := []struct {
		name, body string
		want       Refusal
	}{
		{
			"RFC 6749 section 5.2", `{"error":"invalid_grant","error_description":"gone","error_uri":"https://h/e"}`,
			Refusal{Code: "invalid_grant", Description: "gone", URI: "https://h/e", Named: true},
		},
		{"as a form", `error=invalid_grant&error_description=it+is+gone`, Refusal{Code: "invalid_grant", Description: "it is gone", Named: true}},
		{"GoTrue, supabase/auth#2829", `{"code":400,"error_code":"refresh_token_not_found","msg":"Invalid Refresh Token"}`, Refusal{Code: "refresh_token_not_found", Description: "Invalid Refresh Token", Named: true}},
		{"better-auth/better-auth#8099", `{"error_description":"session not found","error":"invalid_request"}`, Refusal{Code: "invalid_request", Description: "session not found", Named: true}},
		{"ccpgames/sso-issues#54", `{"error":"invalid_grant: Token is expired or invalid."}`, Refusal{Code: "invalid_grant", Description: "Token is expired or invalid.", Named: true}},
		{"capitals", `{"error":"INVALID_GRANT"}`, Refusal{Code: "invalid_grant", Named: true}},
		{"detail", `{"detail":"Token is not valid"}`, Refusal{Description: "Token is not valid", Named: true}},
		{"detail as an object", `{"detail":{"error":"invalid_grant","message":"gone"}}`, Refusal{Code: "invalid_grant", Description: "gone", Named: true}},
		{"error as an object", `{"error":{"code":"token_expired","message":"gone"}}`, Refusal{Code: "token_expired", Description: "gone", Named: true}},
		{"error as an object with a number", `{"error":{"code":401,"message":"gone","status":"UNAUTHENTICATED"}}`, Refusal{Description: "gone", Named: true}},
		{"error as a sentence", `{"error":"Invalid refresh token"}`, Refusal{Description: "Invalid refresh token", Named: true}},
		{"error as a sentence, and a code", `{"error":"Bad Request","code":"invalid_grant","message":"gone"}`, Refusal{Code: "invalid_grant", Description: "gone", Named: true}},
		{"code as a word", `{"code":"invalid_client"}`, Refusal{Code: "invalid_client", Named: true}},
		{"problem document (RFC 9457)", `{"type":"about:blank","title":"Unauthorized","status":401}`, Refusal{Description: "Unauthorized", Named: true}},
		{"message", `{"message":"no such client"}`, Refusal{Description: "no such client", Named: true}},
		{"byte order mark", "\xef\xbb\xbf{\"error\":\"invalid_grant\"}", Refusal{Code: "invalid_grant", Named: true}},

		{"a list, anthropics/claude-code#83679", `[{"logref":"59ae17fe","message":"Error : 'Fetch token call failed Bad credentials'"}]`, Refusal{Description: "Error : 'Fetch token call failed Bad credentials'", Named: true}},
		{"a list with a code", ` [ {"error":"invalid_grant"} ]`, Refusal{Code: "invalid_grant", Named: true}},

		// What only looks like a cause.
		{"a list of two", `[{"error":"invalid_grant"},{"error":"invalid_client"}]`, Refusal{}},
		{"a list of lists", `[[{"error":"invalid_grant"}]]`, Refusal{}},
		{"a list of words", `["invalid_grant"]`, Refusal{}},
		{"a list that is broken", `[{"error":"invalid_grant"}`, Refusal{}},
		{"a number", `{"code":400}`, Refusal{}},
		{"a number as a word", `{"code":"400"}`, Refusal{}},
		{"a flag", `{"error":true}`, Refusal{}},
		{"empty words", `{"error":"","message":" "}`, Refusal{}},
		{"empty object", `{}`, Refusal{}},
		{"empty body", ``, Refusal{}},
		{"a text", `404 page not found`, Refusal{}},
		{"a page", ` <html>{"error":"invalid_grant"}`, Refusal{Page: true}},
		{"JSON and a page", `{"error":"invalid_grant"}<html>`, Refusal{}},
		{"two codes", `{"error":"invalid_request","error":"invalid_grant"}`, Refusal{}},
		{"a code in another case", `{"Error":"invalid_grant"}`, Refusal{}},
		{"a code deeper down", `{"data":{"error":"invalid_grant"}}`, Refusal{}},

		// What is no code does not become one.
		{"longer than a code", `{"error":"invalid_grants"}`, Refusal{Code: "invalid_grants", Named: true}},
		{"a word before a code", `{"error":"no invalid_grant"}`, Refusal{Description: "no invalid_grant", Named: true}},
		{"an unknown code with text", `{"error":"odd_one: gone"}`, Refusal{Description: "odd_one: gone", Named: true}},
		{"a secret as a code", `{"error":"sk4f0a9b8c"}`, Refusal{Description: "sk4f0a9b8c", Named: true}},
		{"a long word", `{"code":"` + strings.Repeat("a", 41) + `"}`, Refusal{}},
		{"forged lines", `{"error":"invalid_grant\r\nx: y","error_description":"a\nb"}`, Refusal{Code: "invalid_grant", Description: `a\nb`, Named: true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := ReadRefusal([]byte(tt.body)); got != tt.want {
				t.Errorf("%+v, want %+v", got, tt.want)
			}
		})
	}
}
