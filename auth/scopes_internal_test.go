package auth

import (
	"slices"
	"strings"
	"testing"
)

// Servers make a manager ask for 64 KiB of scopes at most. What is too much is
// left out as a whole, and what the program asked for is not counted against it.
func TestBoundedScopes(t *testing.T) {
	half, quarter := strings.Repeat("x", maxScopeBytes/2-1), strings.Repeat("y", maxScopeBytes/4)
	for _, tt := range []struct {
		name       string
		base, more []string
		want       []string
		fits       bool
	}{
		{"nothing", nil, nil, nil, true},
		{"a few", []string{"a"}, []string{"a", "b"}, []string{"a", "b"}, true},
		{"just enough", []string{half}, []string{strings.ToUpper(half)}, []string{half, strings.ToUpper(half)}, true},
		{"a byte too many", []string{half}, []string{strings.ToUpper(half) + "x"}, []string{half}, false},
		{"too many together", []string{half}, []string{"a", quarter, quarter + "z"}, []string{half}, false},
		{"the program's own", []string{half, half + "x", quarter}, nil, []string{half, half + "x", quarter}, true},
		{"nothing beside the program's own", []string{half, half + "x", quarter}, []string{"a"}, []string{half, half + "x", quarter}, false},
	} {
		got, fits := boundedScopes(tt.base, tt.more)
		if !slices.Equal(got, tt.want) || fits != tt.fits {
			t.Errorf("%s: %d scopes, %v; want %d, %v", tt.name, len(got), fits, len(tt.want), tt.fits)
		}
	}
}
