package storeflag_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/mcptokens/mcptokens/internal/storeflag"
)

func TestOpen(t *testing.T) {
	for name, want := range map[string]bool{
		"": false, "file:" + filepath.Join(t.TempDir(), "tokens"): true, "keyring": true, "redis://127.0.0.1:1/0": true,
	} {
		store, release, err := storeflag.Open(name, "test")
		if err != nil {
			t.Errorf("%q: %v", name, err)
			continue
		}
		if (store != nil) != want {
			t.Errorf("%q: store %v", name, store)
		}
		release()
	}
}

func TestOpenErrors(t *testing.T) {
	for name, want := range map[string]string{"nonsense:x": "nonsense", "redis://%zz:secret": "redis://localhost", "keyring:x": "keyring"} {
		_, _, err := storeflag.Open(name, "test")
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", name, err)
		}
	}
}
