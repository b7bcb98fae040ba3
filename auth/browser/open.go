package browser

import (
	"errors"
	"time"

	"github.com/cli/browser"
)

// openWait is how long a launcher is watched: most hand the URL to a running
// browser and exit at once, some become the browser.
const openWait = time.Second

// openURL opens the user's browser by github.com/cli/browser.
func openURL(url string) error { return watch(func() error { return browser.OpenURL(url) }, openWait) }

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

// noBrowser reports that Open failed. The text of its error may quote the URL
// and is left out.
func noBrowser(err error) error {
	return fail(ErrNoBrowser.Error()+": set Loopback.Prompt to show the user the URL, or use a grant without a browser such as the device code grant",
		errors.Join(ErrNoBrowser, err))
}
