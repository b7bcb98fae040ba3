// Package clientsecret writes the three kinds of plain client authentication
// into a token request (RFC 6749 section 2.3.1). The core uses it for the
// clients it registers, and auth/clientauth offers the same to users.
package clientsecret

import (
	"encoding/base64"
	"net/http"
	"net/url"
)

// The registered method names (RFC 7591 section 2).
const (
	None  = "none"
	Basic = "client_secret_basic"
	Post  = "client_secret_post"
)

// Known reports whether method is one of the three.
func Known(method string) bool { return method == None || method == Basic || method == Post }

// Apply writes the credentials of client id by method into header and form.
func Apply(method, id, secret string, header http.Header, form url.Values) {
	switch method {
	case Basic:
		// Both parts are form-encoded before they are joined: a colon in the
		// identifier would otherwise cut it short.
		pair := url.QueryEscape(id) + ":" + url.QueryEscape(secret)
		header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(pair)))
		form.Del("client_id")
	case Post:
		form.Set("client_id", id)
		form.Set("client_secret", secret)
	default:
		form.Set("client_id", id)
	}
}
