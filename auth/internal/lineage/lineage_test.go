package lineage_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/mcptokens/mcptokens/auth/internal/lineage"
)

func TestList(t *testing.T) {
	var l lineage.List
	if l.Has("") || l.Has("a") || l.With("") != "" {
		t.Error("nothing has something")
	}
	for i := range 20 {
		next := l.With(fmt.Sprint("token-", i))
		if again := next.With(fmt.Sprint("token-", i)); again != next {
			t.Error("a token is in it twice")
		}
		l = next
	}
	for i := range 20 {
		if got, want := l.Has(fmt.Sprint("token-", i)), i >= 12; got != want {
			t.Errorf("token-%d: %v", i, got)
		}
	}
	if len(l) != 64 || strings.Contains(string(l), "token") {
		t.Errorf("%q", l)
	}
	if lineage.List("short").Has("a") {
		t.Error("garbage has something")
	}
}
