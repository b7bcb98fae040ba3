//go:build realservers

package realservers

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Hydra is Ory Hydra with an MCP server that asks it about every token. Its data
// are in memory. It has no pages: a login and consent app says yes to everything,
// by redirects.
//
// A client of Hydra's gets the scopes of its registration and no others, and one
// that it does not know is sent to an error page by redirect.
type Hydra struct {
	// URL is the MCP server's: see [MCPTools].
	URL string
	// Issuer is the issuer identifier.
	Issuer string

	t      testing.TB
	admin  string
	config string // file
	client *http.Client
	stop   func()
}

// StartHydra starts Hydra, its app and the MCP server, and returns when they
// answer.
func StartHydra(t testing.TB) *Hydra {
	t.Helper()
	public, admin := FreePort(t), FreePort(t)
	h := &Hydra{
		Issuer: "http://127.0.0.1:" + public, t: t, client: newClient(t),
		admin: "http://127.0.0.1:" + admin + "/admin", config: filepath.Join(t.TempDir(), "hydra.json"),
	}
	app := httptest.NewServer(h.app())
	t.Cleanup(app.Close)
	config, err := json.Marshal(object{
		"dsn":     "memory",
		"log":     object{"level": "warn"},
		"secrets": object{"system": []string{"only in this test's memory"}},
		"serve": object{
			"public": object{"host": "127.0.0.1", "port": json.Number(public)},
			"admin":  object{"host": "127.0.0.1", "port": json.Number(admin)},
		},
		"urls":      object{"self": object{"issuer": h.Issuer}, "login": app.URL + "/login", "consent": app.URL + "/consent"},
		"oidc":      object{"dynamic_client_registration": object{"enabled": true}},
		"webfinger": object{"oidc_discovery": object{"client_registration_url": h.Issuer + "/oauth2/register"}}, // advertised only if set
		"oauth2":    object{"pkce": object{"enforced_for_public_clients": true}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(h.config, config, 0o600); err != nil {
		t.Fatal(err)
	}
	h.start()
	h.URL = serveMCP(t, h.Issuer, h.introspect)
	return h
}

// start starts Hydra with no data.
func (h *Hydra) start() {
	h.t.Helper()
	cmd := exec.Command(filepath.Join(Dir(h.t), "hydra", "hydra"), "serve", "all", "--dev", "--sqa-opt-out", "--config", h.config)
	h.stop = Start(h.t, cmd, h.Issuer+"/health/ready", h.Issuer+"/.well-known/openid-configuration")
}

// Forget restarts Hydra: clients, tokens and logins are gone.
func (h *Hydra) Forget() {
	h.t.Helper()
	h.stop()
	h.start()
}

// app is the login and consent app: Hydra sends browsers there and back.
func (h *Hydra) app() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /login", func(w http.ResponseWriter, r *http.Request) {
		h.accept(w, r, "login", object{"subject": "alice"})
	})
	mux.HandleFunc("GET /consent", func(w http.ResponseWriter, r *http.Request) {
		var asked struct {
			Scopes []string `json:"requested_scope"`
		}
		if err := h.ask(http.MethodGet, "/oauth2/auth/requests/consent?"+r.URL.RawQuery, nil, &asked); err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		h.accept(w, r, "consent", object{"grant_scope": asked.Scopes})
	})
	return mux
}

// accept says yes to a request for a login or for consent.
func (h *Hydra) accept(w http.ResponseWriter, r *http.Request, step string, answer object) {
	var next struct {
		RedirectTo string `json:"redirect_to"`
	}
	if err := h.ask(http.MethodPut, "/oauth2/auth/requests/"+step+"/accept?"+r.URL.RawQuery, answer, &next); err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	http.Redirect(w, r, next.RedirectTo, http.StatusFound)
}

// Active reports whether Hydra knows a token.
func (h *Hydra) Active(token string) bool {
	h.t.Helper()
	in, err := h.introspect(token)
	if err != nil {
		h.t.Fatal(err)
	}
	return in.Active
}

func (h *Hydra) introspect(token string) (in tokenFacts, err error) {
	resp, err := h.client.PostForm(h.admin+"/oauth2/introspect", url.Values{"token": {token}})
	if err != nil {
		return in, err
	}
	defer resp.Body.Close()
	return in, json.NewDecoder(resp.Body).Decode(&in)
}

// ask sends a request to the admin API.
func (h *Hydra) ask(method, path string, body, answer any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequest(method, h.admin+path, bytes.NewReader(data))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := h.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s", method, req.URL.Path, resp.Status)
	}
	return json.NewDecoder(resp.Body).Decode(answer)
}
