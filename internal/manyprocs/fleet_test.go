package manyprocs

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/store"
)

// patience is how long a worker may take to be ready: to start, to wait for the
// lock of one that was killed, and to find a token after a login elsewhere. A
// slow machine that other tests use as well needs some of it.
const patience = time.Minute

// fleet is the authorization server, and the workers that share one of its
// tokens.
type fleet struct {
	t    *testing.T
	srv  *authtest.Server
	res  *authtest.Resource
	job  job
	own  *auth.Manager // the test's own on the same store
	view auth.Store

	mu     sync.Mutex
	crew   map[string]*process
	count  int
	lost   int // families that had to be replaced
	errors []string
	uneasy bool // workers may say errors now
}

// process is a worker.
type process struct {
	name  string
	cmd   *exec.Cmd
	stdin io.WriteCloser
	ready chan struct{} // closed when it first was
	busy  chan struct{} // closed when the MCP server took some requests
	ended chan struct{}
	lines chan string // the newest that it said

	// To be read once ended is closed.
	killed bool
	report *report
}

// newFleet starts the server and puts a token in the store.
func newFleet(t *testing.T, at storeAt, eager bool, cfg authtest.Config) *fleet {
	t.Helper()
	srv := authtest.NewServerConfig(t, cfg)
	srv.AddClient(clientID, "", "http://127.0.0.1:33418/callback")
	f := &fleet{t: t, srv: srv, crew: make(map[string]*process)}
	f.res = srv.Protect(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":1,"result":{}}`)
	}), authtest.Protection{MethodScopes: map[string][]string{moreMethod: {moreScope}}})
	f.job = job{
		Store: at, Resource: f.res.URL, Goroutines: 4, Eager: eager,
		Server: auth.Server{
			Issuer: srv.Issuer, TokenEndpoint: srv.Endpoint(authtest.TokenEndpoint), AuthorizationEndpoint: srv.Endpoint(authtest.AuthorizeEndpoint),
			RegistrationEndpoint: srv.Endpoint(authtest.RegistrationEndpoint),
		},
	}
	view, closeStore, err := at.open()
	if err != nil {
		t.Fatal(err)
	}
	f.view = view
	own := f.job.config(view)
	own.NoIdleRefresh, own.HTTPClient = true, srv.Client()
	if f.own, err = auth.NewManager(own); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		f.stop()
		_ = f.own.Close()
		closeStore()
	})
	f.login()
	return f
}

// login puts a new token in the store.
func (f *fleet) login() {
	p := f.srv.IssueToken([]string{"mcp:read"}, f.res.URL)
	tok := &auth.Token{AccessToken: p.AccessToken, RefreshToken: p.RefreshToken, Expiry: p.Expiry, Scopes: p.Scopes}
	if err := f.own.SetToken(f.t.Context(), tok); err != nil {
		f.t.Errorf("SetToken: %v", err)
	}
}

// key is where the workers keep their token.
func (f *fleet) key() auth.Key {
	return auth.Key{Resource: f.res.URL, Issuer: f.srv.Issuer, ClientID: clientID}
}

// start starts a worker.
func (f *fleet) start() *process {
	f.t.Helper()
	f.mu.Lock()
	f.count++
	j := f.job
	j.Worker = fmt.Sprintf("worker %d", f.count)
	f.mu.Unlock()
	raw, err := json.Marshal(j)
	if err != nil {
		f.t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		f.t.Fatal(err)
	}
	p := &process{name: j.Worker, cmd: exec.Command(self), ready: make(chan struct{}), busy: make(chan struct{}), ended: make(chan struct{}), lines: make(chan string, 1000)}
	p.cmd.Env = append(os.Environ(), jobVariable+"="+string(raw))
	p.cmd.Stderr = os.Stderr
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		f.t.Fatal(err)
	}
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		f.t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		f.t.Fatal(err)
	}
	f.mu.Lock()
	f.crew[p.name] = p
	f.mu.Unlock()
	go func() {
		defer close(p.ended)
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			f.hear(p, lines.Text())
		}
		_ = p.cmd.Wait() // killed, most of them
	}()
	return p
}

// hear takes a line of a worker's.
func (f *fleet) hear(p *process, line string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	select {
	case p.lines <- line:
	default:
	}
	what, more, _ := strings.Cut(line, " ")
	switch what {
	case sayReady:
		select {
		case <-p.ready:
		default:
			close(p.ready)
		}
	case sayBusy:
		close(p.busy)
	case sayDead:
		f.replace()
	case sayLost:
		f.errors = append(f.errors, p.name+" sent a refresh token after it had lost its lease")
	case sayReport:
		p.report = new(report)
		if err := json.Unmarshal([]byte(more), p.report); err != nil {
			f.errors = append(f.errors, p.name+": "+err.Error())
		}
	default:
		if !f.uneasy {
			f.errors = append(f.errors, p.name+": "+line)
		}
	}
}

// forget drops what the worker has said so far.
func (p *process) forget() {
	for len(p.lines) > 0 {
		<-p.lines
	}
}

// expect waits until a worker says what begins with the first and contains all.
func (f *fleet) expect(p *process, what ...string) {
	f.t.Helper()
	var last string
	for deadline := time.After(patience); ; {
		select {
		case line := <-p.lines:
			all := strings.HasPrefix(line, what[0])
			for _, part := range what {
				all = all && strings.Contains(line, part)
			}
			if all {
				return
			}
			last = line
		case <-p.ended:
			f.t.Fatalf("%s ended; it was to say %q, and said %q", p.name, what, last)
		case <-deadline:
			f.t.Fatalf("%s does not say %q within %v, but %q", p.name, what, patience, last)
		}
	}
}

// uneasily sets whether errors are to be expected. Where timeouts are short they are
// until the workers have stopped: a slow machine has them too.
func (f *fleet) uneasily(errors bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.uneasy = errors
}

// replace logs in for all when the first worker says that the token is dead.
// The caller holds f.mu.
func (f *fleet) replace() {
	if f.job.Limited {
		return // its record was away while the test put something in its place
	}
	rec, err := f.view.Load(f.t.Context(), f.key())
	if errors.Is(err, auth.ErrNotFound) && errors.Is(err, store.ErrCorrupt) && f.uneasy {
		return // a damaged file was moved aside, and who has the token puts it back
	}
	if err != nil {
		f.errors = append(f.errors, "load: "+err.Error())
		return
	}
	if rec.Token != nil && rec.Token.RefreshToken != "" {
		return // it is replaced already
	}
	f.lost++
	f.login()
}

// await waits until a worker is ready.
func (f *fleet) await(p *process) {
	f.t.Helper()
	select {
	case <-p.ready:
	case <-p.ended:
		f.t.Fatalf("%s ended before it was ready: %q", p.name, f.complaints())
	case <-time.After(patience):
		f.t.Fatalf("%s is not ready after %v: %q", p.name, patience, f.complaints())
	}
}

// until waits for something that has no way of its own to be waited for.
func (f *fleet) until(what string, done func() bool) {
	f.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(patience); !done(); {
		select {
		case <-tick.C:
		case <-deadline:
			f.t.Fatalf("waited %v for %s", patience, what)
		}
	}
}

func (f *fleet) complaints() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.errors)
}

// kill ends a worker as a crash does.
func (f *fleet) kill(p *process) {
	f.mu.Lock()
	delete(f.crew, p.name)
	f.mu.Unlock()
	p.killed = true
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// stop ends the workers in good order and returns their reports.
func (f *fleet) stop() (reports []report) {
	f.mu.Lock()
	crew := f.crew
	f.crew = make(map[string]*process)
	f.mu.Unlock()
	for _, p := range crew {
		_ = p.stdin.Close()
	}
	for _, p := range crew {
		select {
		case <-p.ended:
		case <-time.After(patience):
			f.t.Errorf("%s does not end", p.name)
			_ = p.cmd.Process.Kill()
			<-p.ended
		}
		if p.report == nil {
			f.t.Errorf("%s ended without a report", p.name)
			continue
		}
		reports = append(reports, *p.report)
	}
	return reports
}

// check looks at what is left: a token that works, no damaged file, no
// complaint.
func (f *fleet) check() {
	f.t.Helper()
	for _, e := range f.complaints() {
		f.t.Error(e)
	}
	if tok, err := f.own.Refresh(f.t.Context()); err != nil || tok.RefreshToken == "" {
		f.t.Errorf("the token that is left: %v, %v", tok, err)
	}
	if dir := f.job.Store.Dir; dir != "" {
		damaged, err := filepath.Glob(filepath.Join(dir, "*corrupt*"))
		if err != nil || len(damaged) > 0 {
			f.t.Errorf("damaged files: %q, %v", damaged, err)
		}
	}
	if n := f.srv.Counts().Authorize; n > 0 {
		f.t.Errorf("%d logins by the workers", n)
	}
}
