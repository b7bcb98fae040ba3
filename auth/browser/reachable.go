package browser

import (
	"os"
	"os/exec"
	"runtime"
)

// Reachable says how this process can reach a person: a browser on a screen in front
// of them, and a terminal that they read and type on. It opens nothing. That a browser
// is installed does not mean that it starts; a [Loopback] finds that out.
func Reachable() (browser, terminal bool) {
	for _, c := range launchers(runtime.GOOS, os.Getenv) {
		if _, err := exec.LookPath(c[0]); err == nil {
			browser = true
		}
	}
	return browser, standardTerminal() != nil
}
