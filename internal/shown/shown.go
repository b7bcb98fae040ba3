// Package shown makes what came from outside fit to be shown: to people, in logs, in
// traces and on terminals. All errors, log lines, spans and pages of this module that
// quote a server, or a name that a server chose, go through it.
package shown

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Max is how many characters of a text are shown.
const Max = 300

// Text returns s with what is not a visible character (control, bidirectional,
// zero-width, private use, not UTF-8) escaped as Go does, and cut off after [Max]
// characters, which an ellipsis shows. So no text writes to a terminal what it does not
// look like, or a second line to a log. Text of a result is that result, so that an error
// may quote an error. It does not remove secrets.
func Text(s string) string {
	if plain(s) {
		return s
	}
	var out strings.Builder
	n := 0
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		character := s[:size]
		if r == utf8.RuneError && size == 1 {
			character = fmt.Sprintf(`\x%02x`, s[0])
		} else if !visible(r) {
			character = escape(r)
		}
		s = s[size:]
		n += utf8.RuneCountInString(character)
		if n > Max || n == Max && len(s) > 0 {
			out.WriteRune('…')
			break
		}
		out.WriteString(character)
	}
	return out.String()
}

// Words is Text for a list, with a space between its entries.
func Words(list []string) string {
	var out strings.Builder
	for i, s := range list {
		if i > 0 {
			out.WriteByte(' ')
		}
		out.WriteString(s)
		if out.Len() > Max*utf8.UTFMax {
			break // enough to be cut off
		}
	}
	return Text(out.String())
}

// Visible reports whether s has visible characters only: no control, bidirectional or
// zero-width ones.
func Visible(s string) bool {
	for i, r := range s {
		if !visible(r) || r == utf8.RuneError && !strings.HasPrefix(s[i:], "\uFFFD") {
			return false
		}
	}
	return true
}

// plain reports whether s is shown as it is, as nearly all texts are.
func plain(s string) bool {
	if len(s) > Max {
		return false
	}
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

func visible(r rune) bool {
	return unicode.IsPrint(r) && !unicode.In(r, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point) &&
		r != '\u2800' // a Braille pattern without dots
}

func escape(r rune) string {
	switch {
	case r == '\n':
		return `\n`
	case r == '\r':
		return `\r`
	case r == '\t':
		return `\t`
	case r > 0xffff:
		return fmt.Sprintf(`\U%08x`, r)
	}
	return fmt.Sprintf(`\u%04x`, r)
}
