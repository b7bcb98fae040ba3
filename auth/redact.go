package auth

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"

	"github.com/mcptokens/mcptokens/internal/shown"
)

// The types of this package that hold secrets print one line without them: Format
// makes all verbs of fmt do that, LogValue log/slog, and MarshalJSON encoding/json,
// which slog's JSON handler uses for what is inside slices, maps and structs. So
// none of them can be stored as JSON by itself; package auth/store has the encoding.
//
// There is one limit: fmt calls no methods on a value in an unexported field, and
// prints its fields one by one. A struct that keeps such a value there should hold
// a pointer, which fmt prints as an address.

// redact prints one safe line for any verb.
//
//go:noinline
func redact(f fmt.State, s string) { _, _ = io.WriteString(f, s) }

// Format makes every fmt verb print the client without its secret.
func (c Client) Format(f fmt.State, _ rune) { redact(f, c.redacted()) }

// LogValue implements [slog.LogValuer] without the secret.
func (c Client) LogValue() slog.Value { return slog.StringValue(c.redacted()) }

// MarshalJSON encodes what Format prints.
func (c Client) MarshalJSON() ([]byte, error) { return json.Marshal(c.redacted()) }

func (c Client) redacted() string { return "auth.Client{" + shown.Text(c.ID) + "}" }

// Format makes every fmt verb print the key without its subject.
func (k Key) Format(f fmt.State, _ rune) { redact(f, k.redacted()) }

// LogValue implements [slog.LogValuer] without the subject.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.redacted()) }

// MarshalJSON encodes what Format prints.
func (k Key) MarshalJSON() ([]byte, error) { return json.Marshal(k.redacted()) }

func (k Key) redacted() string {
	s := "auth.Key{"
	if k.Resource != "" {
		s += "resource " + shownURL(k.Resource) + " "
	}
	s += "issuer " + shown.Text(k.Issuer)
	if k.ClientID != "" {
		s += " client " + shown.Text(k.ClientID)
	}
	if k.Subject != "" {
		s += " of a subject"
	}
	return s + "}"
}

// Format makes every fmt verb print the record without its secrets.
func (r Record) Format(f fmt.State, _ rune) { redact(f, r.redacted()) }

// LogValue implements [slog.LogValuer] without the secrets.
func (r Record) LogValue() slog.Value { return slog.StringValue(r.redacted()) }

// MarshalJSON encodes what Format prints.
func (r Record) MarshalJSON() ([]byte, error) { return json.Marshal(r.redacted()) }

func (r Record) redacted() string {
	return fmt.Sprintf("auth.Record{#%d %s %v}", r.Generation, shown.Text(r.Issuer), r.Token)
}

// Format makes every fmt verb print the entry without its subject: where a verb is wrong, fmt
// asks no field how it prints.
func (e StoreEntry) Format(f fmt.State, _ rune) {
	redact(f, fmt.Sprintf("auth.StoreEntry{%v #%d token %v refresh token %v scopes %s}", e.Key, e.Generation, e.HasToken, e.HasRefreshToken, shown.Words(e.Scopes)))
}

// Format makes every fmt verb print the request without its credentials.
func (r ClientAuthRequest) Format(f fmt.State, _ rune) { redact(f, r.redacted()) }

// LogValue implements [slog.LogValuer] without the credentials.
func (r ClientAuthRequest) LogValue() slog.Value { return slog.StringValue(r.redacted()) }

// MarshalJSON encodes what Format prints.
func (r ClientAuthRequest) MarshalJSON() ([]byte, error) { return json.Marshal(r.redacted()) }

func (r ClientAuthRequest) redacted() string {
	return "auth.ClientAuthRequest{" + shown.Text(r.ClientID) + " at " + shownURL(r.Endpoint) + "}"
}

// Format makes every fmt verb print how many parameters there are: a value may be a key.
func (r Requests) Format(f fmt.State, _ rune) { redact(f, r.redacted()) }

// LogValue implements [slog.LogValuer] without the parameters.
func (r Requests) LogValue() slog.Value { return slog.StringValue(r.redacted()) }

// MarshalJSON encodes what Format prints.
func (r Requests) MarshalJSON() ([]byte, error) { return json.Marshal(r.redacted()) }

func (r Requests) redacted() string {
	return fmt.Sprintf("auth.Requests{parameters of authorization %d, token %d, device %d}", len(r.Authorization), len(r.Token), len(r.Device))
}

// Format makes every fmt verb print what the proof is for, without the token.
func (p Proof) Format(f fmt.State, _ rune) { redact(f, p.redacted()) }

// LogValue implements [slog.LogValuer] without the token.
func (p Proof) LogValue() slog.Value { return slog.StringValue(p.redacted()) }

// MarshalJSON encodes what Format prints.
func (p Proof) MarshalJSON() ([]byte, error) { return json.Marshal(p.redacted()) }

func (p Proof) redacted() string {
	return "auth.Proof{" + shown.Text(p.Method) + " " + shownURL(p.URL) + "}"
}
