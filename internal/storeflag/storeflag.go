// Package storeflag opens the token store that a command line names, for the
// examples.
package storeflag

import (
	"fmt"
	"strings"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/store/filestore"
	"github.com/mcptokens/mcptokens/auth/store/keyringstore"
)

// Open opens what name says: file, the directory of program, file:DIR, or keyring,
// under the name of program. An empty name is the default store, memory.
func Open(name, program string) (auth.Store, error) {
	kind, dir, _ := strings.Cut(name, ":")
	switch {
	case name == "":
		return nil, nil
	case name == "file":
		return opened(filestore.OpenFor(program))
	case kind == "file":
		return opened(filestore.Open(dir))
	case name == "keyring":
		return opened(keyringstore.Open(program))
	}
	return nil, fmt.Errorf("-store must be file, file:DIR or keyring, not %q", kind)
}

// opened keeps a nil pointer out of the interface.
func opened[S auth.Store](s S, err error) (auth.Store, error) {
	if err != nil {
		return nil, err
	}
	return s, nil
}
