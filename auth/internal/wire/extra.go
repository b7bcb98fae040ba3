package wire

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"unicode/utf8"
)

// MaxExtra is how many bytes the names and values of [TokenAnswer].Extra may have
// together.
const MaxExtra = 16 << 10

// maxExtras is how many members it may have.
const maxExtras = 64

// understood reports whether a member is read, or is about a failure.
func understood(name []byte) bool {
	switch string(name) {
	case "expires", "error_description", "error_uri":
		return true
	}
	return slices.ContainsFunc(tokenMembers, func(known string) bool { return string(name) == known })
}

// extra returns the members of a token answer that nothing here reads: id_token
// first, the others in their order, while there is room; nil if there are none.
// They are copies. Of several with one name the last counts.
func extra(o Object) map[string]json.RawMessage {
	var kept extras
	if id := o.Raw("id_token"); id != nil {
		kept.add("id_token", id)
	}
	for _, m := range o.members {
		if string(m.name) != "id_token" && !understood(m.name) {
			kept.add(string(m.name), m.value)
		}
	}
	return kept.members
}

// MergeExtra returns what now has, and what only old has while there is room. It
// changes neither.
func MergeExtra(now, old map[string]json.RawMessage) map[string]json.RawMessage {
	switch {
	case len(now) == 0:
		return old
	case len(old) == 0:
		return now
	}
	merged := extras{members: maps.Clone(now)}
	for name, value := range now {
		merged.size += len(name) + len(value)
	}
	for _, name := range slices.Sorted(maps.Keys(old)) {
		if _, has := now[name]; !has {
			merged.add(name, old[name])
		}
	}
	return merged.members
}

type extras struct {
	members map[string]json.RawMessage
	size    int
}

// add adds a copy of a member if it is text and there is room. null is none.
func (e *extras) add(name string, value json.RawMessage) {
	if before, has := e.members[name]; has {
		e.size -= len(name) + len(before)
		delete(e.members, name)
	}
	size := len(name) + len(value)
	if e.size+size > MaxExtra || len(e.members) == maxExtras || string(value) == "null" || !utf8.ValidString(name) || !utf8.Valid(value) {
		return
	}
	if e.members == nil {
		e.members = make(map[string]json.RawMessage)
	}
	e.members[name] = bytes.Clone(value)
	e.size += size
}
