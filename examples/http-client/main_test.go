package main

import (
	"bytes"
	"encoding/xml"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/mcptokens/mcptokens/auth/authtest"
)

func TestDemonstration(t *testing.T) {
	var stdout, stderr bytes.Buffer
	start := time.Now()
	picture := filepath.Join(t.TempDir(), "stepup.svg")
	var received sync.Map
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { received.Store(r.URL.Path, true) }))
	defer collector.Close()
	if status := run(t.Context(), []string{"-svg", picture, "-otlp", collector.URL}, &stdout, &stderr); status != 0 {
		t.Fatalf("exit status %d\n%s%s", status, &stdout, &stderr)
	}
	for _, step := range []string{"login", "tool call", "early refresh", "rotation", "step-up", "100 calls"} {
		if !strings.Contains(stdout.String(), "ok    "+step) {
			t.Errorf("step %q is not in the timeline:\n%s", step, &stdout)
		}
	}
	wantPicture(t, picture)
	for _, path := range []string{"/v1/traces", "/v1/metrics"} {
		if _, ok := received.Load(path); !ok {
			t.Errorf("nothing was sent to the collector's %s", path)
		}
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("took %v, want less than 5s", took)
	}
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
		"url without encryption": {"-url", "http://mcp.example.com/mcp"},
		"timeout":                {"-timeout", "-1s"},
		"no collector":           {"-otlp", "localhost"},
		"picture of a server":    {"-url", "http://localhost:1/mcp", "-svg", "x.svg"},
	} {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			if status := run(t.Context(), args, &stdout, &stderr); status != 2 {
				t.Errorf("exit status %d, want 2", status)
			}
			if !strings.Contains(stderr.String(), "Usage of http-client") {
				t.Errorf("no usage in %q", stderr.String())
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
	for name, store := range map[string]func(t *testing.T) string{
		"file":  func(t *testing.T) string { return "file:" + filepath.Join(t.TempDir(), "tokens") },
		"Redis": func(t *testing.T) string { return "redis://" + miniredis.RunT(t).Addr() },
	} {
		t.Run(name, func(t *testing.T) {
			srv := authtest.NewServer(t)
			url := srv.Protect(newMCPServer(), authtest.Protection{}).URL
			where := store(t)
			for i := range 2 {
				var stdout, stderr bytes.Buffer
				if status := run(t.Context(), []string{"-headless", "-url", url, "-store", where}, &stdout, &stderr); status != 0 {
					t.Fatalf("run %d: exit status %d\n%s", i+1, status, &stderr)
				}
			}
			if c := srv.Counts(); c.Authorize != 1 || c.Register != 1 {
				t.Errorf("%d logins and %d registrations in two runs, want one of each", c.Authorize, c.Register)
			}
		})
	}
}
