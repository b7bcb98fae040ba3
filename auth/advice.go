package auth

import (
	"net/http"
	"strings"

	"github.com/mcptokens/mcptokens/internal/httpx"
	"github.com/mcptokens/mcptokens/internal/shown"
)

// request is what a failed request is called: a token request, or by the name
// that a grant gave it.
func (e *TokenError) request() string {
	switch {
	case e.GrantType == "":
		return "token request"
	case strings.Contains(e.GrantType, " "):
		return e.GrantType
	}
	return "token request (" + shortGrant(e.GrantType) + ")"
}

// advice says what to change after a refusal, if it is known; RFC 6749 section 5.2
// and RFC 8707 section 2 have the codes.
func (e *TokenError) advice() string {
	if e.set != "" {
		return e.set
	}
	switch e.Code {
	case "invalid_client":
		return "check Config.Client (ID, Secret, Auth)"
	case "unauthorized_client":
		return "the server has to allow the client this grant"
	case "unsupported_grant_type":
		return "the server does not do this grant: set another Config.Grant"
	case "invalid_scope":
		return "check Config.Scopes, or decline what the MCP server names with Config.ScopeRules"
	case "invalid_target":
		return "the server does not take this resource: check Config.Resource, or set Config.Requests.Resource to another one, or to none"
	}
	if e.Code != "" || e.Err != nil || e.Description != "" {
		return ""
	}
	switch e.StatusCode {
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusGone:
		return "the endpoint is not there: check the server's metadata, or the endpoints in Config.Server"
	case http.StatusUnauthorized:
		return "the server gives no reason: check Config.Client (ID, Secret, Auth)"
	case http.StatusBadRequest, http.StatusForbidden:
		return "the server gives no reason"
	}
	return ""
}

// badURL is the error for a URL of the configuration, which err refuses.
func badURL(field, raw string, err error) *ConfigError {
	problem := strings.TrimPrefix(err.Error(), httpx.ErrInsecureURL.Error()+": ")
	problem = strings.TrimPrefix(problem, field+" ")
	return &ConfigError{field, `"` + shownText(raw) + `" ` + problem}
}

// shownText is what somebody took for a URL, without what may be secret in it.
func shownText(raw string) string {
	if i := strings.IndexAny(raw, "?#"); i >= 0 {
		raw = raw[:i] + "…"
	}
	if i := strings.LastIndexByte(raw, '@'); i >= 0 {
		raw = "…" + raw[i:]
	}
	return shown.Text(raw)
}
