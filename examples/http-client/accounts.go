package main

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/browser"
	"github.com/mcptokens/mcptokens/auth/grant"
	"github.com/mcptokens/mcptokens/internal/storeflag"
)

// Exit statuses of the commands, as people know them from gh.
const (
	exitFailed = 1
	exitUsage  = 2
	exitLogIn  = 4 // there is no login; log in first
)

// program is the name that tokens are stored under: other programs have others.
const program = "mcptokens-http-client"

// command is one command of the tool.
type command struct {
	args, about string
	least, most int // how many arguments
	run         func(ctx context.Context, t *tool, args []string) error
}

func commands() map[string]*command {
	return map[string]*command{
		"login":    {"URL", "log in to an MCP server. It always asks, so that you can log in as somebody else.", 1, 1, logIn},
		"status":   {"[URL]", "say who is logged in. It asks no server.", 0, 1, status},
		"accounts": {"", "list what is stored, in columns.", 0, 0, accounts},
		"logout":   {"URL", "revoke the tokens and forget them.", 1, 1, logOut},
		"whoami":   {"URL", "say who the server says you are. It needs the scope openid: login URL -scopes openid.", 1, 1, whoAmI},
		"token":    {"URL", `print a header for curl: curl -H "$(http-client token URL)" URL`, 1, 1, printToken},
		"tools":    {"URL", "list the tools of the server.", 1, 1, tools},
		"call":     {"URL TOOL [JSON]", "call a tool.", 2, 3, call},
	}
}

// tool is what the commands share.
type tool struct {
	store          auth.Store
	account        string
	headless       bool
	scopes         string
	client         auth.Client
	stdout, stderr io.Writer
}

// runCommand runs one command and returns the exit status.
func runCommand(ctx context.Context, name string, args []string, stdout, stderr io.Writer) int {
	c := commands()[name]
	t := &tool{stdout: stdout, stderr: stderr}
	flags := flag.NewFlagSet("http-client "+name, flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprintf(stderr, "Usage: http-client %s [flags] %s\n\n%s\n\nFlags:\n", name, c.args, c.about)
		flags.PrintDefaults()
	}
	where := flags.String("store", "file", "where tokens are: `file`, file:DIR or keyring")
	flags.StringVar(&t.account, "account", "", "`name` for the login, if you have several at one server")
	flags.StringVar(&t.scopes, "scopes", "", "scopes to ask for from the start, separated by `spaces`")
	flags.BoolVar(&t.headless, "headless", false, "follow the authorization server's redirects without a browser")
	flags.StringVar(&t.client.ID, "client-id", "", "`ID` of a client that is registered already")
	flags.StringVar(&t.client.Issuer, "issuer", "", "`URL` of the authorization server that the client is registered with")
	timeout := flags.Duration("timeout", 5*time.Minute, "give up after this long")
	var given []string // flags may stand behind arguments too
	for rest := args; ; given, rest = append(given, flags.Arg(0)), flags.Args()[1:] {
		if err := flags.Parse(rest); errors.Is(err, flag.ErrHelp) {
			return 0
		} else if err != nil {
			return exitUsage
		}
		if flags.NArg() == 0 {
			break
		}
	}
	if n := len(given); n < c.least || n > c.most {
		fmt.Fprintf(stderr, "http-client %s: wants %s, and got %d arguments; -h for help\n", name, cmp.Or(c.args, "nothing else"), n)
		return exitUsage
	}
	var err error
	if t.store, err = storeflag.Open(*where, program); err == nil {
		ctx, cancel := context.WithTimeout(ctx, *timeout)
		defer cancel()
		err = c.run(ctx, t, given)
	}
	var config *auth.ConfigError
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errLogIn):
		fmt.Fprintln(stderr, "You are", err)
		return exitLogIn
	case errors.As(err, &config) && config.Field == "Config.Resource":
		fmt.Fprintln(stderr, "http-client:", "the URL", config.Problem)
		return exitUsage
	default:
		fmt.Fprintln(stderr, "http-client:", err)
		return exitFailed
	}
}

// errLogIn goes on with what to do.
var errLogIn = errors.New("not logged in")

func (t *tool) logInFirst(url string) error {
	hint := "http-client login "
	if t.account != "" {
		hint += "-account " + t.account + " "
	}
	return fmt.Errorf("%w to %s%s. To log in, run: %s%s", errLogIn, url, t.as(), hint, url)
}

// as names the account, if there are several.
func (t *tool) as() string {
	if t.account == "" {
		return ""
	}
	return " as " + t.account
}

// manager returns the manager of one login, with tokens in store.
func (t *tool) manager(url string, store auth.Store) (*auth.Manager, error) {
	var agent auth.UserAgent = browser.Loopback{Prompt: func(url string) {
		fmt.Fprintf(t.stderr, "Log in with your browser. If it does not open, go to:\n\n  %s\n\n", url)
	}, Page: browser.Page{Name: "http-client"}}
	if t.headless {
		agent = browser.Headless{}
	}
	return auth.NewManager(auth.Config{
		Resource: url, Subject: t.account, Store: store, Client: t.client, Scopes: strings.Fields(t.scopes),
		Grant: grant.AuthorizationCode{UserAgent: agent},
	})
}

// loggedIn returns the manager of a login that there is, without asking a server.
func (t *tool) loggedIn(ctx context.Context, url string) (*auth.Manager, error) {
	m, err := t.manager(url, t.store)
	if err != nil {
		return nil, err
	}
	if err := m.Load(ctx); err != nil {
		_ = m.Close()
		return nil, err
	}
	if m.Info().State == auth.StateNone {
		_ = m.Close()
		return nil, t.logInFirst(url)
	}
	return m, nil
}

// logIn asks whatever is stored: in a store of its own, whose record then replaces
// the one that there was.
func logIn(ctx context.Context, t *tool, args []string) error {
	url, fresh := args[0], new(auth.MemoryStore)
	asks, err := t.manager(url, fresh)
	if err != nil {
		return err
	}
	defer asks.Close()
	if _, err := asks.Authorize(ctx); err != nil {
		return explain(err)
	}
	record, err := fresh.Load(ctx, auth.Key{Resource: asks.Info().Resource, Subject: t.account})
	if err != nil {
		return err
	}
	m, err := t.manager(url, t.store)
	if err != nil {
		return err
	}
	defer m.Close()
	if err := m.SetRecord(ctx, record); err != nil {
		return err
	}
	fmt.Fprintf(t.stderr, "✓ Logged in to %s%s\n", url, t.as())
	return nil
}

func logOut(ctx context.Context, t *tool, args []string) error {
	m, err := t.loggedIn(ctx, args[0])
	if err != nil {
		return err
	}
	defer m.Close()
	switch err := m.Logout(ctx); {
	case err != nil && m.Info().State == auth.StateNone:
		return fmt.Errorf("logged out here, but the tokens were not revoked: %w", err)
	case err != nil:
		return err
	}
	fmt.Fprintf(t.stderr, "✓ Logged out of %s%s\n", args[0], t.as())
	return nil
}

// token returns a token that is fresh, so it may have to refresh it.
func (t *tool) token(ctx context.Context, url string) (*auth.Token, error) {
	m, err := t.loggedIn(ctx, url)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	token, err := m.Token(ctx)
	var again *auth.ReauthorizationRequiredError
	switch {
	case errors.As(err, &again), errors.Is(err, auth.ErrNoToken):
		return nil, t.logInFirst(url)
	case err != nil:
		return nil, explain(err)
	}
	return token, nil
}

func printToken(ctx context.Context, t *tool, args []string) error {
	token, err := t.token(ctx, args[0])
	if err != nil {
		return err
	}
	fmt.Fprintln(t.stdout, "Authorization:", token.Authorization())
	return nil
}

// whoAmI prints what the ID token says.
func whoAmI(ctx context.Context, t *tool, args []string) error {
	token, err := t.token(ctx, args[0])
	if err != nil {
		return err
	}
	parts := strings.Split(token.Extra.Text("id_token"), ".")
	if len(parts) != 3 {
		return errors.New("the server gave no ID token: log in with -scopes openid, if it knows that scope")
	}
	var who struct{ Sub, Name, Email string }
	claims, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err == nil {
		err = json.Unmarshal(claims, &who)
	}
	if err != nil {
		return errors.New("the server's ID token cannot be read")
	}
	// The server chose these texts, and a terminal obeys some characters.
	fmt.Fprintf(t.stdout, "%q %q (%q)\n", who.Name, who.Email, who.Sub)
	return nil
}
