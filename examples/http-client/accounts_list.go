package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/mark3labs/mcp-go/client"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/mcpgo"
)

// entries lists the logins that are stored, in order. A keyring cannot.
func (t *tool) entries(ctx context.Context) ([]auth.StoreEntry, error) {
	lister, ok := t.store.(auth.Lister)
	if !ok {
		return nil, errors.New("this store cannot list what it holds: name the server, http-client status URL")
	}
	var found []auth.StoreEntry
	for e, err := range lister.List(ctx) {
		if err != nil {
			return nil, err
		}
		if e.Key.Resource != "" && e.HasToken {
			found = append(found, e)
		}
	}
	slices.SortFunc(found, func(a, b auth.StoreEntry) int {
		return cmp.Or(strings.Compare(a.Key.Resource, b.Key.Resource), strings.Compare(a.Key.Subject, b.Key.Subject))
	})
	return found, nil
}

// status says what is stored. Its exit status says whether somebody is logged in.
func status(ctx context.Context, t *tool, args []string) error {
	if len(args) == 1 {
		m, err := t.loggedIn(ctx, args[0])
		if err != nil {
			return err
		}
		defer m.Close()
		i := m.Info()
		t.describe(auth.StoreEntry{
			Key: auth.Key{Resource: i.Resource, Subject: t.account}, Issuer: i.Issuer, Scopes: i.Scopes, Expiry: i.Expiry, HasRefreshToken: i.HasRefreshToken,
		})
		return nil
	}
	found, err := t.entries(ctx)
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return fmt.Errorf("%w to any MCP server. To log in, run: http-client login URL", errLogIn)
	}
	for _, e := range found {
		t.describe(e)
	}
	return nil
}

func (t *tool) describe(e auth.StoreEntry) {
	fmt.Fprintln(t.stdout, e.Key.Resource)
	account := ""
	if e.Key.Subject != "" {
		account = " as " + e.Key.Subject
	}
	fmt.Fprintf(t.stdout, "  ✓ Logged in%s\n", account)
	fmt.Fprintf(t.stdout, "  - Server: %s\n", e.Issuer)
	fmt.Fprintf(t.stdout, "  - Token scopes: %s\n", cmp.Or(strings.Join(e.Scopes, ", "), "none"))
	fmt.Fprintf(t.stdout, "  - Token: %s\n", life(e))
}

// life says how long a login is good for.
func life(e auth.StoreEntry) string {
	switch left := time.Until(e.Expiry).Round(time.Second); {
	case e.Expiry.IsZero():
		return "no expiry known"
	case left > 0 && e.HasRefreshToken:
		return fmt.Sprintf("expires in %v, and is renewed", left)
	case left > 0:
		return fmt.Sprintf("expires in %v", left)
	case e.HasRefreshToken:
		return "expired, and is renewed when it is used"
	}
	return "expired; log in again"
}

func accounts(ctx context.Context, t *tool, _ []string) error {
	found, err := t.entries(ctx)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(t.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "MCP SERVER\tACCOUNT\tAUTHORIZATION SERVER\tTOKEN")
	for _, e := range found {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", e.Key.Resource, cmp.Or(e.Key.Subject, "-"), e.Issuer, life(e))
	}
	return w.Flush()
}

func tools(ctx context.Context, t *tool, args []string) error {
	return t.withClient(ctx, args[0], func(c *client.Client) error { return listTools(ctx, c, t.stdout) })
}

func call(ctx context.Context, t *tool, args []string) error {
	arguments := map[string]any{}
	if len(args) == 3 && json.Unmarshal([]byte(args[2]), &arguments) != nil {
		return errors.New("the tool's arguments must be a JSON object, such as '{\"name\": \"Go\"}'")
	}
	return t.withClient(ctx, args[0], func(c *client.Client) error {
		text, err := callTool(ctx, c, args[1], arguments)
		if err == nil {
			fmt.Fprintln(t.stdout, text)
		}
		return err
	})
}

// withClient connects as the account. If the server asks for more scopes the person
// is asked, as they are logged in.
func (t *tool) withClient(ctx context.Context, url string, do func(*client.Client) error) error {
	m, err := t.loggedIn(ctx, url)
	if err != nil {
		return err
	}
	defer m.Close()
	c, err := client.NewStreamableHttpClient(url, mcpgo.WithAuth(m))
	if err != nil {
		return err
	}
	defer c.Close()
	if err := connect(ctx, c, m); err != nil {
		return explain(err)
	}
	return explain(do(c))
}
