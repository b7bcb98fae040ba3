package wire

import (
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"html"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/mcptokens/mcptokens/internal/shown"
)

// Removed stands for a secret in what a server said.
const Removed = "[removed]"

const (
	// A secret shorter than this is left in a text: it would take ordinary
	// words apart.
	shortestSecret = 6
	// A disguised one has to have this many letters and digits.
	shortestDisguised = 8
	// pieceLength is how many letters and digits in a row give away a piece of
	// a longer secret. Servers that show the first eight of a token give away
	// nothing.
	pieceLength = 16
	// maxSearched is how much of a text is looked at: what is shown is shorter.
	maxSearched = 4 << 10
)

// Shown is a server's words as they may be shown: without secrets, those of less
// than 6 bytes apart, and cleaned by package
// shown.
func Shown(text string, secrets ...string) string {
	return shown.Text(removeSecrets(strings.TrimSpace(text), secrets))
}

// removeSecrets takes secrets out of what a server said, before package shown
// cuts it off or escapes what stands between their characters. A secret as it is, or as
// it stands in a form, is replaced. If more of one can be found after that, in
// another encoding, in another case, with something between its characters or
// only a piece of it, nothing of the text is shown: there is no telling where
// the secret ends.
func removeSecrets(text string, secrets []string) string {
	if text == "" || len(secrets) == 0 {
		return text
	}
	text = string([]rune(text[:min(len(text), maxSearched)])) // valid UTF-8
	var plain []string
	for _, s := range secrets {
		if len(s) >= shortestSecret {
			plain = append(plain, s, url.QueryEscape(s))
		}
	}
	slices.SortFunc(plain, func(a, b string) int { return cmp.Compare(len(b), len(a)) }) // one may be a part of another
	var pairs []string
	for _, s := range plain {
		pairs = append(pairs, s, Removed)
	}
	text = strings.NewReplacer(pairs...).Replace(text)
	if hasDisguised(text, disguises(secrets)) {
		return Removed
	}
	return text
}

// disguises are the letters and digits of secrets, and of their encodings.
func disguises(secrets []string) (list []string) {
	for _, s := range secrets {
		if len(s) < shortestSecret {
			continue
		}
		list = append(list, fold(s), hex.EncodeToString([]byte(s)))
		for off := range 3 { // what stands before it in the same base64 decides how it looks
			b := base64.RawStdEncoding.EncodeToString([]byte("xx"[:off] + s))
			list = append(list, fold(b[(off*8+5)/6:(off+len(s))*8/6]))
		}
	}
	return list
}

// hasDisguised reports whether one of folded, or a telling piece of one, is in
// the letters and digits of text, also after it was decoded.
func hasDisguised(text string, folded []string) bool {
	for range 4 {
		letters := fold(text)
		pieces := make(map[string]bool)
		for i := range max(0, len(letters)-pieceLength+1) {
			pieces[letters[i:i+pieceLength]] = true
		}
		for _, f := range folded {
			switch {
			case len(f) < shortestDisguised:
			case len(f) <= pieceLength:
				if strings.Contains(letters, f) {
					return true
				}
			default:
				for i := range len(f) - pieceLength + 1 {
					if pieces[f[i:i+pieceLength]] {
						return true
					}
				}
			}
		}
		decoded := decode(text)
		if decoded == text {
			break
		}
		text = decoded
	}
	return false
}

// fold leaves the letters and digits of a text, in small letters.
func fold(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			return -1
		}
		return unicode.ToLower(r)
	}, text)
}

// decode undoes one layer of the ways in which servers write a character:
// %41, \u0041, \x41, &#65; and &amp;. What is none of them stays.
func decode(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); {
		prefix, digits := 0, 0
		switch rest := text[i:]; {
		case strings.HasPrefix(rest, `\u`), strings.HasPrefix(rest, `%u`):
			prefix, digits = 2, 4
		case strings.HasPrefix(rest, `\x`):
			prefix, digits = 2, 2
		case rest[0] == '%':
			prefix, digits = 1, 2
		}
		if end := i + prefix + digits; digits > 0 && end <= len(text) {
			if n, err := strconv.ParseUint(text[i+prefix:end], 16, 32); err == nil {
				if digits == 2 {
					b.WriteByte(byte(n))
				} else {
					b.WriteRune(rune(n))
				}
				i = end
				continue
			}
		}
		_, size := utf8.DecodeRuneInString(text[i:])
		b.WriteString(text[i : i+size])
		i += size
	}
	return html.UnescapeString(b.String())
}

// given are the members of an answer that hold a secret, whatever it says
// besides.
func given(o Object) (secrets []string) {
	for _, name := range []string{
		"access_token", "refresh_token", "id_token", "device_code", "client_secret", "registration_access_token",
	} {
		secrets = append(secrets, sentence(o, name))
	}
	return secrets
}
