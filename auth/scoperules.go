package auth

import (
	"errors"
	"slices"
)

// offlineAccess is the scope that asks for a refresh token (OpenID Connect Core
// section 11).
const offlineAccess = "offline_access"

var offlineScope = []string{offlineAccess}

// hasOffline reports whether scopes have offline_access.
//
//go:noinline
func hasOffline(scopes []string) bool { return slices.Contains(scopes, offlineAccess) }

// lessOffline returns scopes without offline_access.
func lessOffline(scopes []string) []string {
	return slices.DeleteFunc(slices.Clone(scopes), func(s string) bool { return s == offlineAccess })
}

// ScopeRules says which scopes are asked for of those that servers name. The
// zero value asks for all.
type ScopeRules struct {
	// NoOfflineAccess never asks for offline_access, whoever names it. A server
	// that gives refresh tokens for that scope only gives none then, and a person
	// logs in whenever the token has expired. Default: false, a login asks for it
	// where the authorization server lists it, and goes on without where it is
	// refused.
	NoOfflineAccess bool
	// Choose is given the scopes that the MCP server names, in a challenge or as
	// its scopes_supported, and returns those to ask for: fewer, or what the
	// authorization server calls them, such as "api://app/read" for "read". What
	// was granted is compared with these. Words that are no scopes are left out.
	// A challenge of which it leaves nothing that is missing ends in an
	// *[InsufficientScopeError]. It is called by many goroutines at once and has
	// to return at once. Default: nil, those named.
	Choose func(named []string) []string
}

// errDeclined is why a step-up asks for nothing.
var errDeclined = errors.New("Config.ScopeRules asks for none of the missing scopes")

// choose applies the rules to scopes that a server names.
func (a *asks) choose(named []string) []string {
	if a != nil && a.rules.Choose != nil && len(named) > 0 {
		named = onlyScopes(a.rules.Choose(slices.Clone(named)))
	}
	return a.allowed(named)
}

// allowed leaves out what is never asked for.
func (a *asks) allowed(scopes []string) []string {
	if a == nil || !a.rules.NoOfflineAccess || !hasOffline(scopes) {
		return scopes
	}
	return lessOffline(scopes)
}

// declined reports whether the rules leave nothing of a challenge that the token
// lacks.
func declined(named, chosen []string, t *Token) bool {
	return len(chosen) < len(named) && coversScopes(t.Scopes, chosen)
}
