package nonces

import (
	"net/http"
	"testing"
)

// A nonce is for whoever gave it: an origin, as authorization server or as
// resource (RFC 9449 sections 8 and 9).
func TestNonces(t *testing.T) {
	var n Nonces
	given := map[Verifier]string{
		At("https://as.example/token", false):      "as",
		At("https://as.example/mcp", true):         "as as a resource",
		At("https://mcp.example/mcp", true):        "mcp",
		At("https://mcp.example:8443/mcp", true):   "another port",
		At("http://mcp.example/mcp", true):         "another scheme",
		At("https://mcp.example.com/mcp", true):    "another host",
		At("https://sub.as.example/token", false):  "below as",
		At("https://as.example.evil/token", false): "as in front",
	}
	if len(given) != 8 {
		t.Errorf("of 8 verifiers %d are told apart", len(given))
	}
	for v, nonce := range given {
		if got := n.Of(v); got != "" {
			t.Errorf("%v has the nonce %q before it gave one", v, got)
		}
		if !n.Observe(v, http.Header{"Dpop-Nonce": {nonce}}) {
			t.Errorf("the nonce of %v was not seen", v)
		}
	}
	for v, nonce := range given {
		if got := n.Of(v); got != nonce {
			t.Errorf("%v has the nonce %q, want %q", v, got, nonce)
		}
		if n.Observe(v, http.Header{}) || n.Of(v) != nonce {
			t.Errorf("an answer without a nonce took that of %v", v)
		}
	}
	for _, same := range []string{"https://AS.example:443/token", "https://as.example/revoke?x=y"} {
		if got := n.Of(At(same, false)); got != "as" {
			t.Errorf("%s has the nonce %q", same, got)
		}
	}
	if !n.Observe(At("https://as.example", false), http.Header{"Dpop-Nonce": {"newer"}}) || n.Of(At("https://as.example/token", false)) != "newer" {
		t.Error("a newer nonce did not replace the old one")
	}
}
