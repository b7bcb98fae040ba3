package auth

import (
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"
)

// NoResource is the [Requests.Resource] that sends no resource parameter.
const NoResource = "none"

// Requests changes what requests to the authorization server say. The zero value
// changes nothing.
//
// The maps add parameters that the protocol does not know: audience (Auth0),
// access_type=offline (Google), login_hint, domain_hint (Microsoft Entra ID).
// In authorization and device requests they take precedence over what a grant adds by itself,
// such as prompt, and an empty value leaves that out; in token requests what a
// grant was given, such as the audience of a token exchange, takes precedence over them. A
// parameter that the protocol owns, such as state or scope, is a *[ConfigError].
type Requests struct {
	// Resource is the resource parameter (RFC 8707) of authorization, device and
	// token requests, refreshes too: an absolute URI without a fragment, or
	// [NoResource] for servers that refuse it (Microsoft Entra ID v2, older
	// servers). The token's audience is then what the server makes of the scopes.
	// Default: empty, the resource that the MCP server's metadata name.
	Resource string
	// Authorization are parameters of the authorization request (RFC 6749
	// section 4.1.1), pushed or not. Default: none.
	Authorization map[string]string
	// Token are parameters of every token request, refreshes too. Default: none.
	Token map[string]string
	// Device are parameters of the device authorization request (RFC 8628
	// section 3.1). Default: none.
	Device map[string]string
}

// ofProtocol are the parameters that decide who gets a token, for what and where
// it goes: those of RFC 6749, 7009, 7521, 7523, 7636, 8628, 8693, 8707, 9101,
// 9126, 9207 and 9449, with what to set instead.
var ofProtocol = map[string]string{
	"scope": "Config.Scopes", "resource": "Config.Requests.Resource",
	"client_id": "Config.Client", "client_secret": "Config.Client", "client_assertion": "Config.Client", "client_assertion_type": "Config.Client",
	"redirect_uri": "the grant's UserAgent", "dpop_jkt": "Config.DPoP",
	"response_type": "", "response_mode": "", "state": "", "iss": "", "code": "", "code_verifier": "", "code_challenge": "", "code_challenge_method": "",
	"request": "", "request_uri": "", "grant_type": "", "refresh_token": "", "device_code": "", "username": "", "password": "",
	"assertion": "", "subject_token": "", "subject_token_type": "", "actor_token": "", "actor_token_type": "", "requested_token_type": "",
	"token": "", "token_type_hint": "",
}

// checked returns a copy, or a *[ConfigError].
func (r Requests) checked() (Requests, error) {
	for _, of := range []struct {
		field string
		extra *map[string]string
	}{
		{"Config.Requests.Authorization", &r.Authorization},
		{"Config.Requests.Token", &r.Token},
		{"Config.Requests.Device", &r.Device},
	} {
		for _, name := range slices.Sorted(maps.Keys(*of.extra)) {
			instead, owned := ofProtocol[strings.ToLower(name)]
			switch {
			case name == "":
				return r, &ConfigError{of.field, "has a parameter without a name; remove it"}
			case owned && instead != "":
				return r, &ConfigError{of.field, "has " + strings.ToLower(name) + ", which the protocol owns; set " + instead}
			case owned:
				return r, &ConfigError{of.field, "has " + strings.ToLower(name) + ", which the protocol owns; remove it"}
			}
		}
		*of.extra = maps.Clone(*of.extra)
	}
	if r.Resource != "" && r.Resource != NoResource {
		if u, err := url.Parse(r.Resource); err != nil || !u.IsAbs() || strings.Contains(r.Resource, "#") {
			return r, &ConfigError{"Config.Requests.Resource", "must be an absolute URI without fragment (RFC 8707), auth.NoResource to send none, or empty for the one that is discovered"}
		}
	}
	return r, nil
}

// consentTime is how long a login without an answer has effect on the next.
const consentTime = time.Hour

// after is r for a login at issuer when the one before had no answer. Grants add
// prompt=consent to offline_access (OpenID Connect Core section 11), and where only an
// administrator may consent, as in many tenants of Microsoft Entra ID, a person gets no
// further than that page, although everything was allowed before. So the next login
// does without: a server that gives no refresh token then is asked for consent when
// the token has expired. Who said no is asked again: without the prompt a server could
// go by what was allowed earlier.
func (r Requests) after(refused *LoginRefusal, issuer string) Requests {
	if refused == nil || refused.Code != "" || refused.Issuer != issuer || !hasOffline(refused.Scopes) || wallNow().Sub(refused.At).Abs() > consentTime {
		return r
	}
	if _, has := r.Authorization["prompt"]; has {
		return r
	}
	without := map[string]string{"prompt": ""}
	maps.Copy(without, r.Authorization)
	r.Authorization = without
	return r
}

// asks is what the program says about requests. It is nil for nothing, as most
// programs have it, which takes no memory; its methods work with nil.
type asks struct {
	scopes   []string
	rules    ScopeRules
	requests Requests
}

func asksOf(scopes []string, rules ScopeRules, requests Requests) *asks {
	a := &asks{scopes, rules, requests}
	if r := a.requests; len(a.scopes) == 0 && a.rules.Choose == nil && !a.rules.NoOfflineAccess &&
		r.Resource == "" && len(r.Authorization) == 0 && len(r.Token) == 0 && len(r.Device) == 0 {
		return nil
	}
	return a
}

// configured are the scopes to ask for from the start.
func (a *asks) configured() []string {
	if a == nil {
		return nil
	}
	return a.scopes
}

// extra is a copy of the program's Requests.
func (a *asks) extra() Requests {
	if a == nil {
		return Requests{}
	}
	return a.requests
}

// resource is the resource parameter for what was discovered; empty: none.
func (a *asks) resource(discovered string) string {
	switch {
	case a == nil || a.requests.Resource == "":
		return discovered
	case a.requests.Resource == NoResource:
		return ""
	}
	return a.requests.Resource
}

// addTo adds extra parameters to a request, before those that it has.
func addTo(form url.Values, extra map[string]string) {
	for name, value := range extra {
		if value == "" {
			form.Del(name)
		} else {
			form.Set(name, value)
		}
	}
}
