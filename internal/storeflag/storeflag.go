// Package storeflag opens the token store that a command line names, for the
// examples.
package storeflag

import (
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/store/filestore"
	"github.com/mcptokens/mcptokens/auth/store/keyringstore"
	"github.com/mcptokens/mcptokens/auth/store/redisstore"
)

// Open opens what name says: file, file:DIR, keyring, under the name of service,
// or a redis:// URL. close releases it. An empty name is the default store,
// memory.
func Open(name, service string) (store auth.Store, close func(), err error) {
	nothing := func() {}
	kind, rest, _ := strings.Cut(name, ":")
	switch {
	case name == "":
		return nil, nothing, nil
	case kind == "file":
		s, err := filestore.Open(rest)
		if err != nil {
			return nil, nil, err
		}
		return s, nothing, nil
	case name == "keyring":
		s, err := keyringstore.Open(service)
		if err != nil {
			return nil, nil, err
		}
		return s, nothing, nil
	case kind == "redis", kind == "rediss":
		o, err := redis.ParseURL(name)
		if err != nil {
			return nil, nil, errors.New("-store is not a Redis URL such as redis://localhost:6379/0")
		}
		client := redis.NewClient(o)
		s := redisstore.New(client)
		return s, func() { _ = s.Close(); _ = client.Close() }, nil
	}
	return nil, nil, fmt.Errorf("-store must be file, file:DIR, keyring or redis://…, not %q", kind)
}
