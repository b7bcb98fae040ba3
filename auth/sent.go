package auth

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
)

// sent is a posted form as it went out, with what authenticates the client. Its
// secrets do not come back in an error, whatever the server says.
type sent struct {
	// whole: the server may have got all of the request.
	whole  bool
	form   url.Values
	header http.Header
	client string // its secret, in whatever form it was proved
	proves ClientAuth
}

// public are the members of a form that a server may repeat. All others are
// secrets, also those of a program's own grant or client authentication.
var public = map[string]bool{
	"grant_type": true, "client_id": true, "scope": true, "resource": true, "audience": true, "redirect_uri": true,
	"token_type_hint": true, "requested_token_type": true, "subject_token_type": true, "actor_token_type": true,
	"client_assertion_type": true, "issuer": true,
}

// secrets are what the server was sent and must not be shown.
func (s sent) secrets() (list []string) {
	list = append(list, s.client)
	for name, values := range s.form {
		if !public[name] {
			list = append(list, values...)
		}
	}
	for name, values := range s.header {
		if name == "Content-Type" || name == "Accept" {
			continue
		}
		list = append(list, values...)
		for _, v := range values {
			_, credentials, _ := strings.Cut(v, " ")
			list = append(list, credentials, password(credentials))
		}
	}
	return list
}

// password is the one of Basic credentials (RFC 6749 section 2.3.1, RFC 7617);
// empty if they are of another kind.
func password(credentials string) string {
	pair, err := base64.StdEncoding.DecodeString(credentials)
	if err != nil {
		return ""
	}
	_, secret, _ := strings.Cut(string(pair), ":")
	if plain, err := url.QueryUnescape(secret); err == nil {
		return plain
	}
	return secret
}
