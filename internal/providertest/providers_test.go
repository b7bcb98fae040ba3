package providertest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/browser"
	"github.com/mcptokens/mcptokens/auth/grant"
	"github.com/mcptokens/mcptokens/mcpgo"
)

// The settings that docs/providers.md has for a provider work with a server that
// behaves as the provider does. What cannot work is in the table, and the
// section says why.
func TestProviders(t *testing.T) {
	t.Setenv("CLIENT_SECRET", "secret")
	var rows strings.Builder
	rows.WriteString("\n| | " + strings.Join(steps, " | ") + " |\n|---|" + strings.Repeat("---|", len(steps)) + "\n")
	for _, s := range sections(t) {
		i := slices.IndexFunc(authtest.Profiles(), func(p authtest.Profile) bool { return p.Name == s.name })
		if i < 0 {
			continue // see TestBlocks
		}
		saw := map[string]string{}
		if !t.Run(s.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { drive(t, authtest.Profiles()[i], configOf[s.name](), saw) })
		}) {
			continue
		}
		rows.WriteString("| " + s.name + " |")
		for _, step := range steps {
			rows.WriteString(" " + saw[step] + " |")
			if !usual[saw[step]] && !strings.Contains(s.text, "- **"+step+"**:") {
				t.Errorf("docs/providers.md: %s: %s is %q, and the section does not say why (- **%s**: …)", s.name, step, saw[step], step)
			}
			if usual[saw[step]] && strings.Contains(s.text, "- **"+step+"**:") {
				t.Errorf("docs/providers.md: %s: the section explains %s, which is %q", s.name, step, saw[step])
			}
		}
		rows.WriteString("\n")
	}
	rows.WriteString("\n")
	if !t.Failed() {
		writeTable(t, rows.String())
	}
}

var steps = []string{"login", "expiry", "restart", "step-up", "refused", "logout"}

// usual are the outcomes that need no explanation.
var usual = map[string]bool{
	"registered by you": true, "registers itself": true,
	"refresh, new refresh token": true, "refresh, same refresh token": true,
	"no request": true, "login": true, "one login": true, "revoked": true,
}

// user is one who has a program with a store.
type user struct {
	t       *testing.T
	srv     *authtest.Server
	cfg     auth.Config
	manager *auth.Manager
	client  *client.Client
}

// requests are those that a step cost.
type requests struct{ logins, refreshes, registrations, metadata int }

func drive(t *testing.T, p authtest.Profile, cfg auth.Config, saw map[string]string) {
	u := newUser(t, p, cfg)
	srv := u.srv
	defer u.stop()
	life := cmp.Or(p.Server.AccessTokenTTL, time.Hour)
	if p.Server.NoExpiresIn {
		life = 24 * time.Hour
	}

	cost, err := u.call("read")
	u.must("login", err)
	if cost.logins != 1 {
		t.Fatalf("login: %+v, want one", cost)
	}
	if saw["login"] = "registered by you"; cost.registrations > 0 {
		saw["login"] = "registers itself"
	}
	if cost, err = u.call("read"); err != nil || cost != (requests{}) {
		t.Fatalf("a second call: %+v, %v, want no request", cost, err)
	}

	before, sent := srv.Counts(), len(srv.RefreshTokenUses())
	time.Sleep(life + time.Minute)
	cost, err = u.call("read")
	u.must("expiry", err)
	switch after := srv.Counts(); {
	case cost.logins > 0:
		saw["expiry"] = "login"
	case after.Refreshes == before.Refreshes:
		saw["expiry"] = "no expiry"
	case len(srv.RefreshTokenUses()) > sent:
		saw["expiry"] = "refresh, new refresh token"
	default:
		saw["expiry"] = "refresh, same refresh token"
	}

	u.stop()
	u.start()
	cost, err = u.call("read")
	u.must("restart", err)
	saw["restart"] = outcome(cost, nil)
	u.stop()
	time.Sleep(life + time.Minute) // it starts with a token that has expired
	u.start()
	cost, err = u.call("read")
	u.must("restart after expiry", err)
	if cost.logins > 0 || cost.metadata > 1 { // the document says how a secret is sent
		t.Errorf("restart after expiry: %+v, want no login", cost)
	}

	cost, err = u.call("write")
	if saw["step-up"] = outcome(cost, err); cost == (requests{}) && err == nil {
		saw["step-up"] = "no scopes"
	}
	if _, err := u.call("read"); err != nil {
		t.Errorf("after the step-up: %v", err)
	}

	time.Sleep(life + time.Hour)
	srv.RevokeAll()
	cost, err = u.call("read")
	u.must("refused", err)
	if saw["refused"] = outcome(cost, nil); cost.logins == 1 {
		saw["refused"] = "one login"
	}

	token, err := u.manager.Token(t.Context())
	u.must("token", err)
	err = u.manager.Revoke(t.Context())
	info, _ := srv.Inspect(token.AccessToken)
	switch {
	case errors.Is(err, auth.ErrNoRevocation):
		saw["logout"] = "forgotten here only"
	case err != nil:
		t.Errorf("logout: %v", err)
	case info.Active:
		t.Error("logout: the token is as good as before")
	default:
		saw["logout"] = "revoked"
	}
	if u.info().State != auth.StateNone {
		t.Errorf("after the logout: %+v", u.info())
	}
}

// newUser starts the servers of a profile and a program with these settings.
func newUser(t *testing.T, p authtest.Profile, cfg auth.Config) *user {
	t.Helper()
	p.Server.InMemory = true
	srv, res := authtest.NewProfile(t, p, newServer())
	if cfg.Resource != res.URL {
		t.Fatalf("Resource is %s, the profile's is %s", cfg.Resource, res.URL)
	}
	cfg.Store = new(auth.MemoryStore)
	cfg.HTTPClient = srv.Client()
	cfg.Network.AnyAddress = true
	cfg.NoIdleRefresh = true
	cfg.Grant = withoutBrowser(t, cfg.Grant, srv.Client())
	u := &user{t: t, srv: srv, cfg: cfg}
	u.start()
	return u
}

// outcome says what a step was.
func outcome(cost requests, err error) string {
	var (
		insufficient *auth.InsufficientScopeError
		refused      *auth.AuthorizationError
	)
	switch {
	case errors.As(err, &refused):
		return "`*auth.AuthorizationError`, " + refused.Code
	case errors.As(err, &insufficient):
		return "`*auth.InsufficientScopeError`"
	case err != nil:
		return "error: " + err.Error()
	case cost.logins > 1:
		return fmt.Sprintf("%d logins", cost.logins)
	case cost.logins == 1:
		return "login"
	case cost.refreshes > 0:
		return "refresh"
	}
	return "no request"
}

func (u *user) start() {
	u.t.Helper()
	var err error
	u.manager, err = auth.NewManager(u.cfg)
	u.must("NewManager", err)
	u.client, err = client.NewStreamableHttpClient(u.cfg.Resource, mcpgo.WithAuth(u.manager, mcpgo.WithBaseClient(u.srv.Client())))
	u.must("NewStreamableHttpClient", err)
	u.must("Start", u.client.Start(u.t.Context()))
}

func (u *user) stop() {
	_ = u.client.Close()
	_ = u.manager.Close()
}

func (u *user) must(step string, err error) {
	u.t.Helper()
	if err != nil {
		u.t.Fatalf("%s: %v", step, err)
	}
}

func (u *user) info() auth.Info { return u.manager.Info() }

// call calls a tool and says what it cost at the authorization server.
func (u *user) call(tool string) (requests, error) {
	before := u.srv.Counts()
	err := u.callTool(tool)
	after := u.srv.Counts()
	grants := func(c authtest.Counts) int { return c.TokenByGrant["authorization_code"] }
	return requests{
		grants(after) - grants(before), after.Refreshes - before.Refreshes, after.Register - before.Register,
		after.Metadata - before.Metadata,
	}, err
}

func (u *user) callTool(tool string) error {
	if !u.client.IsInitialized() {
		if _, err := u.client.Initialize(u.t.Context(), mcp.InitializeRequest{}); err != nil {
			return err
		}
	}
	var request mcp.CallToolRequest
	request.Params.Name = tool
	result, err := u.client.CallTool(u.t.Context(), request)
	if err == nil && result.IsError {
		err = errors.New("the tool failed")
	}
	return err
}

// withoutBrowser replaces the user's browser by one that asks nobody, at the
// redirect URI that the settings lead to.
func withoutBrowser(t *testing.T, g auth.Grant, c *http.Client) auth.Grant {
	t.Helper()
	code, ok := g.(grant.AuthorizationCode)
	if !ok {
		t.Fatalf("the grant is a %T", g)
	}
	agent := browser.Headless{Client: c}
	switch loopback := code.UserAgent.(type) {
	case nil:
	case browser.Loopback:
		agent.RedirectURI = fmt.Sprintf("http://%s:%d/callback", cmp.Or(loopback.Host, "127.0.0.1"), cmp.Or(loopback.Port, 49876))
	default:
		t.Fatalf("the user agent is a %T", loopback)
	}
	return grant.AuthorizationCode{UserAgent: agent}
}

// newServer is an MCP server with the tools "read" and "write".
func newServer() http.Handler {
	s := server.NewMCPServer("notes", "1")
	for _, name := range []string{"read", "write"} {
		s.AddTool(mcp.NewTool(name), func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			return mcp.NewToolResultText(name), nil
		})
	}
	return server.NewStreamableHTTPServer(s, server.WithStateLess(true))
}
