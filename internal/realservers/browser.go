//go:build realservers

package realservers

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"image/png"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Browser is a headless Chromium, driven over the W3C WebDriver protocol. What
// goes wrong in it ends the test, so use it on the test's own goroutine.
type Browser struct {
	t       testing.TB
	client  *http.Client
	session string // URL
}

// OpenBrowser starts a browser with a new profile. It reaches this machine only.
func OpenBrowser(t testing.TB) *Browser {
	t.Helper()
	driver := "http://127.0.0.1:" + FreePort(t)
	Start(t, exec.Command("chromedriver", "--port="+driver[strings.LastIndexByte(driver, ':')+1:]), driver+"/status")
	b := &Browser{t: t, client: newClient(t)}
	var created struct {
		SessionID string `json:"sessionId"`
	}
	b.call(http.MethodPost, driver+"/session", object{"capabilities": object{"alwaysMatch": object{
		"acceptInsecureCerts": true,                                            // those of httptest
		"timeouts":            object{"implicit": 60_000, "pageLoad": 100_000}, // ms; a missing element is waited for
		"goog:chromeOptions": object{"args": []string{
			"--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=800,600",
			"--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
			"--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
		}},
	}}}, &created)
	b.session = driver + "/session/" + created.SessionID
	t.Cleanup(func() { b.call(http.MethodDelete, b.session, nil, nil) })
	return b
}

// Visit opens a URL and waits until the page has loaded.
func (b *Browser) Visit(url string) {
	b.t.Helper()
	b.call(http.MethodPost, b.session+"/url", object{"url": url}, nil)
}

// WaitFor waits until the page shows text.
func (b *Browser) WaitFor(text string) {
	b.t.Helper()
	b.find("xpath", fmt.Sprintf("//body[contains(., %q)]", text))
}

// Fill types text into the field that a CSS selector names.
func (b *Browser) Fill(selector, text string) {
	b.t.Helper()
	b.call(http.MethodPost, b.find("css selector", selector)+"/value", object{"text": text}, nil)
}

// Click clicks on what a CSS selector names.
func (b *Browser) Click(selector string) {
	b.t.Helper()
	b.call(http.MethodPost, b.find("css selector", selector)+"/click", object{}, nil)
}

// Screenshot makes sure that the page is not blank, and keeps a picture of it
// in the folder MCPTOKENS_SCREENSHOTS, if that is set.
func (b *Browser) Screenshot(name string) {
	b.t.Helper()
	var encoded string
	b.call(http.MethodGet, b.session+"/screenshot", nil, &encoded)
	data, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		b.t.Fatal(err)
	}
	img, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		b.t.Fatal(err)
	}
	colours := map[[3]uint32]bool{}
	for y := range img.Bounds().Dy() {
		for x := range img.Bounds().Dx() {
			r, g, b, _ := img.At(x, y).RGBA()
			colours[[3]uint32{r, g, b}] = true
		}
	}
	if len(colours) < 10 {
		b.t.Errorf("the page is blank: %d colours", len(colours))
	}
	if dir := os.Getenv("MCPTOKENS_SCREENSHOTS"); dir != "" {
		if err := os.WriteFile(filepath.Join(dir, name+".png"), data, 0o600); err != nil {
			b.t.Error(err)
		}
	}
}

type object = map[string]any

// find returns the URL of an element; using is a location strategy of
// WebDriver's.
func (b *Browser) find(using, value string) string {
	b.t.Helper()
	var element map[string]string // one member, whose name is a constant of the protocol
	b.call(http.MethodPost, b.session+"/element", object{"using": using, "value": value}, &element)
	for _, id := range element {
		return b.session + "/element/" + id
	}
	b.t.Fatalf("no element %s", value)
	return ""
}

// call sends one command and reads the value of the answer into out.
func (b *Browser) call(method, url string, command, out any) {
	b.t.Helper()
	var body io.Reader
	if command != nil {
		data, err := json.Marshal(command)
		if err != nil {
			b.t.Fatal(err)
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequest(method, url, body)
	if err != nil {
		b.t.Fatal(err)
	}
	resp, err := b.client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct {
		Value json.RawMessage `json:"value"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		b.t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		var problem struct{ Error, Message string }
		_ = json.Unmarshal(answer.Value, &problem)
		first, _, _ := strings.Cut(problem.Message, "\n")
		b.t.Fatalf("the browser says %s: %s", problem.Error, first)
	}
	if out != nil {
		if err := json.Unmarshal(answer.Value, out); err != nil {
			b.t.Fatal(err)
		}
	}
}
