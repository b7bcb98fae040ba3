package wire

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode/utf8"
)

// Has reports whether the member is there and not null.
func (o Object) Has(name string) bool { return o.Raw(name) != nil }

// Raw returns the member as it was sent; nil if it is absent or null.
func (o Object) Raw(name string) json.RawMessage {
	i := o.last(name)
	if i < 0 || len(o.members[i].value) == 0 || string(o.members[i].value) == "null" {
		return nil
	}
	return o.members[i].value
}

// Object returns the member if it is an object; otherwise one without members.
func (o Object) Object(name string) Object {
	inner, err := ReadObject(o.Raw(name))
	if err != nil {
		return Object{}
	}
	return inner
}

// String returns a member that is text: a string as it is, a number as it is
// written. Absent and null are "". Anything else is an *[Error].
func (o Object) String(name string) (string, error) {
	raw := o.Raw(name)
	if raw == nil {
		return "", nil
	}
	if s, ok := text(raw); ok {
		return s, nil
	}
	return "", unusable(name, "is not a string")
}

// List returns a member that is a list of texts, such as URLs; a single text
// is a list of one, and nothing is split. Absent, null and "" are nil, an empty
// list is empty. The error is an *[Error] if there is anything else in it; what
// can be read is returned all the same.
func (o Object) List(name string) ([]string, error) {
	raw := o.Raw(name)
	if raw == nil {
		return nil, nil
	}
	if s, ok := text(raw); ok {
		if s == "" {
			return nil, nil
		}
		return []string{s}, nil
	}
	var elements []json.RawMessage
	if json.Unmarshal(raw, &elements) != nil {
		return nil, unusable(name, "is not a list of strings")
	}
	list := make([]string, 0, len(elements))
	var err error
	for _, e := range elements {
		s, ok := text(e)
		switch {
		case !ok && string(e) != "null":
			err = unusable(name, "has elements that are not strings")
		case s != "":
			list = append(list, s)
		}
	}
	return list, err
}

// Words is List for members whose values have no spaces and no commas, such
// as scopes_supported and grant_types_supported: where a single text is due a
// list, it is split at both, and so is each element at spaces.
func (o Object) Words(name string) ([]string, error) {
	list, err := o.List(name)
	if list == nil {
		return nil, err
	}
	_, single := text(o.Raw(name))
	words := make([]string, 0, len(list))
	for _, s := range list {
		if single {
			s = strings.ReplaceAll(s, ",", " ")
		}
		words = append(words, strings.Fields(s)...)
	}
	return words, err
}

// Bool returns a member that says yes or no: true, 1, "true" and "1" are yes,
// in any case; false, 0, "false", "0", "", null and absence are no. Anything
// else is no and an *[Error].
func (o Object) Bool(name string) (bool, error) {
	switch strings.ToLower(strings.TrimSpace(strings.Trim(string(o.Raw(name)), `"`))) {
	case "true", "1":
		return true, nil
	case "false", "0", "":
		return false, nil
	}
	return false, unusable(name, "is neither true nor false")
}

// text returns what raw says if it is a string or a number.
func text(raw json.RawMessage) (string, bool) {
	if len(raw) == 0 {
		return "", false
	}
	switch c := raw[0]; {
	case c == '"':
		if plain := raw[1 : len(raw)-1]; bytes.IndexByte(plain, '\\') < 0 && utf8.Valid(plain) {
			return string(plain), true
		}
		var s string
		err := json.Unmarshal(raw, &s)
		return s, err == nil
	case c == '-' || c >= '0' && c <= '9':
		return string(raw), true
	}
	return "", false
}
