package wire

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
)

// MaxScopes is how many bytes the scopes of one answer may have together.
const MaxScopes = 64 << 10

// ErrScopes: an answer has more than MaxScopes of scopes.
var ErrScopes = errors.New("more than 64 KiB of scopes")

// ReadScopes reads the value of scope in an answer to a request for the scopes
// requested: words separated by spaces (RFC 6749 section 3.3), or a list.
// said is false if it says nothing, and then the scopes are those requested
// (RFC 6749 section 5.1): absent, null, "", an empty list, or no text at all.
//
// GitHub and Slack separate by commas what was requested with spaces. A word is
// split at commas if that gives a scope that was requested, and no scope that
// was requested has a comma itself. Nothing else is split: a scope may have
// commas.
//
// Words that are no scopes are left out, and so are repetitions. The error is
// an *[Error] that is [ErrScopes].
func ReadScopes(raw json.RawMessage, requested []string) (scopes []string, said bool, err error) {
	if len(raw) > MaxScopes {
		return nil, true, &Error{Member: "scope", Problem: "has " + ErrScopes.Error(), Is: ErrScopes}
	}
	// Whatever else it is says nothing.
	list, _ := Object{[]member{{[]byte("scope"), raw}}}.List("scope")
	asked := make(map[string]bool, len(requested))
	commas := false
	for _, s := range requested {
		asked[s] = true
		commas = commas || strings.Contains(s, ",")
	}
	seen := make(map[string]bool)
	for _, s := range list {
		for _, word := range strings.Fields(s) {
			said = true
			parts := []string{word}
			if split := strings.Split(word, ","); !commas && slices.ContainsFunc(split, func(p string) bool { return asked[p] }) {
				parts = split
			}
			for _, p := range parts {
				if isScope(p) && !seen[p] {
					seen[p] = true
					scopes = append(scopes, p)
				}
			}
		}
	}
	if !said {
		return requested, false, nil
	}
	return scopes, true, nil
}

// isScope reports whether s is a scope-token: printable ASCII without space,
// quotation mark and backslash (RFC 6749 section 3.3).
func isScope(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == '"' || c == '\\' {
			return false
		}
	}
	return s != ""
}
