package mcpgo_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mark3labs/mcp-go/client"
	mcptransport "github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/grant"
	"github.com/mcptokens/mcptokens/mcpgo"
)

// Exchanges that other projects have reported, through mcp-go and [mcpgo.WithAuth],
// in fake time. Those that need no mcp-go are in package transport.

// renewals are how a client gets its next token.
var renewals = []struct {
	name    string
	logins  int // that a client needs to begin with
	service bool
	refresh bool
}{
	{"refresh token", 1, false, true},
	{"no refresh token", 1, false, false},
	{"client credentials", 0, true, false},
}

// overRenewals runs a test in fake time for each of them, with a client of an
// older protocol version, which has sessions, a GET stream and DELETE.
func overRenewals(t *testing.T, name string, cfg authtest.Config, test func(t *testing.T, d *dialogue)) {
	t.Helper()
	for _, r := range renewals {
		t.Run(name+"/"+r.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := cfg
				cfg.InMemory, cfg.NoRefreshToken = true, cfg.NoRefreshToken || !r.refresh
				as := authtest.NewServerConfig(t, cfg)
				as.AddClient("service", "service-secret")
				d := &dialogue{t: t, logins: r.logins, renewable: r.refresh || r.service}
				d.world = world{as: as, mcp: as.Protect(server.NewStreamableHTTPServer(newMCPServer(), server.WithStateful(true)), authtest.Protection{})}
				managed := auth.Config{Resource: d.mcp.URL, Grant: d.headless(), HTTPClient: as.Client(), NoIdleRefresh: true}
				if r.service {
					managed.Grant, managed.Client = grant.ClientCredentials{}, auth.Client{ID: "service", Secret: "service-secret", Issuer: as.Issuer}
				}
				m, err := auth.NewManager(managed)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = m.Close() })
				d.m = m
				test(t, d)
			})
		})
	}
}

// dialogue is one client's with its servers.
type dialogue struct {
	world
	t         *testing.T
	m         *auth.Manager
	logins    int  // to begin with
	renewable bool // without a person
}

// connect returns a client of an older protocol version, initialized.
func (d *dialogue) connect(opts ...mcptransport.StreamableHTTPCOption) *client.Client {
	d.t.Helper()
	quiet := mcptransport.WithHTTPLogger(slog.New(slog.DiscardHandler))
	opts = append([]mcptransport.StreamableHTTPCOption{mcpgo.WithAuth(d.m, mcpgo.WithBaseClient(d.as.Client())), quiet}, opts...)
	trans, err := mcptransport.NewStreamableHTTP(d.mcp.URL, opts...)
	if err != nil {
		d.t.Fatal(err)
	}
	c := client.NewClient(trans, client.WithProtocolVersion(mcp.LATEST_LEGACY_PROTOCOL_VERSION))
	d.t.Cleanup(func() { _ = c.Close() })
	if err := c.Start(d.t.Context()); err != nil {
		d.t.Fatal(err)
	}
	if err := d.initialize(c); err != nil {
		d.t.Fatalf("Initialize: %v", err)
	}
	return c
}

func (d *dialogue) initialize(c *client.Client) error {
	var request mcp.InitializeRequest
	request.Params.ProtocolVersion = mcp.LATEST_LEGACY_PROTOCOL_VERSION
	request.Params.ClientInfo = mcp.Implementation{Name: "test", Version: "1"}
	_, err := c.Initialize(d.t.Context(), request)
	return err
}

// spent is what was spent at the authorization server so far.
func (d *dialogue) spent() (logins, tokens int) {
	c := d.as.Counts()
	return c.Authorize, c.Token
}

// wantSpent fails the test if more was spent than so many logins and token
// requests in all.
func (d *dialogue) wantSpent(logins, tokens int) {
	d.t.Helper()
	if l, n := d.spent(); l > logins || n > tokens {
		d.t.Errorf("%d logins, %d token requests, want at most %d and %d", l, n, logins, tokens)
	}
}

// halfAnHour is so many calls of goOn.
const halfAnHour = 180

// goOn calls a tool every ten seconds, so many times; between looks at what
// else has to happen. It returns how many calls failed, and the first error.
func (d *dialogue) goOn(c *client.Client, calls int, between func(i int)) (failed int, first error) {
	start := time.Now()
	for i := range calls {
		time.Sleep(time.Until(start.Add(time.Duration(i) * 10 * time.Second)))
		between(i)
		if err := call(d.t.Context(), c, "read"); err != nil {
			if failed++; failed == 1 {
				first = err
			}
		}
	}
	return failed, first
}

// Kind of report: "with a notification stream every call fails". The server
// refuses the GET stream whatever the token, mcp-go tries again every second, and
// calls have to go on.
func TestContinuousListeningIsRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		refusal authtest.Refusal
		calls   int
	}{
		"401":                {authtest.Refusal{Method: http.MethodGet}, halfAnHour},
		"401 without a code": {authtest.Refusal{Method: http.MethodGet, NoError: true}, halfAnHour / 3},
		"403 invalid_token":  {authtest.Refusal{Method: http.MethodGet, Status: http.StatusForbidden}, halfAnHour / 3},
	} {
		overRenewals(t, name, authtest.Config{}, func(t *testing.T, d *dialogue) {
			rule := d.mcp.Refuse(tt.refusal)
			//lint:ignore SA1019 servers of today have this stream
			c := d.connect(mcptransport.WithContinuousListening())
			if failed, err := d.goOn(c, tt.calls, func(int) {}); failed > 0 {
				t.Errorf("%d of %d calls failed, the first with: %v", failed, tt.calls, err)
			}
			if rule.Refused() == 0 {
				t.Error("the client never asked for the stream")
			}
			d.wantSpent(d.logins, 3)
		})
	}
}

// The neighbour: a stream that is accepted stays open beside the calls, and the
// token is replaced under both.
func TestContinuousListeningIsAccepted(t *testing.T) {
	overRenewals(t, "accepted", authtest.Config{}, func(t *testing.T, d *dialogue) {
		//lint:ignore SA1019 servers of today have this stream
		c := d.connect(mcptransport.WithContinuousListening())
		if failed, err := d.goOn(c, halfAnHour, func(int) {}); failed > 0 {
			t.Errorf("%d of 180 calls failed, the first with: %v", failed, err)
		}
		d.wantSpent(d.logins, 1)
	})
}

// Kind of report: "one broken tool logs everybody out". The upstream of one tool
// answers 401, and the server hands that on. Once a minute somebody calls it.
func TestToolWhoseUpstreamRefuses(t *testing.T) {
	overRenewals(t, "tool", authtest.Config{}, func(t *testing.T, d *dialogue) {
		d.mcp.Refuse(authtest.Refusal{Tool: "admin"})
		c := d.connect()
		failed, err := d.goOn(c, halfAnHour, func(i int) {
			if i%6 == 3 && call(t.Context(), c, "admin") == nil {
				t.Error("the tool that is always refused succeeded")
			}
		})
		if failed > 0 {
			t.Errorf("%d of 180 calls of another tool failed, the first with: %v", failed, err)
		}
		logins := d.logins
		if !d.renewable {
			logins++ // once, at most: a revoked token looks the same at first
		}
		d.wantSpent(logins, 3)
	})
}

// Kind of report: "after a restart of the server the client never comes back".
// The server refuses sessions that it does not know with 401 invalid_token. Calls
// fail; a client can initialize again at once, and go on.
func TestInitializeAgainAfterAnUnknownSession(t *testing.T) {
	for _, calls := range []int{1, 5} {
		overRenewals(t, fmt.Sprint(calls, " calls"), authtest.Config{}, func(t *testing.T, d *dialogue) {
			old := d.connect()
			d.mcp.Refuse(authtest.Refusal{StaleSession: true})
			for range calls {
				if err := call(t.Context(), old, "read"); err == nil {
					t.Error("a call in an unknown session succeeded")
				}
			}
			start := time.Now()
			c := d.connect()
			if err := call(t.Context(), c, "read"); err != nil {
				t.Errorf("after it initialized again: %v", err)
			}
			if took := time.Since(start); took > time.Second {
				t.Errorf("it took %s", took)
			}
			logins := d.logins
			if !d.renewable {
				logins++
			}
			d.wantSpent(logins, 3)
		})
	}
}

// Kind of report: "the program hangs, or opens a browser, as it exits". mcp-go's
// Close sends DELETE; its answer is nobody's business any more.
func TestCloseOpensNoWindow(t *testing.T) {
	for name, before := range map[string]func(d *dialogue){
		"expired":        func(*dialogue) { time.Sleep(2 * time.Hour) },
		"revoked":        func(d *dialogue) { d.as.RevokeAll() },
		"always refused": func(d *dialogue) { d.mcp.Refuse(authtest.Refusal{Method: http.MethodDelete}) },
		"server away": func(d *dialogue) {
			time.Sleep(2 * time.Hour)
			d.as.Down(time.Hour)
		},
	} {
		overRenewals(t, name, authtest.Config{}, func(t *testing.T, d *dialogue) {
			c := d.connect()
			if c.GetSessionId() == "" {
				t.Fatal("there is no session to end")
			}
			before(d)
			requests, start := d.mcp.Counts().Requests, time.Now()
			if err := c.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("Close took %s", took)
			}
			if logins, _ := d.spent(); logins != d.logins {
				t.Errorf("%d logins, want %d", logins, d.logins)
			}
			if name != "server away" && d.mcp.Counts().Requests == requests {
				t.Error("Close sent nothing")
			}
		})
	}
}

// Kind of report: "login loop right after a successful login", through a client
// of either era: the whole handshake happens while the token is not yet valid.
func TestHandshakeWithATokenThatIsNotYetValid(t *testing.T) {
	for _, lag := range []time.Duration{100 * time.Millisecond, time.Second, 3 * time.Second} {
		overRenewals(t, "2025-11-25, "+lag.String(), authtest.Config{}, func(t *testing.T, d *dialogue) {
			d.mcp.Refuse(authtest.Refusal{Younger: lag})
			c := d.connect()
			if err := call(t.Context(), c, "read"); err != nil {
				t.Error(err)
			}
			d.wantSpent(d.logins, 1)
		})
		overRenewals(t, "2026-07-28, "+lag.String(), authtest.Config{}, func(t *testing.T, d *dialogue) {
			d.mcp.Refuse(authtest.Refusal{Younger: lag})
			c := d.client(t, d.m)
			if err := initialize(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			if err := call(t.Context(), c, "read"); err != nil {
				t.Error(err)
			}
			d.wantSpent(d.logins, 1)
		})
	}
}
