//go:build realservers

package realservers

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"

	"github.com/mcptokens/mcptokens/internal/dpoptest"
)

// resourceNonce is the nonce that the resource demands. It is not the
// authorization server's (RFC 9449 section 9).
const resourceNonce = "nonce-of-the-resource"

// startResource serves the protected resource and its metadata (RFC 9728).
func (p *OIDCProvider) startResource(cfg OIDCConfig) {
	mux := http.NewServeMux()
	srv := httptest.NewServer(mux)
	p.t.Cleanup(srv.Close)
	p.Resource = srv.URL + "/mcp"
	metadata := srv.URL + "/.well-known/oauth-protected-resource/mcp"
	mux.HandleFunc("GET /.well-known/oauth-protected-resource/mcp", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, map[string]any{
			"resource": p.Resource, "authorization_servers": []string{p.Issuer}, "scopes_supported": []string{"mcp:read"},
		})
	})
	protect := func(scopes ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			challenge := func(status int, params string) {
				scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
				if scheme != "DPoP" {
					scheme = "Bearer"
				}
				w.Header().Set("WWW-Authenticate", scheme+` resource_metadata="`+metadata+`", scope="`+strings.Join(scopes, " ")+`"`+params)
				w.WriteHeader(status)
			}
			scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
			if token == "" {
				challenge(http.StatusUnauthorized, "")
				return
			}
			in, err := p.introspect(token)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadGateway)
				return
			}
			if !in.Active || in.Audience != p.Resource || scheme != in.TokenType {
				challenge(http.StatusUnauthorized, `, error="invalid_token"`)
				return
			}
			if scheme == "DPoP" {
				if code := checkProof(r, token, in, cfg.RequireNonce); code != "" {
					w.Header().Set("DPoP-Nonce", resourceNonce)
					challenge(http.StatusUnauthorized, `, error="`+code+`"`)
					return
				}
			}
			for _, scope := range scopes {
				if !slices.Contains(strings.Fields(in.Scope), scope) {
					challenge(http.StatusForbidden, `, error="insufficient_scope"`)
					return
				}
			}
			writeJSON(w, in)
		}
	}
	mux.HandleFunc("GET /mcp", protect("mcp:read"))
	mux.HandleFunc("GET /mcp/write", protect("mcp:read", "mcp:write"))
}

// checkProof verifies the proof that comes with a bound token (RFC 9449 section
// 4.3) and returns the error code of what is wrong.
func checkProof(r *http.Request, token string, in Introspection, requireNonce bool) string {
	proof, err := dpoptest.Parse(r.Header.Get("DPoP"))
	switch {
	case err != nil,
		proof.Claim("htm") != r.Method,
		proof.Claim("htu") != "http://"+r.Host+r.URL.Path,
		proof.Claim("ath") != dpoptest.Hash(token):
		return "invalid_dpop_proof"
	case proof.Thumbprint != in.Confirm.JKT:
		return "invalid_token"
	case requireNonce && proof.Claim("nonce") != resourceNonce:
		return "use_dpop_nonce"
	}
	return ""
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}
