package dnstest_test

import (
	"errors"
	"net"
	"slices"
	"testing"

	"github.com/mcptokens/mcptokens/internal/dnstest"
)

func TestServe(t *testing.T) {
	n := dnstest.Serve(t, map[string][]string{"a.test": {"8.8.8.8", "127.0.0.1"}})
	for _, want := range []string{"8.8.8.8", "127.0.0.1", "127.0.0.1"} {
		got, err := net.DefaultResolver.LookupHost(t.Context(), "A.test")
		if err != nil || !slices.Equal(got, []string{want}) {
			t.Errorf("LookupHost = %v, %v, want %s", got, err, want)
		}
	}
	var dns *net.DNSError
	if _, err := net.DefaultResolver.LookupHost(t.Context(), "b.test"); !errors.As(err, &dns) || !dns.IsNotFound {
		t.Errorf("LookupHost of an unknown name: %v", err)
	}
	n.Set(map[string][]string{"b.test": {"10.0.0.1"}})
	if got, err := net.DefaultResolver.LookupHost(t.Context(), "b.test"); err != nil || got[0] != "10.0.0.1" {
		t.Errorf("LookupHost = %v, %v", got, err)
	}
}
