package transport

import (
	"cmp"
	"net/http"
	"strings"

	"github.com/mcptokens/mcptokens/auth"
)

// maxNonces is how often one request is sent again because a nonce is missing: once by
// the book (RFC 9449 section 9), and some more for a nonce that runs out, or
// that others use up, on the way.
const maxNonces = 3

// isDPoP reports whether token is of use with proofs only.
func isDPoP(token *auth.Token) bool {
	return token != nil && strings.EqualFold(token.TokenType, "DPoP")
}

// prove adds the proof of possession of a token that is bound to a key (RFC
// 9449 section 7); other tokens need none.
func prove(out *http.Request, token *auth.Token) error {
	if !isDPoP(token) {
		return nil
	}
	proof, err := token.Proof(out.Context(), cmp.Or(out.Method, http.MethodGet), out.URL.String())
	if err != nil {
		return err
	}
	if proof != "" {
		out.Header.Set("DPoP", proof)
	}
	return nil
}

// observe keeps the nonce of a response to a request with token, and reports
// whether there was one.
func observe(token *auth.Token, sent *http.Request, resp *http.Response) bool {
	return isDPoP(token) && token.ObserveNonce(sent.URL.String(), resp.Header)
}

// wantsNonce reports whether the server refused a proof because its nonce is missing.
// That may stand beside a challenge for bearer tokens which says more.
func wantsNonce(token *auth.Token, resp *http.Response) bool {
	if !isDPoP(token) || resp.StatusCode != http.StatusUnauthorized {
		return false
	}
	for _, c := range auth.ParseChallenges(resp.Header.Values("WWW-Authenticate")) {
		if strings.EqualFold(c.Scheme, "DPoP") && c.Error == "use_dpop_nonce" {
			return true
		}
	}
	return false
}
