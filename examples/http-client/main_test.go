package main

import (
	"bytes"
	"encoding/xml"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mcptokens/mcptokens/auth/authtest"
)

func TestDemonstration(t *testing.T) {
	var stdout, stderr bytes.Buffer
	picture := filepath.Join(t.TempDir(), "stepup.svg")
	if status := run(t.Context(), []string{"-svg", picture}, &stdout, &stderr); status != 0 {
		t.Fatalf("exit status %d\n%s%s", status, &stdout, &stderr)
	}
	for _, step := range []string{"login", "tool call", "early refresh", "rotation", "step-up", "100 calls"} {
		if !strings.Contains(stdout.String(), "ok    "+step) {
			t.Errorf("step %q is not in the timeline:\n%s", step, &stdout)
		}
	}
	wantPicture(t, picture)
}

// wantPicture fails the test unless the file is a picture with a bar and a name
// for every span of a step-up, and an arrow for each of its two links.
func wantPicture(t *testing.T, name string) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := xml.Unmarshal(text, new(struct {
		XMLName xml.Name `xml:"http://www.w3.org/2000/svg svg"`
	})); err != nil {
		t.Errorf("no SVG: %v", err)
	}
	for _, part := range []string{
		">mcp.tools/call<", ">oauth.step_up by authorization<", ">oauth.refresh, refreshed<", ">oauth.authorize<",
		">oauth.discover<", ">GET oauth-authorization-server<", ">oauth.await_user<", ">oauth.exchange<", ">POST token<",
	} {
		if !strings.Contains(string(text), part) {
			t.Errorf("the picture has no %s", part)
		}
	}
	if n := strings.Count(string(text), `marker-end="url(#arrow)"`); n != 3 {
		t.Errorf("the picture has %d arrows, want two and that of the legend", n)
	}
}

func TestBadFlags(t *testing.T) {
	for name, args := range map[string][]string{
		"unknown":                {"-nonsense"},
		"argument":               {"http://localhost"},
		"tool without url":       {"-tool", "greet"},
		"args are no object":     {"-url", "http://localhost:1/mcp", "-tool", "greet", "-args", "[1]"},
		"secret without client":  {"-url", "http://localhost:1/mcp", "-client-secret", "x"},
		"secret without issuer":  {"-url", "http://localhost:1/mcp", "-client-id", "x", "-client-secret", "x"},
		"url without encryption": {"-url", "http://mcp.example.com/mcp"},
		"timeout":                {"-timeout", "-1s"},
		"no such command":        {"logn", "http://localhost:1/mcp"},
		"no collector":           {"-otlp", "localhost"},
		"picture of a server":    {"-url", "http://localhost:1/mcp", "-svg", "x.svg"},
	} {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			if status := run(t.Context(), args, &stdout, &stderr); status != 2 {
				t.Errorf("exit status %d, want 2", status)
			}
			want := "-h for help"
			if name == "unknown" {
				want = "Usage of http-client" // package flag's
			}
			if !strings.Contains(stderr.String(), want) {
				t.Errorf("no %q in %q", want, stderr.String())
			}
		})
	}
}

func TestServerThatIsNotThere(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if status := run(t.Context(), []string{"-url", "http://127.0.0.1:1/mcp", "-headless", "-timeout", "1s"}, &stdout, &stderr); status != 1 {
		t.Errorf("exit status %d, want 1\n%s", status, &stderr)
	}
}

func TestHelp(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if status := run(t.Context(), []string{"-h"}, &stdout, &stderr); status != 0 {
		t.Errorf("exit status %d, want 0", status)
	}
}

// With a store the second run finds the token, and the registration, of the
// first, and logs in no more.
func TestSecondRunNeedsNoLogin(t *testing.T) {
	srv := authtest.NewServer(t)
	url := srv.Protect(newMCPServer(), authtest.Protection{}).URL
	where := "file:" + filepath.Join(t.TempDir(), "tokens")
	for i := range 2 {
		var stdout, stderr bytes.Buffer
		if status := run(t.Context(), []string{"-headless", "-url", url, "-store", where}, &stdout, &stderr); status != 0 {
			t.Fatalf("run %d: exit status %d\n%s", i+1, status, &stderr)
		}
	}
	if c := srv.Counts(); c.Authorize != 1 || c.Register != 1 {
		t.Errorf("%d logins and %d registrations in two runs, want one of each", c.Authorize, c.Register)
	}
}
