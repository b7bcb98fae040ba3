// Package httpx holds the few HTTP rules that every request of this module to an
// authorization server obeys: how much of an answer is read, what counts as JSON, which
// URLs may be requested, which redirects are followed, and what an error may say.
//
//	u, err := httpx.CheckURL("token_endpoint", raw) // https, or http to this machine
//	resp, err := httpx.NoRedirect(client).Do(req)
//	body, err := httpx.ReadBody(resp.Body)          // at most MaxBody
//
// The answers come from servers that are not trusted yet, so nothing here puts their text
// into an error.
package httpx

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/mcptokens/mcptokens/internal/errtext"
)

// MaxBody is how much of a response body is read, in bytes (1 MiB). Real metadata documents
// and token responses stay below 100 KiB.
const MaxBody = 1 << 20

var (
	// ErrTooLarge says that a response body exceeds MaxBody.
	ErrTooLarge = errtext.New("response body is larger than 1 MiB")

	// ErrMalformed says that a document is not a JSON object, or has a member that is missing
	// or of the wrong type.
	ErrMalformed = errtext.New("malformed document")
)

// usualBody is the room for most answers, and some to see their end.
const usualBody = 2 << 10

// ReadBody reads r to its end. It returns ErrTooLarge when there is more than MaxBody, and a
// *TransportError when reading fails.
func ReadBody(r io.Reader) ([]byte, error) {
	body := bytes.NewBuffer(make([]byte, 0, usualBody))
	if _, err := body.ReadFrom(io.LimitReader(r, MaxBody+1)); err != nil {
		return nil, NewTransportError(err)
	}
	if body.Len() > MaxBody {
		return nil, ErrTooLarge
	}
	return body.Bytes(), nil
}

// IsJSON reports whether a Content-Type is application/json or has the +json suffix (RFC 6839
// section 3.1). Case and parameters do not matter.
func IsJSON(contentType string) bool {
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) {
		return false
	}
	return media == "application/json" ||
		strings.HasPrefix(media, "application/") && strings.HasSuffix(media, "+json")
}

// DecodeObject decodes a JSON object into the struct that v points to. It returns an error
// that is ErrMalformed and names the member, never its value.
//
// Names are matched exactly, and each may be there once. encoding/json alone ignores case and
// takes the last of several, so that a document with both "issuer" and "Issuer", or with two
// of either, would be read differently here and by those who check it elsewhere.
func DecodeObject(data []byte, v any) error {
	members, err := objectMembers(data)
	if err != nil {
		return err
	}
	exact, err := json.Marshal(members)
	if err != nil {
		return errtext.Errorf(ErrMalformed, "not a JSON object")
	}
	if err := json.Unmarshal(exact, v); err != nil {
		var typeErr *json.UnmarshalTypeError
		if errors.As(err, &typeErr) && typeErr.Field != "" {
			// Field is a path, with the Go names of embedded structs in it.
			name := typeErr.Field[strings.LastIndexByte(typeErr.Field, '.')+1:]
			return errtext.Errorf(ErrMalformed, "%s has the wrong JSON type", name)
		}
		return errtext.Errorf(ErrMalformed, "a member has a value that cannot be read")
	}
	return nil
}

// objectMembers returns the members of a JSON object whose names are those of OAuth members.
func objectMembers(data []byte) (map[string]json.RawMessage, error) {
	notObject := errtext.Errorf(ErrMalformed, "not a JSON object")
	if !json.Valid(data) {
		return nil, notObject
	}
	d := json.NewDecoder(bytes.NewReader(data))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, notObject
	}
	members := make(map[string]json.RawMessage)
	for d.More() {
		t, err := d.Token()
		name, ok := t.(string)
		var value json.RawMessage
		if err != nil || !ok || d.Decode(&value) != nil {
			return nil, notObject
		}
		if !isMemberName(name) {
			continue
		}
		if _, twice := members[name]; twice {
			return nil, errtext.Errorf(ErrMalformed, "a member is there more than once")
		}
		members[name] = value
	}
	return members, nil
}

// isMemberName reports whether name is spelt like every OAuth member is: lower case ASCII
// letters, digits and underscores. Only names that differ from this can be folded into one.
func isMemberName(name string) bool {
	for _, r := range name {
		if (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_' {
			return false
		}
	}
	return true
}

// ErrorCode returns code if it can be shown as it is: up to 40 lower case letters and
// underscores, like every registered OAuth error code. Otherwise it returns "": RFC 6749
// section 5.2 allows nearly any text in an error, so a server could put a token or a forged
// log line there.
func ErrorCode(code string) string {
	if len(code) > 40 {
		return ""
	}
	for _, r := range code {
		if (r < 'a' || r > 'z') && r != '_' {
			return ""
		}
	}
	return code
}

// RetryAfter returns the delay that a Retry-After header asks for, in either form of RFC 9110
// section 10.2.3, as seen at now. It returns 0 when there is none, when it makes no sense and
// when its date has passed. It does not cap, but for what a time.Duration can hold: the caller
// knows how long is too long.
func RetryAfter(h http.Header, now time.Time) time.Duration {
	value := strings.TrimSpace(h.Get("Retry-After"))
	if value == "" {
		return 0
	}
	// What does not fit is the largest number that does.
	if seconds, err := strconv.ParseUint(value, 10, 32); err == nil || errors.Is(err, strconv.ErrRange) {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}
