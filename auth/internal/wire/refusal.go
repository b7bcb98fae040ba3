package wire

import (
	"encoding/json"
	"strings"

	"github.com/mcptokens/mcptokens/internal/shown"
)

// Refusal is what an answer says about why it refuses. Its texts are the
// server's, without the secrets that [ReadRefusal] was given, cleaned and bounded
// by [shown.Text].
type Refusal struct {
	// Code is the error code: up to 40 lower case letters and underscores, as all
	// registered ones are (RFC 6749 section 5.2). Empty if there is none.
	Code string
	// Description is a text for people; it may be empty.
	Description string
	// URI is a page about it. It was not validated; show it, do not open it.
	URI string
	// Named: the answer names a cause, as a code or in words.
	Named bool
	// Page: the answer is a web page and says nothing.
	Page bool
}

// known are the codes of RFC 6749, 6750, 7009, 7591, 8628, 8693 and 9449.
// Only these are recognised in capitals or with text after them.
var known = map[string]bool{
	"invalid_request": true, "invalid_client": true, "invalid_grant": true, "unauthorized_client": true,
	"unsupported_grant_type": true, "invalid_scope": true, "access_denied": true, "server_error": true,
	"temporarily_unavailable": true, "unsupported_response_type": true, "unsupported_token_type": true,
	"invalid_redirect_uri": true, "invalid_client_metadata": true, "invalid_software_statement": true,
	"unapproved_software_statement": true, "authorization_pending": true, "slow_down": true, "expired_token": true,
	"invalid_target": true, "invalid_token": true, "insufficient_scope": true,
	"invalid_dpop_proof": true, "use_dpop_nonce": true,
}

// Registered reports whether code is one of an RFC; others are a server's own.
func Registered(code string) bool { return known[code] }

// ReadRefusal reads the body of an answer that is not a success: RFC 6749
// section 5.2 as JSON or as a form, or one of the forms in the table of this
// package. A body that cannot be read, or is ambiguous about its code, names
// nothing.
//
// secrets are those that the server knows, and may repeat: they are removed, and
// so are tokens that the body holds. Those of less than 6 bytes are not.
func ReadRefusal(body []byte, secrets ...string) Refusal {
	body = onlyOne(body)
	if IsPage(body) {
		return Refusal{Page: true}
	}
	o, err := readAnswer("", body, "error", "error_code", "code")
	if err != nil {
		return Refusal{}
	}
	return refusalOf(o, secrets...)
}

// onlyOne is the element of a list that has one, and any other body as it is.
func onlyOne(body []byte) []byte {
	list := trim(body)
	if len(list) == 0 || list[0] != '[' {
		return body
	}
	var elements []json.RawMessage
	if json.Unmarshal(list, &elements) != nil || len(elements) != 1 {
		return body
	}
	return elements[0]
}

// refusalOf takes the first code and the first description, looked for in the
// order in which the places deserve belief.
func refusalOf(o Object, secrets ...string) Refusal {
	secrets = append(given(o), secrets...)
	said, detail := o.Object("error"), o.Object("detail")
	code, rest := splitCode(sentence(o, "error"))
	r := Refusal{Code: code}
	for _, c := range []struct {
		in   Object
		name string
	}{
		{said, "code"}, {said, "error"}, {said, "type"}, {o, "error_code"}, {o, "code"}, {detail, "error"}, {detail, "code"},
	} {
		if r.Code == "" {
			r.Code, _ = splitCode(sentence(c.in, c.name))
		}
	}
	for _, d := range []string{
		sentence(o, "error_description"),
		sentence(said, "message", "error_description", "description"),
		sentence(o, "message", "msg", "detail"),
		sentence(detail, "error_description", "message", "msg"),
		sentence(o, "title"),
		rest,
	} {
		if r.Description == "" {
			r.Description = shown.Text(removeSecrets(strings.TrimSpace(d), secrets))
		}
	}
	r.URI = shown.Text(removeSecrets(strings.TrimSpace(sentence(o, "error_uri")), secrets))
	if !known[r.Code] && removeSecrets(r.Code, secrets) != r.Code {
		r.Code, r.Description = "", orElse(r.Description, Removed)
	}
	r.Named = r.Code != "" || r.Description != ""
	return r
}

func orElse(s, other string) string {
	if s != "" {
		return s
	}
	return other
}

// sentence returns the first of the members that is a string and not empty.
// Numbers are none: {"code":400} says no more than the status.
func sentence(o Object, names ...string) string {
	for _, name := range names {
		if raw := o.Raw(name); len(raw) > 2 && raw[0] == '"' {
			s, _ := text(raw)
			return s
		}
	}
	return ""
}

// splitCode returns the code that s is and the text that follows it, which is
// all of s if it is no code.
func splitCode(s string) (code, rest string) {
	if isCode(s) {
		return s, ""
	}
	end := strings.IndexFunc(s, func(r rune) bool { return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r != '_' })
	if end < 0 {
		end = len(s)
	}
	if word := strings.ToLower(s[:end]); known[word] {
		return word, strings.TrimLeft(s[end:], ":;,. -")
	}
	return "", s
}

func isCode(s string) bool {
	return s != "" && len(s) <= 40 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz_") == ""
}
