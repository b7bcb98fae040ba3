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

// missingScopes returns the scopes of wanted that granted lacks.
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
// section 3.3).
func splitScopes(s string) []string { return normalizeScopes(strings.Fields(s)) }

// joinScopes renders the scope parameter.
func joinScopes(s []string) string { return strings.Join(s, " ") }
