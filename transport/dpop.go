package transport

import (
	"net/http"

	"github.com/mcptokens/mcptokens/auth"
)

// prove adds the proof of possession of a token that is bound to a key (RFC
// 9449 section 7); other tokens need none.
func prove(out *http.Request, token *auth.Token) error {
	if token == nil || token.TokenType != "DPoP" {
		return nil
	}
	proof, err := token.Proof(out.Context(), out.Method, out.URL.String())
	if err != nil {
		return err
	}
	out.Header.Set("DPoP", proof)
	return nil
}

// wantsNonce reports whether the server refused the proof for want of a nonce,
// and now gave a new one.
func wantsNonce(c auth.Challenge, token *auth.Token, sent *http.Request, resp *http.Response) bool {
	return c.Error == "use_dpop_nonce" && token != nil && token.ObserveNonce(sent.URL.String(), resp.Header)
}
