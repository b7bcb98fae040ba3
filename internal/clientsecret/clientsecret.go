// Package clientsecret writes the three kinds of plain client authentication
// into a token request (RFC 6749 section 2.3.1). The core uses it for the
// clients it registers, and auth/clientauth offers the same to users.
package clientsecret

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
)

// The registered method names (RFC 7591 section 2).
const (
	None  = "none"
	Basic = "client_secret_basic"
	Post  = "client_secret_post"
)

// Plain is Basic without form encoding, as RFC 7617 has it. It is no registered name.
const Plain = "plain"

// Encoded reports whether Basic and Plain differ, and the parts of Plain can be told
// apart.
func Encoded(id, secret string) bool {
	return !strings.Contains(id, ":") && (url.QueryEscape(id) != id || url.QueryEscape(secret) != secret)
}

// Known reports whether method is one of the three.
func Known(method string) bool { return method == None || method == Basic || method == Post }

// Apply writes the credentials of client id by method into header and form.
func Apply(method, id, secret string, header http.Header, form url.Values) {
	switch method {
	case Basic:
		// Both parts are form-encoded before they are joined: a colon in the
		// identifier would otherwise cut it short.
		basic(url.QueryEscape(id), url.QueryEscape(secret), header, form)
	case Plain:
		basic(id, secret, header, form)
	case Post:
		form.Set("client_id", id)
		form.Set("client_secret", secret)
	default:
		form.Set("client_id", id)
	}
}

func basic(user, password string, header http.Header, form url.Values) {
	header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(user+":"+password)))
	form.Del("client_id")
}
