package auth

import (
	"context"
	"reflect"
	"strconv"
)

// of returns ctx with the values of the call that started the
// operation, but neither its deadline nor its end [invariant 2]: a grant finds in
// them whom the call is for, such as a subject token. What ctx has itself, such
// as the operation's own span, comes first.
//
// Other calls may join the operation, and their values are not asked: a manager
// has one subject, so they are that subject's too.
func (c *callersValues) of(ctx, caller context.Context) context.Context {
	if c.Context = ctx; caller != context.Background() { // a timer's
		c.caller = caller.Value
	}
	return c
}

// callersValues is part of an operation. It is used once.
type callersValues struct {
	context.Context
	caller  func(key any) any // nil: there are none
	trouble trouble
}

// Value implements [context.Context].
func (c *callersValues) Value(key any) any {
	if key == (troubleKey{}) {
		return &c.trouble
	}
	if v := c.Context.Value(key); v != nil {
		return v
	}
	if c.caller == nil || key == (guardedKey{}) || watchesConnections(key) {
		return nil
	}
	return c.caller(key)
}

// watchesConnections reports whether a value belongs to net/http/httptrace or its
// counterpart in package net. The caller's hooks are for the caller's own request,
// and must not be called when that is over.
func watchesConnections(key any) bool {
	t := reflect.TypeOf(key)
	if t == nil {
		return false
	}
	path := t.PkgPath()
	return path == "net/http/httptrace" || path == "internal/nettrace"
}

// quoted is a URL that a server chose, for an error: without its query and
// without characters that terminals obey, and bounded.
func quoted(url string) string {
	url = shownURL(url)
	if len(url) > maxShown {
		url = url[:maxShown] + "..."
	}
	return strconv.QuoteToASCII(url)
}

const maxShown = 300
