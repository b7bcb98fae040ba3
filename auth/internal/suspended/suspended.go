// Package suspended is what a login leaves behind while the person is at the
// authorization server, and by which keys programs keep that in a store.
package suspended

import (
	"encoding/json"

	"github.com/mcptokens/mcptokens/auth/registration"
)

// Login is a use of a grant that goes on later, perhaps in another process.
type Login struct {
	Resource string          `json:"r"`           // the manager's, in its canonical form
	Subject  string          `json:"s,omitempty"` // and whose
	Issuer   string          `json:"i"`
	For      string          `json:"f,omitempty"` // the resource indicator, if not Resource
	Scopes   []string        `json:"sc,omitempty"`
	Client   string          `json:"c"`
	Register *Client         `json:"rc,omitempty"` // if it was made on demand
	Begun    int64           `json:"b"`            // Unix time in milliseconds
	Expires  int64           `json:"e"`            // Unix time in seconds
	Trace    string          `json:"t,omitempty"`  // names the operation that began, for tracers
	Grant    json.RawMessage `json:"g"`            // the grant's own
}

// Client encodes itself, with its secrets.
type Client registration.Client

// Registration is that of the client; nil if it was not made on demand.
func (l *Login) Registration() *registration.Client { return (*registration.Client)(l.Register) }

// Issuer returns the authorization server of an encoded Login.
func Issuer(kept []byte) string {
	var l struct {
		Issuer string `json:"i"`
	}
	_ = json.Unmarshal(kept, &l) // else it is of no server
	return l.Issuer
}

// KeyIssuer is what the keys of web logins have in the place of an issuer: no server
// has it. Their records name the resource and, for logins under way, the server.
const KeyIssuer = "urn:mcptokens:weblogin"
