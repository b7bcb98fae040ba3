package manyprocs

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/browser"
	"github.com/mcptokens/mcptokens/auth/grant"
)

// jobVariable holds the job of a process that is a worker and no test.
const jobVariable = "MANYPROCS_JOB"

// What the token requests of a worker say besides: its name, and when it sent them.
const (
	workerHeader = "X-Worker"
	sentHeader   = "X-Sent"
)

// clientID is registered in advance.
const clientID = "many"

// Who calls moreMethod needs moreScope.
const (
	moreMethod = "resources/read"
	moreScope  = "mcp:write"
)

func TestMain(m *testing.M) {
	if raw := os.Getenv(jobVariable); raw != "" {
		if err := work(raw); err != nil {
			fmt.Println(sayError, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	// These tests wait for other processes most of the time, so there may be
	// more of them at once than there are processors.
	flag.Parse()
	if err := flag.Set("test.parallel", "12"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

// job is what a worker is told.
type job struct {
	Worker     string
	Store      storeAt
	Resource   string
	Server     auth.Server
	Goroutines int
	// Eager workers refresh all the time, and cannot log in. The others do what
	// an MCP client does.
	Eager bool
	// Authorize has a worker log in where there is no token, and say which one it has.
	Authorize bool
	// Register has it register a client of its own.
	Register bool
	// Method is what it calls. Default: ping.
	Method string
	// Clock steps through these times that the worker's clock is ahead of the
	// others', one each half second. Default: it is right.
	Clock []time.Duration
	// RefreshTimeout and AnswerTimeout are the manager's. Default: as there.
	RefreshTimeout, AnswerTimeout time.Duration
	// Limited workers are run by nobody in particular, if they can be, and take
	// their disk for full from fillSignal to drainSignal.
	Limited bool
}

// config is a manager's configuration for the job.
func (j job) config(s auth.Store) auth.Config {
	cfg := auth.Config{
		Resource: j.Resource, Server: &j.Server, Client: auth.Client{ID: clientID}, Store: s,
		HTTPClient:     &http.Client{Transport: named{j.Worker, http.DefaultTransport, j.held(s)}, Timeout: time.Minute},
		RefreshTimeout: j.RefreshTimeout, AnswerTimeout: j.AnswerTimeout,
	}
	if j.Register {
		cfg.Client = auth.Client{}
	}
	if !j.Eager {
		cfg.Grant = grant.AuthorizationCode{UserAgent: browser.Headless{}}
	}
	return cfg
}

// held reports whether the lease is held under which the job's token is refreshed;
// nil: its lock is none.
func (j job) held(s auth.Store) func() bool {
	l, ok := s.(auth.Leaser)
	if !ok {
		return nil
	}
	return func() bool {
		return l.Held(auth.Key{Resource: j.Resource, Issuer: j.Server.Issuer, ClientID: clientID})
	}
}

// named sends its name along, and the time.
type named struct {
	name string
	next http.RoundTripper
	held func() bool
}

func (n named) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set(workerHeader, n.name)
	r.Header.Set(sentHeader, time.Now().Format(time.RFC3339Nano))
	if open := r.GetBody; n.held != nil && open != nil {
		r.Body = &leasedBody{r.Body, n.held}
		r.GetBody = func() (io.ReadCloser, error) {
			body, err := open()
			return &leasedBody{body, n.held}, err
		}
	}
	return n.next.RoundTrip(r)
}

// leasedBody says when a refresh token goes out although the process could know that
// it had lost its lease.
type leasedBody struct {
	io.ReadCloser
	held func() bool
}

func (b *leasedBody) Read(p []byte) (int, error) {
	before := b.held()
	n, err := b.ReadCloser.Read(p)
	if !before && bytes.Contains(p[:n], []byte("grant_type=refresh_token")) && !b.held() { // else it was renewed just now
		fmt.Println(sayLost)
	}
	return n, err
}

// What a worker says, a line each.
const (
	sayReady  = "ready"  // it has a token that the MCP server takes
	sayBusy   = "busy"   // the MCP server took some of its requests, once
	sayDead   = "dead"   // only a new login helps
	sayError  = "error"  // anything else went wrong; what follows
	sayLost   = "lost"   // it sent a refresh token without the lease
	sayReport = "report" // it ends; a report follows
)

// some requests that the MCP server took say that a worker gets on.
const some = 5

// report is what a worker did.
type report struct {
	Accepted int64 // requests that the MCP server took
	Rejected int64 // requests that it answered with 401
}

// worker runs a job until its standard input ends, which it also does with the
// process that started it.
type worker struct {
	job
	manager *auth.Manager
	client  *http.Client

	accepted, rejected atomic.Int64

	mu   sync.Mutex
	said string
}

func work(raw string) error {
	var j job
	if err := json.Unmarshal([]byte(raw), &j); err != nil {
		return err
	}
	if j.Limited {
		if err := limit(); err != nil {
			return err
		}
	}
	s, closeStore, err := j.Store.open()
	if err != nil {
		return err
	}
	defer closeStore()
	if len(j.Clock) > 0 {
		s = &clocked{Store: s, steps: j.Clock, start: time.Now()}
	}
	m, err := auth.NewManager(j.config(s))
	if err != nil {
		return err
	}
	w := &worker{job: j, manager: m, client: &http.Client{Timeout: time.Minute}}
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		defer stop()
		_, _ = io.Copy(io.Discard, os.Stdin)
	}()
	var wg sync.WaitGroup
	for range j.Goroutines {
		wg.Go(func() { w.run(ctx) })
	}
	wg.Wait()
	if err := m.Close(); err != nil {
		return err
	}
	data, err := json.Marshal(report{w.accepted.Load(), w.rejected.Load()})
	fmt.Println(sayReport, string(data))
	return err
}

// run is what each goroutine does.
func (w *worker) run(ctx context.Context) {
	rest := 200 * time.Millisecond // at the most
	if w.Eager {
		rest = 50 * time.Millisecond
	}
	for pause(ctx, rand.N(rest)) {
		tok, err := w.call(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil && w.Authorize:
			w.say(sayReady + " " + mark(tok))
		case err == nil:
			w.say(sayReady)
		case dead(err):
			w.say(sayDead)
		case rejected(err), late(err):
			// Families of eager workers die so often that a manager takes the server
			// for one that rejects whatever it is shown, and waits before it goes on.
			// On a slow machine tokens that live for a second die on their way, some
			// in a row, or before they come. What the server accepts is counted, and
			// has to be enough.
		default:
			w.say(sayError + " " + strings.ReplaceAll(err.Error(), "\n", " "))
		}
	}
}

// pause waits and reports whether there is more to do.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func dead(err error) bool {
	var re *auth.ReauthorizationRequiredError
	return errors.As(err, &re) || errors.Is(err, auth.ErrNoToken) || errors.Is(err, auth.ErrNoRefreshToken)
}

func rejected(err error) bool {
	var re *auth.RejectedError
	return errors.As(err, &re)
}

// late reports whether tokens were too short-lived for this machine.
func late(err error) bool {
	return errors.Is(err, errNoneTaken) || strings.Contains(err.Error(), "the answers come later than their tokens expire")
}

var errNoneTaken = errors.New("the MCP server took none of five tokens")

// say prints what is new.
func (w *worker) say(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if what != w.said {
		w.said = what
		fmt.Println(what)
	}
}

// mark names a token in what is said.
func mark(t *auth.Token) string {
	h := fnv.New64()
	_, _ = io.WriteString(h, t.RefreshToken)
	return strconv.FormatUint(h.Sum64(), 36)
}

// call gets a token and shows it to the MCP server. A token may die on its way,
// once or twice when they live for a second.
func (w *worker) call(ctx context.Context) (*auth.Token, error) {
	get := w.manager.Token
	switch {
	case w.Eager:
		get = w.manager.Refresh
	case w.Authorize:
		get = w.manager.Authorize
	}
	tok, err := get(ctx)
	for range 5 {
		if err != nil {
			return nil, err
		}
		var status int
		if status, err = w.present(ctx, tok); err != nil {
			return nil, err
		}
		switch status {
		case http.StatusOK:
			if w.accepted.Add(1) == some {
				fmt.Println(sayBusy)
			}
			return tok, nil
		case http.StatusUnauthorized:
			w.rejected.Add(1)
			tok, err = w.manager.Resolve(ctx, tok, auth.Challenge{Status: status, Scheme: "Bearer", Error: "invalid_token"})
		case http.StatusForbidden:
			tok, err = w.manager.Resolve(ctx, tok, auth.Challenge{Status: status, Scheme: "Bearer", Error: "insufficient_scope", Scopes: []string{moreScope}})
		default:
			return nil, fmt.Errorf("the MCP server answered %d", status)
		}
	}
	return nil, errNoneTaken
}

func (w *worker) present(ctx context.Context, tok *auth.Token) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.Resource, strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"`+cmp.Or(w.Method, "ping")+`"}`))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", tok.Authorization())
	resp, err := w.client.Do(req)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, errors.Join(err, resp.Body.Close())
}
