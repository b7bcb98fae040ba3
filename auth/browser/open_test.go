package browser

import (
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A launcher that becomes the browser does not hold up the login.
func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused := errors.New("refused")
		if err := watch(func() error { return refused }, time.Second); err != refused {
			t.Errorf("watch = %v, want the launcher's error", err)
		}
		if err := watch(func() error { return nil }, time.Second); err != nil {
			t.Errorf("watch = %v, want nil", err)
		}
		gone := make(chan struct{})
		start := time.Now()
		if err := watch(func() error { <-gone; return refused }, time.Second); err != nil || time.Since(start) != time.Second {
			t.Errorf("watch = %v after %v, want nil after 1s", err, time.Since(start))
		}
		close(gone)
	})
}

// A browser that is not installed cannot be reached.
func TestReachable(t *testing.T) {
	for _, name := range []string{"DISPLAY", "WAYLAND_DISPLAY", "WSL_DISTRO_NAME"} {
		t.Setenv(name, "")
	}
	t.Setenv("SSH_CONNECTION", "x") // for systems that need no variable
	for command, want := range map[string]bool{"": false, "no-such-browser": false, os.Args[0]: runtime.GOOS != "windows" && runtime.GOOS != "darwin"} {
		t.Setenv("BROWSER", command)
		if got, _ := Reachable(); got != want {
			t.Errorf("BROWSER=%s: %v, want %v", command, got, want)
		}
	}
}

func TestLaunchers(t *testing.T) {
	for name, tc := range map[string]struct {
		goos string
		env  map[string]string
		want string
	}{
		"linux":                   {"linux", map[string]string{"DISPLAY": ":0"}, "xdg-open, x-www-browser"},
		"wayland":                 {"linux", map[string]string{"WAYLAND_DISPLAY": "w"}, "xdg-open, x-www-browser"},
		"linux, no display":       {"linux", nil, ""},
		"ssh":                     {"linux", map[string]string{"SSH_CONNECTION": "x"}, ""},
		"ssh with X":              {"linux", map[string]string{"SSH_CONNECTION": "x", "DISPLAY": "localhost:10"}, "xdg-open, x-www-browser"},
		"an editor's own":         {"linux", map[string]string{"SSH_CONNECTION": "x", "BROWSER": "/opt/editor/browser.sh"}, "/opt/editor/browser.sh"},
		"several, with place":     {"linux", map[string]string{"BROWSER": "one --new %s:two::"}, "one --new, two"},
		"windows's linux":         {"linux", map[string]string{"WSL_DISTRO_NAME": "Debian"}, "wslview"},
		"freebsd":                 {"freebsd", map[string]string{"DISPLAY": ":0"}, "xdg-open, x-www-browser"},
		"macOS":                   {"darwin", nil, "open"},
		"macOS over ssh":          {"darwin", map[string]string{"SSH_TTY": "/dev/ttys001"}, ""},
		"windows":                 {"windows", nil, "rundll32 url.dll,FileProtocolHandler"},
		"windows over ssh":        {"windows", map[string]string{"SSH_CONNECTION": "x"}, ""},
		"BROWSER is Unix's alone": {"windows", map[string]string{"BROWSER": "one"}, "rundll32 url.dll,FileProtocolHandler"},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, c := range launchers(tc.goos, func(k string) string { return tc.env[k] }) {
				got = append(got, strings.Join(c, " "))
			}
			if s := strings.Join(got, ", "); s != tc.want {
				t.Errorf("launchers = %q, want %q", s, tc.want)
			}
		})
	}
}

// noisy is run as a browser: it says so on both streams, and fails if asked to.
const noisy = "MCPTOKENS_TEST_NOISY_BROWSER"

func playBrowser() {
	_, _ = os.Stdout.WriteString("noise " + os.Args[len(os.Args)-1])
	_, _ = os.Stderr.WriteString("noise")
	if os.Getenv(noisy) == "fail" {
		os.Exit(3)
	}
	os.Exit(0)
}

// What a launcher prints does not reach the user, and the next one is tried.
func TestLaunchIsQuiet(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, stderr := os.Stdout, os.Stderr
	os.Stdout, os.Stderr = w, w
	t.Setenv(noisy, "work")
	worked := launch([][]string{{"/nonexistent/browser"}, {self, "x"}}, "http://127.0.0.1/")
	t.Setenv(noisy, "fail")
	failed := launch([][]string{{self}}, "http://127.0.0.1/")
	os.Stdout, os.Stderr = stdout, stderr
	_ = w.Close()
	printed, err := io.ReadAll(r)
	_ = r.Close()
	if err != nil || len(printed) != 0 {
		t.Errorf("printed %q, %v", printed, err)
	}
	if worked != nil {
		t.Errorf("launch = %v, want nil", worked)
	}
	var exit *exec.ExitError
	if !errors.As(failed, &exit) || exit.ExitCode() != 3 {
		t.Errorf("launch = %v, want exit status 3", failed)
	}
	if err := launch(nil, "http://127.0.0.1/"); !errors.Is(err, errNoDisplay) {
		t.Errorf("nothing to launch: %v", err)
	}
}

// Every user of a machine can read the arguments of a program: what is opened
// says nothing, works once, and the second visitor reads that.
func TestWhatIsOpenedTellsNothing(t *testing.T) {
	opened := make(chan string, 1)
	s, done := visit(t, Loopback{Open: func(u string) error { opened <- u; return nil }}, "the-state")
	start := <-opened
	wantNotIn(t, start, "the-state", "as.example", "client_id")
	wantIn(t, start, "http://127.0.0.1:")

	if r := request(t.Context(), http.MethodHead, start, ""); r.status != http.StatusMethodNotAllowed {
		t.Errorf("HEAD: %d, %v", r.status, r.err)
	}
	if r := request(t.Context(), http.MethodGet, start, "evil.example"); r.status != http.StatusMisdirectedRequest {
		t.Errorf("another host name: %d, %v", r.status, r.err)
	}
	r := get(t, start)
	if r.status != http.StatusFound || r.header.Get("Location") != authorizeURL ||
		r.header.Get("Cache-Control") != "no-store" || r.header.Get("Referrer-Policy") != "no-referrer" {
		t.Errorf("first visit: %d %v", r.status, r.header)
	}
	again := get(t, start)
	if again.status != http.StatusConflict || again.header.Get("Location") != "" {
		t.Errorf("second visit: %d %v", again.status, again.header)
	}
	wantIn(t, again.body, "Opened before", "If it was not you")
	wantNotIn(t, again.body, "as.example")

	shown := getLater(t, s.RedirectURI()+"?code=c&state=the-state")
	if got := <-done; got.err != nil {
		t.Error(got.err)
	}
	s.Finish(nil)
	<-shown
}

// An answer that came another way ends the link too.
func TestWhatIsOpenedEndsWithTheAnswer(t *testing.T) {
	opened := make(chan string, 1)
	s, done := visit(t, Loopback{Open: func(u string) error { opened <- u; return nil }}, "st")
	start := <-opened
	shown := getLater(t, s.RedirectURI()+"?code=c&state=st")
	<-done
	if r := get(t, start); r.status != http.StatusConflict {
		t.Errorf("%d %v", r.status, r.header)
	}
	s.Finish(nil)
	<-shown
}

// The default Open is the system's.
func TestDefaultOpen(t *testing.T) {
	for _, name := range []string{"BROWSER", "DISPLAY", "WAYLAND_DISPLAY", "WSL_DISTRO_NAME"} {
		t.Setenv(name, "")
	}
	t.Setenv("SSH_CONNECTION", "192.0.2.1 1 192.0.2.2 22")
	s, err := Loopback{NoTerminal: true}.Start(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Finish(nil)
	_, err = s.Visit(t.Context(), authorizeURL, "st")
	if !errors.Is(err, ErrNoBrowser) || !errors.Is(err, errNoDisplay) {
		t.Errorf("Visit = %v, want ErrNoBrowser and errNoDisplay", err)
	}
	wantSafe(t, err)
	wantNotIn(t, err.Error(), "Prompt") // users read it
}
