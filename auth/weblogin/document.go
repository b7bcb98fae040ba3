package weblogin

import (
	"net/http"
	"net/url"
	"path"
	"strings"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/registration"
)

// Document returns a handler for the client's metadata document
// (draft-ietf-oauth-client-id-metadata-document), which it serves at the path of
// cfg.ClientMetadataURL, and for its public keys, at "jwks.json" beside that. Mount
// it at both, or at the directory of them. The document says what cfg does: the
// redirect URI of these logins, cfg.Registration, and how cfg.ClientMetadataAuth
// authenticates, whose method JWKS() ([]byte, error) has the keys, as that of
// clientauth.PrivateKeyJWT. Make the handler again when cfg changes.
//
// The error is an *[auth.ConfigError] that names what a server would refuse.
func (l *Logins) Document(cfg *auth.Config) (http.Handler, error) {
	at, err := url.Parse(cfg.ClientMetadataURL)
	if err != nil || cfg.ClientMetadataURL == "" {
		return nil, &auth.ConfigError{Field: "Config.ClientMetadataURL", Problem: "is empty or no URL; set the https URL that the document is served at"}
	}
	keysAt := *at
	keysAt.Path = path.Join(path.Dir(at.Path), "jwks.json")
	meta := cfg.Registration
	meta.RedirectURIs = []string{l.RedirectURI()}
	if meta.ClientName == "" {
		meta.ClientName = "MCP client (Go)" // as Config.Registration has it
	}
	var keys []byte
	if a := cfg.ClientMetadataAuth; a != nil {
		meta.TokenEndpointAuthMethod = a.Method()
		if has, ok := a.(interface{ JWKS() ([]byte, error) }); ok {
			if keys, err = has.JWKS(); err != nil {
				return nil, err
			}
			meta.JWKSURI, meta.JWKS = keysAt.String(), nil
		}
	}
	doc, err := registration.NewDocument(cfg.ClientMetadataURL, meta)
	if err != nil {
		return nil, &auth.ConfigError{Field: "Config.ClientMetadataURL", Problem: "leads to a document that servers refuse: " + strings.ReplaceAll(err.Error(), "\n", "; ")}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := doc
		switch {
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "only GET", http.StatusMethodNotAllowed)
			return
		case r.URL.Path == keysAt.Path && keys != nil:
			body = keys
		case r.URL.Path != at.Path:
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "public, max-age=300")
		_, _ = w.Write(body)
	}), nil
}
