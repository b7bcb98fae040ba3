// Package extras has what came with a token besides the token: the type of the
// field Extra of package auth's Token.
package extras

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strconv"
)

// Members are those of a token response that auth.Token has no field for, as they
// came: an id_token (OpenID Connect Core section 3.1.3.3), and what a provider
// adds. Values are valid JSON. They may be secrets, so Members redact themselves
// in every fmt verb, in log/slog and in encoding/json.
//
// At most 64 members and 16 KiB are kept, names included: id_token first, then the
// others in their order, each if there is room. A member that a refresh leaves
// out stays as it was.
type Members map[string]json.RawMessage

// Text returns the member name if it is a JSON string; otherwise "". An id_token
// came from the token endpoint over TLS, so its claims can be read without a check
// of its signature (OpenID Connect Core section 3.1.3.7).
func (m Members) Text(name string) string {
	var s string
	if json.Unmarshal(m[name], &s) != nil {
		return ""
	}
	return s
}

// String says how many members there are.
func (m Members) String() string { return "extras.Members{" + strconv.Itoa(len(m)) + "}" }

// Format makes every fmt verb print String.
func (m Members) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, m.String()) }

// LogValue implements [slog.LogValuer] without the values.
func (m Members) LogValue() slog.Value { return slog.StringValue(m.String()) }

// MarshalJSON encodes what Format prints: it is not for storing.
func (m Members) MarshalJSON() ([]byte, error) { return json.Marshal(m.String()) }
