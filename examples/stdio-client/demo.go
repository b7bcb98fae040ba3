package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/mark3labs/mcp-go/client"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/browser"
	"github.com/mcptokens/mcptokens/auth/grant"
	"github.com/mcptokens/mcptokens/mcpgo"
)

// demo is the world of the demonstration: the API, and two clients of the same
// server, which gets its token in two ways.
type demo struct {
	as         *authtest.Server
	api        *authtest.Resource
	manager    *auth.Manager
	file       *mcpgo.TokenFile
	reading    *client.Client // its server reads a token file
	restarting *client.Client // its server reads its environment, once
	seen       report         // what the last step's server said
}

// demonstrate runs every step and prints it with the time since the start.
func demonstrate(ctx context.Context, stdout io.Writer, logger *slog.Logger) error {
	start := time.Now()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	as, err := authtest.Start(authtest.Config{})
	if err != nil {
		return err
	}
	defer as.Close()
	api := as.Protect(http.HandlerFunc(notes), authtest.Protection{
		Path:         "/notes",
		Scopes:       []string{"notes:read"},
		MethodScopes: map[string][]string{"notes/write": {"notes:write"}},
	})
	manager, err := auth.NewManager(auth.Config{
		Resource: api.URL,
		// The kit's server approves without a page, so no browser is needed.
		// A real program leaves UserAgent empty and gets the user's browser.
		Grant:  grant.AuthorizationCode{UserAgent: browser.Headless{}},
		Logger: logger,
	})
	if err != nil {
		return err
	}
	defer manager.Close()

	d := &demo{as: as, api: api, manager: manager}
	if d.file, err = mcpgo.NewTokenFile(ctx, manager, ""); err != nil { // logs in: nothing could challenge
		return err
	}
	defer d.file.Close()
	where := mcpgo.WithEnv(apiVariable + "=" + api.URL)
	d.reading = client.NewClient(mcpgo.NewStdio(manager, self, nil, where, mcpgo.WithTokenFile(fileVariable, d.file)))
	defer d.reading.Close()
	d.restarting = client.NewClient(mcpgo.Wrap(
		mcpgo.NewStdio(manager, self, nil, where, mcpgo.WithTokenVariable(tokenVariable), mcpgo.WithRestart()), manager))
	defer d.restarting.Close()

	fmt.Fprintf(stdout, "authorization server %s, API %s\n\n", as.URL, api.URL)
	for _, step := range []struct {
		name string
		do   func(context.Context) (string, error)
	}{
		{"start", d.startServer},
		{"environment", d.environment},
		{"token file", d.tokenFile},
		{"restart", d.restart},
		{"step-up", d.stepUp},
		{"close", d.close},
	} {
		said, err := step.do(ctx)
		mark := "ok  "
		if err != nil {
			mark, said = "FAIL", err.Error()
		}
		fmt.Fprintf(stdout, "%6.3fs  %s  %-13s  %s\n", time.Since(start).Seconds(), mark, step.name, said)
		if err != nil {
			return fmt.Errorf("step %q did not happen as it should", step.name)
		}
	}
	return nil
}

// notes is the API behind the protection.
func notes(w http.ResponseWriter, r *http.Request) {
	_ = json.NewEncoder(w).Encode("hello")
}

// call calls a tool and returns what the server reports.
func call(ctx context.Context, c *client.Client, tool string) (report, error) {
	var r report
	text, err := callTool(ctx, c, tool, nil)
	if err != nil {
		return r, err
	}
	return r, json.Unmarshal([]byte(text), &r)
}

// presented checks that the token in use is the last one that the API saw, and
// that the API took it.
func (d *demo) presented(ctx context.Context) error {
	token, err := d.manager.Token(ctx)
	if err != nil {
		return err
	}
	all := d.api.Seen()
	if last := all[len(all)-1]; last.Token != token.AccessToken || last.Verdict != authtest.Accepted {
		return errors.New("the API was called with another token than the one in use")
	}
	return nil
}

// startServer: a server starts with a token, because it cannot ask for one.
func (d *demo) startServer(ctx context.Context) (string, error) {
	var err error
	for _, c := range []*client.Client{d.reading, d.restarting} {
		if err := initialize(ctx, c); err != nil {
			return "", err
		}
		if d.seen, err = call(ctx, c, "read_notes"); err != nil {
			return "", err
		}
		if err := d.presented(ctx); err != nil {
			return "", err
		}
	}
	if n := d.as.Counts().Authorize; n != 1 || d.api.Counts().Unauthorized != 0 {
		return "", fmt.Errorf("%d logins, the API answered 401 %d times", n, d.api.Counts().Unauthorized)
	}
	return fmt.Sprintf("logged in once; two servers call the API with the token and get %q", d.seen.Said), nil
}

// environment: the server knows what it has to, and nothing else.
func (d *demo) environment(context.Context) (string, error) {
	var ours, inherited []string
	for _, entry := range d.seen.Environment {
		name, _, _ := strings.Cut(entry, "=")
		if name == apiVariable || name == tokenVariable {
			ours = append(ours, name)
		} else {
			inherited = append(inherited, name)
		}
	}
	if len(ours) != 2 || len(inherited) > 11 { // the longest list, that of Windows
		return "", fmt.Errorf("the server sees %v and %v", ours, inherited)
	}
	slices.Sort(ours)
	slices.Sort(inherited)
	return fmt.Sprintf("the server sees %s and, of the %d variables here, %s", strings.Join(ours, ", "), len(os.Environ()), strings.Join(inherited, ", ")), nil
}

// tokenFile: the token is rotated, and the process that runs finds the new one
// in the file.
func (d *demo) tokenFile(ctx context.Context) (string, error) {
	before, err := call(ctx, d.reading, "read_notes")
	if err != nil {
		return "", err
	}
	if _, err := d.manager.Refresh(ctx); err != nil {
		return "", err
	}
	after, err := call(ctx, d.reading, "read_notes")
	if err != nil {
		return "", err
	}
	if err := d.presented(ctx); err != nil {
		return "", err
	}
	if n := d.as.Counts().RotationsIssued; n != 1 || after.PID != before.PID {
		return "", fmt.Errorf("%d rotations, process %d after %d", n, after.PID, before.PID)
	}
	return fmt.Sprintf("token rotated; process %d goes on and calls the API with the new one", after.PID), nil
}

// restart: the server that reads only its environment has been replaced by the
// time that it is called.
func (d *demo) restart(ctx context.Context) (string, error) {
	before := d.seen.PID
	var err error
	if d.seen, err = call(ctx, d.restarting, "read_notes"); err != nil {
		return "", err
	}
	if err := d.presented(ctx); err != nil {
		return "", err
	}
	if d.seen.PID == before {
		return "", fmt.Errorf("process %d was not replaced", before)
	}
	return fmt.Sprintf("the same rotation; process %d took the place of %d, which cannot read a new token", d.seen.PID, before), nil
}

// stepUp: the API wants another scope. The server passes the challenge on in its
// result; a login follows, a restart with the new token, and the call once more.
func (d *demo) stepUp(ctx context.Context) (string, error) {
	before := d.seen.PID
	var err error
	if d.seen, err = call(ctx, d.restarting, "write_note"); err != nil {
		return "", err
	}
	if err := d.presented(ctx); err != nil {
		return "", err
	}
	forbidden, logins, scopes := d.api.Counts().Forbidden, d.as.Counts().Authorize, d.manager.Info().Scopes
	if forbidden != 1 || logins != 2 || !slices.Contains(scopes, "notes:write") || d.seen.PID == before {
		return "", fmt.Errorf("%d times 403, %d logins, scopes %v, process %d after %d", forbidden, logins, scopes, d.seen.PID, before)
	}
	return fmt.Sprintf("403 insufficient_scope in the tool's result; authorized for %v; restarted as %d; called again: %q", scopes, d.seen.PID, d.seen.Said), nil
}

// close: nothing is left.
func (d *demo) close(context.Context) (string, error) {
	if err := errors.Join(d.reading.Close(), d.restarting.Close(), d.file.Close()); err != nil {
		return "", err
	}
	if _, err := os.Stat(d.file.Path()); !errors.Is(err, fs.ErrNotExist) {
		return "", errors.New("the token file is still there")
	}
	return "both servers have ended, the token file is gone", nil
}
