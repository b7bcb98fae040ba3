package auth

import (
	"slices"
	"strings"
)

// normalizeScopes returns the scopes without empties and duplicates, in the
// order given; nil when there are none. The result shares nothing with s.
func normalizeScopes(s []string) []string { return unionScopes(s) }

// unionScopes returns every scope of the sets once, in order of appearance, so
// that the same sets always give the same request.
func unionScopes(sets ...[]string) []string {
	n := 0
	for _, set := range sets {
		n += len(set)
	}
	if n == 0 {
		return nil
	}
	out := make([]string, 0, n)
	// A map only pays for itself with many scopes; tokens have few.
	var seen map[string]struct{}
	if n > 16 {
		seen = make(map[string]struct{}, n)
	}
	for _, set := range sets {
		for _, scope := range set {
			if scope == "" {
				continue
			}
			if seen != nil {
				if _, dup := seen[scope]; dup {
					continue
				}
				seen[scope] = struct{}{}
			} else if slices.Contains(out, scope) {
				continue
			}
			out = append(out, scope)
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// coversScopes reports whether granted holds every scope of wanted.
func coversScopes(granted, wanted []string) bool { return len(missingScopes(granted, wanted)) == 0 }

// missingScopes returns the scopes of wanted that granted lacks. Inlined it is a kilobyte.
//
//go:noinline
func missingScopes(granted, wanted []string) []string {
	have := make(map[string]struct{}, len(granted))
	for _, s := range granted {
		have[s] = struct{}{}
	}
	var missing []string
	for _, s := range wanted {
		if _, ok := have[s]; !ok {
			missing = append(missing, s)
		}
	}
	return missing
}

// splitScopes parses a scope value: words separated by spaces (RFC 6749
// section 3.3). Words that are no scopes are left out: no request could carry
// them, and they would appear in logs and traces.
func splitScopes(s string) []string { return onlyScopes(strings.Fields(s)) }

// onlyScopes is normalizeScopes without the words that are no scopes.
func onlyScopes(words []string) []string {
	return normalizeScopes(slices.DeleteFunc(slices.Clone(words), func(s string) bool { return !isScope(s) }))
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

// maxScopeBytes bounds the scopes that servers can make a manager ask for, all
// together, as the scope parameter has them. They are kept with the token, and
// a server that names new ones each time must not make them grow without end.
const maxScopeBytes = 64 << 10

// boundedScopes returns base with all of more, or, if they do not fit, base as
// it is and false.
func boundedScopes(base, more []string) ([]string, bool) {
	all := unionScopes(base, more)
	size := 0
	for _, s := range all {
		size += len(s) + 1
	}
	if size > maxScopeBytes && len(all) > len(base) {
		return base, false
	}
	return all, true
}

// joinScopes renders the scope parameter.
func joinScopes(s []string) string { return strings.Join(s, " ") }
