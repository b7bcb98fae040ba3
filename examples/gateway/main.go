// Command gateway is an MCP server that calls other MCP servers for many users, each
// with a login of their own, on two replicas.
//
// It starts an authorization server, two protected MCP servers, and two replicas of
// the gateway behind a proxy that gives them requests by turns; what they share is an
// SQLite file. Two users walk through it, and each step is checked: the exit status is
// 0 only if all of them really happened. With -serve all that stays for a browser.
// gateway.go is the gateway itself.
package main

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mark3labs/mcp-go/client"
	mcptransport "github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
	_ "modernc.org/sqlite"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/store/sqlstore"
	"github.com/mcptokens/mcptokens/auth/weblogin"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is main with its world passed in; it returns the exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("gateway", flag.ContinueOnError)
	flags.SetOutput(stderr)
	serve := flags.Bool("serve", false, "leave it running for a browser, with a page at the authorization server")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return 0
	} else if err != nil || flags.NArg() > 0 {
		fmt.Fprintln(stderr, "gateway: no arguments but -serve")
		return 2
	}
	w := new(world)
	defer func() {
		for _, stop := range slices.Backward(w.cleanup) {
			stop()
		}
	}()
	err := w.start(ctx, *serve)
	if err == nil && *serve {
		fmt.Fprintf(stdout, "open %s, and end with Ctrl-C\n", w.url)
		<-ctx.Done()
	} else if err == nil {
		fmt.Fprintf(stdout, "gateway %s, authorization server %s\n\n", w.url, w.as.URL)
		err = w.walk(ctx, stdout)
	}
	if err != nil {
		fmt.Fprintln(stderr, "gateway:", err)
		return 1
	}
	return 0
}

// world is the servers of the demonstration.
type world struct {
	url       string
	as        *authtest.Server
	upstreams []string
	replicas  []*gateway
	cleanup   []func()
	events    chan string // of the logins
}

// start starts everything. page: the authorization server asks a person.
func (w *world) start(ctx context.Context, page bool) (err error) {
	if w.as, err = authtest.Start(authtest.Config{Page: page}); err != nil {
		return err
	}
	w.cleanup = append(w.cleanup, w.as.Close)
	for _, name := range []string{"notes", "calendar"} {
		w.upstreams = append(w.upstreams, w.as.Protect(upstream(name), authtest.Protection{
			Path: "/" + name, Scopes: []string{name + ":read"}, ToolScopes: map[string][]string{"write": {name + ":write"}},
		}).URL)
	}
	dir, err := os.MkdirTemp("", "gateway")
	if err != nil {
		return err
	}
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "gateway.db")+"?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)")
	if err != nil {
		return err
	}
	w.cleanup = append(w.cleanup, func() { _, _ = db.Close(), os.RemoveAll(dir) })
	w.events = make(chan string, 100)
	var turn atomic.Uint32
	routes := [2]*http.ServeMux{http.NewServeMux(), http.NewServeMux()}
	proxy := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		routes[turn.Add(1)%2].ServeHTTP(rw, r)
	}))
	w.url = proxy.URL
	for i, mux := range routes {
		store, err := sqlstore.New(db, sqlstore.SQLite)
		if err == nil {
			err = store.Migrate(ctx)
		}
		if err != nil {
			return err
		}
		g, err := newGateway(mux, weblogin.Config{BaseURL: w.url + "/oauth", Store: store, Subject: signedIn, OnEvent: func(_ context.Context, e weblogin.Event) {
			select {
			case w.events <- fmt.Sprintf("%s on replica %d", e.Type, i+1):
			default: // nobody reads them
			}
		}}, w.upstreams)
		if err != nil {
			return err
		}
		g.pages(mux, w.upstreams)
		w.replicas = append(w.replicas, g)
		w.cleanup = append(w.cleanup, func() { _, _, _, _ = g.elicit.Close(), g.pool.Close(), g.logins.Close(), store.Close() })
	}
	w.cleanup = append(w.cleanup, proxy.Close)
	return nil
}

// upstream is an ordinary mcp-go server that knows nothing of tokens.
func upstream(name string) http.Handler {
	s := server.NewMCPServer(name, "1", server.WithToolCapabilities(false))
	for _, tool := range []string{"read", "write"} {
		s.AddTool(mcp.NewTool(tool), func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			return mcp.NewToolResultText(name + ": " + tool + " done"), nil
		})
	}
	return server.NewStreamableHTTPServer(s)
}

// told returns what happened to logins since the last call.
func (w *world) told() string {
	var said []string
	for len(w.events) > 0 {
		said = append(said, <-w.events)
	}
	return strings.Join(said, ", ")
}

// browser is a user's browser, signed in to the gateway.
type browser struct {
	http.Client
	visits sync.WaitGroup // under way
}

func (w *world) browser(user string) *browser {
	jar, _ := cookiejar.New(nil) // never fails
	at, _ := url.Parse(w.url)
	jar.SetCookies(at, []*http.Cookie{{Name: "session", Value: session(user), Path: "/"}})
	return &browser{Client: http.Client{Jar: jar}}
}

// end is where the user ends.
func end(resp *http.Response, err error) string {
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	return string(body)
}

// Elicit shows the user what the gateway elicits, and they visit it.
func (b *browser) Elicit(_ context.Context, r mcp.ElicitationRequest) (*mcp.ElicitationResult, error) {
	b.visits.Go(func() { _ = end(b.Get(r.Params.URL)) })
	return &mcp.ElicitationResult{ElicitationResponse: mcp.ElicitationResponse{Action: mcp.ElicitationResponseActionAccept}}, nil
}

// ask calls a tool through the gateway, as a user's MCP client, and returns what it
// says. It shows URLs in b, if that is not nil.
func (w *world) ask(ctx context.Context, user string, b *browser, upstream, tool string) string {
	var options []client.ClientOption
	if b != nil {
		defer b.visits.Wait() // whose last page says what happened
		options = append(options, client.WithElicitationHandler(b), client.WithClientCapabilities(mcp.ClientCapabilities{Elicitation: &mcp.ElicitationCapability{URL: &struct{}{}}}))
	}
	t, err := mcptransport.NewStreamableHTTP(w.url+"/mcp", mcptransport.WithHTTPHeaders(map[string]string{"X-Key": session(user)}))
	if err != nil {
		return err.Error()
	}
	c := client.NewClient(t, options...)
	defer c.Close()
	if _, err := c.Initialize(ctx, hello); err != nil {
		return err.Error()
	}
	result, err := c.CallTool(ctx, mcp.CallToolRequest{Params: mcp.CallToolParams{Name: "call", Arguments: map[string]any{"server": upstream, "tool": tool}}})
	if err != nil {
		return err.Error()
	}
	return text(result)
}

// walk runs every step and prints it with the time since the start.
func (w *world) walk(ctx context.Context, out io.Writer) (err error) {
	start := time.Now()
	ctx, stop := context.WithTimeout(ctx, time.Minute)
	defer stop()
	step := func(name string, ok bool, said string) {
		if err == nil && !ok {
			err = fmt.Errorf("step %q did not happen as it should: %s", name, said)
			stop() // the rest is of no interest
		} else if err == nil {
			fmt.Fprintf(out, "%6.3fs  ok    %-14s  %s\n", time.Since(start).Seconds(), name, said)
		}
	}
	notes, calendar, alice, bob := w.upstreams[0], w.upstreams[1], w.browser("alice"), w.browser("bob")

	said := w.ask(ctx, "alice", alice, notes, "read")
	step("elicited login", said == "notes: read done", fmt.Sprintf("%q; %s", said, w.told()))
	said = w.ask(ctx, "alice", nil, notes, "read")
	step("next call", said == "notes: read done" && w.told() == "", fmt.Sprintf("%q, nobody was asked", said))
	said = w.ask(ctx, "alice", alice, notes, "write")
	step("allow more", said == "notes: write done", fmt.Sprintf("%q; %s", said, w.told()))

	shown := end(alice.PostForm(w.url+"/read", url.Values{"server": {calendar}}))
	step("by the page", strings.Contains(shown, "calendar:read"), "a button led there and back; "+w.told())

	_, link, _ := strings.Cut(w.ask(ctx, "bob", nil, notes, "read"), "Open ")
	link, _, _ = strings.Cut(link, " ")
	refused, done := end(alice.Get(link)), end(bob.Get(link)) // bob sent it to alice
	step("link in a text", strings.Contains(refused, "for another account") && strings.Contains(done, "Connected"), "bob's link is of no use to alice; "+w.told())

	var more *auth.ReauthorizationRequiredError
	for ctx.Err() == nil && (more == nil || !more.More) { // the other replica hears of bob's login within a second
		_, failed := w.replicas[0].call(auth.WithoutUser(ctx), "bob", notes, "write")
		_ = errors.As(failed, &more)
	}
	step("background job", more != nil && len(more.Scopes) == 2, "told at once that bob has to allow more")

	n, failed := w.replicas[0].pool.Logout(ctx, auth.Key{Subject: "alice", Resource: notes})
	for failed == nil && ctx.Err() == nil { // likewise
		_, failed = w.replicas[1].call(ctx, "alice", notes, "read")
	}
	var required *auth.LoginRequiredError
	step("log out", n == 1 && errors.As(failed, &required), fmt.Sprintf("alice's notes; %d tokens revoked; the other replica wants a login", w.as.Counts().Revoke))

	n, failed = w.replicas[1].pool.Logout(ctx, auth.Key{Subject: "bob"})
	left := 0
	for range w.replicas[0].pool.Accounts(ctx, auth.Key{}) {
		left++
	}
	step("user deleted", n == 1 && left == 1 && failed == nil, fmt.Sprintf("%d of bob's accounts; %d is left, alice's calendar", n, left))
	return err
}
