package authtest

import (
	"encoding/json"
	"net/http"
	"slices"
)

const (
	wellKnownOAuth    = "/.well-known/oauth-authorization-server" // RFC 8414 section 3
	wellKnownOIDC     = "/.well-known/openid-configuration"       // OpenID Connect Discovery 1.0 section 4
	wellKnownResource = "/.well-known/oauth-protected-resource"   // RFC 9728 section 3
)

// serveMetadata serves the same document at all the well-known URLs that an MCP client tries.
func (s *Server) serveMetadata(w http.ResponseWriter, r *http.Request) {
	if !allow(w, r, http.MethodGet) {
		return
	}
	doc := map[string]any{
		"issuer":                                     s.name(),
		"authorization_endpoint":                     s.Endpoint(AuthorizeEndpoint),
		"token_endpoint":                             s.Endpoint(TokenEndpoint),
		"revocation_endpoint":                        s.Endpoint(RevocationEndpoint),
		"introspection_endpoint":                     s.Endpoint(IntrospectionEndpoint),
		"device_authorization_endpoint":              s.Endpoint(DeviceEndpoint),
		"response_types_supported":                   []string{"code"},
		"grant_types_supported":                      grantTypes,
		"code_challenge_methods_supported":           []string{"S256"},
		"token_endpoint_auth_methods_supported":      s.cfg.TokenEndpointAuthMethods,
		"revocation_endpoint_auth_methods_supported": s.cfg.TokenEndpointAuthMethods,
	}
	if slices.Contains(s.cfg.TokenEndpointAuthMethods, privateKeyJWT) { // RFC 8414 section 2 wants the algorithms then
		doc["token_endpoint_auth_signing_alg_values_supported"] = keyAlgs
	}
	if s.cfg.PAR {
		doc["pushed_authorization_request_endpoint"] = s.Endpoint(PAREndpoint)
	}
	if s.cfg.RequirePAR {
		doc["require_pushed_authorization_requests"] = true
	}
	if !s.cfg.NoRegistration {
		doc["registration_endpoint"] = s.Endpoint(RegistrationEndpoint)
	}
	if !s.cfg.NoIssParameter {
		doc["authorization_response_iss_parameter_supported"] = true
	}
	if s.cfg.ClientIDMetadata {
		doc["client_id_metadata_document_supported"] = true
	}
	if len(s.cfg.ScopesSupported) > 0 {
		doc["scopes_supported"] = s.cfg.ScopesSupported
	}
	if s.cfg.Metadata != nil {
		s.cfg.Metadata(doc)
	}
	writeJSON(w, http.StatusOK, doc)
}

// allow answers 405 unless the request's method is one of methods.
func allow(w http.ResponseWriter, r *http.Request, methods ...string) bool {
	for _, m := range methods {
		if r.Method == m {
			return true
		}
		w.Header().Add("Allow", m)
	}
	http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
	return false
}

// writeJSON writes a JSON answer that no cache may keep (RFC 6749 section 5.1).
func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client may have left
}

// oauthError is an error response of RFC 6749 section 5.2, with the status it is sent with.
type oauthError struct {
	status int
	code   string
	reason string // error_description: for the person who debugs a client
}

func (e *oauthError) write(w http.ResponseWriter) {
	doc := map[string]string{"error": e.code}
	if e.reason != "" {
		doc["error_description"] = e.reason
	}
	writeJSON(w, e.status, doc)
}

func badRequest(code, reason string) *oauthError {
	return &oauthError{status: http.StatusBadRequest, code: code, reason: reason}
}
