package storeflag_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/mcptokens/mcptokens/internal/storeflag"
)

func TestOpen(t *testing.T) {
	for name, want := range map[string]bool{
		"": false, "file:" + filepath.Join(t.TempDir(), "tokens"): true, "keyring": true,
	} {
		store, err := storeflag.Open(name, "test")
		if err != nil {
			t.Errorf("%q: %v", name, err)
			continue
		}
		if (store != nil) != want {
			t.Errorf("%q: store %v", name, store)
		}
	}
}

func TestOpenErrors(t *testing.T) {
	for name, want := range map[string]string{"nonsense:x": "nonsense", "redis://%zz:secret": "redis", "file:": "OpenFor", "keyring:x": "keyring"} {
		_, err := storeflag.Open(name, "test")
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", name, err)
		}
	}
}
