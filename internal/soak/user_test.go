package soak

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/mark3labs/mcp-go/client"
	mcptransport "github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/browser"
	"github.com/mcptokens/mcptokens/auth/discovery"
	"github.com/mcptokens/mcptokens/auth/grant"
	"github.com/mcptokens/mcptokens/auth/registration"
	"github.com/mcptokens/mcptokens/mcpgo"
)

// user is somebody with an mcp-go client, and a manager that it gets its tokens
// from.
type user struct {
	w       *world
	cfg     auth.Config
	manager *auth.Manager
	client  *client.Client // nil: to be connected
	lost    bool           // the client's session is over
	old     bool           // never restarts
	ends    tally
}

// tally counts how calls ended.
type tally map[string]int

// newUser returns a user of the kind-th kind, without a manager yet.
func newUser(w *world, kind int, store auth.Store) *user {
	cfg := auth.Config{Resource: w.mcp.URL, HTTPClient: w.as.Client(), Store: store, Subject: fmt.Sprint(kind), RefreshTimeout: w.hour / 120}
	switch kind {
	case 0: // logs in, with a client that is registered on demand
		cfg.Grant = grant.AuthorizationCode{UserAgent: browser.Headless{Client: w.as.Client()}}
	case 1: // acts for itself
		cfg.Client = auth.Client{ID: serviceID, Secret: serviceSecret, Issuer: w.as.Issuer}
		cfg.Grant = grant.ClientCredentials{}
	default: // was given a token, and can only refresh it
		cfg.Client = auth.Client{ID: seedID}
	}
	return &user{w: w, cfg: cfg, ends: tally{}}
}

// start makes a manager, as a program does that begins.
func (u *user) start() {
	m, err := auth.NewManager(u.cfg)
	if err != nil {
		u.w.t.Fatal(err)
	}
	u.manager = m
}

// stop ends the program.
func (u *user) stop() {
	u.disconnect()
	err := u.manager.Close()
	var store *auth.StoreError
	if err != nil && !errors.As(err, &store) {
		u.w.t.Errorf("Close: %v", err)
	}
}

func (u *user) disconnect() {
	if u.client != nil {
		_ = u.client.Close() // says goodbye to a server that may not listen
		u.client, u.lost = nil, false
	}
}

// live does what programs do until ctx ends: mostly it calls tools.
func (u *user) live(ctx context.Context) {
	var subscriptions []func()
	defer func() {
		for _, end := range subscriptions {
			end()
		}
	}()
	for sleep(ctx, u.w.between(0, u.w.hour/60)) {
		var err error
		broken := &fault{}
		patience := u.w.between(u.w.hour/3600, u.w.hour/60)
		call, cancel := context.WithTimeout(context.WithValue(context.Background(), witnessKey{}, broken), patience)
		began := time.Now()
		what := "call"
		switch n := u.w.intn(100); {
		case n == 0 && !u.old:
			what = "restart"
			u.stop()
			u.start()
		case n == 1:
			what = "Refresh"
			_, err = u.manager.Refresh(call)
		case n == 2:
			what = "Revoke"
			err = u.manager.Revoke(call)
		case n == 3:
			what = "UpgradeScopes"
			_, err = u.manager.UpgradeScopes(call, "mcp:write", fmt.Sprint("mcp:extra-", u.w.intn(3)))
		case n == 4:
			what = "Subscribe"
			_, end := u.manager.Subscribe()
			subscriptions = append(subscriptions, end)
			_ = u.manager.Info()
		case n == 5 && len(subscriptions) > 0:
			what = "unsubscribe"
			subscriptions[0]()
			subscriptions = subscriptions[1:]
		default:
			err = u.call(call, []string{"read", "read", "read", "write"}[n%4])
		}
		u.judge(what, err, call, broken.Load(), time.Since(began), patience)
		cancel()
		if u.lost {
			u.disconnect()
		}
	}
}

// call calls a tool, connecting before if need be.
func (u *user) call(ctx context.Context, tool string) error {
	if u.client == nil {
		base := &http.Client{Transport: witness{u.w.as.Transport()}}
		c, err := client.NewStreamableHttpClient(u.w.mcp.URL, mcpgo.WithAuth(u.manager, mcpgo.WithBaseClient(base)), mcptransport.WithHTTPLogger(slog.New(slog.DiscardHandler)))
		if err != nil {
			return err
		}
		u.client = c
		if err := c.Start(ctx); err != nil {
			u.lost = true
			return err
		}
		var hello mcp.InitializeRequest
		hello.Params.ProtocolVersion = mcp.LATEST_PROTOCOL_VERSION
		hello.Params.ClientInfo = mcp.Implementation{Name: "soak", Version: "1"}
		if _, err := c.Initialize(ctx, hello); err != nil {
			u.lost = true
			return err
		}
	}
	var request mcp.CallToolRequest
	request.Params.Name = tool
	_, err := u.client.CallTool(ctx, request)
	u.lost = errors.Is(err, mcptransport.ErrSessionTerminated)
	return err
}

// judge counts how something ended, and objects to an end that nobody can make
// sense of, or that took longer than it may.
func (u *user) judge(what string, err error, ctx context.Context, broken bool, took, patience time.Duration) {
	end := kindOf(err)
	switch {
	case end != "":
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		end = "its own deadline"
	case broken:
		end = "a fault of the MCP server"
	default:
		end = "nothing that can be told"
		u.w.t.Errorf("%s ended with %T: %v", what, err, err)
	}
	if what != "call" {
		end = what + ": " + end
	}
	u.ends[end]++
	var reauthorize *auth.ReauthorizationRequiredError
	if u.cfg.Grant == nil && (errors.As(err, &reauthorize) || errors.Is(err, auth.ErrNoToken) || errors.Is(err, auth.ErrNoRefreshToken)) {
		u.seed()
	}
	if late := took - patience; what != "restart" && late > u.w.slack() {
		u.w.t.Errorf("%s was back %v after its deadline of %v with %v", what, late, patience, err)
	}
}

// slack is how late a call may be: not at all in a bubble, where only time that
// somebody waits for passes.
func (w *world) slack() time.Duration {
	if w.hour == time.Hour {
		return 0
	}
	return 2 * time.Second // a busy machine
}

// seed gives the manager a token that its authorization server issued elsewhere.
func (u *user) seed() {
	p := u.w.as.IssueToken([]string{"mcp:read", "mcp:write"}, u.w.mcp.URL)
	// An error is that of a store out of order; the next call will complain.
	_ = u.manager.SetToken(context.Background(), &auth.Token{AccessToken: p.AccessToken, RefreshToken: p.RefreshToken, Expiry: p.Expiry, Scopes: p.Scopes})
}

// kindOf names an end that a caller can act on: a result or one of the errors
// that the documentation names. Empty: it is neither.
func kindOf(err error) string {
	if err == nil {
		return "a result"
	}
	for _, known := range []error{auth.ErrNoToken, auth.ErrNoRefreshToken, auth.ErrNoRevocation, auth.ErrClosed, mcptransport.ErrSessionTerminated, mcptransport.ErrLegacySSEServer} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	var (
		reauthorization *auth.ReauthorizationRequiredError
		scope           *auth.InsufficientScopeError
		rejected        *auth.RejectedError
		authorization   *auth.AuthorizationError
		token           *auth.TokenError
		store           *auth.StoreError
		issuer          *auth.IssuerError
		config          *auth.ConfigError
		found           *discovery.Error
		register        *registration.Error
	)
	for _, target := range []any{&reauthorization, &scope, &rejected, &authorization, &token, &store, &issuer, &config, &found, &register} {
		if errors.As(err, target) {
			return fmt.Sprintf("%T", target)[1:]
		}
	}
	return ""
}
