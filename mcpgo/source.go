package mcpgo

import (
	"context"

	"github.com/mcptokens/mcptokens/auth"
)

// sourceOf returns src, or for a nil one a source that says so: the first use is
// where a program looks for errors.
func sourceOf(src auth.Source, where string) auth.Source {
	if m, ok := src.(*auth.Manager); src == nil || ok && m == nil {
		return noSource{&auth.ConfigError{Field: where, Problem: "was given a nil *auth.Manager; check the error of auth.NewManager"}}
	}
	return src
}

type noSource struct{ err error }

func (s noSource) Token(context.Context) (*auth.Token, error) { return nil, s.err }

func (s noSource) Resolve(context.Context, *auth.Token, auth.Challenge) (*auth.Token, error) {
	return nil, s.err
}
