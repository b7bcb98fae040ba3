package browser

import (
	"crypto/subtle"
	"net/url"
	"strings"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/internal/shown"
)

// once are the parameters of an authorization response that decide something.
// RFC 6749 section 3.1: none may be there more than once.
var once = [...]string{"code", "state", "iss", "error"}

// readAnswer reads the query of a redirect pair by pair, so that what is wrong
// with one parameter never hides another: a ";" and a "%" that begins no escape
// stand for themselves, and a "#" ends the query. url.ParseQuery gives up there.
func readAnswer(rawQuery string) url.Values {
	rawQuery, _, _ = strings.Cut(rawQuery, "#")
	answer := make(url.Values)
	for pair := range strings.SplitSeq(rawQuery, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name = unescape(name)
		answer[name] = append(answer[name], unescape(value))
	}
	return answer
}

// unescape is url.QueryUnescape without its errors.
func unescape(s string) string {
	if !strings.ContainsAny(s, "%+") {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '+':
			b.WriteByte(' ')
		case s[i] == '%' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]):
			b.WriteByte(unhex(s[i+1])<<4 | unhex(s[i+2]))
			i += 2
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f'
}

func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}

// carries reports whether answer has the state of this login, once (RFC 6749
// section 10.12).
func carries(answer url.Values, state string) bool {
	got := answer["state"]
	return state != "" && len(got) == 1 && subtle.ConstantTimeCompare([]byte(got[0]), []byte(state)) == 1
}

// repeated returns the first parameter that is there more than once and must
// not be; "" if there is none.
func repeated(answer url.Values) string {
	for _, name := range once {
		if len(answer[name]) > 1 {
			return name
		}
	}
	return ""
}

// errRepeated refuses an answer of this login: which of two values counts is
// nothing to guess at.
func errRepeated(name string) error {
	text := `browser: the authorization server's answer has "` + name + `" more than once (RFC 6749 section 3.1); it was refused`
	if name == "iss" {
		return fail(text, auth.ErrIssuerParameter)
	}
	return fail(text)
}

// said makes a text that came from outside fit to be shown to a person: on one
// line, cleaned and bounded.
func said(s string) string { return shown.Text(strings.Join(strings.Fields(s), " ")) }

// saidError is what an answer says went wrong, in the server's words: its error
// code and description (RFC 6749 section 4.1.2.1), without the given secrets.
func saidError(answer url.Values, secrets ...string) string {
	if !answer.Has("error") {
		return ""
	}
	text := answer.Get("error")
	if d := answer.Get("error_description"); d != "" {
		text += ": " + d
	}
	for _, secret := range append(secrets, answer["code"]...) {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, "…")
		}
	}
	return said(text)
}
