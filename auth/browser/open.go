package browser

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// openWait is how long a launcher is watched: most hand the URL to a running
// browser and exit at once, some become the browser.
const openWait = time.Second

// errNoDisplay: the person who runs the program has no screen on which a browser
// could open.
var errNoDisplay = errors.New("no display")

// openURL opens the user's browser.
func openURL(url string) error {
	commands := launchers(runtime.GOOS, os.Getenv)
	return watch(func() error { return launch(commands, url) }, openWait)
}

// launchers returns the commands that open a URL, best first; the URL is their
// last argument. There are none for a person at the other end of an SSH
// connection: on macOS and Windows the window would open on a screen that
// nobody looks at. $BROWSER is honoured on Unix, as xdg-open does; editors
// that run on another machine set it to a command that opens a window here.
func launchers(goos string, getenv func(string) string) (commands [][]string) {
	far := getenv("SSH_CONNECTION") != "" || getenv("SSH_TTY") != ""
	switch goos {
	case "windows":
		if !far {
			commands = [][]string{{"rundll32", "url.dll,FileProtocolHandler"}}
		}
		return commands
	case "darwin":
		if !far {
			commands = [][]string{{"open"}}
		}
		return commands
	}
	for command := range strings.SplitSeq(getenv("BROWSER"), ":") {
		command, _, _ = strings.Cut(command, "%s")
		if fields := strings.Fields(command); len(fields) > 0 {
			commands = append(commands, fields)
		}
	}
	if getenv("WSL_DISTRO_NAME") != "" {
		commands = append(commands, []string{"wslview"})
	}
	if getenv("DISPLAY") != "" || getenv("WAYLAND_DISPLAY") != "" {
		commands = append(commands, []string{"xdg-open"}, []string{"x-www-browser"})
	}
	return commands
}

// launch runs the commands until one succeeds. What they print is not for the
// user, who reads what this package says.
func launch(commands [][]string, url string) error {
	err := errNoDisplay
	for _, c := range commands {
		if err = exec.Command(c[0], append(c[1:len(c):len(c)], url)...).Run(); err == nil {
			return nil
		}
		err = fmt.Errorf("%s: %w", c[0], err)
	}
	return err
}

// watch runs open and returns its error, or nil if it is still running after
// wait. In that case its goroutine lasts as long as the launcher's process,
// which may be the user's browser: nobody can wait for that.
func watch(open func() error, wait time.Duration) error {
	result := make(chan error, 1)
	go func() { result <- open() }()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case err := <-result:
		return err
	case <-timer.C:
		return nil
	}
}
