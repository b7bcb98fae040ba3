package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
)

// What an [Error] can be, for errors.Is.
var (
	// ErrPage: the answer is a web page, usually of a proxy or a server's
	// maintenance mode.
	ErrPage = errors.New("a page instead of JSON")
	// ErrNotObject: the answer is neither a JSON object nor, where that is
	// allowed, a form.
	ErrNotObject = errors.New("not a JSON object")
	// ErrAmbiguous: a member that decides something is there twice, or under a
	// name that differs only in case. Two readers could understand it
	// differently.
	ErrAmbiguous = errors.New("a member that decides something is ambiguous")
	// ErrMember: a member is missing or cannot be read.
	ErrMember = errors.New("a member cannot be used")
)

// Error says why an answer, or a member of it, cannot be used. It repeats
// nothing that the server sent.
type Error struct {
	Member  string // the member's proper name; empty: the whole answer
	Problem string // what is wrong with it
	Is      error  // one of the sentinels of this package
}

// Error returns the member and the problem.
func (e *Error) Error() string {
	if e.Member == "" {
		return e.Problem
	}
	return e.Member + " " + e.Problem
}

// Unwrap returns Is.
func (e *Error) Unwrap() error { return e.Is }

func whole(is error) *Error { return &Error{Problem: is.Error(), Is: is} }

func unusable(member, problem string) *Error {
	return &Error{Member: member, Problem: problem, Is: ErrMember}
}

// Object is a JSON object that was read leniently. Its accessors take a member
// by its exact name and make of it what the caller needs. The zero value is an
// object without members.
type Object struct {
	members []member
}

// member is one of an object. Its name and its value are parts of the body.
type member struct {
	name  []byte // without escapes
	value json.RawMessage
}

// ReadObject reads a JSON object. A byte order mark and white space may stand
// in front of it. deciding are the members that decide something for the
// caller: each may be there once, and no other member may have its name in
// another case. Of other members the last one counts.
//
// The error is an *[Error]: [ErrPage], [ErrNotObject] or [ErrAmbiguous].
func ReadObject(body []byte, deciding ...string) (Object, error) {
	body = trim(body)
	switch {
	case isPage(body):
		return Object{}, whole(ErrPage)
	case !json.Valid(body) || body[0] != '{':
		return Object{}, whole(ErrNotObject)
	}
	o := Object{members: make([]member, 0, 8)}
	for rest := body[1:]; ; {
		rest = bytes.TrimLeft(rest, " \t\r\n,")
		if rest[0] == '}' {
			return o, nil
		}
		end := valueEnd(rest)
		name := rest[1 : end-1]
		if bytes.IndexByte(name, '\\') >= 0 {
			s, _ := text(json.RawMessage(rest[:end]))
			name = []byte(s)
		}
		rest = bytes.TrimLeft(rest[end:], " \t\r\n:")
		end = valueEnd(rest)
		if err := o.add(name, json.RawMessage(rest[:end:end]), deciding); err != nil {
			return Object{}, err
		}
		rest = rest[end:]
	}
}

// valueEnd returns where the first value in a part of valid JSON ends. The
// decoder of encoding/json would copy each value, and allocate for each token.
func valueEnd(s []byte) int {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"':
			for i++; s[i] != '"'; i++ {
				if s[i] == '\\' {
					i++
				}
			}
		case '{', '[':
			depth++
			continue
		case '}', ']':
			if depth--; depth < 0 {
				return i // a number, true, false or null stood last
			}
		case ',', ':', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return i
			}
			continue
		default:
			continue
		}
		if depth == 0 {
			return i + 1
		}
	}
	return len(s)
}

// readForm reads what a form says (application/x-www-form-urlencoded), pair by
// pair: a pair that cannot be decoded is left out. All values are strings.
func readForm(body []byte, deciding ...string) (Object, error) {
	var o Object
	for pair := range strings.SplitSeq(string(trim(body)), "&") {
		name, value, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(name)
		if err != nil || name == "" {
			continue
		}
		value, err = url.QueryUnescape(value)
		if err != nil {
			continue
		}
		raw, err := json.Marshal(value)
		if err != nil {
			continue
		}
		if err := o.add([]byte(name), raw, deciding); err != nil {
			return Object{}, err
		}
	}
	return o, nil
}

// readAnswer reads what a token endpoint says: JSON, or a form that has one of
// the members that make it an answer.
func readAnswer(contentType string, body []byte, deciding ...string) (Object, error) {
	body = trim(body)
	switch {
	case len(body) > 0 && (body[0] == '{' || body[0] == '['), isPage(body):
		return ReadObject(body, deciding...)
	case strings.Contains(strings.ToLower(contentType), "html"):
		return Object{}, whole(ErrPage)
	case bytes.ContainsAny(body, "<>\n"): // a text, not a form
		return Object{}, whole(ErrNotObject)
	}
	o, err := readForm(body, deciding...)
	if err == nil && !o.Has("access_token") && !o.Has("error") {
		return Object{}, whole(ErrNotObject)
	}
	return o, err
}

// add adds a member, if it is not ambiguous.
func (o *Object) add(name []byte, value json.RawMessage, deciding []string) error {
	for _, d := range deciding {
		switch {
		case string(name) == d:
			if o.last(d) >= 0 {
				return &Error{Member: d, Problem: "is there more than once", Is: ErrAmbiguous}
			}
		case bytes.EqualFold([]byte(d), name):
			return &Error{Member: d, Problem: "is there under a name in another case", Is: ErrAmbiguous}
		}
	}
	o.members = append(o.members, member{name, value})
	return nil
}

// last is where the member is that counts; -1 if there is none. It is not inlined: each
// member of a document is looked for.
//
//go:noinline
func (o Object) last(name string) int {
	for i := len(o.members) - 1; i >= 0; i-- {
		if string(o.members[i].name) == name {
			return i
		}
	}
	return -1
}

// trim removes a byte order mark and the white space around a body.
func trim(body []byte) []byte {
	body = bytes.TrimPrefix(bytes.TrimSpace(body), []byte("\xef\xbb\xbf"))
	return bytes.TrimSpace(body)
}

// isPage reports whether a trimmed body is HTML or XML.
func isPage(body []byte) bool { return len(body) > 0 && body[0] == '<' }

// IsPage reports whether an answer's body is a page rather than an answer of
// the server itself.
func IsPage(body []byte) bool { return isPage(trim(body)) }
