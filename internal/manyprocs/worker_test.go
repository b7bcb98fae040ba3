package manyprocs

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/browser"
	"github.com/mcptokens/mcptokens/auth/grant"
	"github.com/mcptokens/mcptokens/auth/store/filestore"
	"github.com/mcptokens/mcptokens/auth/store/redisstore"
)

// jobVariable holds the job of a process that is a worker and no test.
const jobVariable = "MANYPROCS_JOB"

// workerHeader names the worker in its token requests.
const workerHeader = "X-Worker"

// clientID is registered in advance.
const clientID = "many"

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
	if err := flag.Set("test.parallel", "16"); err != nil {
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
	// Clock steps through these times that the worker's clock is ahead of the
	// others', one each half second. Default: it is right.
	Clock []time.Duration
	// RefreshTimeout is the manager's. Default: as there.
	RefreshTimeout time.Duration
	// Limited workers are run by nobody in particular, if they can be, and take
	// their disk for full from fillSignal to drainSignal.
	Limited bool
}

// storeAt is where the store is: one of both.
type storeAt struct {
	Dir   string
	Redis string
	Lease time.Duration
}

// open opens the store, with a function that closes it.
func (at storeAt) open() (auth.Store, func(), error) {
	if at.Dir != "" {
		s, err := filestore.Open(at.Dir)
		return s, func() {}, err
	}
	client := redis.NewClient(&redis.Options{Addr: at.Redis, ContextTimeoutEnabled: true})
	s := redisstore.New(client, redisstore.WithLease(at.Lease))
	return s, func() {
		_ = s.Close()
		_ = client.Close()
	}, nil
}

// config is a manager's configuration for the job.
func (j job) config(s auth.Store) auth.Config {
	cfg := auth.Config{
		Resource: j.Resource, Server: &j.Server, Client: auth.Client{ID: clientID}, Store: s,
		HTTPClient:     &http.Client{Transport: named{j.Worker, http.DefaultTransport}, Timeout: 10 * time.Second},
		RefreshTimeout: j.RefreshTimeout,
	}
	if !j.Eager {
		cfg.Grant = grant.AuthorizationCode{UserAgent: browser.Headless{}}
	}
	return cfg
}

// named sends its name along.
type named struct {
	name string
	next http.RoundTripper
}

func (n named) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set(workerHeader, n.name)
	return n.next.RoundTrip(r)
}

// What a worker says, a line each.
const (
	sayReady  = "ready"  // it has a token that the MCP server takes
	sayDead   = "dead"   // only a new login helps
	sayError  = "error"  // anything else went wrong; what follows
	sayReport = "report" // it ends; a report follows
)

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
	w := &worker{job: j, manager: m, client: &http.Client{Timeout: 10 * time.Second}}
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
	for pause(ctx, rand.N(50*time.Millisecond)) {
		err := w.call(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			w.say(sayReady)
		case dead(err):
			w.say(sayDead)
		case w.Eager && rejected(err):
			// Families die so often here that a manager takes the server for one
			// that rejects whatever it is shown, and waits before it goes on.
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

// say prints what is new.
func (w *worker) say(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if what != w.said {
		w.said = what
		fmt.Println(what)
	}
}

// call gets a token and shows it to the MCP server. A token may die on its way,
// once or twice when they live for a second.
func (w *worker) call(ctx context.Context) error {
	get := w.manager.Token
	if w.Eager {
		get = w.manager.Refresh
	}
	tok, err := get(ctx)
	for range 5 {
		if err != nil {
			return err
		}
		var status int
		if status, err = w.present(ctx, tok); err != nil {
			return err
		}
		switch status {
		case http.StatusOK:
			w.accepted.Add(1)
			return nil
		case http.StatusUnauthorized:
			w.rejected.Add(1)
			tok, err = w.manager.Resolve(ctx, tok, auth.Challenge{Status: status, Scheme: "Bearer", Error: "invalid_token"})
		default:
			return fmt.Errorf("the MCP server answered %d", status)
		}
	}
	return errors.New("the MCP server took none of five tokens")
}

func (w *worker) present(ctx context.Context, tok *auth.Token) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.Resource, strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"ping"}`))
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
