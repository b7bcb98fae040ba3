package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"strings"

	"github.com/mark3labs/mcp-go/mcp"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/weblogin"
)

// session is a user's name, signed: the program's own login. All replicas of a real
// gateway are given one secret key.
func session(user string) string {
	mac := hmac.New(sha256.New, []byte("of this example only"))
	mac.Write([]byte(user))
	return user + "." + hex.EncodeToString(mac.Sum(nil))
}

// signedIn is the user of a browser, or of an MCP client.
func signedIn(r *http.Request) (string, error) {
	said := r.Header.Get("X-Key")
	if c, err := r.Cookie("session"); err == nil {
		said = c.Value
	}
	if user, _, _ := strings.Cut(said, "."); user != "" && hmac.Equal([]byte(session(user)), []byte(said)) {
		return user, nil
	}
	return "", errors.New("nobody is signed in")
}

type userKey struct{}

// withUser names the user of an MCP client. A real gateway is an OAuth resource
// server, or is behind one.
func withUser(ctx context.Context, r *http.Request) context.Context {
	user, _ := signedIn(r)
	return context.WithValue(ctx, userKey{}, user)
}

func userOf(ctx context.Context) string {
	user, _ := ctx.Value(userKey{}).(string)
	return user
}

var hello = mcp.InitializeRequest{Params: mcp.InitializeParams{ProtocolVersion: mcp.LATEST_PROTOCOL_VERSION}}

// text is what a tool says.
func text(r *mcp.CallToolResult) (said string) {
	for _, part := range r.Content {
		said += mcp.GetTextFromContent(part)
	}
	return said
}

// pages are what the users of the gateway see.
func (g *gateway) pages(routes *http.ServeMux, upstreams []string) {
	web := http.NewServeMux()
	web.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		user, _ := signedIn(r)
		scopes := map[string][]string{}
		for e, err := range g.pool.Accounts(r.Context(), auth.Key{Subject: user}) {
			if err == nil && user != "" {
				scopes[e.Key.Resource] = e.Scopes
			}
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_ = page.Execute(w, map[string]any{"User": user, "Servers": upstreams, "Scopes": scopes, "Said": r.FormValue("said")})
	})
	web.HandleFunc("POST /{do}", func(w http.ResponseWriter, r *http.Request) {
		user, err := signedIn(r)
		to, upstream := "/", r.FormValue("server")
		switch do := r.PathValue("do"); {
		case do == "sign-in":
			http.SetCookie(w, &http.Cookie{Name: "session", Value: session(r.FormValue("user")), Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
			err = nil
		case err == nil && do == "log-out":
			_, err = g.pool.Logout(r.Context(), auth.Key{Subject: user, Resource: upstream})
		case err == nil:
			result, failed := g.call(weblogin.ReturnTo(r.Context(), "/"), user, upstream, do)
			var required *auth.LoginRequiredError
			if err = failed; errors.As(err, &required) {
				to, err = required.URL, nil
			} else if err == nil {
				to = "/?said=" + url.QueryEscape(text(result))
			}
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway) // errors of the library have no secrets in them
			return
		}
		http.Redirect(w, r, to, http.StatusSeeOther)
	})
	routes.Handle("/", http.NewCrossOriginProtection().Handler(web)) // forms of other sites are refused
}

//go:embed page.html
var layout string

var page = template.Must(template.New("").Parse(layout))
