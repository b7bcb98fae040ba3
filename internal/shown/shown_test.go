package shown

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestText(t *testing.T) {
	for s, want := range map[string]string{
		"AADSTS65001: \"x\"":                `AADSTS65001: "x"`,
		"Grüße, 世界 🙂":                       "Grüße, 世界 🙂",
		"a\r\n\tb\x00\x1b[31m":              `a\r\n\tb\u0000\u001b[31m`,
		"a\u009bb\u007f":                    `a\u009bb\u007f`,
		"a\u202eb\u2066c":                   `a\u202eb\u2066c`,
		"a\u200bb\ufeffc\u00ad":             `a\u200bb\ufeffc\u00ad`,
		"a\u3164\u115f\ufe0f":               `a\u3164\u115f\ufe0f`,
		"\U000e0041":                        `\U000e0041`,
		"a\u2028b\u00a0":                    `a\u2028b\u00a0`,
		"a\xffb":                            `a\xffb`,
		"\ufffd":                            "\ufffd",
		"":                                  "",
		strings.Repeat("é", Max):            strings.Repeat("é", Max),
		strings.Repeat("é", Max+1):          strings.Repeat("é", Max-1) + "…",
		strings.Repeat("a", Max-1) + "\x00": strings.Repeat("a", Max-1) + "…",
		strings.Repeat("a", Max-6) + "\x00": strings.Repeat("a", Max-6) + `\u0000`,
		strings.Repeat("a", Max-6) + "\x00" + "b": strings.Repeat("a", Max-6) + "…",
	} {
		if got := Text(s); got != want || utf8.RuneCountInString(got) > Max {
			t.Errorf("Text(%q) = %q, want %q", s, got, want)
		} else if again := Text(got); again != got {
			t.Errorf("Text(%q) = %q: it changes what it made", got, again)
		}
		if !Visible(want) || utf8.RuneCountInString(s) <= Max && Visible(s) != (s == want) {
			t.Errorf("Visible(%q) = %v", s, Visible(s))
		}
	}
}

func TestWords(t *testing.T) {
	for want, list := range map[string][]string{
		"":                               nil,
		"read write":                     {"read", "write"},
		`a\u202eb c`:                     {"a\u202eb", "c"},
		strings.Repeat("a ", 149) + "a…": slices.Repeat([]string{"a"}, 50_000),
		strings.Repeat("b", 299) + "…":   {strings.Repeat("b", 1<<20), "c"},
	} {
		if got := Words(list); got != want {
			t.Errorf("Words(%.80q) = %q, want %q", list, got, want)
		}
	}
}
